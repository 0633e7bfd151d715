//! Every dish of the menu: the code the agent answers, kubelet's verdict with and without the
//! agent, and what is left in the agent afterwards.

use super::differences;
use super::stand::{BUSY, BUSY_PROBE, Stand, busy_end};
use crate::support::agent::{self, Agent};
use crate::support::http::{Answer, End, request};
use crate::support::kubelet::{Kubelet, Question};
use crate::support::menu::{Aim, Code, Dish};
use crate::support::{Outcome, PATIENCE, within};
use probelet::limits;
use std::collections::HashSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

/// Each fault gives its code before kubelet's deadline; descriptors and memory come back.
pub fn codes() -> Outcome {
    let stand = Stand::open()?;
    let descriptors: Vec<usize> = stand.agents.iter().map(Agent::descriptors).collect();
    let wrong = stand.for_each(|agent, dish| check_code(agent, dish).err().into_iter().collect());
    assert!(
        wrong.is_empty(),
        "{} codes are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );

    let marks = resident_when_busy(&stand)?;
    let wrong = stand.for_each(|agent, dish| check_code(agent, dish).err().into_iter().collect());
    assert!(wrong.is_empty(), "the second time:\n{}", wrong.join("\n"));

    for ((agent, descriptors), mark) in stand.agents.iter().zip(descriptors).zip(marks) {
        let back = agent.wait_descriptors(descriptors);
        assert!(
            back,
            "{} descriptors, at the start {descriptors}",
            agent.descriptors()
        );
        // Under an emulator the resident set is the emulator's.
        if agent::is_emulated() {
            continue;
        }
        let resident = agent.memory("Rss").ok_or("smaps_rollup")?;
        assert!(
            resident <= mark,
            "{resident} KiB resident, with all slots busy {mark}"
        );
    }
    Ok(())
}

fn check_code(agent: &Agent, dish: &Dish) -> Result<(), String> {
    let failed = |what: &str| Err(format!("{}: {what}, expected {:?}", dish.name, dish.code));
    let answer = match agent.get(&dish.status_path()) {
        Ok(answer) => answer,
        Err(e) => return failed(&e.to_string()),
    };
    let (Code::Plain(code) | Code::Cut(code)) = dish.code;
    if answer.code() != Some(code) {
        return failed(&format!(
            "answered {:?}",
            String::from_utf8_lossy(&answer.bytes)
        ));
    }
    if answer.end != End::Fin || answer.took >= Duration::from_secs(dish.seconds.into()) {
        return failed(&format!(
            "ended with {:?} after {:?}",
            answer.end, answer.took
        ));
    }
    if !answer.body().is_empty() || answer.field("location").is_some() {
        return failed("hands on body or Location");
    }
    if announces_body(&answer) != matches!(dish.code, Code::Cut(_)) {
        return failed(&format!("its head is {:?}", answer.head()));
    }
    Ok(())
}

/// Whether a client has to wait for a body. 204 and 304 have none whatever the fields say.
fn announces_body(answer: &Answer) -> bool {
    let bodiless = matches!(answer.code(), Some(204 | 304));
    !bodiless && answer.field("content-length") != Some("0")
}

/// The resident set of each agent with every slot holding the most it may: a head of 15 KiB, and
/// long redirects behind it that keep a long name.
fn resident_when_busy(stand: &Stand) -> Result<Vec<u64>, String> {
    let app = &stand.kitchen.app;
    let mut held = Vec::new();
    for agent in &stand.agents {
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
    let resident = stand.agents.iter().map(|agent| agent.memory("Rss"));
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
    let kubelet = Kubelet::get()?;
    let stand = Stand::open()?;
    let list = differences::read()?;
    let used = Mutex::new(HashSet::new());
    let mut wrong = stand.for_each(|agent, dish| {
        if !dish.judged {
            return Vec::new();
        }
        let direct = ask(kubelet, &direct(dish));
        let through = ask(kubelet, &through(agent, dish));
        let mut entries = list.iter().filter(|entry| entry.covers(&dish.name));
        let (entry, second) = (entries.next(), entries.next());
        let agreed = match entry {
            None => direct == through,
            Some(entry) => {
                used.lock()
                    .expect("no panic while locked")
                    .insert(entry.case.clone());
                second.is_none() && entry.allows(&direct, &through)
            }
        };
        let line = || {
            format!(
                "{}: direct {direct}, through {through}, {entry:?}",
                dish.name
            )
        };
        (!agreed).then(line).into_iter().collect()
    });
    let used = used.into_inner().expect("all threads ended");
    let unused = list.iter().filter(|entry| !used.contains(&entry.case));
    wrong.extend(unused.map(|entry| format!("unused: {entry:?}")));
    assert!(
        wrong.is_empty(),
        "{} disagreements:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let idle = within(PATIENCE, || stand.kitchen.app.open() == 0);
    assert!(
        idle,
        "{} connections to the app stay open",
        stand.kitchen.app.open()
    );
    Ok(())
}

fn ask(kubelet: &Kubelet, question: &Question) -> String {
    match kubelet.ask(question) {
        Ok(verdict) => verdict.to_string(),
        Err(e) => e,
    }
}

fn direct(dish: &Dish) -> Question {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let question = match dish.aim {
        Aim::Http(port) => Question::http(local(port), &dish.app_path()),
        Aim::Tcp(port) => Question::tcp(local(port)),
    };
    Question {
        seconds: dish.seconds,
        ..question
    }
}

fn through(agent: &Agent, dish: &Dish) -> Question {
    let question = Question::http(agent.addr(), &dish.status_path());
    Question {
        seconds: dish.seconds,
        ..question
    }
}
