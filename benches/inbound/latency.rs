//! Latency that a terminator adds to an exchange on an established connection. Client, terminator and app share one core:
//! otherwise the time to wake another core up, which changes with its load, exceeds that of the exchange.

use std::path::Path;

use crate::certs::{Certs, Suite};
use crate::report::{Report, Row, quartiles, short};
use crate::session::{self, Session};
use crate::shared::stats::{self, Spread, median, ratios};
use crate::shared::{rounds, table};
use crate::terminators::{Kind, Terminator};
use crate::{Outcome, Sizes, client, cpus, start_app};

/// What the exchange is added to.
const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];

/// A way to the app, and the quantiles of its latency in microseconds, a sample for each round.
struct Way<'a> {
    kind: Option<Kind>,
    exchange: Box<dyn FnMut() -> Outcome<f64> + 'a>,
    samples: [Vec<f64>; QUANTILES.len()],
}

/// Measures all in interleaved rounds, with the plaintext connection to the app as the base.
pub fn report(
    field: &[Terminator],
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) -> Outcome<()> {
    let own = cpus::own()?;
    let last = own.last().ok_or("no CPU")?;
    cpus::on(&[*last], || measure(field, certs, scratch, sizes, report))
}

fn measure(
    field: &[Terminator],
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) -> Outcome<()> {
    let app = start_app(scratch)?;
    let config = certs.client(Suite::AesGcm);
    let mut direct = client::connect(app.port).map_err(|error| format!("the app: {error}"))?;
    direct
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let mut ways = vec![Way {
        kind: None,
        exchange: Box::new(move || session::echo(&mut direct).map(|time| time.as_secs_f64() * 1e6)),
        samples: Default::default(),
    }];
    for terminator in field {
        let named = |reason| format!("{}: {reason}", terminator.kind.name());
        let started = terminator.start(app.port, certs, scratch)?;
        let mut session = Session::open(started.running.port, 2, &config).map_err(named)?;
        ways.push(Way {
            kind: Some(terminator.kind),
            exchange: Box::new(move || {
                let _running = &started;
                session.echo().map(|time| time.as_secs_f64() * 1e6)
            }),
            samples: Default::default(),
        });
    }
    for round in 0..sizes.latency_rounds {
        eprint!(
            "\rlatency: round {} of {} ",
            round + 1,
            sizes.latency_rounds
        );
        let mut latencies = vec![Vec::with_capacity(sizes.exchanges); ways.len()];
        // One exchange of each in turn, so that a busy machine affects all of them.
        for exchange in 0..sizes.exchanges {
            for turn in rounds::order(exchange, ways.len()) {
                latencies[turn].push((ways[turn].exchange)()?);
            }
        }
        for (way, latencies) in ways.iter_mut().zip(&mut latencies) {
            latencies.sort_by(f64::total_cmp);
            for ((_, fraction), samples) in QUANTILES.iter().zip(&mut way.samples) {
                samples.extend(stats::quantile(latencies, *fraction));
            }
        }
    }
    eprintln!();
    let Some((direct, through)) = ways.split_first() else {
        return Ok(());
    };
    report
        .say("Latency of an exchange of 9 bytes on an established connection, all on one core, in microseconds.\n");
    report.say(table_of(direct, through));
    bounds(direct, through, report);
    Ok(())
}

/// What the terminator adds to the plaintext connection in each round.
fn added(way: &Way, direct: &Way, place: usize) -> Vec<f64> {
    let pairs = way.samples[place].iter().zip(&direct.samples[place]);
    pairs.map(|(through, direct)| through - direct).collect()
}

fn table_of(direct: &Way, through: &[Way]) -> String {
    let header = ["between client and app", "p50", "added", "p99", "added"];
    let row = |way: &Way| {
        let mut cells = vec![
            way.kind
                .map_or("nothing, plaintext", Kind::name)
                .to_string(),
        ];
        for place in 0..QUANTILES.len() {
            cells.push(median(&way.samples[place]).map_or("-".into(), short));
            let added = Spread::of(&added(way, direct, place)).filter(|_| way.kind.is_some());
            cells.push(added.map_or("-".into(), |added| {
                format!("{} ({})", short(added.median), quartiles(added))
            }));
        }
        cells
    };
    let rows: Vec<_> = std::iter::once(direct).chain(through).map(row).collect();
    table::render(&header, &[0], &rows)
}

fn bounds(direct: &Way, through: &[Way], report: &mut Report) {
    let of = |kind: Kind| through.iter().find(|way| way.kind == Some(kind));
    let (Some(ours), Some(theirs)) = (of(Kind::Probelet), of(Kind::Haproxy)) else {
        return;
    };
    for (place, (quantile, _)) in QUANTILES.iter().enumerate() {
        let ratio = ratios(&added(ours, direct, place), &added(theirs, direct, place));
        let ratio = Spread::of(&ratio).ok_or("no rounds".into());
        let name = format!("added {quantile} latency of an exchange");
        report.row(Row::new(name, "x HAProxy's", ratio).at_most(1.1));
    }
}
