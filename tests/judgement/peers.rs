//! Servers of other people: grpcio with its health service, PyPI's h2, nghttp2.

use super::course::Course;
use crate::support::kubelet::Kubelet;
use crate::support::menu::{Aim, Code, Dish, Mode};
use crate::support::peers::{Process, folder, go, python};
use crate::support::ports::{Reserved, reserve};
use crate::support::{Outcome, TLS};
use std::process::Command;

/// A peer is a process of its own, and slow on a busy machine: only those that are to be late have no more
/// than a second.
fn judge(prefix: &'static str, mut dishes: Vec<Dish>) -> Outcome {
    for dish in &mut dishes {
        if !matches!(dish.code, Code::Plain(504) | Code::Cut(_)) {
            dish.seconds = 5;
        }
    }
    let course = Course::open(prefix, dishes, &[])?;
    course.assert_leaves_nothing(|| course.assert_codes())?;
    Ok(course.assert_agrees(Kubelet::get()?)?)
}

/// Statuses that are a failure like any other.
const FAILURES: [&str; 14] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// The health service of grpcio in each state, calls that fail in each way, and no health service.
pub fn grpcio() -> Outcome {
    let (folder, _authority) = folder();
    let app = python::start("grpc_app.py", folder.path())?;
    let mut dishes = Vec::new();
    let mut add = |name: &str, server: &str, service, mode, code| {
        let aim = Aim::Grpc(app.port(server), service, mode);
        let name = format!("grpcio-{name}");
        dishes.push(Dish::aimed(&name, aim, Code::Plain(code)));
    };
    let plain = Mode::Plaintext;
    add("null", "health", None, plain, 200);
    add("empty", "health", Some(""), plain, 200);
    add("up", "health", Some("up"), plain, 200);
    add("down", "health", Some("down"), plain, 503);
    add("state-unknown", "health", Some("unknown"), plain, 503);
    add(
        "service-unknown",
        "health",
        Some("service-unknown"),
        plain,
        503,
    );
    add("no-such-service", "health", Some("elsewhere"), plain, 502);
    add("no-health-service", "bare", Some("up"), plain, 501);
    add("slow", "failing", Some("slow"), plain, 504);
    add("long-details", "failing", Some("details"), plain, 502);
    add("long-metadata", "failing", Some("metadata"), plain, 200);
    add("raises", "failing", Some("raises"), plain, 502);
    for status in FAILURES {
        add(&status.to_lowercase(), "failing", Some(status), plain, 502);
    }
    add(
        "unimplemented",
        "failing",
        Some("UNIMPLEMENTED"),
        plain,
        501,
    );
    let late = Some("DEADLINE_EXCEEDED");
    add("deadline_exceeded", "failing", late, plain, 504);
    if TLS {
        add("tls", "tls", Some("up"), Mode::Tls, 200);
        add("tls-down", "tls", Some("down"), Mode::Tls, 503);
        add(
            "tls-without-certificate",
            "mutual",
            Some("up"),
            Mode::Tls,
            502,
        );
    }
    add("plain-at-tls", "tls", Some("up"), plain, 502);
    judge("grpcio-", dishes)
}

/// PyPI's h2: other frames and another HPACK encoder than those of the scripts.
pub fn python_h2() -> Outcome {
    let (folder, _authority) = folder();
    let app = python::start("h2_app.py", folder.path())?;
    let mut dishes = Vec::new();
    for (name, code) in [
        ("fine", Code::Plain(200)),
        ("tables", Code::Plain(200)),
        ("redirect", Code::Plain(200)),
        ("trailers", Code::Plain(200)),
        ("interim", Code::Plain(200)),
        ("padded", Code::Plain(200)),
        ("settings", Code::Plain(200)),
        ("body-of-40-kib", Code::Plain(200)),
        ("broken", Code::Plain(500)),
        ("missing", Code::Plain(404)),
        ("reset", Code::Plain(502)),
        ("goaway", Code::Plain(502)),
        ("stalls", Code::Cut(200)),
        ("never", Code::Plain(504)),
    ] {
        let plain = Aim::Http2(app.port("plain"));
        dishes.push(Dish::aimed(&format!("peer-h2c-{name}"), plain, code));
        let secure = Aim::Https(app.port("tls"));
        dishes.push(Dish::aimed(&format!("peer-h2-{name}"), secure, code));
    }
    dishes.retain(|dish| TLS || matches!(dish.aim, Aim::Http2(_)));
    judge("peer-", dishes)
}

/// Go's net/http, in each protocol it has.
pub fn go_http() -> Outcome {
    let (folder, _authority) = folder();
    let app = go::start(folder.path())?;
    let aims = [
        ("http", Aim::Http(app.port("plain"))),
        ("h2c", Aim::Http2(app.port("plain"))),
        ("https", Aim::Https(app.port("tls1"))),
        ("h2", Aim::Https(app.port("tls"))),
    ];
    let mut dishes = Vec::new();
    for (kind, aim) in aims {
        for (name, code) in [
            ("fine", Code::Plain(200)),
            ("broken", Code::Plain(500)),
            ("nothing", Code::Plain(204)),
            ("redirect", Code::Plain(200)),
            ("hints", Code::Plain(200)),
            ("fields", Code::Plain(200)),
            ("long", Code::Plain(200)),
            ("aborts", Code::Cut(200)),
            ("never", Code::Plain(504)),
        ] {
            dishes.push(Dish::aimed(&format!("go-{kind}-{name}"), aim, code));
        }
    }
    let mut add = |name: &str, aim, code| {
        dishes.push(Dish::aimed(name, aim, Code::Plain(code)));
    };
    // "Client sent an HTTP request to an HTTPS server."
    add("go-plain-at-tls", Aim::Http(app.port("tls")), 400);
    add("go-h2c-at-tls", Aim::Http2(app.port("tls")), 502);
    add("go-tls-at-plain", Aim::Https(app.port("plain")), 502);
    add(
        "go-certificate-missing",
        Aim::Https(app.port("mutual")),
        502,
    );
    dishes.retain(|dish| TLS || !matches!(dish.aim, Aim::Https(_)));
    judge("go-", dishes)
}

/// A server of nghttp2's with these words, and the port it has.
fn start(words: &str, pair: &[String]) -> Result<(Process, Reserved), String> {
    let reserved = reserve();
    let mut command = Command::new("nghttpd");
    command
        .args(words.split_whitespace())
        .arg(reserved.port.to_string())
        .args(pair);
    Ok((Process::listening(&mut command, reserved.port)?, reserved))
}

/// nghttp2's server, which speaks HTTP/2 and nothing else, in several moods.
pub fn nghttpd() -> Outcome {
    let (folder, _authority) = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let pair = [path("app.key"), path("app.pem")];
    let root = folder.path().display();
    let (mut servers, mut dishes) = (Vec::new(), Vec::new());
    for (name, words) in [
        ("usual", ""),
        ("trailers", "--trailer=x-sum:1"),
        ("padding", "-b 200"),
        ("no-length", "--no-content-length"),
        ("small-window", "-w 1 -W 1"),
        ("small-table", "-c 64"),
        ("big-table", "-c 65536 --encoder-header-table-size=65536"),
        ("no-table", "-c 0 --encoder-header-table-size=0"),
    ] {
        let words = format!("-a 127.0.0.1 -d {root} {words}");
        for (kind, tls) in [("h2c", false), ("h2", true)] {
            if tls && !TLS {
                continue;
            }
            let (words, pair) = if tls {
                (words.clone(), &pair[..])
            } else {
                (format!("--no-tls {words}"), &[][..])
            };
            let (server, reserved) = start(&words, pair)?;
            let port = reserved.port;
            let aim = if tls {
                Aim::Https(port)
            } else {
                Aim::Http2(port)
            };
            let dish = |name: &str, code| Dish::aimed(name, aim, Code::Plain(code));
            let fine = format!("nghttpd-{name}-{kind}");
            folder.file(&fine, "fine");
            dishes.push(dish(&fine, 200));
            dishes.push(dish(&format!("{fine}-nowhere"), 404));
            servers.push((server, reserved));
        }
    }
    judge("nghttpd-", dishes)
}
