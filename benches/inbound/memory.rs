//! Memory: of an idle process with one listener, of idle established connections, and of connections in full use.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::certs::{Certs, Suite};
use crate::report::{Report, Row, short};
use crate::session::Session;
use crate::shared::table;
use crate::terminators::{Kind, Started, Terminator};
use crate::{Outcome, Sizes, binaries, peer_address, proc};

/// Connections in full use: the agent's limit by default.
const FULL_CONNECTIONS: usize = 64;

/// Connections before the first reading of idle ones, so that the first use of code and pools is not counted.
const FIRST_CONNECTIONS: usize = 16;

/// Bytes in each direction of a connection before it is idle.
const BYTES_BEFORE_IDLE: u64 = 128 * 1024;

/// Poll interval of memory that may still change.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Readings without a new maximum after which all buffers count as full.
const QUIET_READINGS: usize = 12;

/// The time after which they count as full in any case.
const FILL_TIMEOUT: Duration = Duration::from_secs(8);

/// KiB of one terminator.
struct Figures {
    kind: Kind,
    binary: f64,
    idle: proc::Memory,
    idle_used: f64,
    idle_charged: f64,
    connection_anonymous: f64,
    connection_used: f64,
    full: f64,
    full_anonymous: f64,
}

/// Measures all.
pub fn report(
    field: &[Terminator],
    app: u16,
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
    report: &mut Report,
) -> Outcome<()> {
    let mut all = Vec::new();
    for terminator in field {
        eprintln!("memory: {}", terminator.kind.name());
        let measured = measure(terminator, app, certs, scratch, sizes);
        let named = |reason| format!("memory of {}: {reason}", terminator.kind.name());
        all.push(measured.map_err(named)?);
    }
    report.say(format!(
        "Memory in KiB. `used` is what the memory cgroup accounts, socket buffers included; `charged` adds what the \
         kernel charges in advance.\nA connection is idle after {} KiB each way: the growth from {FIRST_CONNECTIONS} to {} \
         of them. {FULL_CONNECTIONS} in full use: both sides send and do not read.",
        BYTES_BEFORE_IDLE / 1024,
        sizes.idle_connections
    ));
    let header = [
        "terminator",
        "TLS library",
        "binary",
        "idle: anonymous",
        "resident",
        "used",
        "charged",
        "idle connection: anonymous",
        "used",
        "64 full: used",
        "of it anonymous",
    ];
    let rows: Vec<_> = all.iter().map(cells).collect();
    report.say(table::render(&header, &[0, 1], &rows));
    bounds(&all, report);
    Ok(())
}

fn measure(
    terminator: &Terminator,
    app: u16,
    certs: &Certs,
    scratch: &Path,
    sizes: &Sizes,
) -> Outcome<Figures> {
    let mut started = terminator.start(app, certs, scratch)?;
    settle(&mut started)?;
    let idle = proc::memory(&started.running.processes)?;
    let (idle_used, idle_charged) = (started.cgroup.used()?, started.cgroup.charged()?);

    let mut open = Vec::new();
    add_idle(&mut open, FIRST_CONNECTIONS, &started, certs)?;
    settle(&mut started)?;
    let first = reading(&started)?;
    add_idle(&mut open, sizes.idle_connections, &started, certs)?;
    settle(&mut started)?;
    let last = reading(&started)?;
    open.iter_mut()
        .try_for_each(|session: &mut Session| session.echo().map(drop))?;
    drop(open);
    let more = (sizes.idle_connections - FIRST_CONNECTIONS) as f64;

    let mut started = terminator.start(app, certs, scratch)?;
    settle(&mut started)?;
    let (full, full_anonymous) = fill(&started, certs)?;
    Ok(Figures {
        kind: terminator.kind,
        binary: binaries::size(&terminator.program)?,
        idle,
        idle_used,
        idle_charged,
        connection_anonymous: (last.0 - first.0) / more,
        connection_used: (last.1 - first.1) / more,
        full,
        full_anonymous,
    })
}

/// Anonymous and used KiB.
fn reading(started: &Started) -> Outcome<(f64, f64)> {
    let anonymous = proc::memory(&started.running.processes)?.anonymous;
    Ok((anonymous, started.cgroup.used()?))
}

/// Waits until two consecutive readings are equal, or for two seconds: a program may have timers.
fn settle(started: &mut Started) -> Outcome<()> {
    thread::sleep(POLL_INTERVAL * 4);
    started.running.refresh_processes();
    let mut last = reading(started)?;
    for _ in 0..40 {
        thread::sleep(POLL_INTERVAL);
        let now = reading(started)?;
        if now == last {
            return Ok(());
        }
        last = now;
    }
    Ok(())
}

/// Opens connections up to this number, each used in both directions.
fn add_idle(
    open: &mut Vec<Session>,
    count: usize,
    started: &Started,
    certs: &Certs,
) -> Outcome<()> {
    let config = certs.client(Suite::AesGcm);
    while open.len() < count {
        let mut session = Session::open(started.running.port, peer_address(open.len()), &config)?;
        session.fetch(BYTES_BEFORE_IDLE)?;
        session.upload(BYTES_BEFORE_IDLE)?;
        session.check(Suite::AesGcm)?;
        open.push(session);
    }
    Ok(())
}

/// The largest use with all buffers of [`FULL_CONNECTIONS`] full, in KiB, and the anonymous part.
fn fill(started: &Started, certs: &Certs) -> Outcome<(f64, f64)> {
    let config = certs.client(Suite::AesGcm);
    let mut open = Vec::new();
    for number in 0..FULL_CONNECTIONS {
        open.push(Session::open(
            started.running.port,
            peer_address(number),
            &config,
        )?);
    }
    open.iter_mut().try_for_each(Session::start_stuffing)?;
    let (mut used, mut anonymous): (f64, f64) = (0.0, 0.0);
    let (mut quiet, began) = (0, Instant::now());
    while quiet < QUIET_READINGS && began.elapsed() < FILL_TIMEOUT {
        open.iter_mut().try_for_each(Session::stuff)?;
        thread::sleep(POLL_INTERVAL);
        let now = reading(started)?;
        quiet = if now.1 > used { 0 } else { quiet + 1 };
        used = used.max(now.1);
        anonymous = anonymous.max(now.0);
    }
    Ok((used, anonymous))
}

fn cells(figures: &Figures) -> Vec<String> {
    let mut cells = vec![figures.kind.name().into(), figures.kind.library().into()];
    let numbers = [
        figures.binary,
        figures.idle.anonymous,
        figures.idle.rss,
        figures.idle_used,
        figures.idle_charged,
        figures.connection_anonymous,
        figures.connection_used,
        figures.full,
        figures.full_anonymous,
    ];
    cells.extend(numbers.map(short));
    cells
}

fn bounds(all: &[Figures], report: &mut Report) {
    let Some((ours, peers)) = all.split_first() else {
        return;
    };
    let exact = |name: &str, value: f64| Row::exact(name, "KiB", Ok(value));
    report.row(exact("binary", ours.binary).at_most(1.4 * 1024.0));
    report.row(exact("idle, one listener: anonymous", ours.idle.anonymous).at_most(112.0));
    report.row(exact("idle, one listener: resident", ours.idle.rss));
    report.row(exact("idle, one listener: charged", ours.idle_charged));
    type Reading = fn(&Figures) -> f64;
    let ways: [(&str, Reading); 2] = [
        ("anonymous", |figures| figures.connection_anonymous),
        ("with the kernel's objects", |figures| {
            figures.connection_used
        }),
    ];
    for (what, of) in ways {
        let name = format!("idle connection, {what}");
        report.row(exact(&name, of(ours)).at_most(12.0));
        let best = peers
            .iter()
            .min_by(|one, other| of(one).total_cmp(&of(other)));
        if let Some(best) = best {
            let name = format!(
                "the same, relative to the best peer's ({})",
                best.kind.name()
            );
            report.row(Row::exact(name, "x its", Ok(of(ours) / of(best))).at_most(0.5));
        }
    }
    let name = "64 connections in full use, socket buffers included";
    report.row(exact(name, ours.full).at_most(4096.0));
}
