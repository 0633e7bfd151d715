//! Every dish of the menu: the code the agent answers, kubelet's verdict with and without the
//! agent, and what is left in the agent afterwards.

use super::stand::{BUSY, BUSY_PROBE, Stand, busy_end};
use crate::support::agent::{self, Agent};
use crate::support::http::request;
use crate::support::kubelet::Kubelet;
use crate::support::{Outcome, TLS};
use probelet::limits;
use std::io::Write;
use std::net::TcpStream;

/// Each fault gives its code before kubelet's deadline; descriptors and memory come back.
pub fn codes() -> Outcome {
    let stand = Stand::open()?;
    let agents = &stand.course.agents;
    let descriptors: Vec<usize> = agents.iter().map(Agent::descriptors).collect();
    stand.course.assert_codes();
    let marks = memory_when_busy(&stand)?;
    stand.course.assert_codes();

    for ((agent, descriptors), mark) in agents.iter().zip(descriptors).zip(marks) {
        let back = agent.wait_descriptors(descriptors);
        assert!(
            back,
            "{} descriptors, at the start {descriptors}",
            agent.descriptors()
        );
        // Under an emulator the memory is the emulator's. Pages of the program do not count: how much of
        // it was met so far is another matter.
        if agent::is_emulated() {
            continue;
        }
        let resident = agent.memory("Anonymous").ok_or("smaps_rollup")?;
        assert!(
            resident <= mark + TLS_KIB,
            "{resident} KiB of its own, with all slots busy {mark}"
        );
    }
    Ok(())
}

/// Redirects to HTTPS are on the menu, too: what rustls keeps of one such connection, more or less.
const TLS_KIB: u64 = if TLS { 64 } else { 0 };

/// The memory of its own of each agent with every slot holding the most it may: a head of 15 KiB, and
/// long redirects behind it that keep a long name.
fn memory_when_busy(stand: &Stand) -> Result<Vec<u64>, String> {
    let app = &stand.kitchen.app;
    let mut held = Vec::new();
    for agent in &stand.course.agents {
        for (path, count) in [
            (BUSY_PROBE, limits::PROBE_SLOTS),
            (BUSY, limits::HOOK_SLOTS),
        ] {
            for _ in 0..count {
                let mut stream = TcpStream::connect(agent.addr()).map_err(|e| e.to_string())?;
                stream
                    .write_all(&long_request(path))
                    .map_err(|e| e.to_string())?;
                held.push(stream);
            }
        }
    }
    if !app.wait_seen(&busy_end(), held.len()) {
        let busy = app.seen_at(&busy_end()).len();
        return Err(format!("{busy} slots of {} probe", held.len()));
    }
    let agents = &stand.course.agents;
    let resident = agents.iter().map(|agent| agent.memory("Anonymous"));
    let resident = resident
        .collect::<Option<Vec<u64>>>()
        .ok_or("smaps_rollup")?;
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

/// kubelet's verdict is the same with the agent as without, but for the kept differences.
pub fn agree() -> Outcome {
    let stand = Stand::open()?;
    stand.course.assert_agrees(Kubelet::get()?)?;
    let app = &stand.kitchen.app;
    assert!(app.wait_idle(), "{} connections stay open", app.open());
    Ok(())
}
