//! HTTPS probes with a client certificate under a CPU limit, which throttles the agent for the rest of a period once it
//! has used its quota: the reason for the CPU limit of sidecars that need one.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::client::Prober;
use crate::contestants::{self, ContestantKind};
use crate::report::{Report, Row};
use crate::shared::stats;
use crate::{Outcome, Sizes, binaries, https, proc};

/// The limits in thousandths of a CPU; the last is none.
const LIMITS: [Option<u32>; 5] = [Some(10), Some(20), Some(50), Some(100), None];

/// The probes that start at once: one of each kind.
const PATHS: [&str; 3] = ["livez", "readyz", "startupz"];

/// The time between two bursts, so that each has periods of its own. It is not a multiple of the period.
const REST: Duration = Duration::from_millis(230);

/// Bursts in a round.
const BURSTS: usize = 10;

/// Reports the latencies and the throttled periods under each limit.
pub fn report(scratch: &Path, sizes: &Sizes, report: &mut Report) {
    if let Err(reason) = measure(scratch, sizes, report) {
        report.row(Row::exact("CPU limit", "", Err(reason)));
    }
}

/// What one limit has shown.
#[derive(Default)]
struct Measured {
    /// Milliseconds of each probe.
    latencies: Vec<f64>,
    /// Milliseconds from the fork to the first accepted connection.
    starts: Vec<f64>,
    /// Milliseconds of CPU time of each burst.
    cpu: Vec<f64>,
    throttled: u64,
    bursts: usize,
}

fn measure(scratch: &Path, sizes: &Sizes, report: &mut Report) -> Outcome<()> {
    let agent = binaries::small_tls()?;
    let nginx = binaries::installed("nginx", "PROBELET_NGINX");
    let nginx = nginx.ok_or("no nginx, which is the app with TLS")?;
    let pem = https::certificate(scratch)?;
    let app = ContestantKind::MutualTlsApp(nginx, pem.clone());
    let app = contestants::start(&app, 0, scratch)?;
    let mut measured: [Measured; LIMITS.len()] = Default::default();
    let rounds = sizes.rounds;
    for round in 0..rounds {
        eprint!("\rCPU limit: round {} of {rounds} ", round + 1);
        for (limit, measured) in LIMITS.into_iter().zip(&mut measured) {
            run_round(limit, &agent.path, &pem, app.port, scratch, measured)?;
        }
    }
    eprintln!();
    for (limit, measured) in LIMITS.into_iter().zip(&mut measured) {
        add_rows(limit, measured, report);
    }
    Ok(())
}

fn run_round(
    limit: Option<u32>,
    agent: &Path,
    pem: &Path,
    app: u16,
    scratch: &Path,
    measured: &mut Measured,
) -> Outcome<()> {
    let cgroup = Cgroup::with_cpu_limit(limit)?;
    let kind = ContestantKind::ProbeletClientCert(PathBuf::from(agent), PathBuf::from(pem));
    let running = contestants::start_in(&kind, app, scratch, Some(&cgroup))?;
    measured.starts.push(millis(running.start));
    let before = cgroup.throttled()?;
    for _ in 0..BURSTS {
        thread::sleep(REST);
        let cpu = proc::cpu_nanos(&running.processes)?;
        measured.latencies.extend(burst(running.port)?);
        measured
            .cpu
            .push((proc::cpu_nanos(&running.processes)? - cpu) / 1e6);
    }
    measured.throttled += cgroup.throttled()?.saturating_sub(before);
    measured.bursts += BURSTS;
    Ok(())
}

/// Probes all paths at once. Returns the milliseconds of each.
fn burst(port: u16) -> Outcome<Vec<f64>> {
    let barrier = Barrier::new(PATHS.len());
    thread::scope(|scope| {
        let probe = |path: &'static str| {
            let barrier = &barrier;
            scope.spawn(move || {
                let prober = Prober::of(&format!("/app-health/bench/{path}"), port);
                barrier.wait();
                prober.probe().map(millis)
            })
        };
        let probes = PATHS.map(probe).into_iter();
        let joined = probes.map(|probe| probe.join().unwrap_or(Err("a prober panicked".into())));
        joined.collect()
    })
}

fn add_rows(limit: Option<u32>, measured: &mut Measured, report: &mut Report) {
    let limit = limit.map_or("no limit".into(), |limit| format!("{limit}m"));
    let quantile = |samples: &mut Vec<f64>, fraction: f64| {
        samples.sort_by(f64::total_cmp);
        stats::quantile(samples, fraction).ok_or("no samples".to_string())
    };
    for (name, fraction) in [("p50", 0.5), ("p99", 0.99)] {
        let value = quantile(&mut measured.latencies, fraction);
        let name = format!("{limit}: {name} of three HTTPS probes at once");
        report.row(Row::exact(name, "ms", value));
    }
    let cpu = quantile(&mut measured.cpu, 0.5);
    report.row(Row::exact(format!("{limit}: CPU of the three"), "ms", cpu));
    let start = quantile(&mut measured.starts, 0.5);
    report.row(Row::exact(
        format!("{limit}: start to listening"),
        "ms",
        start,
    ));
    let throttled = measured.throttled as f64 / measured.bursts as f64;
    let name = format!("{limit}: throttled periods of the three");
    report.row(Row::exact(name, "", Ok(throttled)));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
