//! What an operator sees: few log lines and true ones, metrics that count every probe once, and no
//! connection but those that were asked for.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;
use tinyjson::JsonValue;

use crate::support::Need;
use crate::support::agent::{Agent, Setup};
use crate::support::app::{App, Reply};
use crate::support::observe::{LISTENING, log_lines, logged, sockets_of, until};
use crate::support::ports::reserve;
use crate::support::prometheus::Page;
use crate::support::raw::{connect, exchange, get, probe, send};
use crate::support::table::{Table, agent_with, start};
use crate::support::trials::trials;

use probelet::limits::LOG_LINES_A_MINUTE;

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["observability":
        a_first_result_and_each_change_are_logged_and_nothing_else,
        a_failure_tells_target_reason_status_and_time,
        a_flapping_app_gets_six_lines_a_minute_and_then_the_count_of_the_rest,
        strangers_cannot_fill_the_log,
        strangers_cannot_forge_a_line,
        json_lines_are_json,
        a_path_too_long_for_a_line_is_cut_and_not_lost,
        a_log_level_leaves_out_what_matters_less,
        every_probe_is_counted_by_path_and_code,
        the_first_six_codes_of_a_path_are_exact_and_the_rest_other,
        failures_are_counted_by_reason,
        the_histogram_counts_every_probe,
        metrics_tell_build_memory_and_open_connections,
        the_reader_of_metrics_and_log_lines_is_strict,
        an_agent_nobody_asks_holds_its_listeners_and_nothing_else,
    ];
    tests.extend(trials!["observability" needs &[Need::Peer("strace")];
        no_connection_is_opened_that_nobody_asked_for
    ]);
    tests
}

/// An app behind `LIVEZ`, and one behind `READYZ` that is never there.
fn scene(args: &[&str]) -> (App, Agent) {
    let app = App::start(Reply::Status(200));
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 5), args);
    (app, agent)
}

fn metrics(agent: &Agent) -> Page {
    let page = probe(agent, "/metrics");
    page.assert_ended(200);
    let kind = page.field("content-type").expect("a media type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    Page::parse(str::from_utf8(page.body()).expect("UTF-8")).expect("Prometheus' text format")
}

/// Probes once with the app saying this.
#[track_caller]
fn probe_as(app: &App, agent: &Agent, status: u16) {
    app.set(Reply::Status(status));
    probe(agent, LIVEZ).assert_is(status);
}

fn a_first_result_and_each_change_are_logged_and_nothing_else() {
    let (app, agent) = scene(&[]);
    for status in [200, 200, 204, 200, 500, 500, 500, 200, 200] {
        probe_as(&app, &agent, status);
    }
    // One thread writes all lines, so what follows the last change ends the wait.
    drop(app);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, "reason=refused");
    let lines = log_lines(&agent, LIVEZ);
    let words: Vec<_> = lines.iter().map(|l| l.contains("msg=healthy")).collect();
    assert_eq!(words, [true, false, true, false], "{lines:#?}");
}

fn a_failure_tells_target_reason_status_and_time() {
    let (app, agent) = scene(&[]);
    let target = app.addr().to_string();
    app.set(Reply::Close);
    probe(&agent, LIVEZ).assert_is(502);
    let line = logged(&agent, "msg=failing");
    let field = |key: &str| {
        line.split(' ')
            .find_map(|word| word.strip_prefix(key))
            .unwrap_or("")
    };
    assert_eq!(field("level="), "warn", "{line}");
    assert_eq!(field("path="), LIVEZ, "{line}");
    assert_eq!(field("target="), target, "{line}");
    assert_eq!(field("reason="), "closed_early", "{line}");
    assert_eq!(field("status="), "502", "{line}");
    assert!(
        field("ms=").parse::<u32>().is_ok_and(|ms| ms < 5_000),
        "{line}"
    );
}

fn a_flapping_app_gets_six_lines_a_minute_and_then_the_count_of_the_rest() {
    let flapping = App::start(Reply::Status(200));
    let steady = App::start(Reply::Status(200));
    let table = Table::new()
        .http(LIVEZ, flapping.port(), 5)
        .http(READYZ, steady.port(), 5);
    let agent = agent_with(&table, &[]);
    let started = Instant::now();
    let mut changes = 0;
    let mut flap = || {
        probe_as(&flapping, &agent, if changes % 2 == 0 { 500 } else { 200 });
        changes += 1;
    };
    (0..100).for_each(|_| flap());
    // The limit is each prober's own.
    probe(&agent, READYZ).assert_is(200);
    logged(&agent, READYZ);
    let lines = log_lines(&agent, LIVEZ);
    assert_eq!(lines.len(), LOG_LINES_A_MINUTE as usize, "{lines:#?}");
    // On it goes until a line may be written again, which tells how many were not.
    while log_lines(&agent, "suppressed=").is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(75),
            "{:#?}",
            agent.log()
        );
        flap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let lines = log_lines(&agent, LIVEZ);
    let last = lines
        .iter()
        .position(|l| l.contains("suppressed="))
        .expect("found before");
    let (_, count) = lines[last].split_once("suppressed=").expect("found before");
    let count: usize = count
        .split(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("a number");
    // Written or suppressed, every change up to the one that told is accounted for. The line may
    // reach us a few changes after it was written.
    let accounted = last + 1 + count;
    assert!(
        (accounted..accounted + 10).contains(&changes),
        "{accounted} of {changes} changes"
    );
}

fn strangers_cannot_fill_the_log() {
    let (app, agent) = scene(&[]);
    for n in 0..100 {
        probe(&agent, &format!("/no/{n}")).assert_is(404);
        exchange(agent.addr(), format!("BAD {n}\r\n\r\n").as_bytes()).assert_is(400);
        exchange(agent.addr(), &[b'x'; 20_000]).assert_is(431);
        drop(send(agent.addr(), b"GET /"));
    }
    drop(app);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, LIVEZ);
    let lines = agent
        .log()
        .into_iter()
        .filter(|l| !l.contains(LIVEZ) && !l.contains("msg=listening"));
    let lines: Vec<_> = lines.collect();
    // Two sources: unknown paths and bad requests.
    assert!(
        lines.len() <= 2 * LOG_LINES_A_MINUTE as usize,
        "{} lines: {lines:#?}",
        lines.len()
    );
    assert!(
        lines.iter().any(|l| l.contains("/no/0")),
        "an unknown path is named: {lines:#?}"
    );
    assert!(
        lines.iter().all(|l| l.len() < 400),
        "as short as a line should be: {lines:#?}"
    );
}

/// Paths that would end a field or a line if they were written as they come.
const NASTY: [&str; 6] = [
    "/a\"b",
    "/a=b",
    "/a\\\"b",
    "/a%0alevel=error",
    "/\u{1b}[31m",
    "/\u{2028}\u{fffd}",
];

fn ask_nasty(agent: &Agent) {
    for path in NASTY {
        let code = probe(agent, path).code();
        assert!(matches!(code, Some(400 | 404)), "{path:?}: {code:?}");
    }
    for long in ["/x", "/%22", "/\"", "/\\", "/\u{e9}"] {
        probe(agent, &long.repeat(2_000));
    }
    exchange(agent.addr(), b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n");
    exchange(
        agent.addr(),
        b"GET /a\nlevel=error HTTP/1.1\r\nHost: a\r\n\r\n",
    );
}

fn strangers_cannot_forge_a_line() {
    let (app, agent) = scene(&[]);
    ask_nasty(&agent);
    drop(app);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, LIVEZ);
    for line in agent.log() {
        assert!(is_logfmt(&line), "not logfmt: {line:?}");
        assert!(
            line.starts_with("level=") && !line.starts_with("level=error"),
            "{line:?}"
        );
        assert!(
            line.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{line:?}"
        );
    }
}

/// `key=value` or `key="quoted value"`, a space between two.
fn is_logfmt(line: &str) -> bool {
    let mut rest = line;
    while let Some((key, value)) = rest.split_once('=') {
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let length = match value.strip_prefix('"') {
            None => value.find(' ').unwrap_or(value.len()),
            Some(quoted) => match closing_quote(quoted) {
                Some(at) => at + 2,
                None => return false,
            },
        };
        let (value, after) = value.split_at(length);
        if !is_key || !value.starts_with('"') && value.contains(['"', '=']) {
            return false;
        }
        match after.strip_prefix(' ') {
            Some(more) => rest = more,
            None => return after.is_empty(),
        }
    }
    false
}

/// Where the quote ends that begins before this text.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

fn json_lines_are_json() {
    let (app, agent) = scene(&["--log-format", "json"]);
    ask_nasty(&agent);
    probe_as(&app, &agent, 200);
    probe_as(&app, &agent, 503);
    logged(&agent, "failing");
    let mut words = Vec::new();
    for line in agent.log() {
        let value: JsonValue = line.parse().unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let object: &std::collections::HashMap<String, JsonValue> = value.get().expect("an object");
        let text = |key: &str| object.get(key).and_then(|v| v.get::<String>()).cloned();
        assert!(text("level").is_some(), "{line}");
        words.push(text("msg").expect("every line says what it is about"));
        if words.last().is_some_and(|w| w == "failing") {
            assert_eq!(text("path").as_deref(), Some(LIVEZ), "{line}");
            assert_eq!(
                object.get("status"),
                Some(&JsonValue::Number(503.0)),
                "{line}"
            );
        }
    }
    for word in ["listening", "healthy", "failing"] {
        assert!(words.iter().any(|w| w == word), "{word}: {words:?}");
    }
}

fn a_path_too_long_for_a_line_is_cut_and_not_lost() {
    let app = App::start(Reply::Status(200));
    let path = format!("/app-health/{}/livez", "long-name.".repeat(40));
    for format in ["logfmt", "json"] {
        let table = Table::new().http(&path, app.port(), 5);
        let agent = agent_with(&table, &["--log-format", format]);
        probe(&agent, &path).assert_is(200);
        let line = logged(&agent, "healthy");
        assert!(line.contains(&path[..100]), "{line}");
        assert!(
            line.contains("200"),
            "what follows the path is there too: {line}"
        );
        let is_whole = if format == "json" {
            line.parse::<JsonValue>().is_ok()
        } else {
            is_logfmt(&line)
        };
        assert!(is_whole, "{line}");
    }
}

fn a_log_level_leaves_out_what_matters_less() {
    let app = App::start(Reply::Status(500));
    // `listening` is not written below info, so the port itself has to tell.
    let status = reserve();
    let setup = Setup::new()
        .probers(&Table::new().http(LIVEZ, app.port(), 5).json())
        .arg("--log-level=warn")
        .arg(format!("--status-port={}", status.port));
    let agent = setup.spawn(status).expect("the agent starts");
    until("the port accepts", || {
        std::net::TcpStream::connect(agent.addr()).ok()
    });
    probe(&agent, LIVEZ).assert_is(500);
    probe_as(&app, &agent, 200);
    probe_as(&app, &agent, 501);
    until("two failures", || {
        (log_lines(&agent, "msg=failing").len() == 2).then_some(())
    });
    assert_eq!(agent.log().len(), 2, "{:#?}", agent.log());
}

fn every_probe_is_counted_by_path_and_code() {
    let (app, agent) = scene(&[]);
    for (status, times) in [(200, 5), (500, 3), (302, 2)] {
        (0..times).for_each(|_| probe_as(&app, &agent, status));
    }
    probe(&agent, "/no").assert_is(404);
    let codes = [("200", 5.0), ("302", 2.0), ("500", 3.0)].map(|(code, n)| (code.to_string(), n));
    let page = metrics(&agent);
    assert_eq!(page.by("probelet_probes_total", "code"), codes.into());
    assert_eq!(
        page.get("probelet_probes_total", &[("path", LIVEZ), ("code", "200")]),
        Some(5.0)
    );
}

fn the_first_six_codes_of_a_path_are_exact_and_the_rest_other() {
    let (app, agent) = scene(&[]);
    for status in [503, 200, 201, 202, 203, 404, 500, 501, 200, 502, 503, 500] {
        probe_as(&app, &agent, status);
    }
    let codes = metrics(&agent).by("probelet_probes_total", "code");
    let expected = [
        ("503", 2.0),
        ("200", 2.0),
        ("201", 1.0),
        ("202", 1.0),
        ("203", 1.0),
        ("404", 1.0),
        ("other", 4.0),
    ];
    assert_eq!(
        codes,
        expected.map(|(code, n)| (code.to_string(), n)).into()
    );
}

fn failures_are_counted_by_reason() {
    let (app, agent) = scene(&[]);
    app.set(Reply::Close);
    (0..2).for_each(|_| probe(&agent, LIVEZ).assert_is(502));
    app.set(Reply::RedirectToHttps);
    probe(&agent, LIVEZ).assert_is(501);
    drop(app);
    (0..3).for_each(|_| probe(&agent, LIVEZ).assert_is(502));
    let page = metrics(&agent);
    for (reason, count) in [("closed_early", 2.0), ("not_built", 1.0), ("refused", 3.0)] {
        let found = page.get("probelet_probe_failures_total", &[("reason", reason)]);
        assert_eq!(found, Some(count), "{reason}");
    }
}

fn the_histogram_counts_every_probe() {
    let (app, agent) = scene(&[]);
    let probes = 25;
    (0..probes).for_each(|n| probe_as(&app, &agent, 200 + n));
    let page = metrics(&agent);
    let count = page
        .get("probelet_probe_duration_seconds_count", &[])
        .expect("a count");
    let sum = page
        .get("probelet_probe_duration_seconds_sum", &[])
        .expect("a sum");
    assert_eq!(count, f64::from(probes));
    assert!(sum > 0.0 && sum < 20.0 * count, "{sum} s");
    let mut buckets: Vec<_> = page
        .by("probelet_probe_duration_seconds_bucket", "le")
        .into_iter()
        .collect();
    let bound = |le: &str| {
        if le == "+Inf" {
            f64::INFINITY
        } else {
            le.parse().expect("a number")
        }
    };
    buckets.sort_by(|(a, _), (b, _)| bound(a).total_cmp(&bound(b)));
    let (last, all) = buckets.last().expect("buckets");
    assert_eq!((last.as_str(), *all), ("+Inf", count));
    assert!(buckets.len() > 4, "{buckets:?}");
    assert!(
        buckets.windows(2).all(|w| w[0].1 <= w[1].1),
        "never less in a wider one: {buckets:?}"
    );
    assert_eq!(
        page.by("probelet_probes_total", "code")
            .values()
            .sum::<f64>(),
        count
    );
}

fn metrics_tell_build_memory_and_open_connections() {
    let app = App::start(Reply::Hold);
    let raw = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listen = reserve();
    let forward = format!(
        "--forward={}={}",
        listen.port,
        raw.local_addr().expect("bound")
    );
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 60), &[&forward]);
    let open = |kind: &str| metrics(&agent).get("probelet_open_connections", &[("kind", kind)]);
    assert_eq!(
        (open("status"), open("forward")),
        (Some(1.0), Some(0.0)),
        "the one that asks"
    );
    let held: Vec<_> = (0..3).map(|_| send(agent.addr(), &get(LIVEZ))).collect();
    app.until_requests(3);
    let forwarded: Vec<_> = (0..2)
        .map(|_| {
            (
                connect((Ipv4Addr::LOCALHOST, listen.port).into()),
                raw.accept().expect("dialled"),
            )
        })
        .collect();
    assert_eq!((open("status"), open("forward")), (Some(4.0), Some(2.0)));
    app.set(Reply::Status(200));
    drop((held, forwarded));
    until("all are closed", || {
        (open("status")? == 1.0 && open("forward")? == 0.0).then_some(())
    });
    let page = metrics(&agent);
    assert!(
        page.get("process_resident_memory_bytes", &[])
            .is_some_and(|bytes| bytes > 4096.0)
    );
    assert_eq!(
        page.get(
            "probelet_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        Some(1.0)
    );
}

fn an_agent_nobody_asks_holds_its_listeners_and_nothing_else() {
    let listen = reserve();
    let forward = format!("--forward={}=127.0.0.1:9", listen.port);
    let agent = agent_with(&Table::new().http(LIVEZ, 9, 1), &[&forward]);
    let mut ports: Vec<_> = sockets_of(agent.pid())
        .iter()
        .map(|s| {
            assert_eq!(s.state, LISTENING, "{s:?}");
            s.local.port()
        })
        .collect();
    let mut expected = [agent.addr().port(), listen.port];
    ports.sort();
    expected.sort();
    assert_eq!(ports, expected);
}

fn no_connection_is_opened_that_nobody_asked_for() {
    let trace = std::env::temp_dir().join(format!("probelet-connects-{}", std::process::id()));
    let file = trace.to_str().expect("UTF-8");
    let strace = [
        "strace",
        "-D",
        "-f",
        "-q",
        "-o",
        file,
        "-e",
        "trace=connect,sendto,sendmsg",
    ];
    let app = App::start(Reply::Status(200));
    let table = Table::new().http(LIVEZ, app.port(), 5);
    let mut agent = start(Setup::new().before(&strace), &table, &[]);
    for path in ["/healthz/ready", "/metrics", "/no", LIVEZ] {
        probe(&agent, path);
    }
    agent.signal(Signal::TERM);
    assert!(agent.wait_exit().is_some_and(|status| status.success()));
    let connects = || {
        let calls = std::fs::read_to_string(&trace).ok()?;
        calls
            .contains("+++ exited")
            .then(|| calls.matches("connect(").count())
    };
    // The one probe, and not a name server, a time server or a cloud's metadata.
    assert_eq!(until("strace wrote its last line", connects), 1);
    std::fs::remove_file(&trace).expect("it was written");
}

fn the_reader_of_metrics_and_log_lines_is_strict() {
    let typed = "# HELP a what it is\n# TYPE a counter\n";
    let page =
        Page::parse(&format!("{typed}a{{x=\"1\",y=\"\\\"\\n\"}} 2e-05\na 3\n")).expect("a page");
    assert_eq!(page.get("a", &[("y", "\"\n"), ("x", "1")]), Some(2e-5));
    assert_eq!(page.get("a", &[]), Some(3.0));
    for wrong in [
        "a",
        "a{} x",
        "a{x=1} 2",
        "a{x=\"1} 2",
        "a{x=\"\\d\"} 2",
        "a 1\na 2",
        "b 1",
        " a 1",
        "9a 1",
    ] {
        let text = format!("{typed}{wrong}\n");
        assert!(Page::parse(&text).is_err(), "took {wrong:?}");
    }
    for right in ["a=b", "a=b c=\"d e\\\" f\" g=", "a=\"\""] {
        assert!(is_logfmt(right), "refused {right:?}");
    }
    for wrong in [
        "a", "a=b c", "a=\"b", "a=b  c=d", "a b=c", "a=b\"c", "a=b=c", "",
    ] {
        assert!(!is_logfmt(wrong), "took {wrong:?}");
    }
}
