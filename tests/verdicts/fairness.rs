//! One thread serves all probes: an app that sends more than the agent can read must not delay the others.

use crate::support::agent::{Agent, Setup};
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp};
use crate::support::faults::{FINE, answer, send};
use crate::support::frames::{self, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame};
use crate::support::http::{self, Response};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::{Outcome, WAIT_LIMIT, within};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Concurrent floods, each of a prober of its own: enough to take a while.
const FLOODS: usize = 20;

/// The path of the prober with this number, of several with this name.
fn numbered(name: &str, number: usize) -> String {
    format!("/app-health/{name}{number}/livez")
}

/// Probes `/fine` while `count` probes of the probers with this name are in flight, as soon as `has_begun` holds. Asserts the `code` of
/// these, and returns the response of the probe and the number of them that had ended before it.
fn probe_meanwhile(
    agent: &Agent,
    (name, count, code): (&str, usize, u16),
    has_begun: impl FnMut() -> bool,
    timeout: Duration,
) -> std::io::Result<(Response, usize)> {
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..count {
            let ended = &ended;
            scope.spawn(move || {
                let path = numbered(name, number);
                let response = http::get(agent.addr(), &path, 3 * WAIT_LIMIT);
                ended.fetch_add(1, Ordering::SeqCst);
                assert_eq!(response.expect("a response").code(), Some(code));
            });
        }
        assert!(within(WAIT_LIMIT, has_begun), "not all probes have begun");
        let fine = http::get(agent.addr(), "/app-health/fine/livez", timeout)?;
        Ok((fine, ended.load(Ordering::SeqCst)))
    })
}

/// Endless heads are read up to their limit. If the agent serves them in turn, all end at about the same time, and a probe
/// during all of them ends before most. If it served one after the other, the last would begin when the others have ended.
pub fn a_flood_does_not_delay_other_probes() -> Outcome {
    let app = PathScriptedApp::start();
    app.on("/fine", answer(FINE));
    let endless = Step::Flood(vec![b'x'; 64 * 1024], u64::MAX);
    app.on("/flood", vec![send("HTTP/1.1 200 OK\r\nX: "), endless]);
    let entry = |prober: &str, path: &str| {
        let get = format!(r#"{{"path":"{path}","port":{}}}"#, app.port());
        format!(r#","{prober}":{{"httpGet":{get},"timeoutSeconds":60}}"#)
    };
    let floods = (0..FLOODS).map(|number| entry(&numbered("flood", number), "/flood"));
    let entries = entry("/app-health/fine/livez", "/fine") + &floods.collect::<String>();
    let table = format!("{{{}}}", &entries[1..]);
    let agent = Setup::new().probers(&table).start()?;
    let have_begun = || app.requests_for("/flood").len() >= FLOODS;
    let floods = ("flood", FLOODS, 502);
    let (fine, ended) = probe_meanwhile(&agent, floods, have_begun, WAIT_LIMIT)?;
    assert_eq!(fine.code(), Some(200));
    assert!(
        ended < FLOODS / 2,
        "a response after {ended} of {FLOODS} floods had ended"
    );
    Ok(())
}

/// Concurrent responses with trailers, and the bytes of each. With the decoded bytes these are less than the 10 MiB that
/// the agent reads of them.
const TRAILERS: usize = 2;
const TRAILER_BYTES: usize = 4 << 20;

/// A Huffman-coded field is decoded more slowly than an app on the same machine sends it.
fn huffman_trailers() -> Vec<u8> {
    // A literal without indexing: its name is "x", its value the Huffman code of many '0'.
    let mut block = vec![0, 1, b'x'];
    frames::integer(&mut block, 7, TRAILER_BYTES);
    block[3] |= 0x80;
    block.resize(block.len() + TRAILER_BYTES, 0);
    let mut pieces = block.chunks(16_384);
    let first = pieces.next().expect("several pieces");
    let mut bytes = frame(HEADERS, END_STREAM, 1, first);
    for piece in pieces {
        bytes.extend(frame(CONTINUATION, 0, 1, piece));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    bytes
}

/// `timeoutSeconds` of a healthy app that is probed meanwhile.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Trailers follow the head, when the agent only reads to the end of the body.
pub fn long_trailers_do_not_delay_other_probes() -> Outcome {
    let fine = PathScriptedApp::start();
    fine.set_default(answer(FINE));
    let ok = frames::headers(0, &frames::head("200", &[]));
    let parts = [frames::greeting(), ok, huffman_trailers()].concat();
    let hold = Action::Step(Step::Hold);
    let script = vec![Action::Request, Action::Step(Step::Send(parts)), hold];
    let app = ConnectionScriptedApp::start(None, vec![script]);
    let long = |number| {
        format!(
            r#","{}":{{"httpGet":{{"port":{},"protocol":"HTTP2"}},"timeoutSeconds":60}}"#,
            numbered("long", number),
            app.port()
        )
    };
    let table = format!(
        r#"{{"/app-health/fine/livez":{{"httpGet":{{"port":{}}},"timeoutSeconds":{}}}{}}}"#,
        fine.port(),
        TIMEOUT.as_secs(),
        (0..TRAILERS).map(long).collect::<String>()
    );
    let agent = Setup::new().probers(&table).start()?;
    let have_begun = || app.frames().iter().filter(|f| f.kind == HEADERS).count() == TRAILERS;
    let long = ("long", TRAILERS, 200);
    let (fine, ended) = probe_meanwhile(&agent, long, have_begun, TIMEOUT)?;
    assert_eq!(fine.code(), Some(200), "within kubelet's timeout");
    assert_eq!(ended, 0, "a response after others had ended");
    Ok(())
}
