//! The time of a start, from before the fork to the first accepted connection.

use std::path::Path;

use crate::contestants::{self, ContestantKind};
use crate::report::{Report, Row};
use crate::shared::rounds;
use crate::shared::stats::Spread;
use crate::{Outcome, Sizes};

/// Reports every contestant. The small build has a bound.
pub fn report(
    field: &[(String, ContestantKind)],
    app: u16,
    at: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let mut times: Vec<Outcome<Vec<f64>>> = field.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..sizes.starts {
        eprint!("\rstart: round {} of {} ", round + 1, sizes.starts);
        for turn in rounds::order(round, field.len()) {
            let Ok(samples) = &mut times[turn] else {
                continue;
            };
            match contestants::start(&field[turn].1, app, at) {
                Ok(running) => samples.push(running.start.as_secs_f64() * 1e3),
                Err(reason) => times[turn] = Err(reason),
            }
        }
    }
    eprintln!();
    for ((name, _), times) in field.iter().zip(times) {
        let spread = times.and_then(|times| Spread::of(&times).ok_or("no rounds".into()));
        let row = Row::new(format!("start to listening: {name}"), "ms", spread);
        let bounded = name == "probelet";
        report.row(if bounded { row.at_most(5.0) } else { row });
    }
}
