//! Resident memory of probelet when idle, after many probes, and with as many requests as it accepts, and the size of the
//! binaries.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use probelet::limits::{
    POOL_CONNECTIONS, PROBERS, PROBES_PER_PROBER, WAITING_HEAD_BYTES, WAITING_PER_PROBER,
};

use crate::binaries::{self, Built};
use crate::client::{self, PATH, Prober};
use crate::contestants::{self, ContestantKind};
use crate::process::Running;
use crate::report::{Report, Row};
use crate::{Outcome, Sizes, proc};

/// The length of a head that nearly fills the buffer of a slot.
const LONG_HEAD: usize = 15 * 1024;

/// Poll interval of memory that may still change.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Reports the small build and the plain one. `app` is the app's port.
pub fn report(
    small: &Built,
    plain: &Outcome<Built>,
    app: u16,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) {
    let file = binaries::size(&small.path);
    report.row(Row::exact("binary", "KiB", file).at_most(300.0).goal(160.0));
    let idle = contestants::start(&ContestantKind::Probelet(small.path.clone()), app, scratch);
    match idle {
        Ok(running) => soak(&running, sizes, report),
        Err(reason) => report.row(Row::exact("Rss idle", "KiB", Err(reason)).at_most(256.0)),
    }
    for probers in [3, PROBERS] {
        // The formula of docs/limits.md.
        let bound = (760 + 72 * probers) as f64;
        let full = all_occupied(small, probers, app, scratch);
        let name =
            format!("Rss, {probers} probers, every slot, queue entry and pool connection occupied");
        report.row(Row::exact(name, "KiB", full).at_most(bound));
    }

    let path = plain.as_ref().map(|built| built.path.clone());
    let path = path.map_err(String::clone);
    let file = path.clone().and_then(|path| binaries::size(&path));
    report.row(Row::exact("plain --release: binary", "KiB", file).at_most(640.0));
    let idle = path.and_then(|path| {
        let running = contestants::start(&ContestantKind::Probelet(path), app, scratch)?;
        settled_rss(&running)
    });
    report.row(Row::exact("plain --release: Rss idle", "KiB", idle).at_most(512.0));
}

/// Memory when idle, and after increasing numbers of probes.
fn soak(running: &Running, sizes: &Sizes, report: &mut Report) {
    let idle = settled_rss(running);
    report.row(
        Row::exact("Rss idle", "KiB", idle)
            .at_most(256.0)
            .goal(160.0),
    );
    let anonymous = proc::memory(&running.processes).map(|memory| memory.anonymous);
    report.row(Row::exact("anonymous, idle", "KiB", anonymous));

    let prober = Prober::new(running.port);
    let steps = [sizes.soak / 100, sizes.soak / 10, sizes.soak];
    let mut done = 0;
    let mut readings = Vec::new();
    for step in steps {
        eprintln!("memory: up to {step} probes");
        let more = prober.tight(step - done);
        done = step;
        let rss = more.and_then(|_| settled_rss(running));
        let last = step == sizes.soak;
        let row = Row::exact(format!("Rss after {step} probes"), "KiB", rss.clone());
        report.row(if last { row.at_most(300.0) } else { row });
        readings.push(rss);
    }
    if let [_, Ok(before), Ok(after)] = readings[..] {
        let name = format!("Rss grows from {} to {} probes", steps[1], steps[2]);
        report.row(Row::exact(name, "KiB", Ok(after - before)).at_most(0.0));
    }
}

/// Rss as soon as two consecutive readings are equal.
pub fn settled_rss(running: &Running) -> Outcome<f64> {
    let mut last = proc::memory(&running.processes)?.rss;
    for _ in 0..50 {
        thread::sleep(POLL_INTERVAL);
        let now = proc::memory(&running.processes)?.rss;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    Err("Rss does not settle within a second".into())
}

/// The largest Rss in two floods, from as many addresses as are needed: heads that never end, and requests whose app never
/// responds, as many as run and wait, with such heads besides them.
fn all_occupied(small: &Built, probers: usize, app: u16, scratch: &Path) -> Outcome<f64> {
    let kind = ContestantKind::ProbeletBusy {
        path: small.path.clone(),
        responds: false,
        hanging: probers,
    };
    let running = contestants::start(&kind, app, scratch)?;
    let clients = 2..2 + (PROBES_PER_PROBER + WAITING_PER_PROBER) as u8;
    let pool = POOL_CONNECTIONS + probers;
    let unfinished = || {
        let clients = clients.clone().cycle().take(pool);
        clients.map(|client| head_of(&running, client, PATH, LONG_HEAD, false))
    };
    let mut largest: f64 = 0.0;
    let mut measure = || -> Outcome<()> {
        for _ in 0..30 {
            largest = largest.max(proc::memory(&running.processes)?.rss);
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    };
    let open: Vec<TcpStream> = unfinished().collect::<Outcome<_>>()?;
    measure()?;
    drop(open);
    let mut open = Vec::new();
    for (index, client) in clients.clone().enumerate() {
        let len = match index < PROBES_PER_PROBER {
            true => LONG_HEAD,
            false => WAITING_HEAD_BYTES,
        };
        for number in 0..probers {
            let path = contestants::busy_path(number);
            open.push(head_of(&running, client, &path, len, true)?);
        }
    }
    open.extend(unfinished().collect::<Outcome<Vec<_>>>()?);
    measure()?;
    drop(open);
    Ok(largest)
}

/// Sends a head of this length, complete or without its end.
fn head_of(
    running: &Running,
    client: u8,
    path: &str,
    len: usize,
    ends: bool,
) -> Outcome<TcpStream> {
    let head = client::head(path, running.port);
    let start = head.trim_end();
    let padding = len - start.len() - "\r\nX-Padding: \r\n\r\n".len();
    let end = if ends { "\r\n\r\n" } else { "" };
    let head = format!("{start}\r\nX-Padding: {}{end}", "x".repeat(padding));
    let connected = client::connect_from(client, running.port);
    let mut stream = connected.map_err(|error| error.to_string())?;
    // Some of these connections are evicted, possibly while they are written to.
    let _ = stream.write_all(head.as_bytes());
    Ok(stream)
}
