//! Latency of the agent's probes while every inbound connection moves bulk data and the agent has one core to itself.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::nice;

use crate::certs::{Certs, Suite};
use crate::client::Prober;
use crate::process::{self, free_port};
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

/// Priority of the clients and of their app, so that the prober on the same core does not wait for them.
const BULK_NICENESS: i32 = 19;

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
    let probed = start_app(scratch)?;
    let mut nice_app = std::process::Command::new("nice");
    let bulk_port = free_port()?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    nice_app.args(["-n", &BULK_NICENESS.to_string()]).arg(this);
    nice_app.args([app::APP, &bulk_port.to_string()]);
    let bulk = process::start(nice_app, bulk_port, scratch, None)?;
    let started = agent.start_with_probed(bulk.port, probed.port, certs, scratch)?;
    for process in &started.running.processes {
        cpus::set(Some(*process), &[cpu])?;
    }
    let prober = Prober::new(started.status_port);
    prober.tight(50)?;
    let alone = prober.spaced(sizes.probes, PERIOD, || Ok(()))?;

    // One after the other: the agent limits handshakes at once.
    let config = certs.client(Suite::AesGcm);
    let open = |number| Session::open(started.running.port, peer_address(number), &config);
    let sessions: Vec<Session> = (0..CONNECTIONS).map(open).collect::<Outcome<_>>()?;
    let stop = AtomicBool::new(false);
    let (beside, share) = thread::scope(|scope| {
        let transfer = |(number, session)| {
            let stop = &stop;
            scope.spawn(move || {
                // Of this thread alone.
                nice(BULK_NICENESS).map_err(|error| format!("nice: {error}"))?;
                transfer(number, session, stop)
            })
        };
        let clients: Vec<_> = sessions.into_iter().enumerate().map(transfer).collect();
        thread::sleep(RAMP_UP);
        let measured = probe_beside(&prober, &started, sizes);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap_or(Err("a client panicked".into()))?;
        }
        measured
    })?;
    Ok(rows(alone, beside, share))
}

/// The latencies, and the share of its core that the agent used.
fn probe_beside(prober: &Prober, started: &Started, sizes: &Sizes) -> Outcome<(Vec<f64>, f64)> {
    let (before, began) = (started.cgroup.cpu_nanos()?, Instant::now());
    let latencies = prober.spaced(sizes.probes, PERIOD, || Ok(()))?;
    let used = started.cgroup.cpu_nanos()? - before;
    Ok((latencies, used / began.elapsed().as_nanos() as f64))
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

fn rows(mut alone: Vec<f64>, mut beside: Vec<f64>, share: f64) -> Vec<Row> {
    let quantile = |samples: &mut Vec<f64>, fraction: f64| {
        samples.sort_by(f64::total_cmp);
        let micros = stats::quantile(samples, fraction).ok_or("no probes".to_string());
        micros.map(|micros| micros / 1e3)
    };
    let name = |what: &str| format!("{what} of a probe, {CONNECTIONS} inbound connections busy");
    vec![
        Row::exact("p50 of a probe, none open", "ms", quantile(&mut alone, 0.5)),
        Row::exact(
            "p99 of a probe, none open",
            "ms",
            quantile(&mut alone, 0.99),
        ),
        Row::exact(name("p50"), "ms", quantile(&mut beside, 0.5)),
        Row::exact(name("p99"), "ms", quantile(&mut beside, 0.99)).at_most(20.0),
        Row::exact("the agent's share of its core meanwhile", "", Ok(share)),
    ]
}
