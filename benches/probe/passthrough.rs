//! Passthrough: bytes per second of CPU time, relative to HAProxy in TCP mode without splice, and the memory of idle
//! connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use probelet::limits::FORWARD_CONNECTIONS;

use crate::contestants::{self, ContestantKind};
use crate::process::Running;
use crate::report::{Report, Row};
use crate::shared::rounds;
use crate::shared::stats::{Spread, ratios};
use crate::{Outcome, Sizes, client, proc};

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes that each connection transfers before it is idle: enough to fill all buffers.
const BEFORE_IDLE: u64 = 4 << 20;

/// Reports probelet and, if installed, HAProxy.
pub fn report(
    small: &Path,
    haproxy: Option<PathBuf>,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let missing = || Err("haproxy is not installed".to_string());
    let source = contestants::start(&ContestantKind::Source, 0, scratch);
    let start = |kind: ContestantKind| {
        let source = source.as_ref().map_err(String::clone)?;
        contestants::start(&kind, source.port, scratch)
    };
    let ours = start(ContestantKind::Forward(small.to_path_buf()));
    let theirs = haproxy.map_or_else(missing, |path| start(ContestantKind::HaproxyTcp(path)));
    idle(&ours, &theirs, report);

    let mut field = [(ours, Vec::new()), (theirs, Vec::new())];
    for round in 0..sizes.forward_rounds {
        eprint!(
            "\rpassthrough: round {} of {} ",
            round + 1,
            sizes.forward_rounds
        );
        for turn in rounds::order(round, field.len()) {
            let (running, samples) = &mut field[turn];
            match running.as_ref().map(|running| transfer(running, sizes)) {
                Ok(Ok(rate)) => samples.push(rate),
                Ok(Err(reason)) => *running = Err(reason),
                Err(_) => {}
            }
        }
    }
    eprintln!();
    let [(ours, our_rates), (theirs, their_rates)] = field;
    let failed = ours.err().or(theirs.err());
    let ratio = match failed.clone() {
        Some(reason) => Err(reason),
        None => Spread::of(&ratios(&our_rates, &their_rates)).ok_or("no rounds".into()),
    };
    report.row(Row::new("passthrough, bytes a CPU-second", "x HAProxy", ratio).at_least(0.8));
    for (name, rates) in [("probelet", our_rates), ("HAProxy", their_rates)] {
        let rate = Spread::of(&rates).ok_or_else(|| failed.clone().unwrap_or_default());
        let name = format!("passthrough, MiB a CPU-second: {name}");
        report.row(Row::new(name, "MiB", rate));
    }
}

/// Downloads once over a new connection. Returns MiB per second of the proxy's CPU time.
fn transfer(running: &Running, sizes: &Sizes) -> Outcome<f64> {
    let before = proc::cpu_nanos(&running.processes)?;
    let stream = fetch(running.port, sizes.forward_bytes)?;
    drop(stream);
    thread::sleep(Duration::from_millis(5));
    let used = proc::cpu_nanos(&running.processes)? - before;
    Ok(sizes.forward_bytes as f64 / MIB / (used / 1e9))
}

/// Opens a connection, downloads `bytes` and leaves it open.
fn fetch(port: u16, bytes: u64) -> Outcome<TcpStream> {
    let exchange = || -> std::io::Result<TcpStream> {
        let mut stream = client::connect(port)?;
        stream.write_all(&bytes.to_le_bytes())?;
        let mut buffer = vec![0; 256 * 1024];
        let mut left = bytes as usize;
        while left > 0 {
            let room = left.min(buffer.len());
            match stream.read(&mut buffer[..room])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => left -= count,
            }
        }
        Ok(stream)
    };
    exchange().map_err(|error| format!("a transfer failed: {error}"))
}

fn idle(ours: &Outcome<Running>, theirs: &Outcome<Running>, report: &mut Report) {
    for (name, running) in [("probelet", ours), ("HAProxy", theirs)] {
        let growth = running
            .as_ref()
            .map_err(String::clone)
            .and_then(idle_growth);
        let name = format!("{FORWARD_CONNECTIONS} idle forwarded connections, Rss: {name}");
        report.row(Row::exact(name, "KiB", growth));
    }
}

/// The growth in KiB by as many idle connections as slots, each after a transfer.
fn idle_growth(running: &Running) -> Outcome<f64> {
    let before = proc::memory(&running.processes)?.rss;
    let open: Vec<TcpStream> = (0..FORWARD_CONNECTIONS)
        .map(|_| fetch(running.port, BEFORE_IDLE))
        .collect::<Outcome<_>>()?;
    thread::sleep(Duration::from_millis(100));
    let after = proc::memory(&running.processes)?.rss;
    drop(open);
    Ok(after - before)
}
