//! One thread serves all: an app that sends more than can be read must not delay the other probes.

use crate::support::agent::Setup;
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp};
use crate::support::faults::{FINE, answer, send};
use crate::support::frames::{self, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::{Outcome, WAIT_LIMIT, http, within};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Floods at once: together they take a while, and leave a probe slot for one more probe.
const FLOODS: usize = 20;

/// Heads without end are read up to their limit. Served in turn, all end at about the same time, so a
/// probe that comes while all are under way is answered before most; served one after the other, the
/// last begins when the others have ended.
pub fn a_flood_does_not_delay_other_probes() -> Outcome {
    let app = PathScriptedApp::start();
    app.on("/fine", answer(FINE));
    let endless = Step::Flood(vec![b'x'; 64 * 1024], u64::MAX);
    app.on("/flood", vec![send("HTTP/1.1 200 OK\r\nX: "), endless]);
    let entry = |name: &str| {
        let get = format!(r#"{{"path":"/{name}","port":{}}}"#, app.port());
        format!(r#""/app-health/{name}/livez":{{"httpGet":{get},"timeoutSeconds":60}}"#)
    };
    let table = format!("{{{},{}}}", entry("fine"), entry("flood"));
    let agent = Setup::new().probers(&table).start()?;
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..FLOODS {
            scope.spawn(|| {
                let answer = http::get(agent.addr(), "/app-health/flood/livez", 3 * WAIT_LIMIT);
                ended.fetch_add(1, Ordering::SeqCst);
                assert_eq!(answer.expect("an answer").code(), Some(502));
            });
        }
        assert!(
            app.wait_for_requests("/flood", FLOODS),
            "not all floods begin"
        );
        let fine = agent.get("/app-health/fine/livez")?;
        let ended = ended.load(Ordering::SeqCst);
        assert_eq!(fine.code(), Some(200));
        assert!(
            ended < FLOODS / 2,
            "answered after {ended} of {FLOODS} floods had ended"
        );
        Ok(())
    })
}

/// Trailers at once, and what each has in it: as many bytes again when decoded, and half as many, which is less
/// than the 10 MiB that are read of them.
const TRAILERS: usize = 2;
const TRAILER_BYTES: usize = 4 << 20;

/// A field in Huffman code is decoded bit by bit, slower than an app on the same machine sends it.
fn huffman_trailers() -> Vec<u8> {
    // A literal that enters no table, its name "x", its value so many bytes of '0' in Huffman code.
    let mut block = vec![0, 1, b'x'];
    frames::integer(&mut block, 7, TRAILER_BYTES);
    block[3] |= 0x80;
    block.resize(block.len() + TRAILER_BYTES, 0);
    let mut pieces = block.chunks(16_384);
    let first = pieces.next().expect("it is long");
    let mut bytes = frame(HEADERS, END_STREAM, 1, first);
    for piece in pieces {
        bytes.extend(frame(CONTINUATION, 0, 1, piece));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    bytes
}

/// `timeoutSeconds` of a healthy app at the same time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// They come after the head, when there is nothing left but to read the body's end.
pub fn long_trailers_do_not_delay_other_probes() -> Outcome {
    let fine = PathScriptedApp::start();
    fine.set_default(answer(FINE));
    let ok = frames::headers(0, &frames::head("200", &[]));
    let parts = [frames::greeting(), ok, huffman_trailers()].concat();
    let hold = Action::Step(Step::Hold);
    let script = vec![Action::Request, Action::Step(Step::Send(parts)), hold];
    let app = ConnectionScriptedApp::start(None, vec![script]);
    let table = format!(
        r#"{{"/app-health/fine/livez":{{"httpGet":{{"port":{}}},"timeoutSeconds":{}}},
            "/app-health/long/livez":{{"httpGet":{{"port":{},"protocol":"HTTP2"}},"timeoutSeconds":60}}}}"#,
        fine.port(),
        TIMEOUT.as_secs(),
        app.port()
    );
    let agent = Setup::new().probers(&table).start()?;
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..TRAILERS {
            scope.spawn(|| {
                let answer = http::get(agent.addr(), "/app-health/long/livez", 3 * WAIT_LIMIT);
                ended.fetch_add(1, Ordering::SeqCst);
                assert_eq!(answer.expect("an answer").code(), Some(200));
            });
        }
        let is_asked = || app.frames().iter().filter(|f| f.kind == HEADERS).count() == TRAILERS;
        assert!(within(WAIT_LIMIT, is_asked), "not all begin");
        let fine = http::get(agent.addr(), "/app-health/fine/livez", TIMEOUT)?;
        let ended = ended.load(Ordering::SeqCst);
        assert_eq!(
            fine.code(),
            Some(200),
            "as kubelet, which waits so long, would see it"
        );
        assert_eq!(ended, 0, "answered when so many had ended");
        Ok(())
    })
}
