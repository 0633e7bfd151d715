//! Answers that come slowly, in pieces, or never, at a timeout of 1 s.

use super::{Code, FINE, Menu, Step, send};
use std::time::Duration;

pub(super) fn add_to(menu: &mut Menu) {
    let ms = Duration::from_millis;
    let in_time = Code::Plain(200);
    let too_late = Code::Plain(504);
    menu.add("never", vec![Step::Hold], too_late);
    let half = send("HTTP/1.1 200 OK\r\nCont");
    menu.add("never-after-half-a-head", vec![half, Step::Hold], too_late);
    menu.add(
        "drip-head",
        vec![Step::Drip(FINE.into(), ms(900))],
        too_late,
    );
    menu.add(
        "drip-head-quickly",
        vec![Step::Drip(FINE.into(), ms(100))],
        too_late,
    );
    let head = send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
    let drip = |each| vec![head.clone(), Step::Drip(vec![b'x'; 40], each)];
    menu.add("drip-body", drip(ms(900)), Code::Cut(200));
    menu.add("drip-body-quickly", drip(ms(100)), Code::Cut(200));
    menu.add(
        "slow-but-in-time",
        vec![Step::Pause(ms(200)), send(FINE)],
        in_time,
    );
    menu.add(
        "slow-inside-margin",
        vec![Step::Pause(ms(750)), send(FINE)],
        too_late,
    );
    let split = vec![Step::Drip(FINE[..20].into(), ms(5)), send(&FINE[20..])];
    menu.add("split-head", split, in_time);
}
