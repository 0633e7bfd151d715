//! Responses that are slow, in pieces, or missing, with a timeout of 1 s.

use super::{Expected, FINE, HttpCases, Step, send};
use std::time::Duration;

pub(super) fn add_to(cases: &mut HttpCases) {
    let ms = Duration::from_millis;
    let in_time = Expected::Status(200);
    let too_late = Expected::Status(504);
    cases.add("never", vec![Step::Hold], too_late);
    let half = send("HTTP/1.1 200 OK\r\nCont");
    cases.add("never-after-half-a-head", vec![half, Step::Hold], too_late);
    cases.add(
        "drip-head",
        vec![Step::Drip(FINE.into(), ms(900))],
        too_late,
    );
    cases.add(
        "drip-head-quickly",
        vec![Step::Drip(FINE.into(), ms(100))],
        too_late,
    );
    let head = send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
    let drip = |each| vec![head.clone(), Step::Drip(vec![b'x'; 40], each)];
    cases.add("drip-body", drip(ms(900)), Expected::BrokenBody(200));
    cases.add(
        "drip-body-quickly",
        drip(ms(100)),
        Expected::BrokenBody(200),
    );
    cases.add(
        "slow-but-in-time",
        vec![Step::Pause(ms(200)), send(FINE)],
        in_time,
    );
    cases.add(
        "slow-inside-margin",
        vec![Step::Pause(ms(750)), send(FINE)],
        too_late,
    );
    let split = vec![Step::Drip(FINE[..20].into(), ms(5)), send(&FINE[20..])];
    cases.add("split-head", split, in_time);
}
