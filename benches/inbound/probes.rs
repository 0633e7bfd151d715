//! Latency of the agent's probes while every inbound connection moves bulk data and the agent has one core to itself: it has
//! the highest priority there. The prober and the app that it probes are real-time on the other cores, so that the clients
//! delay neither. A probe of the app without the agent shows what the machine adds.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::gettid;

use crate::certs::{Certs, Suite};
use crate::cgroup::Cgroup;
use crate::client::{self, Prober};
use crate::process::{self, Running, free_port};
use crate::report::{Report, Row};
use crate::session::Session;
use crate::shared::stats;
use crate::terminators::{Started, Terminator};
use crate::{Outcome, Sizes, app, cpus, peer_address, start_app};

/// Inbound connections: the agent's limit by default. Half of them send, the others receive.
const CONNECTIONS: usize = 64;

/// The period of the probes.
const PERIOD: Duration = Duration::from_millis(20);

/// The time after which all connections are at work.
const RAMP_UP: Duration = Duration::from_secs(1);

/// The agent's metric of the bytes that it relays.
const BYTES_METRIC: &str = "probelet_inbound_bytes_total{";

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of one upload.
const UPLOAD: u64 = 4 << 20;

/// Reports the latencies without and with bulk data.
pub fn report(
    agent: &Terminator,
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    for row in match measure(agent, certs, scratch, sizes) {
        Ok(rows) => rows,
        Err(reason) => vec![Row::exact("probes beside bulk data", "ms", Err(reason))],
    } {
        report.row(row);
    }
}

fn measure(agent: &Terminator, certs: &Certs, scratch: &Path, sizes: &Sizes) -> Outcome<Vec<Row>> {
    let cpus = cpus::own()?;
    let [rest @ .., own] = cpus.as_slice() else {
        return Err("no CPU".into());
    };
    if rest.is_empty() {
        return Err("needs two CPUs: one is the agent's".into());
    }
    cpus::on(rest, || measure_on(*own, agent, certs, scratch, sizes))
}

fn measure_on(
    cpu: usize,
    agent: &Terminator,
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
) -> Outcome<Vec<Row>> {
    let probed = start_real_time_app(scratch)?;
    let bulk = start_app(scratch)?;
    // Dropped after the agent has ended. Not real-time: the kernel suspends a real-time process for 50 ms of each second in
    // which others could not run.
    let priority = Cgroup::with_high_priority()?;
    let started = agent.start_with_probed(bulk.port, probed.port, certs, scratch)?;
    for process in &started.running.processes {
        cpus::set(Some(*process), &[cpu])?;
        priority.add(*process)?;
    }
    let probers = Probers {
        agent: Prober::new(started.status_port),
        app: Prober::new(probed.port),
    };
    be_real_time()?;
    probers.agent.tight(50)?;
    let alone = probers.probe(sizes)?;

    // One after the other: the agent limits handshakes at once.
    let config = certs.client(Suite::AesGcm);
    let open = |number| Session::open(started.running.port, peer_address(number), &config);
    let sessions: Vec<Session> = (0..CONNECTIONS).map(open).collect::<Outcome<_>>()?;
    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let transfer = |(number, session)| {
            let stop = &stop;
            scope.spawn(move || transfer(number, session, stop))
        };
        let clients: Vec<_> = sessions.into_iter().enumerate().map(transfer).collect();
        thread::sleep(RAMP_UP);
        let measured = probe_beside(&probers, &started, sizes);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap_or(Err("a client panicked".into()))?;
        }
        measured
    })?;
    Ok(rows(&alone, &beside))
}

/// The app that is probed, as a real-time process.
fn start_real_time_app(scratch: &Path) -> Outcome<Running> {
    let port = free_port()?;
    let app = process::role(app::APP, port)?;
    let mut command = Command::new("chrt");
    // Its threads answer, so they have to be real-time, too.
    command.args(["--fifo", "1"]).arg(app.get_program());
    command.args(app.get_args());
    process::start(command, port, scratch, None)
}

/// Makes this thread real-time, but none that it starts.
fn be_real_time() -> Outcome<()> {
    let mut command = Command::new("chrt");
    command.args(["--reset-on-fork", "--fifo", "--pid", "1"]);
    command.arg(gettid().as_raw_nonzero().to_string());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        result => Err(format!("{command:?}: {result:?}")),
    }
}

struct Probers {
    agent: Prober,
    /// Of the app, without the agent.
    app: Prober,
}

/// Latencies in microseconds.
struct Latencies {
    agent: Vec<f64>,
    app: Vec<f64>,
}

impl Probers {
    fn probe(&self, sizes: &Sizes) -> Outcome<Latencies> {
        let mut app = Vec::new();
        let agent = self.agent.spaced(sizes.probes, PERIOD, || {
            app.extend(self.app.tight(1)?);
            Ok(())
        })?;
        Ok(Latencies { agent, app })
    }
}

/// What is measured beside bulk data.
struct Beside {
    latencies: Latencies,
    /// The share of its core that the agent used.
    share: f64,
    /// MiB that it relayed in a second of CPU time, in both directions.
    relayed: f64,
}

fn probe_beside(probers: &Probers, started: &Started, sizes: &Sizes) -> Outcome<Beside> {
    let relayed_before = relayed_bytes(started.status_port)?;
    let (before, began) = (started.cgroup.cpu_nanos()?, Instant::now());
    let latencies = probers.probe(sizes)?;
    let used = started.cgroup.cpu_nanos()? - before;
    let relayed = relayed_bytes(started.status_port)? - relayed_before;
    Ok(Beside {
        latencies,
        share: used / began.elapsed().as_nanos() as f64,
        relayed: relayed / MIB / (used / 1e9),
    })
}

/// The sum of the agent's metric of bytes.
fn relayed_bytes(status_port: u16) -> Outcome<f64> {
    let fault = |error: std::io::Error| format!("/metrics: {error}");
    let mut stream = client::connect(status_port).map_err(fault)?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(fault)?;
    let mut page = String::new();
    stream.read_to_string(&mut page).map_err(fault)?;
    let lines = page.lines().filter(|line| line.starts_with(BYTES_METRIC));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    match values.sum() {
        0.0 => Err(format!("/metrics has no bytes in {BYTES_METRIC}")),
        bytes => Ok(bytes),
    }
}

/// Sends or receives until the flag is set.
fn transfer(number: usize, mut session: Session, stop: &AtomicBool) -> Outcome<()> {
    if number.is_multiple_of(2) {
        return session.receive_until(stop);
    }
    while !stop.load(Ordering::Relaxed) {
        session.upload(UPLOAD)?;
    }
    Ok(())
}

fn rows(alone: &Latencies, beside: &Beside) -> Vec<Row> {
    let Beside {
        latencies,
        share,
        relayed,
    } = beside;
    let busy = format!("{CONNECTIONS} inbound connections busy");
    let row = |what: &str, when: &str, samples: &[f64], fraction: f64| {
        let mut samples = samples.to_vec();
        samples.sort_by(f64::total_cmp);
        let micros = stats::quantile(&samples, fraction).ok_or("no probes".to_string());
        let name = format!("p{:.0} of a probe{what}, {when}", fraction * 100.0);
        Row::exact(name, "ms", micros.map(|micros| micros / 1e3))
    };
    vec![
        row("", "none open", &alone.agent, 0.5),
        row("", "none open", &alone.agent, 0.99),
        row(" without the agent", "none open", &alone.app, 0.99),
        row("", &busy, &latencies.agent, 0.5),
        row("", &busy, &latencies.agent, 0.99).at_most(20.0),
        row(" without the agent", &busy, &latencies.app, 0.99),
        Row::exact("the agent's share of its core meanwhile", "", Ok(*share)),
        Row::exact("MiB a CPU-second, both directions", "", Ok(*relayed)),
    ]
}
