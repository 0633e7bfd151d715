//! The memory of an additional pod on a node: many agents, each in its own memory cgroup.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::client::Prober;
use crate::contestants::{self, ContestantKind};
use crate::proc::{self, Memory};
use crate::process::Running;
use crate::report::{Report, Row};
use crate::shared::stats::Spread;
use crate::{Outcome, Sizes};

/// Probes that each agent has served before the reading.
const PROBES: usize = 20;

/// Probes after which the cgroup of a single agent is read.
const MANY_PROBES: usize = 2_000;

/// An agent and its cgroup, which is dropped after the agent.
struct Pod {
    running: Running,
    cgroup: Outcome<Cgroup>,
}

/// Reports the floor and the small build.
pub fn report(
    floor: &ContestantKind,
    small: &ContestantKind,
    app: u16,
    at: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let name = |what: &str| format!("{what}, each of {} side by side", sizes.pods);
    match many(small, app, at, sizes.pods) {
        Ok(pods) => {
            let memories: Outcome<Vec<Memory>> = pods
                .iter()
                .map(|pod| proc::memory(&pod.running.processes))
                .collect();
            let of = |pick: fn(&Memory) -> f64| {
                let memories = memories.as_ref().map_err(String::clone)?;
                spread(&memories.iter().map(pick).collect::<Vec<_>>())
            };
            report.row(Row::new(name("Rss"), "KiB", of(|memory| memory.rss)));
            report.row(Row::new(name("Pss"), "KiB", of(|memory| memory.pss)));
            let anonymous = of(|memory| memory.anonymous);
            report.row(Row::new(name("anonymous"), "KiB", anonymous).at_most(128.0));
            let charged: Outcome<Vec<f64>> = pods.iter().map(Pod::charged).collect();
            let charged = charged.and_then(|charged| spread(&charged));
            report.row(Row::new(name("memory cgroup"), "KiB", charged));
        }
        Err(reason) => report.row(Row::new(name("anonymous"), "KiB", Err(reason)).at_most(128.0)),
    }
    for (name, kind) in [("probelet", small), ("floor", floor)] {
        let name = format!("memory cgroup after {MANY_PROBES} probes: {name}");
        report.row(Row::exact(name, "KiB", alone(kind, app, at)));
    }
}

fn spread(samples: &[f64]) -> Outcome<Spread> {
    Spread::of(samples).ok_or_else(|| "none started".into())
}

impl Pod {
    fn start(kind: &ContestantKind, app: u16, scratch: &Path, number: usize) -> Outcome<Pod> {
        let cgroup = Cgroup::create(&number.to_string());
        let running = contestants::start_in(kind, app, scratch, cgroup.as_ref().ok())?;
        Ok(Pod { running, cgroup })
    }

    fn charged(&self) -> Outcome<f64> {
        self.cgroup.as_ref().map_err(String::clone)?.charged()
    }
}

fn many(kind: &ContestantKind, app: u16, scratch: &Path, count: usize) -> Outcome<Vec<Pod>> {
    eprintln!("pods: {count} side by side");
    let pods: Vec<Pod> = (0..count)
        .map(|number| Pod::start(kind, app, scratch, number))
        .collect::<Outcome<_>>()?;
    for pod in &pods {
        Prober::new(pod.running.port).tight(PROBES)?;
    }
    thread::sleep(Duration::from_millis(200));
    Ok(pods)
}

fn alone(kind: &ContestantKind, app: u16, scratch: &Path) -> Outcome<f64> {
    let pod = Pod::start(kind, app, scratch, 0)?;
    Prober::new(pod.running.port).tight(MANY_PROBES)?;
    thread::sleep(Duration::from_millis(200));
    pod.charged()
}
