//! The log: few and correct lines. It must not wear out the SD card of an edge node, and clients of the port must not be
//! able to flood it or to forge a line.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tinyjson::JsonValue;

use crate::support::agent::{Agent, Setup};
use crate::support::observe::{log_lines, logged, until};
use crate::support::ports::reserve;
use crate::support::raw::{exchange, probe, send};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::LOG_LINES_PER_MINUTE;

pub(crate) const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";

pub fn tests() -> Vec<Trial> {
    trials!["log":
        a_first_result_and_each_change_are_logged_and_nothing_else,
        a_failure_has_target_reason_status_and_time,
        a_flapping_app_gets_six_lines_a_minute_and_then_the_count_of_the_rest,
        clients_cannot_flood_the_log,
        clients_cannot_forge_a_log_line,
        text_that_a_terminal_obeys_is_escaped,
        json_lines_are_json,
        a_path_too_long_for_a_line_is_truncated,
        a_log_level_drops_lower_levels,
        the_log_parser_is_strict,
    ]
}

/// An app that `LIVEZ` probes, and its agent.
pub(crate) fn fixture(args: &[&str]) -> (SwitchableApp, Agent) {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 5), args);
    (app, agent)
}

/// Sets the app's response and probes once.
#[track_caller]
pub(crate) fn probe_as(app: &SwitchableApp, agent: &Agent, status: u16) {
    app.set(ReplyMode::Status(status));
    probe(agent, LIVEZ).assert_is(status);
}

fn a_first_result_and_each_change_are_logged_and_nothing_else() {
    let (app, agent) = fixture(&[]);
    for status in [200, 200, 204, 200, 500, 500, 500, 200, 200] {
        probe_as(&app, &agent, status);
    }
    // One thread writes all lines, so a later line means that the last change has been written.
    drop(app);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, "reason=connection_refused");
    let lines = log_lines(&agent, LIVEZ);
    let words: Vec<_> = lines
        .iter()
        .map(|l| l.contains("msg=\"prober healthy\""))
        .collect();
    assert_eq!(words, [true, false, true, false], "{lines:#?}");
}

fn a_failure_has_target_reason_status_and_time() {
    let (app, agent) = fixture(&[]);
    let target = app.addr().to_string();
    app.set(ReplyMode::Close);
    probe(&agent, LIVEZ).assert_is(502);
    let line = logged(&agent, "msg=\"prober failing\"");
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
        field("duration_ms=")
            .parse::<u32>()
            .is_ok_and(|ms| ms < 5_000),
        "{line}"
    );
}

fn a_flapping_app_gets_six_lines_a_minute_and_then_the_count_of_the_rest() {
    let flapping = SwitchableApp::start(ReplyMode::Status(200));
    let steady = SwitchableApp::start(ReplyMode::Status(200));
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
    // Each prober has its own limit.
    probe(&agent, READYZ).assert_is(200);
    logged(&agent, READYZ);
    let lines = log_lines(&agent, LIVEZ);
    assert_eq!(lines.len(), LOG_LINES_PER_MINUTE, "{lines:#?}");
    // Changes continue until a line is written again, with the number of suppressed ones.
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
    // The logged and the suppressed changes add up to all changes until that line, which the test may read a few changes
    // later.
    let accounted = last + 1 + count;
    assert!(
        (accounted..accounted + 10).contains(&changes),
        "{accounted} of {changes} changes"
    );
}

fn clients_cannot_flood_the_log() {
    let (app, agent) = fixture(&[]);
    for n in 0..100 {
        probe(&agent, &format!("/no/{n}")).assert_is(404);
        exchange(agent.addr(), format!("BAD {n}\r\n\r\n").as_bytes()).assert_is(400);
        exchange(agent.addr(), &[b'x'; 20_000]).assert_is(431);
        drop(send(agent.addr(), b"GET /"));
    }
    drop(app);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, LIVEZ);
    let lines = agent.log().into_iter().filter(|l| {
        ![LIVEZ, "msg=started", "msg=listening"]
            .iter()
            .any(|own| l.contains(own))
    });
    let lines: Vec<_> = lines.collect();
    // Two sources: unknown paths and bad requests.
    assert!(
        lines.len() <= 2 * LOG_LINES_PER_MINUTE,
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

/// Paths that would end a field or a line if they were not quoted.
const NASTY: [&str; 6] = [
    "/a\"b",
    "/a=b",
    "/a\\\"b",
    "/a%0alevel=error",
    "/\u{1b}[31m",
    "/\u{2028}\u{fffd}",
];

fn probe_nasty(agent: &Agent) {
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

fn clients_cannot_forge_a_log_line() {
    let (app, agent) = fixture(&[]);
    probe_nasty(&agent);
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

/// The offset of the quote that closes a text that begins here.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

/// Control characters of C0 and C1, a line separator, and marks that change the direction of the text after them.
fn text_that_a_terminal_obeys_is_escaped() {
    let hostile = "w\u{1b}\u{9b}\u{85}\u{2028}\u{202e}\u{2066}\u{200f}\u{61c}b";
    let escaped = r"w\u001b\u009b\u0085\u2028\u202e\u2066\u200f\u061cb";
    let assert_escaped = |text: &str| {
        assert!(text.contains(escaped), "{text:?}");
        assert!(text.is_ascii(), "{text:?}");
    };
    for args in [
        ["--target-ip", hostile],
        ["--app-probers", &format!("@{hostile}")],
        [hostile, "x"],
        [&format!("--{hostile}"), "x"],
    ] {
        let setup = args.iter().fold(Setup::new(), |setup, arg| setup.arg(*arg));
        let (code, text) = setup.run_to_end().expect("ends by itself");
        assert_eq!(code, Some(2), "{text}");
        assert_escaped(&text);
    }
    // The subject of an error in the file is its path.
    let file = std::env::temp_dir().join(format!("{hostile}-{}", std::process::id()));
    std::fs::write(&file, "{").expect("a folder for temporary files");
    let setup = Setup::new().arg(format!("--app-probers=@{}", file.display()));
    let ended = setup.run_to_end();
    std::fs::remove_file(&file).expect("it was written");
    assert_escaped(&ended.expect("ends by itself").1);
    for format in ["logfmt", "json"] {
        let (_app, agent) = fixture(&["--log-format", format]);
        let request = format!("GET /{hostile} HTTP/1.1\r\nHost: {hostile}\r\n\r\n");
        exchange(agent.addr(), request.as_bytes());
        let line = logged(&agent, "bad request");
        assert!(line.is_ascii(), "{line:?}");
    }
}

fn json_lines_are_json() {
    let (app, agent) = fixture(&["--log-format", "json"]);
    probe_nasty(&agent);
    probe_as(&app, &agent, 200);
    probe_as(&app, &agent, 503);
    logged(&agent, "prober failing");
    let mut words = Vec::new();
    for line in agent.log() {
        let value: JsonValue = line.parse().unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let object: &std::collections::HashMap<String, JsonValue> = value.get().expect("an object");
        let text = |key: &str| object.get(key).and_then(|v| v.get::<String>()).cloned();
        assert!(text("level").is_some(), "{line}");
        words.push(text("msg").expect("every line has a msg"));
        if words.last().is_some_and(|w| w == "prober failing") {
            assert_eq!(text("path").as_deref(), Some(LIVEZ), "{line}");
            assert_eq!(
                object.get("status"),
                Some(&JsonValue::Number(503.0)),
                "{line}"
            );
        }
    }
    for word in ["listening", "prober healthy", "prober failing"] {
        assert!(words.iter().any(|w| w == word), "{word}: {words:?}");
    }
}

fn a_path_too_long_for_a_line_is_truncated() {
    let app = SwitchableApp::start(ReplyMode::Status(200));
    let path = format!("/app-health/{}/livez", "long-name.".repeat(40));
    for format in ["logfmt", "json"] {
        let table = Table::new().http(&path, app.port(), 5);
        let agent = agent_with(&table, &["--log-format", format]);
        probe(&agent, &path).assert_is(200);
        let line = logged(&agent, "prober healthy");
        assert!(line.contains(&path[..100]), "{line}");
        assert!(
            line.contains("200"),
            "the fields after the path are not lost: {line}"
        );
        let is_whole = if format == "json" {
            line.parse::<JsonValue>().is_ok()
        } else {
            is_logfmt(&line)
        };
        assert!(is_whole, "{line}");
    }
}

fn a_log_level_drops_lower_levels() {
    let app = SwitchableApp::start(ReplyMode::Status(500));
    // `listening` is logged at info, so the test polls the port.
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
        (log_lines(&agent, "msg=\"prober failing\"").len() == 2).then_some(())
    });
    assert_eq!(agent.log().len(), 2, "{:#?}", agent.log());
}

fn the_log_parser_is_strict() {
    for right in ["a=b", "a=b c=\"d e\\\" f\" g=", "a=\"\""] {
        assert!(is_logfmt(right), "refused {right:?}");
    }
    for wrong in [
        "a", "a=b c", "a=\"b", "a=b  c=d", "a b=c", "a=b\"c", "a=b=c", "",
    ] {
        assert!(!is_logfmt(wrong), "took {wrong:?}");
    }
}
