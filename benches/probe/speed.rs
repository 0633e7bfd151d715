//! CPU time and latency of a probe for each contestant, with the spacing of kubelet's probes and in a tight loop.

use std::thread;
use std::time::Duration;

use crate::client::Prober;
use crate::process::Running;
use crate::report::{Report, Row, quartiles, short, spread_json};
use crate::shared::chart::{self, Bar, Chart};
use crate::shared::json::Json;
use crate::shared::stats::{Spread, median, ratios};
use crate::shared::{rounds, table};
use crate::{Outcome, Sizes, proc};

/// The period of spaced probes: about that of a pod with many probes.
pub const PERIOD: Duration = Duration::from_millis(20);

/// Probes that are not measured.
const WARM_UP: usize = 100;

/// A proxy, or a direct client, and its results.
pub struct Contestant {
    /// Its name in the report.
    pub name: String,
    running: Option<Running>,
    prober: Prober,
    /// Of probes with a period.
    pub spaced: Scores,
    /// Of probes in a loop.
    pub tight: Scores,
    failed: Option<String>,
}

/// The results of one way to probe, a sample for each round.
#[derive(Debug, Default)]
pub struct Scores {
    /// Median CPU microseconds of a probe.
    pub cpu: Vec<f64>,
    /// Mean CPU microseconds of a probe.
    cpu_mean: Vec<f64>,
    /// Median latency in microseconds.
    pub p50: Vec<f64>,
}

impl Contestant {
    /// The app itself on `port`, without a proxy.
    pub fn direct(port: u16) -> Contestant {
        Contestant::with("direct", None, Prober::new(port))
    }

    /// A proxy between kubelet and the app.
    pub fn between(name: impl Into<String>, running: Running) -> Contestant {
        let prober = Prober::new(running.port);
        Contestant::with(name, Some(running), prober)
    }

    /// `running`, probed by `prober`.
    pub fn with(name: impl Into<String>, running: Option<Running>, prober: Prober) -> Contestant {
        Contestant {
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

    /// Reads the CPU time of each probe while the contestant sleeps. The median leaves out the probes that an interrupt
    /// or a busy neighbour delays.
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
        // The last response may arrive before its sender has closed the connection and sleeps.
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

/// Runs the rounds and reports them with their bounds. One of the contestants is the floor.
pub fn compare(mut contestants: Vec<Contestant>, sizes: &Sizes, report: &mut Report) {
    run(&mut contestants, sizes, "speed");
    report_table(&contestants, "floor", "contestants", report);
    cpu_chart(chart::PLAINTEXT_CPU, &contestants, "floor", report);
    let memory = drawn(&contestants).filter_map(|contestant| {
        let memory = proc::memory(contestant.processes()).ok()?;
        (memory.rss > 0.0).then(|| Bar::memory(&contestant.name, memory.rss))
    });
    report.chart(chart::MEMORY, &memory.collect::<Vec<_>>());
    let by_name = |name: &str| {
        contestants
            .iter()
            .find(|contestant| contestant.name == name)
    };
    if let (Some(ours), Some(floor)) = (by_name("probelet"), by_name("floor")) {
        bounds(ours, floor, report);
    }
}

/// Runs the rounds.
pub fn run(contestants: &mut [Contestant], sizes: &Sizes, what: &str) {
    for contestant in contestants.iter_mut() {
        contestant.failed = contestant.prober.tight(WARM_UP).err();
        if let Some(running) = &mut contestant.running {
            running.refresh_processes();
        }
    }
    for round in 0..sizes.rounds {
        eprint!("\r{what}: round {} of {} ", round + 1, sizes.rounds);
        for turn in rounds::order(round, contestants.len()) {
            let contestant = &mut contestants[turn];
            if contestant.failed.is_none() {
                contestant.failed = contestant.round(sizes).err();
            }
        }
    }
    eprintln!();
}

/// Reports a table, and the same as JSON member `member`. Ratios are to the contestant named `base`.
pub fn report_table(contestants: &[Contestant], base: &str, member: &str, report: &mut Report) {
    let Some(base) = contestants
        .iter()
        .find(|contestant| contestant.name == base)
    else {
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
    let rows: Vec<_> = contestants
        .iter()
        .map(|contestant| cells(contestant, base))
        .collect();
    report.say(table::render(&header, &[0], &rows));
    let scores = contestants.iter().map(|contestant| json(contestant, base));
    report.member(member, Json::List(scores.collect()));
}

/// Draws the CPU time of a spaced probe, as a multiple of that of the contestant named `base`.
pub fn cpu_chart(chart: Chart, contestants: &[Contestant], base: &str, report: &mut Report) {
    let mut all = contestants.iter();
    let Some(base) = all.find(|contestant| contestant.name == base) else {
        return;
    };
    let bars = drawn(contestants).filter_map(|contestant| {
        let cpu = &contestant.spaced.cpu;
        median(cpu).filter(|cpu| *cpu > 0.0)?;
        let ratio = ratio_spread(cpu, &base.spaced.cpu).ok()?;
        Some(Bar::times(&contestant.name, ratio.median))
    });
    report.chart(chart, &bars.collect::<Vec<_>>());
}

/// The contestants without those that measure the noise or a part.
fn drawn(contestants: &[Contestant]) -> impl Iterator<Item = &Contestant> {
    let is_drawn = |contestant: &&Contestant| {
        contestant.failed.is_none()
            && contestant.name != "floor again"
            && contestant.name != "probelet, status port alone"
    };
    contestants.iter().filter(is_drawn)
}

/// The spread of the ratios of `these` to `those` within each round.
pub fn ratio_spread(these: &[f64], those: &[f64]) -> Outcome<Spread> {
    Spread::of(&ratios(these, those)).ok_or_else(|| "no rounds".into())
}

fn bounds(ours: &Contestant, floor: &Contestant, report: &mut Report) {
    let cpu = ratio_spread(&ours.spaced.cpu, &floor.spaced.cpu);
    report.row(Row::new("CPU of a spaced probe", "x floor", cpu).at_most(1.10));
    let mean = ratio_spread(&ours.spaced.cpu_mean, &floor.spaced.cpu_mean);
    report.row(Row::new(
        "the same, mean instead of median within a round",
        "x floor",
        mean,
    ));
    let p50 = ratio_spread(&ours.spaced.p50, &floor.spaced.p50);
    report.row(Row::new("p50 latency of a spaced probe", "x floor", p50).at_most(1.10));
    let cpu = ratio_spread(&ours.tight.cpu, &floor.tight.cpu);
    report.row(Row::new("CPU of a probe in a tight loop", "x floor", cpu));
    let p50 = ratio_spread(&ours.tight.p50, &floor.tight.p50);
    report.row(Row::new("p50 latency in a tight loop", "x floor", p50));
    let threads = proc::threads(ours.processes()).map(|count| count as f64);
    report.row(Row::exact("threads", "", threads).at_most(1.0));
}

fn cells(contestant: &Contestant, base: &Contestant) -> Vec<String> {
    let name = match &contestant.failed {
        Some(reason) => format!("{}: FAILED: {reason}", contestant.name),
        None => contestant.name.clone(),
    };
    let between = !contestant.processes().is_empty();
    let mut cells = vec![name];
    let memory = proc::memory(contestant.processes())
        .ok()
        .filter(|_| between);
    cells.push(memory.map_or("-".into(), |memory| short(memory.rss)));
    let threads = proc::threads(contestant.processes())
        .ok()
        .filter(|_| between);
    cells.push(threads.map_or("-".into(), |threads| threads.to_string()));
    for (these, those) in [
        (&contestant.spaced.cpu, &base.spaced.cpu),
        (&contestant.spaced.p50, &base.spaced.p50),
        (&contestant.tight.cpu, &base.tight.cpu),
        (&contestant.tight.p50, &base.tight.p50),
    ] {
        let figure = median(these).filter(|figure| *figure > 0.0);
        cells.push(figure.map_or("-".into(), short));
        let ratio = ratio_spread(these, those).ok().filter(|_| figure.is_some());
        cells.push(ratio.map_or("-".into(), |ratio| {
            format!("{} ({})", short(ratio.median), quartiles(ratio))
        }));
    }
    cells
}

fn json(contestant: &Contestant, base: &Contestant) -> Json {
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
    let memory = proc::memory(contestant.processes()).map_or(Json::Null, |m| Json::Number(m.rss));
    Json::object([
        ("name", Json::text(&contestant.name)),
        (
            "failed",
            contestant.failed.as_ref().map_or(Json::Null, Json::text),
        ),
        ("rss_kib", memory),
        (
            "spaced_cpu",
            figure(&contestant.spaced.cpu, &base.spaced.cpu),
        ),
        (
            "spaced_cpu_mean",
            figure(&contestant.spaced.cpu_mean, &base.spaced.cpu_mean),
        ),
        (
            "spaced_p50",
            figure(&contestant.spaced.p50, &base.spaced.p50),
        ),
        ("tight_cpu", figure(&contestant.tight.cpu, &base.tight.cpu)),
        ("tight_p50", figure(&contestant.tight.p50, &base.tight.p50)),
    ])
}
