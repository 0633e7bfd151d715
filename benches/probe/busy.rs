//! Latency of a probe while all slots of all other probers are occupied by probes that hang.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use probelet::limits::{PROBERS, PROBES_PER_PROBER};

use crate::binaries::Built;
use crate::client::{self, Prober};
use crate::contestants::{self, ContestantKind};
use crate::process::Running;
use crate::report::{Report, Row};
use crate::shared::rounds;
use crate::shared::stats::{Spread, median, quantile, ratios};
use crate::speed::PERIOD;
use crate::{Outcome, Sizes};

/// An agent and the latencies of its prober that responds.
struct Contestant {
    running: Running,
    /// Whether its other probers are occupied.
    is_busy: bool,
    hanging: usize,
    /// Median of each round, in microseconds.
    p50: Vec<f64>,
    /// All latencies, in microseconds.
    latencies: Vec<f64>,
}

/// Reports the latency with 3 and with the most probers, in proportion to that of an agent whose probers are idle.
pub fn report(small: &Built, app: u16, scratch: &Path, sizes: &Sizes, report: &mut Report) {
    for probers in [3, PROBERS] {
        let others = probers - 1;
        let ratio = format!("p50 of a spaced probe, the other {others} probers hang");
        match measure(small, others, app, scratch, sizes) {
            Ok([idle, busy]) => {
                let spread = Spread::of(&ratios(&busy.p50, &idle.p50));
                let spread = spread.ok_or_else(|| "no rounds".to_string());
                report.row(Row::new(ratio, "x idle", spread));
                for (contestant, state) in [(idle, "are idle"), (busy, "hang")] {
                    let name = format!("p99, the other {others} probers {state}");
                    report.row(Row::exact(name, "us", p99(contestant.latencies)));
                }
            }
            Err(reason) => report.row(Row::exact(ratio, "x idle", Err(reason))),
        }
    }
}

fn p99(mut latencies: Vec<f64>) -> Outcome<f64> {
    latencies.sort_by(f64::total_cmp);
    quantile(&latencies, 0.99).ok_or_else(|| "no probes".into())
}

/// The agents with idle and with busy probers.
fn measure(
    small: &Built,
    hanging: usize,
    app: u16,
    scratch: &Path,
    sizes: &Sizes,
) -> Outcome<[Contestant; 2]> {
    let start = |is_busy| -> Outcome<Contestant> {
        let kind = ContestantKind::ProbeletBusy {
            path: small.path.clone(),
            responds: true,
            hanging,
        };
        Ok(Contestant {
            running: contestants::start(&kind, app, scratch)?,
            is_busy,
            hanging,
            p50: Vec::new(),
            latencies: Vec::new(),
        })
    };
    let mut contestants = [start(false)?, start(true)?];
    for round in 0..sizes.rounds {
        for index in rounds::order(round, contestants.len()) {
            contestants[index].round(sizes)?;
        }
    }
    Ok(contestants)
}

impl Contestant {
    fn round(&mut self, sizes: &Sizes) -> Outcome<()> {
        // Held until the end of the round, which is before the timeout of the probes that hang.
        let open = match self.is_busy {
            true => self.occupy()?,
            false => Vec::new(),
        };
        let prober = Prober::new(self.running.port);
        prober.tight(5)?;
        let latencies = prober.spaced(sizes.spaced, PERIOD, || Ok(()))?;
        drop(open);
        self.p50.extend(median(&latencies));
        self.latencies.extend(latencies);
        Ok(())
    }

    /// Occupies all slots of the probers that hang, each by another address.
    fn occupy(&self) -> Outcome<Vec<TcpStream>> {
        let port = self.running.port;
        let probes = (0..self.hanging)
            .flat_map(|number| (0..PROBES_PER_PROBER as u8).map(move |client| (number, client)));
        let opened = probes.map(|(number, client)| {
            let mut stream = client::connect_from(2 + client, port)?;
            stream.write_all(client::head(&contestants::busy_path(number), port).as_bytes())?;
            Ok(stream)
        });
        let opened: std::io::Result<_> = opened.collect();
        opened.map_err(|error| error.to_string())
    }
}
