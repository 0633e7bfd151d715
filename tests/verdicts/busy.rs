//! A prober that holds a slot until its client leaves, and the memory of an agent whose slots are all held.

use super::fixture::Fixture;
use crate::slots::other_client;
use crate::support::faults::http1::Http1FaultApps;
use crate::support::faults::{FaultCase, redirect};
use crate::support::http::request;
use crate::support::path_scripted_app::Step;
use crate::support::raw::connect_from;
use probelet::limits;
use std::io::Write;

/// Probers of an agent that hold slots: with two probes of each, at least as many as fault cases run concurrently.
pub const PROBERS: usize = 10;

/// The path of a busy prober. The last one is a hook.
fn path(number: usize) -> String {
    match number + 1 < PROBERS {
        true => format!("/app-health/busy{number}/livez"),
        false => "/app-lifecycle/busy/prestopz".into(),
    }
}

/// The path at which the app holds the busy prober's request.
fn held_path() -> String {
    format!("/{}", "b".repeat(limits::LOCATION_BYTES - 100))
}

/// Sets the app's scripts. Returns the probers, each with its path.
pub fn serve(fault_apps: &Http1FaultApps) -> [(String, String); PROBERS] {
    let app = &fault_apps.app;
    let halfway = held_path().replace('b', "a");
    let user = "u".repeat(limits::LOCATION_BYTES - 100);
    let named = format!("//{user}@127.0.0.1:{}/busy-user", app.port());
    app.on("/busy", redirect(302, &named));
    app.on("/busy-user", redirect(302, &halfway));
    app.on(&halfway, redirect(302, &held_path()));
    app.on(&held_path(), vec![Step::Hold]);
    let case = FaultCase {
        seconds: 60,
        ..fault_apps.case("busy")
    };
    core::array::from_fn(|number| (path(number), case.prober()))
}

/// The anonymous memory of each agent, in KiB, with every slot holding the most it may: a head of 15 KiB, and long
/// redirects after it that keep a long name.
pub fn memory(fixture: &Fixture, fault_apps: &Http1FaultApps) -> Result<Vec<u64>, String> {
    let app = &fault_apps.app;
    let mut held = Vec::new();
    for agent in &fixture.agents {
        for path in (0..PROBERS).map(path) {
            for client in 0..limits::PROBES_PER_PROBER {
                let stream = connect_from(other_client(client), agent.addr());
                let mut stream = stream.map_err(|e| e.to_string())?;
                let sent = stream.write_all(&long_request(&path));
                sent.map_err(|e| e.to_string())?;
                held.push(stream);
            }
        }
    }
    if !app.wait_for_requests(&held_path(), held.len()) {
        let busy = app.requests_for(&held_path()).len();
        return Err(format!("{busy} of {} requests reached the app", held.len()));
    }
    let resident = fixture.agents.iter().map(|agent| agent.memory("Anonymous"));
    let resident = resident
        .collect::<Option<Vec<u64>>>()
        .ok_or("/proc/PID/smaps_rollup of an agent cannot be read")?;
    app.hang_up();
    if !app.wait_idle() {
        return Err(format!("{} connections to the app stay open", app.open()));
    }
    Ok(resident)
}

fn long_request(path: &str) -> Vec<u8> {
    let mut head = request("127.0.0.1", path);
    head.truncate(head.len() - 2);
    head.extend_from_slice(format!("X-Long: {}\r\n\r\n", "l".repeat(15 * 1024)).as_bytes());
    head
}
