//! Healthy responses with one byte changed, dropped or doubled, at each position: kubelet's verdict must be the same with the
//! agent as without.

use super::fixture::MARGIN_MS;
use crate::support::Outcome;
use crate::support::agent::{Agent, Setup};
use crate::support::faults::{FINE, answer};
use crate::support::kubelet::{Kubelet, ProbeRequest};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use std::collections::HashMap;
use std::sync::Mutex;

/// Concurrent responses, each on its own path.
const AT_ONCE: usize = 8;

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n\r\nfine",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nfine\r\n0\r\nT: v\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /fine?x#y\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1/fine?x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.0 200 OK\r\nX: y\r\n z\r\n\r\nfine",
];

/// Replacements of a byte: some have a meaning in a head, a URL or a chunk, some are not allowed in any of them.
const BYTES: &[u8] = b"\0\t\n\r 05:;x/%?#@+-\x7f\xff";

/// kubelet's verdict is the same with the agent as without.
pub fn agree() -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = PathScriptedApp::start();
    app.on("/fine", answer(FINE));
    let entry = |n| {
        let get = format!(r#"{{"path":"/{n}","port":{}}}"#, app.port());
        format!(r#""/app-health/{n}/livez":{{"httpGet":{get},"timeoutSeconds":5}}"#)
    };
    let table = (0..AT_ONCE).map(entry).collect::<Vec<_>>().join(",");
    let setup = Setup::new().probers(&format!("{{{table}}}"));
    let agent = setup.arg("--deadline-margin").arg(MARGIN_MS).start()?;
    let all: Vec<Vec<u8>> = ANSWERS
        .iter()
        .flat_map(|a| mutations(a.as_bytes()))
        .collect();
    let left = Mutex::new(all.iter());
    let failures = Mutex::new(Vec::new());
    let verdicts = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for n in 0..AT_ONCE {
            let (left, failures, verdicts) = (&left, &failures, &verdicts);
            let (app, agent) = (&app, &agent);
            scope.spawn(move || {
                loop {
                    let next = left.lock().expect("no panic while locked").next();
                    let Some(bytes) = next else { return };
                    match check(kubelet, app, agent, n, bytes) {
                        Ok(verdict) => {
                            let mut all = verdicts.lock().expect("no panic while locked");
                            *all.entry(verdict).or_insert(0) += 1;
                        }
                        Err(e) => failures.lock().expect("no panic while locked").push(e),
                    }
                }
            });
        }
    });
    let verdicts: HashMap<String, u32> = verdicts.into_inner().expect("all threads ended");
    for verdict in [
        "success",
        "warning",
        "failure",
        "failure-404",
        "failure-erred",
    ] {
        assert!(
            verdicts.contains_key(verdict),
            "none ends as {verdict}: {verdicts:?}"
        );
    }
    let failures = failures.into_inner().expect("all threads ended");
    let (some, of) = (failures.len(), all.len());
    assert!(
        failures.is_empty(),
        "{some} disagreements of {of}:\n{}",
        failures.join("\n")
    );
    Ok(())
}

fn mutations(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in 0..bytes.len() {
        let with = |middle: &[u8]| [&bytes[..at], middle, &bytes[at + 1..]].concat();
        all.extend(
            BYTES
                .iter()
                .filter(|b| **b != bytes[at])
                .map(|b| with(&[*b])),
        );
        all.push(with(&[]));
        all.push(with(&[bytes[at]; 2]));
    }
    all
}

/// kubelet's verdict of the app, or an error if the verdict through the agent differs.
fn check(
    kubelet: &Kubelet,
    app: &PathScriptedApp,
    agent: &Agent,
    n: usize,
    bytes: &[u8],
) -> Result<String, String> {
    app.on(&format!("/{n}"), vec![Step::Send(bytes.to_vec())]);
    let verdict = |request| {
        kubelet.verdict(&ProbeRequest {
            seconds: 5,
            ..request
        })
    };
    let direct = verdict(ProbeRequest::http(app.addr(), &format!("/{n}")))?;
    let path = format!("/app-health/{n}/livez");
    let through = verdict(ProbeRequest::http(agent.addr(), &path))?;
    let is_out_of_range = direct
        .code()
        .is_some_and(|code| !(200..600).contains(&code));
    let expected = match direct.to_string().as_str() {
        "failure" => "failure-502".into(),
        _ if is_out_of_range => "failure-502".into(),
        same => String::from(same),
    };
    if through.to_string() == expected {
        return Ok(direct.to_string());
    }
    Err(format!(
        "{}: {direct:?} / {through:?}",
        bytes.escape_ascii()
    ))
}
