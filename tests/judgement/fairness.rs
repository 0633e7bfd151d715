//! One thread serves all: an app that sends more than can be read must not keep the others waiting.

use crate::support::agent::Setup;
use crate::support::fake_app::{FakeApp, Step};
use crate::support::menu::{FINE, answer, send};
use crate::support::{Outcome, PATIENCE, http};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Floods at once: together they take a while, and fit the probe slots beside one more probe.
const FLOODS: usize = 20;

/// Heads without end are read up to their limit. Served in turn, all end at about the same time, so a
/// probe that comes while all are under way is answered before most; served one after the other, the
/// last begins when the others have ended.
pub fn a_flood_keeps_nobody_waiting() -> Outcome {
    let app = FakeApp::start();
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
                let answer = http::get(agent.addr(), "/app-health/flood/livez", 3 * PATIENCE);
                ended.fetch_add(1, Ordering::SeqCst);
                assert_eq!(answer.expect("an answer").code(), Some(502));
            });
        }
        assert!(app.wait_seen("/flood", FLOODS), "not all floods begin");
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
