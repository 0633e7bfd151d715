//! Third-party servers: grpcio with its health service, PyPI's h2, Go's net/http, nghttp2.

use crate::support::TLS;
use crate::support::faults::{Catalogue, Expected, FaultCase, GrpcMode, Target};
use crate::support::peers::{PeerProcess, Process, folder, go, python};
use crate::support::ports::{Reserved, reserve};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Ports by their names.
type Ports = Box<dyn Fn(&str) -> u16>;

/// Starts a peer with a folder of certificates. Returns its ports, which are 0 if cases are only listed.
fn start(
    catalogue: &mut Catalogue,
    start: impl FnOnce(&Path) -> Result<PeerProcess, String>,
) -> Result<Ports, String> {
    let mut peer = None;
    catalogue.host(|| {
        let (folder, _authority) = folder();
        let started = Arc::new(start(folder.path())?);
        peer = Some(Arc::clone(&started));
        Ok(((folder, started), 0))
    })?;
    let port = move |name: &str| peer.as_ref().map_or(0, |peer| peer.port(name));
    Ok(Box::new(port))
}

/// Statuses that are ordinary failures.
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
pub fn add_grpcio(catalogue: &mut Catalogue, _: u16) -> Result<(), String> {
    let port = start(catalogue, |folder| python::start("grpc_app.py", folder))?;
    let mut cases = Vec::new();
    let mut grpc = |name: &str, server: &str, service, mode, code| {
        let target = Target::Grpc(port(server), service, mode);
        let name = format!("grpcio-{name}");
        cases.push(FaultCase::new(&name, target, Expected::Status(code)));
    };
    let plain = GrpcMode::Plaintext;
    grpc("null", "health", None, plain, 200);
    grpc("empty", "health", Some(""), plain, 200);
    grpc("up", "health", Some("up"), plain, 200);
    grpc("down", "health", Some("down"), plain, 503);
    grpc("state-unknown", "health", Some("unknown"), plain, 503);
    grpc(
        "service-unknown",
        "health",
        Some("service-unknown"),
        plain,
        503,
    );
    grpc("no-such-service", "health", Some("elsewhere"), plain, 502);
    grpc("no-health-service", "bare", Some("up"), plain, 501);
    grpc("slow", "failing", Some("slow"), plain, 504);
    grpc("long-details", "failing", Some("details"), plain, 502);
    grpc("long-metadata", "failing", Some("metadata"), plain, 200);
    grpc("raises", "failing", Some("raises"), plain, 502);
    for status in FAILURES {
        grpc(&status.to_lowercase(), "failing", Some(status), plain, 502);
    }
    grpc(
        "unimplemented",
        "failing",
        Some("UNIMPLEMENTED"),
        plain,
        501,
    );
    let late = Some("DEADLINE_EXCEEDED");
    grpc("deadline_exceeded", "failing", late, plain, 504);
    if TLS {
        grpc("tls", "tls", Some("up"), GrpcMode::Tls, 200);
        grpc("tls-down", "tls", Some("down"), GrpcMode::Tls, 503);
        grpc(
            "tls-without-certificate",
            "mutual",
            Some("up"),
            GrpcMode::Tls,
            502,
        );
    }
    grpc("plain-at-tls", "tls", Some("up"), plain, 502);
    catalogue.cases.extend(cases);
    Ok(())
}

/// PyPI's h2, with other frames and another HPACK encoder than the scripts.
pub fn add_python_h2(catalogue: &mut Catalogue, _: u16) -> Result<(), String> {
    let port = start(catalogue, |folder| python::start("h2_app.py", folder))?;
    let mut cases = Vec::new();
    for (name, code) in [
        ("fine", Expected::Status(200)),
        ("tables", Expected::Status(200)),
        ("redirect", Expected::Status(200)),
        ("trailers", Expected::Status(200)),
        ("interim", Expected::Status(200)),
        ("padded", Expected::Status(200)),
        ("settings", Expected::Status(200)),
        ("body-of-40-kib", Expected::Status(200)),
        ("broken", Expected::Status(500)),
        ("missing", Expected::Status(404)),
        ("reset", Expected::Status(502)),
        ("goaway", Expected::Status(502)),
        ("stalls", Expected::BrokenBody(200)),
        ("never", Expected::Status(504)),
    ] {
        let plain = Target::Http2(port("plain"));
        cases.push(FaultCase::new(&format!("peer-h2c-{name}"), plain, code));
        let secure = Target::Https(port("tls"));
        cases.push(FaultCase::new(&format!("peer-h2-{name}"), secure, code));
    }
    cases.retain(|case| TLS || matches!(case.target, Target::Http2(_)));
    catalogue.cases.extend(cases);
    Ok(())
}

/// Go's net/http, in each protocol it has.
pub fn add_go_http(catalogue: &mut Catalogue, _: u16) -> Result<(), String> {
    let port = start(catalogue, go::start)?;
    let aims = [
        ("http", Target::Http(port("plain"))),
        ("h2c", Target::Http2(port("plain"))),
        ("https", Target::Https(port("tls1"))),
        ("h2", Target::Https(port("tls"))),
    ];
    let mut cases = Vec::new();
    for (kind, target) in aims {
        for (name, code) in [
            ("fine", Expected::Status(200)),
            ("broken", Expected::Status(500)),
            ("nothing", Expected::Status(204)),
            ("redirect", Expected::Status(200)),
            ("hints", Expected::Status(200)),
            ("fields", Expected::Status(200)),
            ("long", Expected::Status(200)),
            ("aborts", Expected::BrokenBody(200)),
            ("never", Expected::Status(504)),
        ] {
            cases.push(FaultCase::new(&format!("go-{kind}-{name}"), target, code));
        }
    }
    let mut other = |name: &str, target, code| {
        cases.push(FaultCase::new(name, target, Expected::Status(code)));
    };
    // "Client sent an HTTP request to an HTTPS server."
    other("go-plain-at-tls", Target::Http(port("tls")), 400);
    other("go-h2c-at-tls", Target::Http2(port("tls")), 502);
    other("go-tls-at-plain", Target::Https(port("plain")), 502);
    other("go-certificate-missing", Target::Https(port("mutual")), 502);
    cases.retain(|case| TLS || !matches!(case.target, Target::Https(_)));
    catalogue.cases.extend(cases);
    Ok(())
}

/// Starts nghttpd. Returns it and its port.
fn nghttpd(words: &str, pair: &[String]) -> Result<((Process, Reserved), u16), String> {
    let reserved = reserve();
    let mut command = Command::new("nghttpd");
    command
        .args(words.split_whitespace())
        .arg(reserved.port.to_string())
        .args(pair);
    let port = reserved.port;
    Ok(((Process::listening(&mut command, port)?, reserved), port))
}

/// nghttp2's server, which speaks only HTTP/2, with several options.
pub fn add_nghttpd(catalogue: &mut Catalogue, _: u16) -> Result<(), String> {
    let folder = (!catalogue.is_listing()).then(|| folder().0);
    let root = folder
        .as_ref()
        .map_or(Path::new(""), |folder| folder.path());
    let pair = ["app.key", "app.pem"].map(|name| root.join(name).display().to_string());
    let mut cases = Vec::new();
    for (name, options) in [
        ("usual", ""),
        ("trailers", "--trailer=x-sum:1"),
        ("padding", "-b 200"),
        ("no-length", "--no-content-length"),
        ("small-window", "-w 1 -W 1"),
        ("small-table", "-c 64"),
        ("big-table", "-c 65536 --encoder-header-table-size=65536"),
        ("no-table", "-c 0 --encoder-header-table-size=0"),
    ] {
        let words = format!("-a 127.0.0.1 -d {} {options}", root.display());
        for kind in ["h2c", "h2"]
            .into_iter()
            .filter(|kind| TLS || *kind == "h2c")
        {
            let target = if kind == "h2" {
                Target::Https(catalogue.host(|| nghttpd(&words, &pair))?)
            } else {
                let words = format!("--no-tls {words}");
                Target::Http2(catalogue.host(|| nghttpd(&words, &[]))?)
            };
            let fine = format!("nghttpd-{name}-{kind}");
            if let Some(folder) = &folder {
                folder.file(&fine, "fine");
            }
            let missing = format!("{fine}-nowhere");
            for (name, code) in [(&fine, 200), (&missing, 404)] {
                cases.push(FaultCase::new(name, target, Expected::Status(code)));
            }
        }
    }
    catalogue.host(|| Ok((folder, 0)))?;
    catalogue.cases.extend(cases);
    Ok(())
}
