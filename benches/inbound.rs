//! Mutual TLS terminated in front of a plaintext app: the agent beside HAProxy, nginx, stunnel, hitch and Envoy, in one run:
//! `cargo bench --bench inbound`, or a short run with `-- --quick`. Names after the `--` (`memory`, `cpu`, `latency`,
//! `probes`) run those parts alone. It needs root, for memory cgroups.
//!
//! | variable | meaning |
//! |---|---|
//! | `PROBELET_BENCH_TLS_BIN` | the binary to measure instead of the one `deploy/small-build.sh` makes |
//! | `PROBELET_HAPROXY`, `PROBELET_NGINX`, `PROBELET_STUNNEL`, `PROBELET_HITCH`, `PROBELET_ENVOY` | those programs, where they are not on PATH |
//! | `PROBELET_GHOSTUNNEL` | ghostunnel, which takes part if it is named |
//!
//! All have the same certificates, TLS 1.3, the same cipher suite and key exchange (the client offers no others), one
//! worker, and neither tickets nor resumption. A peer that is not installed is an error. CPU time is that of the cgroup of
//! the terminator, so that a busy machine affects it little. A missed bound is printed and is not an error.

#[path = "inbound/app.rs"]
mod app;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/binaries.rs"]
mod binaries;
#[path = "inbound/certs.rs"]
mod certs;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/cgroup.rs"]
mod cgroup;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/client.rs"]
mod client;
#[path = "inbound/cpu.rs"]
mod cpu;
#[path = "inbound/cpus.rs"]
mod cpus;
#[path = "inbound/latency.rs"]
mod latency;
#[path = "inbound/memory.rs"]
mod memory;
#[path = "inbound/probes.rs"]
mod probes;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/proc.rs"]
mod proc;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/process.rs"]
mod process;
#[allow(dead_code, reason = "the bench `probe` uses the rest")]
#[path = "probe/report.rs"]
mod report;
#[path = "inbound/session.rs"]
mod session;
#[allow(dead_code, reason = "each bench uses a part")]
#[path = "shared/mod.rs"]
mod shared;
#[path = "inbound/terminators.rs"]
mod terminators;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::certs::Certs;
use crate::process::Running;
use crate::report::Report;
use crate::shared::json::Json;

/// A result whose error is a message for the user of the bench.
type Outcome<T> = Result<T, String>;

/// The numbers of rounds, connections and bytes.
#[derive(Debug)]
struct Sizes {
    /// Idle connections of the second reading.
    idle_connections: usize,
    /// Rounds of handshakes and transfers.
    rounds: usize,
    /// Handshakes of a terminator in a round.
    handshakes: usize,
    /// Bytes of a transfer.
    bytes: u64,
    /// Rounds of the latency.
    latency_rounds: usize,
    /// Exchanges of a terminator in a round.
    exchanges: usize,
    /// Probes without and with bulk data.
    probes: usize,
}

const FULL: Sizes = Sizes {
    idle_connections: 216,
    rounds: 7,
    handshakes: 300,
    bytes: 128 << 20,
    latency_rounds: 15,
    exchanges: 1000,
    probes: 500,
};

const QUICK: Sizes = Sizes {
    idle_connections: 116,
    rounds: 3,
    handshakes: 100,
    bytes: 48 << 20,
    latency_rounds: 5,
    exchanges: 500,
    probes: 200,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(error) = app::run(&arguments) {
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
    let path = folder.join("inbound.json");
    fs::write(&path, format!("{}\n", report.json()))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}\nThe same as JSON: {}", report.text(), path.display());
    Ok(())
}

fn measure(scratch: &Path, sizes: &Sizes, parts: &[&str], report: &mut Report) -> Outcome<()> {
    let agent = binaries::small_tls()?;
    let field = terminators::all(&agent.path)?;
    let host = proc::Host::read();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    report.say(format!(
        "{}, {} x {}, Linux {}, load average {}",
        std::env::consts::ARCH,
        host.cpus,
        host.cpu,
        host.kernel,
        load.trim()
    ));
    report.say(format!("{}: {}\n", agent.path.display(), agent.note));
    report.member("load_average", Json::text(load.trim()));
    let certs = Certs::create(scratch)?;
    let app = start_app(scratch)?;
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if wanted("memory") {
        memory::report(&field, app.port, &certs, scratch, sizes, report)?;
    }
    if wanted("cpu") {
        cpu::report(&field, app.port, &certs, scratch, sizes, report)?;
    }
    if wanted("latency") {
        latency::report(&field, &certs, scratch, sizes, report)?;
    }
    if wanted("probes") {
        probes::report(&field[0], &certs, scratch, sizes, report);
    }
    Ok(())
}

/// Starts the app.
fn start_app(scratch: &Path) -> Outcome<Running> {
    let port = process::free_port()?;
    process::start(process::role(app::APP, port)?, port, scratch, None)
}

/// The last byte of the loopback address of a client: so many that each has a small share of the connections.
fn peer_address(number: usize) -> u8 {
    2 + (number % 64) as u8
}
