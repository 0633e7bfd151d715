//! CPU and latency of a probe, by contestant: spaced as kubelet's are, and in a tight loop.

use std::thread;
use std::time::Duration;

use crate::client::Prober;
use crate::contestants::Running;
use crate::report::{Report, Row, quartiles, short, spread_json};
use crate::shared::json::Json;
use crate::shared::stats::{Spread, median, ratios};
use crate::shared::{rounds, table};
use crate::{Outcome, Sizes, proc};

/// kubelet probes a busy pod about so often.
const PERIOD: Duration = Duration::from_millis(20);

/// Probes that do not count.
const WARM_UP: usize = 100;

/// A contestant in the race, and what it scored.
pub struct Entrant {
    /// Who it is.
    pub name: String,
    running: Option<Running>,
    prober: Prober,
    /// One probe each period.
    pub spaced: Scores,
    /// One after the other.
    pub tight: Scores,
    failed: Option<String>,
}

/// What came of one way to probe.
#[derive(Debug, Default)]
pub struct Scores {
    /// CPU microseconds of a probe, a sample a round.
    pub cpu: Vec<f64>,
    /// The same as a mean over the round, where `cpu` is a median.
    cpu_mean: Vec<f64>,
    /// Median latency in microseconds, a sample a round.
    pub p50: Vec<f64>,
}

impl Entrant {
    /// Nothing between: the app itself, on `port`.
    pub fn direct(port: u16) -> Entrant {
        Entrant::with("direct", None, Prober::new(port))
    }

    /// A child between kubelet and the app.
    pub fn between(name: impl Into<String>, running: Running) -> Entrant {
        let prober = Prober::new(running.port);
        Entrant::with(name, Some(running), prober)
    }

    /// `running`, probed by `prober`.
    pub fn with(name: impl Into<String>, running: Option<Running>, prober: Prober) -> Entrant {
        Entrant {
            name: name.into(),
            running,
            prober,
            spaced: Scores::default(),
            tight: Scores::default(),
            failed: None,
        }
    }

    fn processes(&self) -> &[u32] {
        self.running
            .as_ref()
            .map_or(&[], |running| &running.processes)
    }

    /// The CPU of each probe is read while the contestant sleeps, and the median is taken: what an
    /// interrupt or a busy neighbour adds to a few probes must not speak for the round.
    fn spaced_block(&mut self, count: usize) -> Outcome<()> {
        let mut used = Vec::with_capacity(count);
        let mut last = proc::cpu_nanos(self.processes())?;
        let first = last;
        let latencies = self.prober.spaced(count, PERIOD, || {
            let now = proc::cpu_nanos(self.processes())?;
            used.push((now - last) / 1e3);
            last = now;
            Ok(())
        })?;
        self.spaced.cpu.extend(median(&used));
        self.spaced
            .cpu_mean
            .push((last - first) / 1e3 / count as f64);
        self.spaced.p50.extend(median(&latencies));
        Ok(())
    }

    fn tight_block(&mut self, count: usize) -> Outcome<()> {
        let before = proc::cpu_nanos(self.processes())?;
        let latencies = self.prober.tight(count)?;
        // The last answer may be read before its sender has closed and gone to sleep.
        thread::sleep(Duration::from_millis(3));
        let used = proc::cpu_nanos(self.processes())? - before;
        self.tight.cpu.push(used / 1e3 / count as f64);
        self.tight.p50.extend(median(&latencies));
        Ok(())
    }

    fn round(&mut self, sizes: &Sizes) -> Outcome<()> {
        self.spaced_block(sizes.spaced)?;
        self.tight_block(sizes.tight)
    }
}

/// Runs the race and reports it. `entrants` holds the floor.
pub fn race(mut entrants: Vec<Entrant>, sizes: &Sizes, report: &mut Report) {
    run(&mut entrants, sizes, "speed");
    report_entrants(&entrants, "floor", "contestants", report);
    let by_name = |name: &str| entrants.iter().find(|entrant| entrant.name == name);
    if let (Some(ours), Some(floor)) = (by_name("probelet"), by_name("floor")) {
        bounds(ours, floor, report);
    }
}

/// Runs the rounds.
pub fn run(entrants: &mut [Entrant], sizes: &Sizes, what: &str) {
    for entrant in entrants.iter_mut() {
        entrant.failed = entrant.prober.tight(WARM_UP).err();
        if let Some(running) = &mut entrant.running {
            running.look_for_children();
        }
    }
    for round in 0..sizes.rounds {
        eprint!("\r{what}: round {} of {} ", round + 1, sizes.rounds);
        for turn in rounds::order(round, entrants.len()) {
            let entrant = &mut entrants[turn];
            if entrant.failed.is_none() {
                entrant.failed = entrant.round(sizes).err();
            }
        }
    }
    eprintln!();
}

/// The table for people, and the same as member `member`; ratios are to the entrant named `base`.
pub fn report_entrants(entrants: &[Entrant], base: &str, member: &str, report: &mut Report) {
    let Some(base) = entrants.iter().find(|entrant| entrant.name == base) else {
        return;
    };
    let ratio = format!("x {}", base.name);
    let header = [
        "between kubelet and app",
        "Rss KiB",
        "threads",
        "CPU us/spaced",
        &ratio,
        "p50 us spaced",
        &ratio,
        "CPU us/tight",
        &ratio,
        "p50 us tight",
        &ratio,
    ];
    let rows: Vec<_> = entrants
        .iter()
        .map(|entrant| cells(entrant, base))
        .collect();
    report.say(table::render(&header, &[0], &rows));
    let scores = entrants.iter().map(|entrant| json(entrant, base));
    report.member(member, Json::List(scores.collect()));
}

/// Round by round, `these` as multiples of `those`.
pub fn times(these: &[f64], those: &[f64]) -> Outcome<Spread> {
    Spread::of(&ratios(these, those)).ok_or_else(|| "no rounds".into())
}

fn bounds(ours: &Entrant, floor: &Entrant, report: &mut Report) {
    let cpu = times(&ours.spaced.cpu, &floor.spaced.cpu);
    report.row(Row::new("CPU of a spaced probe", "x floor", cpu).at_most(1.10));
    let mean = times(&ours.spaced.cpu_mean, &floor.spaced.cpu_mean);
    report.row(Row::new(
        "the same, mean instead of median within a round",
        "x floor",
        mean,
    ));
    let p50 = times(&ours.spaced.p50, &floor.spaced.p50);
    report.row(Row::new("p50 latency of a spaced probe", "x floor", p50).at_most(1.10));
    let cpu = times(&ours.tight.cpu, &floor.tight.cpu);
    report.row(Row::new("CPU of a probe in a tight loop", "x floor", cpu));
    let p50 = times(&ours.tight.p50, &floor.tight.p50);
    report.row(Row::new("p50 latency in a tight loop", "x floor", p50));
    let threads = proc::threads(ours.processes()).map(|count| count as f64);
    report.row(Row::exact("threads", "", threads).at_most(1.0));
}

fn cells(entrant: &Entrant, base: &Entrant) -> Vec<String> {
    let name = match &entrant.failed {
        Some(reason) => format!("{}: FAILED: {reason}", entrant.name),
        None => entrant.name.clone(),
    };
    let between = !entrant.processes().is_empty();
    let mut cells = vec![name];
    let memory = proc::memory(entrant.processes()).ok().filter(|_| between);
    cells.push(memory.map_or("-".into(), |memory| short(memory.rss)));
    let threads = proc::threads(entrant.processes()).ok().filter(|_| between);
    cells.push(threads.map_or("-".into(), |threads| threads.to_string()));
    for (these, those) in [
        (&entrant.spaced.cpu, &base.spaced.cpu),
        (&entrant.spaced.p50, &base.spaced.p50),
        (&entrant.tight.cpu, &base.tight.cpu),
        (&entrant.tight.p50, &base.tight.p50),
    ] {
        let figure = median(these).filter(|figure| *figure > 0.0);
        cells.push(figure.map_or("-".into(), short));
        let ratio = times(these, those).ok().filter(|_| figure.is_some());
        cells.push(ratio.map_or("-".into(), |ratio| {
            format!("{} ({})", short(ratio.median), quartiles(ratio))
        }));
    }
    cells
}

fn json(entrant: &Entrant, base: &Entrant) -> Json {
    let figure = |these: &[f64], those: &[f64]| {
        Json::object([
            ("microseconds", spread_json(Spread::of(these).as_ref())),
            (
                "times_base",
                spread_json(Spread::of(&ratios(these, those)).as_ref()),
            ),
            ("rounds", Json::numbers(these)),
        ])
    };
    let memory = proc::memory(entrant.processes()).map_or(Json::Null, |m| Json::Number(m.rss));
    Json::object([
        ("name", Json::text(&entrant.name)),
        (
            "failed",
            entrant.failed.as_ref().map_or(Json::Null, Json::text),
        ),
        ("rss_kib", memory),
        ("spaced_cpu", figure(&entrant.spaced.cpu, &base.spaced.cpu)),
        (
            "spaced_cpu_mean",
            figure(&entrant.spaced.cpu_mean, &base.spaced.cpu_mean),
        ),
        ("spaced_p50", figure(&entrant.spaced.p50, &base.spaced.p50)),
        ("tight_cpu", figure(&entrant.tight.cpu, &base.tight.cpu)),
        ("tight_p50", figure(&entrant.tight.p50, &base.tight.p50)),
    ])
}
