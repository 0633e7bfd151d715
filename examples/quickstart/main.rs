//! Istio's health-check guide in one process, on loopback only: an app, probelet, which requires client certificates in front
//! of it and probes it, other services of the mesh, and kubelet's probes; and an app that requires client certificates itself.
//! Each row is a real response. The exit code is 0 if all are as expected.
//! Run: `cargo run --release --example quickstart`

mod app;
mod files;
mod kubelet;
mod mesh;
mod strict;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{sync::mpsc, thread};

use app::AppState::{self, Failing, Hanging, Healthy, Stopped};
use probelet::{agent, cli};

/// The table that Istio's injector writes for the probes of the pod.
const PROBERS: &str = r#"{
    "/app-health/liveness-http/livez":  {"httpGet": {"path": "/foo", "port": 8001}},
    "/app-health/liveness-http/readyz": {"tcpSocket": {"port": 8001}},
    "/app-health/strict/livez":         {"httpGet": {"path": "/foo", "port": 8443, "scheme": "HTTPS"}}
}"#;
const STATUS: SocketAddr = SocketAddr::new(mesh::POD, 15020);
const LIVEZ: &str = "/app-health/liveness-http/livez";
const READYZ: &str = "/app-health/liveness-http/readyz";
/// The status port of a probelet without any certificate.
const BARE: SocketAddr = SocketAddr::new(mesh::POD, 15022);
/// The status port of a probelet that has the client certificate of the strict app.
const TRUSTED: SocketAddr = SocketAddr::new(mesh::POD, 15021);
const STRICT: &str = "/app-health/strict/livez";
const SEPARATE: SocketAddr = SocketAddr::new(mesh::POD, 15032);

/// The app's state; the server; path, client, expected result and meaning of the request.
type Row = (AppState, SocketAddr, [&'static str; 4]);
const PEER: &str = "with certificate";
const FOREIGN: &str = "foreign identity";
#[rustfmt::skip]
const ROWS: [Row; 13] = [
    (Healthy, mesh::MTLS, ["/foo", PEER,             "200 well", "regular traffic of the mesh flows"]),
    (Healthy, mesh::MTLS, ["/foo", "no certificate", "no HTTP",  "kubelet would restart a healthy app"]),
    (Healthy, mesh::MTLS, ["/foo", FOREIGN,          "no HTTP",  "probelet allows only --allow-id"]),
    (Healthy, STATUS,     [LIVEZ,  "HTTP probe",     "200",      "probelet probed the app itself"]),
    (Healthy, STATUS,     [READYZ, "TCP probe",      "200",      "the app accepts connections"]),
    (Healthy, SEPARATE,   ["/foo", "separate port",  "200 well", "forwarded unchanged, with the body"]),
    (Healthy, BARE,       [STRICT, "HTTPS probe",    "502",      "the app requires a client certificate"]),
    (Healthy, TRUSTED,    [STRICT, "HTTPS probe",    "200",      "probelet presented its client certificate"]),
    (Failing, STATUS,     [LIVEZ,  "HTTP probe",     "500",      "the app's own code"]),
    (Hanging, STATUS,     [LIVEZ,  "HTTP probe",     "504",      "too slow, answered before kubelet times out"]),
    (Stopped, STATUS,     [LIVEZ,  "HTTP probe",     "502",      "nothing listens"]),
    (Stopped, STATUS,     [READYZ, "TCP probe",      "502",      "nothing listens"]),
    (Stopped, SEPARATE,   ["/foo", "separate port",  "no HTTP",  "nothing listens"]),
];

fn main() -> ExitCode {
    match run_rows() {
        Ok(0) => return ExitCode::SUCCESS,
        Ok(wrong) => eprintln!("quickstart: {wrong} rows are not as expected"),
        Err(why) => eprintln!("quickstart: {why}"),
    }
    ExitCode::FAILURE
}

/// Prints all rows. Returns the number of those that are not as expected.
fn run_rows() -> Result<usize, String> {
    let mut app = app::App::start()?;
    let mesh = mesh::Mesh::new().map_err(|error| format!("certificates: {error}"))?;
    let files = strict::start()?;
    let identity = ["tls.crt", "tls.key", "ca.crt"].map(|name| mesh.files.path(name));
    let flags = [
        ("--inbound", mesh::INBOUND),
        ("--allow-id", mesh::ALLOWED),
        ("--cert", &identity[0]),
        ("--key", &identity[1]),
        ("--ca", &identity[2]),
        ("--forward", "15032=127.0.0.1:8002"),
    ];
    start_probelet(STATUS, &flags)?;
    start_probelet(BARE, &[])?;
    let [certificate, key] = ["client.pem", "client.key"].map(|name| files.path(name));
    start_probelet(
        TRUSTED,
        &[("--client-cert", &certificate), ("--client-key", &key)],
    )?;

    let (mut wrong, mut first) = (0, None);
    line(["app", "request to 127.0.0.2", "client", "result", "meaning"]);
    for (state, server, [path, client, expected, meaning]) in ROWS {
        app.set_state(state);
        let answer = match client {
            PEER => mesh.allowed.get(path),
            FOREIGN => mesh.foreign.get(path),
            _ => kubelet::get(server, path),
        };
        let result = match &answer {
            Ok((code, body)) => format!("{code} {body}").trim_end().to_owned(),
            Err(_) => "no HTTP".into(),
        };
        let meaning = match &answer {
            _ if result != expected => format!("NOT AS EXPECTED: {expected}"),
            Ok((200..=399, _)) => format!("success: {meaning}"),
            _ => format!("failure: {meaning}"),
        };
        let request = format!(":{}{path}", server.port());
        wrong += usize::from(result != expected);
        line([&format!("{state:?}"), &request, client, &result, &meaning]);
        first = first.or(answer.err());
    }
    let event = first.unwrap_or_default();
    println!("\nkubelet's event for the second row: Liveness probe failed: {event}");
    Ok(wrong)
}

fn line([app, request, client, result, meaning]: [&str; 5]) {
    println!("{app:9}{request:40}{client:18}{result:12}{meaning}");
}

/// Runs an agent in its own thread and waits until it is ready.
fn start_probelet(status: SocketAddr, flags: &[(&str, &str)]) -> Result<(), String> {
    let port = status.port().to_string();
    let mut args = vec!["run", "--log-level", "error", "--status-port", &port];
    args.extend(["--app-probers", PROBERS]);
    args.extend(flags.iter().flat_map(|(name, value)| [*name, *value]));
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(run(args)));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !matches!(kubelet::get(status, "/healthz/ready"), Ok((200, _))) {
        match end.recv_timeout(Duration::from_millis(5)) {
            Ok(result) => return result.and(Err("probelet ended".into())),
            Err(_) if Instant::now() > deadline => return Err("probelet is not ready".into()),
            Err(_) => {}
        }
    }
    Ok(())
}

fn run(args: Vec<OsString>) -> Result<(), String> {
    match cli::parse(args.into_iter(), |_| None).map_err(|exit| exit.text)? {
        cli::Invocation::Run(config) => agent::run(config).map_err(|error| error.to_string()),
        #[allow(unreachable_patterns, reason = "without `check` there is only `run`")]
        _ => Err("that is not `run`".into()),
    }
}
