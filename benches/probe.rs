//! Figures of the whole agent relative to the floor, a handwritten minimum in C, and to other proxies, all in one run:
//! `cargo bench --bench probe`, or with `-- --quick` for figures in a minute. Names
//! after the `--` (`speed`, `busy`, `start`, `memory`, `pods`, `passthrough`, `calls`, `https`, `cpu-limit`) run those parts
//! alone.
//!
//! | variable | meaning |
//! |---|---|
//! | `PROBELET_BENCH_BIN` | the binary to measure instead of the one `deploy/small-build.sh --plain` makes |
//! | `PROBELET_BENCH_TLS_BIN` | the binary with TLS instead of the one `deploy/small-build.sh` makes |
//! | `PROBELET_BENCH_PEER` | `name=command`: an additional proxy; `{listen}` and `{app}` in the command are replaced by its port and the app's |
//! | `PROBELET_ENVOY`, `PROBELET_NGINX`, `PROBELET_HAPROXY` | those programs, where they are not on PATH |
//!
//! A round measures every contestant, and the report has the ratios within a round, so that a busy machine affects all
//! of them. A missed bound is printed and is not an error.

#[path = "probe/binaries.rs"]
mod binaries;
#[path = "probe/busy.rs"]
mod busy;
#[allow(dead_code, reason = "the bench `inbound` uses the rest")]
#[path = "probe/cgroup.rs"]
mod cgroup;
#[path = "probe/client.rs"]
mod client;
#[path = "probe/contestants.rs"]
mod contestants;
#[path = "probe/cpu_limit.rs"]
mod cpu_limit;
#[path = "probe/https.rs"]
mod https;
#[path = "probe/memory.rs"]
mod memory;
#[path = "probe/passthrough.rs"]
mod passthrough;
#[path = "probe/peers.rs"]
mod peers;
#[path = "probe/pods.rs"]
mod pods;
#[path = "probe/proc.rs"]
mod proc;
#[path = "probe/process.rs"]
mod process;
#[path = "probe/report.rs"]
mod report;
#[path = "probe/roles.rs"]
mod roles;
#[path = "shared/mod.rs"]
mod shared;
#[path = "probe/speed.rs"]
mod speed;
#[path = "probe/start.rs"]
mod start;
#[path = "probe/tls.rs"]
mod tls;
#[path = "probe/trace.rs"]
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::contestants::ContestantKind;
use crate::process::Running;
use crate::report::Report;
use crate::shared::json::Json;
use crate::speed::Contestant;

/// A result whose error is a message for the user of the bench.
type Outcome<T> = Result<T, String>;

/// The numbers of rounds, probes and bytes.
#[derive(Debug)]
struct Sizes {
    /// Rounds of the comparison.
    rounds: usize,
    /// Spaced probes of a contestant in a round.
    spaced: usize,
    /// Probes in a tight loop of a contestant in a round.
    tight: usize,
    /// Probes after which memory must have stopped growing.
    soak: usize,
    /// Starts of each contestant.
    starts: usize,
    /// Concurrent agents.
    pods: usize,
    /// Rounds of passthrough.
    forward_rounds: usize,
    /// Bytes of a transfer.
    forward_bytes: u64,
}

const FULL: Sizes = Sizes {
    rounds: 40,
    spaced: 30,
    tight: 300,
    soak: 100_000,
    starts: 25,
    pods: 50,
    forward_rounds: 20,
    forward_bytes: 128 << 20,
};

const QUICK: Sizes = Sizes {
    rounds: 8,
    spaced: 10,
    tight: 100,
    soak: 10_000,
    starts: 5,
    pods: 10,
    forward_rounds: 4,
    forward_bytes: 64 << 20,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(error) = roles::run(&arguments) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    // cargo adds its own `--bench`.
    let parts: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    match bench(if quick { &QUICK } else { &FULL }, &parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("bench: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn bench(sizes: &Sizes, parts: &[&str]) -> Outcome<()> {
    let folder = binaries::target_folder().join("bench");
    let scratch = folder.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let mut report = Report::default();
    let result = measure(&scratch, sizes, parts, &mut report);
    let _ = fs::remove_dir_all(&scratch);
    result?;
    let path = folder.join("probe.json");
    write(&path, &format!("{}\n", report.json()))?;
    println!("{}\nThe same as JSON: {}", report.text(), path.display());
    for (name, svg) in report.charts() {
        let path = folder.join(name).with_extension("svg");
        write(&path, svg)?;
        println!("Chart: {}", path.display());
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn measure(scratch: &Path, sizes: &Sizes, parts: &[&str], report: &mut Report) -> Outcome<()> {
    let floor = binaries::floor(scratch)?;
    let small = binaries::small()?;
    let plain = binaries::plain();
    describe(sizes, report);
    for built in [&floor, &small].into_iter().chain(plain.as_ref().ok()) {
        report.say(format!("{}: {}", built.path.display(), built.note));
    }
    let floor = ContestantKind::Floor(floor.path);
    let ours = ContestantKind::Probelet(small.path.clone());
    let app = contestants::start(&ContestantKind::App, 0, scratch)?;
    let mut field = vec![
        ("floor".to_string(), floor.clone()),
        ("probelet".to_string(), ours.clone()),
    ];
    field.extend(peers_here(report));
    report.say("");

    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if wanted("speed") {
        compare(&field, &app, scratch, sizes, report);
    }
    if wanted("busy") {
        busy::report(&small, app.port, scratch, sizes, report);
    }
    if wanted("start") {
        start::report(&field, app.port, scratch, sizes, report);
    }
    if wanted("memory") {
        memory::report(&small, &plain, app.port, scratch, sizes, report);
    }
    if wanted("pods") {
        pods::report(&floor, &ours, app.port, scratch, sizes, report);
    }
    if wanted("passthrough") {
        let haproxy = binaries::installed("haproxy", "PROBELET_HAPROXY");
        passthrough::report(&small.path, haproxy, scratch, sizes, report);
    }
    if wanted("calls") {
        trace::report(&floor, &ours, app.port, scratch, report);
    }
    if wanted("https") {
        https::report(&small, &field, scratch, sizes, report);
    }
    if wanted("cpu-limit") {
        cpu_limit::report(scratch, sizes, report);
    }
    Ok(())
}

fn compare(
    field: &[(String, ContestantKind)],
    app: &Running,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let mut contestants = vec![Contestant::direct(app.port)];
    // A second floor shows the noise of this run: the difference of its ratio from 1.
    let floor = field.iter().find(|(name, _)| name == "floor");
    let again = floor.map(|(_, kind)| ("floor again".to_string(), kind.clone()));
    for (name, kind) in field.iter().chain(&again) {
        match contestants::start(kind, app.port, scratch) {
            Ok(running) => contestants.push(Contestant::between(name, running)),
            Err(reason) => report.say(format!("{name}: not measured: {reason}")),
        }
    }
    speed::compare(contestants, sizes, report);
}

/// The other proxies on this machine; a missing one is reported.
fn peers_here(report: &mut Report) -> Vec<(String, ContestantKind)> {
    type Make = fn(PathBuf) -> ContestantKind;
    let known: [(&str, &str, Make); 3] = [
        ("nginx", "PROBELET_NGINX", ContestantKind::Nginx),
        ("haproxy", "PROBELET_HAPROXY", ContestantKind::Haproxy),
        ("envoy", "PROBELET_ENVOY", ContestantKind::Envoy),
    ];
    let mut here = Vec::new();
    for (name, variable, make) in known {
        match binaries::installed(name, variable) {
            Some(path) => here.push((name.to_string(), make(path))),
            None => report.say(format!(
                "{name}: not measured: not installed, and {variable} does not name it"
            )),
        }
    }
    let peer = std::env::var("PROBELET_BENCH_PEER").unwrap_or_default();
    match peer.split_once('=') {
        Some((name, command)) => here.push((name.into(), ContestantKind::Peer(command.into()))),
        None if peer.is_empty() => {}
        None => report.say("PROBELET_BENCH_PEER: not measured: it is not name=command"),
    }
    here
}

fn describe(sizes: &Sizes, report: &mut Report) {
    let host = proc::Host::read();
    let machine = std::env::consts::ARCH;
    report.say(format!(
        "{machine}, {} x {}, Linux {}, pages of {} bytes",
        host.cpus, host.cpu, host.kernel, host.page
    ));
    report.say(format!(
        "All figures are of this machine ({machine}); aarch64 builds are tested for function and size."
    ));
    report.say(format!(
        "{} interleaved rounds; a ratio is the median of those within a round, with quartiles.",
        sizes.rounds
    ));
    report.member("machine", Json::text(machine));
    report.member("cpu", Json::text(host.cpu));
    report.member("cpus", Json::Number(host.cpus as f64));
    report.member("kernel", Json::text(host.kernel));
    report.member("page_bytes", Json::Number(host.page as f64));
    report.member("rounds", Json::Number(sizes.rounds as f64));
}
