//! The system calls of a warm probe by probelet and by the floor, counted with strace.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;
use crate::client::Prober;
use crate::contestants::{self, ContestantKind};
use crate::report::{Report, Row};
use crate::shared::json::Json;
use crate::shared::stats::Spread;
use crate::shared::table;

/// Probes under strace. The first and the last are ignored.
const PROBES: usize = 21;

/// The time between probes, long enough for a probe to end before the next.
const PERIOD: Duration = Duration::from_millis(20);

/// The calls of a probe, from its accept to the next one.
type Calls = Vec<String>;

/// Reports the calls of the floor and of probelet in order, and their numbers.
pub fn report(
    floor: &ContestantKind,
    small: &ContestantKind,
    app: u16,
    scratch: &Path,
    report: &mut Report,
) {
    let traced = [("floor", floor), ("probelet", small)].map(|(name, kind)| {
        let calls = trace(kind, app, scratch);
        let count = calls
            .as_ref()
            .map(|(calls, _)| calls.len() as f64)
            .map_err(String::clone);
        let row = format!("system calls of a warm probe: {name}");
        report.row(Row::new(row, "", count.map(Spread::exact)));
        (name, calls)
    });
    for (name, calls) in &traced {
        match calls {
            Ok((calls, _)) => {
                let list = calls.iter().map(Json::text).collect();
                report.member(format!("calls_{name}"), Json::List(list));
            }
            Err(reason) => report.say(format!("system calls of {name} not listed: {reason}")),
        }
    }
    if let [(_, Ok(floor)), (_, Ok(ours))] = &traced {
        report.say(side_by_side(floor, ours));
    }
}

/// Both sequences, with the purpose of each call of probelet.
fn side_by_side(floor: &(Calls, String), ours: &(Calls, String)) -> String {
    let title = |name: &str, share: &str| format!("{name} ({share} probes)");
    let (floor_title, our_title) = (title("floor", &floor.1), title("probelet", &ours.1));
    let header = [floor_title.as_str(), our_title.as_str(), "purpose"];
    let lines = floor.0.len().max(ours.0.len());
    let rows: Vec<Vec<String>> = (0..lines)
        .map(|line| {
            let cell = |calls: &Calls| calls.get(line).cloned().unwrap_or_default();
            let purpose = ours.0.get(line).map_or("", |call| purpose(call));
            vec![cell(&floor.0), cell(&ours.0), purpose.into()]
        })
        .collect();
    format!(
        "System calls of a warm probe under strace, in order. strace slows down only the traced process, so\n\
         the app has responded before the read. Without strace there is a wait in epoll before it.\n\
         {}",
        table::render(&header, &[0, 1, 2], &rows)
    )
}

/// The purpose of each call that a probe needs. Any other call is a regression.
fn purpose(call: &str) -> &'static str {
    match call.split(' ').next().unwrap_or_default() {
        "accept4" => "kubelet's connection",
        "recvfrom" | "read" if call.ends_with("EAGAIN") => "a read before waiting, without data",
        "recvfrom" | "read" => "kubelet's head, or the app's response",
        "socket" | "connect" => "the app's connection",
        "bind" => "--source-ip",
        "setsockopt" => "SO_REUSEADDR: the app may listen on the local port",
        "sendto" | "write" => "the head to the app, or the response to kubelet",
        "epoll_ctl" => "wake-up when the app responds",
        "epoll_pwait" | "epoll_pwait2" | "epoll_wait" => "sleep",
        "shutdown" => "the end of the response",
        "close" => "the app's connection, or kubelet's",
        _ => "UNEXPECTED",
    }
}

/// The most frequent sequence of calls, and its share.
fn trace(kind: &ContestantKind, app: u16, scratch: &Path) -> Outcome<(Calls, String)> {
    let running = contestants::start(kind, app, scratch)?;
    let prober = Prober::new(running.port);
    prober.tight(100)?;
    let log = scratch.join(format!("{}.strace", running.port));
    let mut strace = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&log)
        .args(["-p", &running.processes[0].to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("strace: {error}"))?;
    let mut message = String::new();
    if let Some(stderr) = strace.stderr.take() {
        // "Process 1 attached", or an error.
        let _ = BufReader::new(stderr).read_line(&mut message);
    }
    let probed = prober.spaced(PROBES, PERIOD, || Ok(()));
    if let Some(pid) = Pid::from_raw(strace.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let _ = strace.wait();
    probed.map_err(|error| format!("{error} (strace: {})", message.trim()))?;
    let text = fs::read_to_string(&log).map_err(|error| error.to_string())?;
    most_frequent(&text).ok_or_else(|| format!("strace saw no probe: {}", message.trim()))
}

fn most_frequent(text: &str) -> Option<(Calls, String)> {
    let probes = split(text);
    let count = |calls: &Calls| probes.iter().filter(|other| *other == calls).count();
    let best = probes.iter().max_by_key(|calls| count(calls))?;
    let share = format!("{} of {}", count(best), probes.len());
    Some((best.clone(), share))
}

/// A list for each probe, from its successful accept to the next. Drops the first and the last, which are partial.
fn split(text: &str) -> Vec<Calls> {
    let mut probes: Vec<Calls> = vec![Vec::new()];
    for line in text.lines() {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let Some((name, rest)) = line.split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        let result = rest.rsplit_once(" = ").map_or("?", |(_, result)| result);
        let failed = result
            .split_whitespace()
            .nth(1)
            .filter(|_| result.starts_with("-1"));
        if name.starts_with("accept") && failed.is_none() {
            probes.push(Vec::new());
        }
        let call = match failed {
            Some(error) => format!("{name} {error}"),
            None => name.to_string(),
        };
        if let Some(probe) = probes.last_mut() {
            probe.push(call);
        }
    }
    let end = probes.len().saturating_sub(1);
    probes
        .get(1..end)
        .map(<[Calls]>::to_vec)
        .unwrap_or_default()
}
