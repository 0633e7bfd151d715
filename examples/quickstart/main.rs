//! Istio's health-check guide in one process, on loopback alone: an app, a proxy before it that
//! demands client certificates, probelet, and kubelet's probes. Every row is made of a real answer;
//! the exit code is 0 when each came out as told. Run: `cargo run --release --example quickstart`

mod app;
mod kubelet;
mod mesh;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use probelet::agent;
use probelet::cli::{self, Command};

use app::Mood::{self, Failing, Gone, Hanging, Healthy};

/// What Istio's injector makes of the probes in the pod's manifest.
const PROBERS: &str = r#"{
    "/app-health/liveness-http/livez":  {"httpGet": {"path": "/foo", "port": 8001}},
    "/app-health/liveness-http/readyz": {"tcpSocket": {"port": 8001}}
}"#;
const LIVEZ: &str = "/app-health/liveness-http/livez";
const READYZ: &str = "/app-health/liveness-http/readyz";
const STATUS: SocketAddr = SocketAddr::new(mesh::POD, 15020);
const SEPARATE: SocketAddr = SocketAddr::new(mesh::POD, 15032);

/// How the one row asks that is not kubelet's.
const PEER: &str = "with certificate";
const NONE: &str = "no HTTP answer";

/// What the app does, what is asked of whom and how, what has to come of it, what that means.
type Row = (
    Mood,
    SocketAddr,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);
#[rustfmt::skip]
const PLAY: [Row; 10] = [
    (Healthy, mesh::MTLS, "/foo", PEER,            "200 \"well\"", "regular traffic of the mesh flows"),
    (Healthy, mesh::MTLS, "/foo", "no certificate",NONE,           "kubelet would restart a healthy app"),
    (Healthy, STATUS,     LIVEZ,  "HTTP probe",    "200",          "probelet asked the app behind it"),
    (Healthy, STATUS,     READYZ, "TCP probe",     "200",          "the app takes connections"),
    (Healthy, SEPARATE,   "/foo", "separate port", "200 \"well\"", "passed through, body and all"),
    (Failing, STATUS,     LIVEZ,  "HTTP probe",    "500",          "the app's own code"),
    (Hanging, STATUS,     LIVEZ,  "HTTP probe",    "504",          "too slow, told before kubelet gives up"),
    (Gone,    STATUS,     LIVEZ,  "HTTP probe",    "502",          "nobody to ask"),
    (Gone,    STATUS,     READYZ, "TCP probe",     "502",          "nobody to connect to"),
    (Gone,    SEPARATE,   "/foo", "separate port", NONE,           "nobody to pass it to"),
];

fn main() -> ExitCode {
    match play() {
        Ok(0) => return ExitCode::SUCCESS,
        Ok(wrong) => eprintln!("quickstart: {wrong} rows did not come out as told"),
        Err(why) => eprintln!("quickstart: {why}"),
    }
    ExitCode::FAILURE
}

/// Plays it all and counts the rows that did not come out as told.
fn play() -> Result<usize, String> {
    let mut app = app::App::start()?;
    let peer = mesh::start()?;
    start_probelet()?;

    let mut wrong = 0;
    line(
        "the app",
        "asked of 127.0.0.2",
        "how",
        "gets",
        "which means",
    );
    for (mood, server, path, how, told, means) in PLAY {
        app.turn(mood);
        let answer = if how == PEER {
            peer.get(path)
        } else {
            kubelet::get(server, path)
        };
        let gets = match &answer {
            Ok((code, body)) if body.is_empty() => code.to_string(),
            Ok((code, body)) => format!("{code} {body:?}"),
            Err(_) => NONE.into(),
        };
        let verdict = if kubelet::is_success(&answer) {
            "success"
        } else {
            "failure"
        };
        let (asked, mut means) = (
            format!(":{}{path}", server.port()),
            format!("{verdict}: {means}"),
        );
        if gets != told {
            wrong += 1;
            means = format!("NOT AS TOLD: expected {told}");
        }
        line(
            &format!("{mood:?}").to_lowercase(),
            &asked,
            how,
            &gets,
            &means,
        );
    }
    Ok(wrong)
}

fn line(app: &str, asked: &str, how: &str, gets: &str, means: &str) {
    println!("{app:9}{asked:40}{how:20}{gets:16}{means}");
}

/// Runs the agent in a thread of its own and waits until it says that it is ready.
fn start_probelet() -> Result<(), String> {
    let (failed, failure) = mpsc::channel();
    let args = "run --log-level error --forward 15032=127.0.0.1:8002 --app-probers";
    let args = args.split(' ').chain([PROBERS]).map(OsString::from);
    let Command::Run(config) = cli::parse(args, |_| None).map_err(|exit| exit.text)?;
    thread::spawn(move || failed.send(agent::run(config)));
    let deadline = Instant::now() + Duration::from_secs(5);
    while !kubelet::is_success(&kubelet::get(STATUS, "/healthz/ready")) {
        match failure.recv_timeout(Duration::from_millis(5)) {
            Ok(end) => return Err(format!("probelet ended: {end:?}")),
            Err(_) if Instant::now() > deadline => return Err("probelet is not ready".into()),
            Err(_) => {}
        }
    }
    Ok(())
}
