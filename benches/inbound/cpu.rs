//! CPU time of the terminator's processes: full handshakes, and bytes in each direction with each cipher.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::certs::{Certs, Suite};
use crate::report::{Report, Row, quartiles, short};
use crate::session::Session;
use crate::shared::stats::{Spread, median, ratios};
use crate::shared::{rounds, table};
use crate::terminators::{Kind, Started, Terminator};
use crate::{Outcome, Sizes, peer_address};

const MIB: f64 = 1024.0 * 1024.0;

/// The time for a terminator to close a connection after its last byte.
const CLOSE_TIME: Duration = Duration::from_millis(10);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// Handshakes with a client certificate, each with a connection to the app and one exchange.
    Handshakes,
    /// MiB from the app to the client.
    Downloads(Suite),
    /// MiB from the client to the app.
    Uploads(Suite),
}

const ALL: [Work; 5] = [
    Work::Handshakes,
    Work::Downloads(Suite::AesGcm),
    Work::Uploads(Suite::AesGcm),
    Work::Downloads(Suite::ChaCha20),
    Work::Uploads(Suite::ChaCha20),
];

impl Work {
    fn name(self) -> String {
        match self {
            Work::Handshakes => "full handshakes with client certificate".into(),
            Work::Downloads(suite) => format!("MiB encrypted, {}", suite.name()),
            Work::Uploads(suite) => format!("MiB decrypted, {}", suite.name()),
        }
    }

    fn bound(self) -> f64 {
        match self {
            Work::Handshakes => 1.0,
            Work::Downloads(_) | Work::Uploads(_) => 0.9,
        }
    }
}

/// A terminator and, for each work, its units per CPU-second, a sample for each round.
struct Contestant {
    kind: Kind,
    started: Started,
    samples: [Vec<f64>; ALL.len()],
}

/// Measures all in interleaved rounds.
pub fn report(
    field: &[Terminator],
    app: u16,
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) -> Outcome<()> {
    let start = |terminator: &Terminator| {
        let started = terminator.start(app, certs, scratch)?;
        warm_up(&started, certs)
            .map_err(|reason| format!("{}: {reason}", terminator.kind.name()))?;
        Ok::<_, String>(Contestant {
            kind: terminator.kind,
            started,
            samples: Default::default(),
        })
    };
    let mut contestants: Vec<_> = field.iter().map(start).collect::<Outcome<_>>()?;
    for round in 0..sizes.rounds {
        eprint!("\rCPU time: round {} of {} ", round + 1, sizes.rounds);
        for (work, place) in ALL.into_iter().zip(0..) {
            for turn in rounds::order(round, contestants.len()) {
                let contestant = &mut contestants[turn];
                let sample = measure(&contestant.started, work, certs, sizes);
                let named = |reason| format!("{}: {reason}", contestant.kind.name());
                contestant.samples[place].push(sample.map_err(named)?);
            }
        }
    }
    eprintln!();
    report.say(
        "Per second of the terminator's CPU time, and its ratio to probelet's in the same round. A handshake has a client \
         certificate, and includes a connection to the app and one exchange.\n",
    );
    report.say(table_of(&contestants));
    bounds(&contestants, report);
    Ok(())
}

/// Uses each path once and checks the conditions.
fn warm_up(started: &Started, certs: &Certs) -> Outcome<()> {
    for suite in Suite::ALL {
        let mut session = Session::open(started.running.port, 2, &certs.client(suite))?;
        session.fetch(1 << 20)?;
        session.upload(1 << 20)?;
        session.check(suite)?;
        session.close();
    }
    Ok(())
}

/// Units per second of CPU time.
fn measure(started: &Started, work: Work, certs: &Certs, sizes: &Sizes) -> Outcome<f64> {
    let port = started.running.port;
    let before = started.cgroup.cpu_nanos()?;
    let units = match work {
        Work::Handshakes => {
            let config = certs.client(Suite::AesGcm);
            for number in 0..sizes.handshakes {
                Session::open(port, peer_address(number), &config)?.close();
            }
            sizes.handshakes as f64
        }
        Work::Downloads(suite) => {
            let mut session = Session::open(port, 2, &certs.client(suite))?;
            session.download(sizes.bytes)?;
            session.close();
            sizes.bytes as f64 / MIB
        }
        Work::Uploads(suite) => {
            let mut session = Session::open(port, 2, &certs.client(suite))?;
            session.upload(sizes.bytes)?;
            session.close();
            sizes.bytes as f64 / MIB
        }
    };
    thread::sleep(CLOSE_TIME);
    let used = started.cgroup.cpu_nanos()? - before;
    Ok(units / (used / 1e9))
}

fn table_of(contestants: &[Contestant]) -> String {
    let header = [
        "terminator",
        "handshakes",
        "MiB encrypted, AES",
        "decrypted",
        "MiB encrypted, ChaCha20",
        "decrypted",
    ];
    let Some(ours) = contestants.first() else {
        return String::new();
    };
    let row = |contestant: &Contestant| {
        let mut cells = vec![contestant.kind.name().to_string()];
        for (these, those) in contestant.samples.iter().zip(&ours.samples) {
            let ratio = Spread::of(&ratios(these, those));
            let both = median(these).zip(ratio).map(|(number, ratio)| {
                format!(
                    "{}: {} ({})",
                    short(number),
                    short(ratio.median),
                    quartiles(ratio)
                )
            });
            cells.push(both.unwrap_or("-".into()));
        }
        cells
    };
    let rows: Vec<_> = contestants.iter().map(row).collect();
    table::render(&header, &[0], &rows)
}

fn bounds(contestants: &[Contestant], report: &mut Report) {
    let Some((ours, peers)) = contestants.split_first() else {
        return;
    };
    for (place, work) in ALL.into_iter().enumerate() {
        let middle = |peer: &&Contestant| median(&peer.samples[place]).unwrap_or(0.0);
        let openssl = peers.iter().filter(|peer| peer.kind.uses_openssl());
        let best = openssl.max_by(|one, other| middle(one).total_cmp(&middle(other)));
        let Some(best) = best else { continue };
        let ratio = Spread::of(&ratios(&ours.samples[place], &best.samples[place]));
        let name = format!(
            "{} a CPU-second, best OpenSSL peer {}",
            work.name(),
            best.kind.name()
        );
        let row = Row::new(name, "x its", ratio.ok_or("no rounds".into()));
        report.row(row.at_least(work.bound()));
    }
}
