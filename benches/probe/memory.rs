//! Resident memory of probelet when idle, after many probes and with all slots in use, and the size of the binaries.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use probelet::limits::{HOOK_SLOTS, PROBE_SLOTS, SLOTS};

use crate::binaries::{self, Built};
use crate::client::{self, PATH, Prober};
use crate::contestants::{self, ContestantKind, Running};
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
    let full = full_slots(small, app, scratch);
    report.row(Row::exact("Rss, every slot holds a 15 KiB head", "KiB", full).at_most(1024.0));

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

/// The largest Rss in two floods of as many connections as slots: heads that never end, and probes and hooks whose app
/// never responds.
fn full_slots(small: &Built, app: u16, scratch: &Path) -> Outcome<f64> {
    let running = contestants::start(&ContestantKind::Probelet(small.path.clone()), app, scratch)?;
    let unfinished = |count: usize| vec![(PATH, false); count];
    let halves = unfinished(SLOTS);
    let mut whole = vec![("/app-health/bench/readyz", true); PROBE_SLOTS];
    whole.extend([("/app-lifecycle/bench/prestopz", true)].repeat(HOOK_SLOTS));
    whole.extend(unfinished(SLOTS - whole.len()));

    let mut largest: f64 = 0.0;
    for flood in [halves, whole] {
        let open: Vec<TcpStream> = flood
            .into_iter()
            .map(|(path, ends)| long_head(&running, path, ends))
            .collect::<Outcome<_>>()?;
        for _ in 0..30 {
            largest = largest.max(proc::memory(&running.processes)?.rss);
            thread::sleep(POLL_INTERVAL);
        }
        drop(open);
    }
    Ok(largest)
}

fn long_head(running: &Running, path: &str, ends: bool) -> Outcome<TcpStream> {
    let head = client::head(path, running.port);
    let start = head.trim_end();
    let padding = LONG_HEAD - start.len() - "\r\nX-Padding: \r\n\r\n".len();
    let end = if ends { "\r\n\r\n" } else { "" };
    let head = format!("{start}\r\nX-Padding: {}{end}", "x".repeat(padding));
    let mut stream = client::connect(running.port).map_err(|error| error.to_string())?;
    // Some of these connections are evicted, possibly while they are written to.
    let _ = stream.write_all(head.as_bytes());
    Ok(stream)
}
