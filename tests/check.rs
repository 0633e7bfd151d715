//! `probelet check` from outside: what it asks, what it says, and how it ends.

use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::Need;
use crate::support::app::{App, Reply};
use crate::support::command::{binary, check, check_json, ended, probelet, words};
use crate::support::fake_app::{FakeApp, Step};
use crate::support::menu::{Aim, Code, Dish, FINE, Kitchen, answer, redirect};
use crate::support::observe::until;
use crate::support::ports::reserve;
use crate::support::trials::trials;

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["check":
        it_says_of_each_fault_what_the_agent_says,
        a_healthy_app_gets_a_line_with_the_times,
        a_failing_app_gets_a_line_that_says_where_to_look,
        a_code_of_ours_does_not_pass_for_the_apps,
        the_app_is_asked_as_kubelet_asks,
        a_url_without_a_port_is_asked_for_without_one,
        headers_replace_kubelets_own,
        a_name_is_looked_up_and_stays_the_name_asked_for,
        redirects_to_the_name_of_the_url_are_followed_and_others_are_not,
        a_name_without_an_address_fails,
        the_timeout_holds_for_all_of_it,
        json_has_its_members_whatever_happens,
        verbose_tells_each_step_on_standard_error,
        usage_errors_exit_2_and_ask_nobody,
        an_interrupt_ends_it,
        an_output_nobody_reads_does_no_harm,
    ];
    tests.extend(trials!["check" needs &[Need::Ipv6]; an_ipv6_address_is_asked_by_its_brackets]);
    tests.extend(
        trials!["check" needs &[Need::Root, Need::Peer("ip"), Need::Peer("unshare")];
            a_resolver_that_is_silent_does_not_outlast_the_timeout,
        ],
    );
    tests
}

/// An app that is well at every path.
fn well() -> FakeApp {
    let app = FakeApp::start();
    app.otherwise(answer(FINE));
    app
}

fn url(app: &FakeApp, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", app.port())
}

/// The one request the app saw, as text.
#[track_caller]
fn only_request(app: &FakeApp) -> String {
    let seen = app.take_seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    String::from_utf8_lossy(&seen[0].head).into_owned()
}

/// Every misbehaviour of the menu: `check` and the agent share their probes, so their codes are the same.
fn it_says_of_each_fault_what_the_agent_says() {
    let kitchen = Kitchen::open();
    let own = reserve();
    let menu = kitchen.menu(own.port);
    kitchen.serve(&menu);
    assert!(menu.len() > 100, "a menu of {}", menu.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Most of the time they wait.
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(dish) = menu.get(next.fetch_add(1, Ordering::SeqCst)) {
                    assert_tells(dish);
                }
            });
        }
    });
}

#[track_caller]
fn assert_tells(dish: &Dish) {
    let url = match dish.aim {
        Aim::Http(port) => format!("http://127.0.0.1:{port}{}", dish.app_path()),
        Aim::Tcp(port) => format!("tcp://127.0.0.1:{port}"),
    };
    let seconds = dish.seconds.to_string();
    let result = check_json(&["--timeout", &seconds, &url]);
    let (code, is_cut) = match dish.code {
        Code::Plain(code) => (code, false),
        Code::Cut(code) => (code, true),
    };
    let told = result.number("agent_status");
    assert_eq!(told, Some(code.into()), "{}: {result:?}", dish.name);
    let is_broken = result.text("reason") == Some("body_broken");
    assert_eq!(is_broken, is_cut, "{}: {result:?}", dish.name);
    let is_well = (200..400).contains(&code) && !is_cut;
    assert_eq!(result.is_healthy(), is_well, "{}: {result:?}", dish.name);
    assert_eq!(result.text("look_at").is_none(), is_well, "{result:?}");
}

/// The line with every time as `N`, so that it can be compared.
fn timeless(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for index in 1..words.len() {
        if words[index].trim_end_matches([',', ':', '\n']) == "ms" {
            let time: f64 = words[index - 1].parse().expect("a number before ms");
            assert!(time < 60_000.0, "{line}");
            words[index - 1] = "N";
        }
    }
    words.join(" ")
}

fn a_healthy_app_gets_a_line_with_the_times() {
    let app = well();
    app.on("/moved", redirect(302, "/fine"));
    let http = url(&app, "/healthz");
    let moved = url(&app, "/moved");
    let tcp = format!("tcp://{}", app.addr());
    let head = "connect N ms, first byte N ms, done N ms";
    for (url, expected) in [
        (&http, format!("healthy 200 {http} {head}\n")),
        (&moved, format!("healthy 200 {moved} {head}, 1 redirect\n")),
        (
            &tcp,
            format!("healthy connected {tcp} connect N ms, done N ms\n"),
        ),
    ] {
        let ended = check(&[url]);
        assert_eq!(timeless(&ended.stdout), expected);
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""));
    }
}

fn a_failing_app_gets_a_line_that_says_where_to_look() {
    let (app, refusing) = (FakeApp::start(), reserve());
    app.on(
        "/broken",
        answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
    );
    app.on("/garbage", answer("SSH-2.0-x\r\n"));
    app.on("/closed", vec![]);
    app.on("/hung", vec![Step::Hold]);
    let refused = format!("http://127.0.0.1:{}/", refusing.port);
    for (url, start, words) in [
        (
            refused,
            "failing refused ",
            &["nothing listens on port", "of 127.0.0.1; ", " 502)"][..],
        ),
        (url(&app, "/no"), "failing 404 ", &["the app's own code"]),
        (url(&app, "/broken"), "failing 200 body_broken ", &["body"]),
        (
            url(&app, "/garbage"),
            "failing malformed ",
            &["no HTTP/1 answer", " 502)"],
        ),
        (
            url(&app, "/closed"),
            "failing closed_early ",
            &["without an answer", " 502)"],
        ),
        (
            url(&app, "/hung"),
            "failing deadline ",
            &["took the connection", " 504)"],
        ),
    ] {
        let ended = check(&[&url, "--timeout=0.5"]);
        let line = ended.stdout;
        assert!(line.starts_with(&format!("{start}{url} ")), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(1), ""));
    }
}

fn a_code_of_ours_does_not_pass_for_the_apps() {
    let app = App::start(Reply::Status(502));
    let url = format!("http://{}/", app.addr());
    let result = check_json(&[&url]);
    assert_eq!(result.number("status"), Some(502.0));
    assert_eq!(result.text("reason"), Some("status"));
    assert!(!check(&[&url]).stdout.contains("agent"));
    app.set(Reply::Close);
    let result = check_json(&[&url]);
    assert_eq!(result.number("status"), None);
    assert_eq!(result.number("agent_status"), Some(502.0));
    assert_eq!(result.text("reason"), Some("closed_early"));
    assert!(
        check(&[&url])
            .stdout
            .contains("the agent would tell kubelet 502")
    );
}

fn the_app_is_asked_as_kubelet_asks() {
    let app = well();
    assert!(check_json(&[&url(&app, "/a b?c=%20d#e")]).is_healthy());
    let expected = format!(
        "GET /a%20b?c=%20d HTTP/1.1\r\nHost: {}\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        app.addr()
    );
    assert_eq!(only_request(&app), expected);
}

/// Port 80 is nobody's to bind in a test: what would have been sent there is told all the same.
fn a_url_without_a_port_is_asked_for_without_one() {
    let app = well();
    app.on("/to-80", redirect(302, "http://127.0.0.1/"));
    let ended = check(&["--verbose", "--timeout=0.5", &url(&app, "/to-80")]);
    let told = format!("{}\n", ended.stderr);
    assert!(told.contains("* dialling 127.0.0.1:80\n"), "{told}");
    if told.contains("> GET / ") {
        assert!(told.contains("> Host: 127.0.0.1\n"), "{told}");
    }
}

fn headers_replace_kubelets_own() {
    let app = well();
    let url = url(&app, "/");
    let args = ["-H", "X-B: 2", "-H=host: example.org", "-H", "x-a:1", &url];
    let more = ["-H", "User-Agent: me", "-H", "Accept: text/plain"];
    assert!(check_json(&[&args[..], &more].concat()).is_healthy());
    assert_eq!(
        only_request(&app),
        "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: me\r\nAccept: text/plain\r\nX-A: 1\r\n\
         X-B: 2\r\nConnection: close\r\n\r\n"
    );
    assert!(check_json(&["-H", "User-Agent:", "-H", "Accept:", &url]).is_healthy());
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        app.addr()
    );
    assert_eq!(only_request(&app), expected);
}

fn a_name_is_looked_up_and_stays_the_name_asked_for() {
    let app = well();
    let port = app.port();
    let result = check_json(&[&format!("http://localhost:{port}/x")]);
    assert!(result.is_healthy(), "{result:?}");
    let address = app.addr().to_string();
    assert_eq!(result.text("address"), Some(&*address));
    assert!(result.number("dns_ms") <= result.number("connect_ms"));
    let host = format!("\r\nHost: localhost:{port}\r\n");
    assert!(only_request(&app).contains(&host));
    let line = check(&[&format!("tcp://localhost:{port}")]).stdout;
    assert!(line.contains(&format!(" at {address} DNS ")), "{line}");
}

fn redirects_to_the_name_of_the_url_are_followed_and_others_are_not() {
    let app = well();
    let port = app.port();
    let location = format!("http://localhost:{port}/there");
    app.on("/named", redirect(302, &location));
    app.on("/relative", redirect(302, "/there"));
    for path in ["/named", "/relative"] {
        let url = format!("http://localhost:{port}{path}");
        let result = check_json(&[&url]);
        assert!(result.is_healthy(), "{result:?}");
        assert_eq!(result.number("redirects"), Some(1.0), "{result:?}");
        let there = app.seen_at("/there").pop().expect("it was followed");
        let head = String::from_utf8_lossy(&there.head).into_owned();
        assert!(
            head.contains(&format!("\r\nHost: localhost:{port}\r\n")),
            "{head}"
        );
        assert!(head.contains(&format!("\r\nReferer: {url}\r\n")), "{head}");
        app.take_seen();
    }
    // The address is not the name, though it leads to the same app.
    let result = check_json(&[&url(&app, "/named")]);
    assert_eq!(result.number("status"), Some(302.0));
    assert_eq!(result.number("redirects"), Some(0.0));
    assert!(result.is_healthy());
}

fn a_name_without_an_address_fails() {
    let result = check_json(&["http://a..b/"]);
    assert!(!result.is_healthy());
    assert_eq!(result.text("reason"), Some("no_address"));
    assert_eq!(result.number("agent_status"), None);
    assert_eq!(result.text("address"), None);
    let line = check(&["tcp://a..b:80"]).stdout;
    assert!(
        line.starts_with("failing no_address tcp://a..b:80 done "),
        "{line}"
    );
    assert!(line.contains("a..b has no address, "), "{line}");
}

fn the_timeout_holds_for_all_of_it() {
    let app = FakeApp::start();
    let drip = b"HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        .to_vec();
    app.on("/slow", vec![Step::Drip(drip, Duration::from_millis(100))]);
    for seconds in ["0.3", "1.25"] {
        let result = check_json(&["--timeout", seconds, &url(&app, "/slow")]);
        assert_eq!(result.text("reason"), Some("deadline"), "{result:?}");
        let least = 1000.0 * seconds.parse::<f64>().expect("a number");
        let took = result.number("done_ms").expect("it ended");
        assert!((least..least + 5000.0).contains(&took), "{result:?}");
        assert!(result.number("first_byte_ms") < Some(took), "{result:?}");
    }
}

fn json_has_its_members_whatever_happens() {
    let (app, refusing) = (well(), reserve());
    let urls = [
        url(&app, "/\"quoted\"\\"),
        format!("tcp://{}", app.addr()),
        format!("tcp://127.0.0.1:{}", refusing.port),
        "http://a..b/".into(),
    ];
    let first = check_json(&[&urls[0]]);
    for name in [
        "healthy",
        "url",
        "address",
        "status",
        "reason",
        "agent_status",
        "look_at",
    ] {
        assert!(first.names().contains(&name), "{first:?}");
    }
    for url in &urls {
        let result = check_json(&[url]);
        assert_eq!(result.names(), first.names(), "{url}");
        assert_eq!(result.text("url"), Some(&**url));
        result.is_healthy();
    }
    let times = ["connect_ms", "first_byte_ms", "done_ms"].map(|name| first.number(name));
    assert!(times.is_sorted() && times[0].is_some(), "{first:?}");
}

fn verbose_tells_each_step_on_standard_error() {
    let app = well();
    let port = app.port();
    app.on("/moved", redirect(301, "/there"));
    let ended = check(&["--verbose", &format!("http://localhost:{port}/moved")]);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let wanted = [
        "* localhost is 127.0.0.1".to_string(),
        format!("* dialling 127.0.0.1:{port}"),
        "* connected".into(),
        "> GET /moved HTTP/1.1".into(),
        format!("> Host: localhost:{port}"),
        "* 301 leads to \"/there\"".into(),
        "> GET /there HTTP/1.1".into(),
        format!("> Referer: http://localhost:{port}/moved"),
    ];
    let mut rest = lines.iter();
    for line in &wanted {
        assert!(rest.any(|told| told == line), "{line}: {lines:#?}");
    }
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_eq!(ended.status.code(), Some(0));
}

fn usage_errors_exit_2_and_ask_nobody() {
    let app = well();
    let url = url(&app, "/");
    for args in [
        &[][..],
        &["check"],
        &[&url, &url],
        &["--timeout", "0", &url],
        &["--timeout", "soon", &url],
        &["-H", "nothing", &url],
        &["--cert", "c", &url],
        &["--verbos", &url],
        &["--json=1", &url],
        &["127.0.0.1:80"],
        &["ftp://127.0.0.1/"],
        &["tcp://127.0.0.1"],
    ] {
        let ended = check(args);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.starts_with("probelet: "), "{ended:?}");
    }
    assert_eq!(app.accepted(), 0);
}

fn an_interrupt_ends_it() {
    let app = FakeApp::start();
    app.on("/", vec![Step::Hold]);
    let mut command = probelet(&["check", "--timeout=60", &url(&app, "/")]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    assert!(app.wait_seen("/", 1));
    kill_process(Pid::from_child(&child), Signal::INT).expect("our child");
    let status = until("the end", || child.try_wait().expect("our child"));
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
}

fn an_output_nobody_reads_does_no_harm() {
    let app = well();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = probelet(&["check", "--verbose", &url(&app, "/")]);
    command
        .stdout(writer.try_clone().expect("a descriptor"))
        .stderr(writer);
    assert_eq!(command.status().expect("it starts").code(), Some(0));
}

fn an_ipv6_address_is_asked_by_its_brackets() {
    let app = FakeApp::start_on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    app.otherwise(answer(FINE));
    let location = format!("http://[::1]:{}/there", app.port());
    app.on("/moved", redirect(302, &location));
    let result = check_json(&[&format!("http://[::1]:{}/moved", app.port())]);
    assert!(result.is_healthy());
    assert_eq!(result.number("redirects"), Some(1.0), "{result:?}");
    let address = app.addr().to_string();
    assert_eq!(result.text("address"), Some(&*address));
    for seen in app.take_seen() {
        let head = String::from_utf8_lossy(&seen.head).into_owned();
        assert!(head.contains(&format!("\r\nHost: {address}\r\n")), "{head}");
    }
    let tcp = format!("tcp://[::1]:{}", app.port());
    assert!(check_json(&[&tcp]).is_healthy());
}

/// In a network of its own where every packet is lost, and with a resolver in it.
fn a_resolver_that_is_silent_does_not_outlast_the_timeout() {
    let script = "ip link add lost type dummy && ip addr add 192.0.2.1/24 dev lost && ip link set lost up && \
        mount -t tmpfs none /mnt && echo nameserver 192.0.2.9 >/mnt/resolv.conf && \
        mount --bind /mnt/resolv.conf /etc/resolv.conf && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", script, "sh"]);
    command.args(words(&binary()));
    command.args(["check", "--timeout=0.5", "http://app.example/"]);
    let started = Instant::now();
    let ended = ended(command);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let words = "app.example has no address, the resolver did not answer in time";
    assert!(ended.stdout.contains(words), "{ended:?}");
    // glibc's and musl's resolvers wait for 5 s and more.
    assert!(started.elapsed() < Duration::from_secs(4), "{ended:?}");
}
