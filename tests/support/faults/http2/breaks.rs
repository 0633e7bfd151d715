//! HTTP/2 streams that stall, end early, violate framing, or flood.

use super::{CUT, Expected, FAILS, FINE, Http2Cases, LATE, ok, whole};
use crate::support::connection_scripted_app::{Action, send};
use crate::support::frames::{
    self, CONTINUATION, END_STREAM, HEADERS, PADDED, block, data, frame, greeting, head, headers,
};
use crate::support::path_scripted_app::Step;
use std::time::Duration;

pub(super) fn add_to(cases: &mut Http2Cases) {
    stalls(cases);
    late_parts(cases);
    bad_frames(cases);
    floods(cases);
}

fn stalls(cases: &mut Http2Cases) {
    let reset = || Action::Step(Step::Reset);
    cases.respond("never", LATE, &[]);
    cases.add("never-greets", LATE, vec![vec![Action::Step(Step::Hold)]]);
    cases.respond("stalls-in-frame", LATE, &[ok()[..12].to_vec()]);
    cases.respond(
        "stalls-before-continuation",
        LATE,
        &[frame(HEADERS, 0, 1, &head("200", &[]))],
    );
    cases.respond("stalls-after-head", CUT, &[ok()]);
    cases.respond("stalls-in-body", CUT, &[ok(), data(0, b"half")]);
    cases.respond_and_close("closes", FAILS, &[]);
    cases.respond_and_close("closes-in-frame", FAILS, &[ok()[..12].to_vec()]);
    cases.respond_and_close("closes-after-head", CUT, &[ok()]);
    cases.respond_and_close("closes-in-body", CUT, &[ok(), data(0, b"half")]);
    cases.add("closes-at-once", FAILS, vec![vec![]]);
    cases.add("resets-at-once", FAILS, vec![vec![reset()]]);
    let parts = [greeting(), ok(), data(0, b"half")].concat();
    let script = vec![
        Action::Request,
        send(parts),
        Action::Step(Step::Pause(Duration::from_millis(100))),
        reset(),
    ];
    cases.add("resets-in-body", CUT, vec![script]);
}

fn late_parts(cases: &mut Http2Cases) {
    let drip = Action::Step(Step::Drip(whole(), Duration::from_millis(300)));
    cases.add(
        "drips",
        LATE,
        vec![vec![send(greeting()), Action::Request, drip]],
    );
    let hold = || Action::Step(Step::Hold);
    let script = vec![
        send(greeting()),
        Action::Request,
        Action::Step(Step::Pause(Duration::from_millis(200))),
        send(whole()),
        hold(),
    ];
    cases.add("slow-but-in-time", FINE, vec![script]);
    let ping = frame(frames::PING, 0, 0, &[7; 8]);
    let script = vec![
        send(greeting()),
        Action::Request,
        send(ping),
        Action::Frame(frames::PING, frames::ACK),
        send(whole()),
        hold(),
    ];
    cases.add("ping-before-answer", FINE, vec![script]);
    let script = vec![
        Action::Request,
        send(greeting()),
        Action::Frame(frames::SETTINGS, frames::ACK),
        send(whole()),
        hold(),
    ];
    cases.add("settings-must-be-acknowledged", FINE, vec![script]);
    let script = vec![
        Action::Request,
        send(frames::settings(&[])),
        send(whole()),
        hold(),
    ];
    cases.add("greets-after-request", FINE, vec![script]);
}

/// A name, the expected code, and the app's bytes.
type Case = (&'static str, Expected, Vec<u8>);

fn bad_frames(cases: &mut Http2Cases) {
    let alone = vec![Action::Request, send(whole()), Action::Step(Step::Hold)];
    cases.add("settings-missing", FAILS, vec![alone]);
    let frames = [of_data_and_heads(), of_settings(), of_other_types()];
    for (name, expected, bytes) in frames.into_iter().flatten() {
        cases.respond(name, expected, &[bytes]);
    }
}

fn of_data_and_heads() -> Vec<Case> {
    vec![
        (
            "data-too-long",
            CUT,
            [ok(), data(END_STREAM, &[b'x'; 16_385])].concat(),
        ),
        ("head-too-long", FAILS, frame(HEADERS, 5, 1, &[0; 16_385])),
        (
            "frame-of-16-mib",
            FAILS,
            vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        ),
        ("data-before-head", FAILS, data(END_STREAM, b"fine")),
        ("data-on-stream-0", FAILS, frame(0, 1, 0, b"fine")),
        ("data-on-stream-3", FAILS, frame(0, 1, 3, b"fine")),
        ("head-on-stream-0", FAILS, frame(HEADERS, 5, 0, &[0x88])),
        ("head-on-stream-2", LATE, frame(HEADERS, 5, 2, &[0x88])),
        (
            "head-on-stream-3",
            FINE,
            [frame(HEADERS, 5, 3, &[0x88]), whole()].concat(),
        ),
        (
            "padding-too-long",
            FAILS,
            headers(END_STREAM | PADDED, &[9, 0x88]),
        ),
        (
            "data-padding-too-long",
            CUT,
            [ok(), data(PADDED, &[9, 1])].concat(),
        ),
        (
            "data-padding-missing",
            CUT,
            [ok(), data(PADDED, &[])].concat(),
        ),
        (
            "continuation-alone",
            FAILS,
            frame(CONTINUATION, 4, 1, &[0x88]),
        ),
        (
            "continuation-of-other",
            FAILS,
            [
                frame(HEADERS, 1, 1, &[]),
                frame(CONTINUATION, 4, 3, &[0x88]),
            ]
            .concat(),
        ),
        (
            "continuation-interrupted",
            FAILS,
            [frame(HEADERS, 1, 1, &[]), frame(6, 0, 0, &[0; 8])].concat(),
        ),
    ]
}

fn of_settings() -> Vec<Case> {
    vec![
        ("settings-of-5-bytes", FAILS, frame(4, 0, 0, &[0; 5])),
        ("settings-on-stream-1", FAILS, frame(4, 0, 1, &[])),
        ("settings-ack-with-payload", FAILS, frame(4, 1, 0, &[0; 6])),
        ("settings-push-2", FAILS, frames::settings(&[(2, 2)])),
        (
            "settings-window-too-big",
            FAILS,
            frames::settings(&[(4, 0x8000_0000)]),
        ),
        (
            "settings-frame-too-small",
            FAILS,
            frames::settings(&[(5, 16_383)]),
        ),
        (
            "settings-unknown",
            FINE,
            [frames::settings(&[(0xbeef, 7), (3, 1)]), whole()].concat(),
        ),
    ]
}

fn of_other_types() -> Vec<Case> {
    vec![
        ("ping-of-7-bytes", FAILS, frame(6, 0, 0, &[0; 7])),
        ("ping-on-stream-1", FAILS, frame(6, 0, 1, &[0; 8])),
        (
            "ping-ack-unasked",
            FINE,
            [frame(6, 1, 0, &[0; 8]), whole()].concat(),
        ),
        ("window-of-0", FAILS, frames::window(0, 0)),
        ("window-too-big", FAILS, frames::window(0, 0x7fff_ffff)),
        ("window-of-3-bytes", FAILS, frame(8, 0, 0, &[0; 3])),
        ("rst-of-3-bytes", FAILS, frame(3, 0, 1, &[0; 3])),
        ("goaway-of-7-bytes", FAILS, frame(7, 0, 0, &[0; 7])),
        ("push-promise", FAILS, frame(5, 4, 1, &[0, 0, 0, 2, 0x82])),
        (
            "priority-frame",
            FINE,
            [frame(2, 0, 1, &[0, 0, 0, 0, 9]), whole()].concat(),
        ),
        (
            "unknown-frame",
            FINE,
            [frame(0xbe, 0xff, 0x7fff_ffff, &[9; 99]), whole()].concat(),
        ),
    ]
}

fn floods(cases: &mut Http2Cases) {
    let ping = frame(frames::PING, 0, 0, &[7; 8]);
    cases.flood("flood-of-pings", FAILS, vec![], &ping);
    cases.flood("flood-of-settings", FAILS, vec![], &frames::settings(&[]));
    let acks = frame(frames::SETTINGS, frames::ACK, 0, &[]);
    cases.flood("flood-of-acks", FAILS, vec![], &acks);
    cases.flood("flood-of-windows", FAILS, vec![], &frames::window(1, 1));
    cases.flood(
        "flood-of-unknown-frames",
        FAILS,
        vec![],
        &frame(0xbe, 0, 0, &[]),
    );
    let interim = headers(0, &head("103", &[]));
    cases.flood("flood-of-interim-answers", FAILS, vec![], &interim);
    let first = frame(HEADERS, 0, 1, &[0x88]);
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(4096))]));
    cases.flood("flood-of-continuations", FAILS, first.clone(), &more);
    let empty = frame(CONTINUATION, 0, 1, &[]);
    cases.flood("flood-of-empty-continuations", FAILS, first, &empty);
    cases.flood("flood-of-empty-data", CUT, ok(), &data(0, b""));
    cases.flood(
        "flood-of-padding",
        CUT,
        ok(),
        &data(PADDED, &[&[255][..], &[0; 255]].concat()),
    );
    cases.flood("flood-of-data", FINE, ok(), &data(0, &[b'x'; 4096]));
    let names = block(&[("x", "y")]).repeat(2_000);
    let first = frame(HEADERS, 0, 1, &[0x88]);
    cases.flood(
        "flood-of-fields",
        FAILS,
        first,
        &frame(CONTINUATION, 0, 1, &names),
    );
    for case in &mut cases.catalogue.cases {
        // kubelet's client never returns from this one: it waits to write WINDOW_UPDATE.
        case.is_compared &= !case.name.ends_with("-flood-of-padding");
        // They move megabytes. kubelet's own client has no limit for most of them, and reads until its timeout.
        if case.name.contains("-flood-") {
            (case.seconds, case.direct_seconds, case.is_heavy) = (10, 1, true);
        }
    }
}
