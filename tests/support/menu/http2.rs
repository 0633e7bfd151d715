//! What a server can make of a GET in HTTP/2, from the frames up: the same once over TLS, where ALPN
//! chose it, and once in plaintext with prior knowledge.

use super::tls::Faults;
use super::{Aim, Code, Dish, Step};
use crate::support::certs::Identity;
use crate::support::fake_app::FakeApp;
use crate::support::frames::{
    self, CONTINUATION, END_STREAM, HEADERS, PADDED, block, data, frame, goaway, greeting, head,
    headers, rst,
};
use crate::support::scripted::{Act, Play, Scripted, send};
use std::time::Duration;

const ENDLESS: u64 = u64::MAX;

/// All cases, over TLS or not.
pub fn faults(is_secure: bool) -> Faults {
    let mut menu = Menu {
        faults: Faults::default(),
        is_secure,
    };
    answers(&mut menu);
    lengths(&mut menu);
    heads(&mut menu);
    bad_blocks(&mut menu);
    goaways(&mut menu);
    resets(&mut menu);
    stalls(&mut menu);
    bad_frames(&mut menu);
    floods(&mut menu);
    redirects(&mut menu);
    no_http2(&mut menu);
    menu.faults
}

struct Menu {
    faults: Faults,
    is_secure: bool,
}

const FINE: Code = Code::Plain(200);
const FAILS: Code = Code::Plain(502);
const LATE: Code = Code::Plain(504);
const CUT: Code = Code::Cut(200);

impl Menu {
    fn plays(&mut self, name: &str, code: Code, plays: Vec<Play>) {
        let tls = self.is_secure;
        let security = tls.then(|| Identity::self_signed().security(&["h2"], None));
        let app = Scripted::start(security.flatten(), plays);
        let (prefix, aim) = if tls {
            ("h2-", Aim::Https(app.port()))
        } else {
            ("h2c-", Aim::Http2(app.port()))
        };
        let dish = Dish::aimed(&format!("{prefix}{name}"), aim, code);
        self.faults.dishes.push(dish);
        self.faults.apps.push(app);
    }

    /// Greets, waits for the request, says this, and keeps the connection.
    fn says(&mut self, name: &str, code: Code, parts: &[Vec<u8>]) {
        let hold = Act::Do(Step::Hold);
        let play = vec![send(greeting()), Act::Request, send(parts.concat()), hold];
        self.plays(name, code, vec![play]);
    }

    /// The same, then closes.
    fn says_and_closes(&mut self, name: &str, code: Code, parts: &[Vec<u8>]) {
        let play = vec![send(greeting()), Act::Request, send(parts.concat())];
        self.plays(name, code, vec![play]);
    }

    /// The same without end.
    fn floods(&mut self, name: &str, code: Code, first: Vec<u8>, again: &[u8]) {
        let flood = Act::Do(Step::Flood(again.repeat(1 + 8192 / again.len()), ENDLESS));
        let play = vec![send(greeting()), Act::Request, send(first), flood];
        self.plays(name, code, vec![play]);
    }
}

fn ok() -> Vec<u8> {
    headers(0, &head("200", &[]))
}

fn whole() -> Vec<u8> {
    [ok(), data(END_STREAM, b"fine")].concat()
}

fn last(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, &head(status, fields))
}

fn answers(menu: &mut Menu) {
    menu.says("fine", FINE, &[whole()]);
    menu.says_and_closes("fine-then-closes", FINE, &[whole()]);
    for code in [200, 201, 204, 206, 304, 400, 404, 500, 503, 599] {
        let answer = last(&code.to_string(), &[]);
        menu.says(&format!("status-{code}"), Code::Plain(code), &[answer]);
    }
    for status in [
        "000", "099", "600", "999", "20", "1000", "abc", "-20", "+20", "",
    ] {
        menu.says(&format!("status-{status}"), FAILS, &[last(status, &[])]);
    }
    menu.says("status-101", FAILS, &[last("101", &[])]);
    let interim = |status| headers(0, &head(status, &[("link", "x")]));
    for status in ["100", "102", "103", "199"] {
        let answer = [interim(status), whole()].concat();
        menu.says(&format!("interim-{status}"), FINE, &[answer]);
    }
    menu.says("interim-101", FINE, &[interim("101"), whole()]);
    menu.says("interim-ends", FAILS, &[last("103", &[])]);
    menu.says(
        "interim-30-times",
        FINE,
        &[interim("103").repeat(30), whole()],
    );
    let trailers = headers(END_STREAM, &block(&[("x", "y")]));
    let body = data(0, b"fine");
    menu.says("trailers", FINE, &[ok(), body.clone(), trailers.clone()]);
    menu.says("trailers-without-body", FINE, &[ok(), trailers]);
    let open = headers(0, &block(&[("x", "y")]));
    menu.says("trailers-not-at-end", CUT, &[ok(), body.clone(), open]);
    let pseudo = headers(END_STREAM, &head("200", &[]));
    menu.says("trailers-with-status", CUT, &[ok(), body, pseudo]);
    let padded = data(PADDED | END_STREAM, b"\x03fine\0\0\0");
    menu.says("body-padded", FINE, &[ok(), padded]);
    menu.says("body-empty", FINE, &[ok(), data(END_STREAM, b"")]);
    let long = data(0, &[b'x'; 16_384]).repeat(12);
    menu.says("body-of-192-kib", FINE, &[ok(), long]);
    let drip = [ok(), data(0, b"x").repeat(40), data(END_STREAM, b"")];
    menu.says("body-in-bytes", FINE, &drip);
}

/// `content-length` against what comes.
fn lengths(menu: &mut Menu) {
    let with = |length: &str| headers(0, &head("200", &[("content-length", length)]));
    let ends = data(END_STREAM, b"fine");
    menu.says("length-right", FINE, &[with("4"), ends.clone()]);
    menu.says("length-too-much", CUT, &[with("9"), ends.clone()]);
    menu.says("length-too-little", CUT, &[with("2"), ends.clone()]);
    menu.says("length-of-0", CUT, &[with("0"), ends.clone()]);
    menu.says("length-no-number", FINE, &[with("four"), ends.clone()]);
    let lengths = [("content-length", "4"), ("content-length", "4")];
    let twice = headers(0, &head("200", &lengths));
    menu.says("length-twice", FINE, &[twice, ends]);
    let none = last("200", &[("content-length", "9")]);
    menu.says("length-without-body", CUT, &[none]);
    let bodiless = last("304", &[("content-length", "9")]);
    menu.says("length-in-304", Code::Cut(304), &[bodiless]);
}

fn heads(menu: &mut Menu) {
    let ends = |block: &[u8]| headers(END_STREAM, block);
    menu.says("head-indexed", FINE, &[ends(&[0x88])]);
    menu.says("head-indexed-404", Code::Plain(404), &[ends(&[0x8d])]);
    let resized = [0x20, 0x88];
    menu.says("head-table-of-0", FINE, &[ends(&resized)]);
    // RFC 7541 section 4.2 wants it first; Go does not mind.
    menu.says("head-table-size-late", FINE, &[ends(b"\x88\x20")]);
    // Enters "x: y" into the dynamic table and names it from there.
    let entered = [&[0x88, 0x40, 1, b'x', 1, b'y', 0xbe][..], &[0xbe; 50]].concat();
    menu.says("head-dynamic-table", FINE, &[ends(&entered)]);
    // ":status: 302" with its value in Huffman code (RFC 7541 appendix C.6.1).
    menu.says(
        "head-huffman",
        Code::Plain(302),
        &[ends(b"\x48\x82\x64\x02")],
    );
    menu.says("head-never-indexed", FINE, &[ends(b"\x88\x10\x01x\x01y")]);
    let cookies = "c".repeat(14_000);
    let long = head("200", &[("set-cookie", &cookies)]);
    menu.says("head-of-14-kib", FINE, &[ends(&long)]);
    let long = [long, block(&[("set-cookie", &cookies)]).repeat(20)].concat();
    menu.says(
        "head-of-300-kib",
        FINE,
        &[in_pieces(END_STREAM, &long, 16_384)],
    );
    let short = in_pieces(END_STREAM, &head("200", &[("x", "y")]), 3);
    menu.says("head-in-pieces", FINE, &[short]);
    let many = [head("200", &[]), block(&[("x", "y")]).repeat(1_500)].concat();
    menu.says("head-of-1500-fields", FINE, &[ends(&many)]);
    let padded = [&[3][..], &head("200", &[]), &[0; 3]].concat();
    menu.says(
        "head-padded",
        FINE,
        &[headers(END_STREAM | PADDED, &padded)],
    );
    let weighted = [&[0, 0, 0, 0, 9][..], &head("200", &[])].concat();
    let flags = END_STREAM | frames::PRIORITY;
    menu.says("head-with-priority", FINE, &[headers(flags, &weighted)]);
    for (name, code, fields) in [
        ("upper-case", FAILS, [("X-Upper", "y")]),
        ("connection", FINE, [("connection", "close")]),
        (
            "transfer-encoding",
            FINE,
            [("transfer-encoding", "chunked")],
        ),
        ("blank-in-name", FAILS, [("x y", "z")]),
        ("empty-name", FAILS, [("", "z")]),
        ("control-in-value", FAILS, [("x", "a\u{1}b")]),
        ("line-end-in-value", FAILS, [("x", "a\r\nb")]),
        ("bytes-in-value", FINE, [("x", "\u{e9}")]),
        ("unknown-pseudo", FAILS, [(":x", "y")]),
        ("request-pseudo", FAILS, [(":path", "/")]),
    ] {
        let answer = last("200", &fields);
        menu.says(&format!("field-{name}"), code, &[answer]);
    }
    menu.says("status-missing", FAILS, &[ends(&block(&[("x", "y")]))]);
    let twice = [head("200", &[]), head("200", &[])].concat();
    menu.says("status-twice", FAILS, &[ends(&twice)]);
    let late = block(&[("x", "y"), (":status", "200")]);
    menu.says("status-after-field", FAILS, &[ends(&late)]);
    menu.says("head-empty", FAILS, &[ends(&[])]);
}

/// A block in frames of so many bytes.
fn in_pieces(flags: u8, block: &[u8], bytes: usize) -> Vec<u8> {
    let count = block.len().div_ceil(bytes);
    let piece = |(n, piece)| {
        let end = if n + 1 == count {
            frames::END_HEADERS
        } else {
            0
        };
        match n {
            0 => frame(HEADERS, flags | end, 1, piece),
            _ => frame(CONTINUATION, end, 1, piece),
        }
    };
    block.chunks(bytes).enumerate().flat_map(piece).collect()
}

/// Blocks that are no HPACK.
fn bad_blocks(menu: &mut Menu) {
    for (name, bytes) in [
        ("index-0", &b"\x88\x80"[..]),
        ("index-62-of-none", b"\x88\xbe"),
        ("index-huge", b"\x88\xff\xff\xff\xff\xff\x7f"),
        ("integer-cut", b"\x88\xff\xff"),
        ("string-cut", b"\x88\x00\x05abc"),
        ("string-huge", b"\x88\x00\x7f\xff\xff\xff\xff\x0fabc"),
        ("table-too-big", b"\x3f\xe1\xff\x03\x88"),
        ("huffman-eos", b"\x88\x00\x84\xff\xff\xff\xff\x01y"),
        ("huffman-bad-padding", b"\x88\x00\x81\x00\x01y"),
    ] {
        let answer = headers(END_STREAM, bytes);
        menu.says(&format!("hpack-{name}"), FAILS, &[answer]);
    }
}

fn goaways(menu: &mut Menu) {
    let hold = || Act::Do(Step::Hold);
    let bye = || goaway(0, frames::NO_ERROR);
    let first = vec![send(bye()), hold()];
    menu.plays("goaway-instead-of-settings", FAILS, vec![first]);
    let early = [greeting(), goaway(0, frames::ENHANCE_YOUR_CALM)].concat();
    menu.plays("goaway-before-request", FAILS, vec![vec![send(early)]]);
    menu.says_and_closes("goaway-refuses", FAILS, &[bye()]);
    menu.says("goaway-refuses-and-holds", FAILS, &[bye()]);
    menu.says_and_closes("goaway-then-closes", FAILS, &[goaway(1, 0)]);
    menu.says("goaway-then-answer", FINE, &[goaway(1, 0), whole()]);
    let most = goaway(0x7fff_ffff, 0);
    menu.says("goaway-warning-then-answer", FINE, &[most, whole()]);
    let body = data(END_STREAM, b"fine");
    menu.says("goaway-in-body", FINE, &[ok(), goaway(1, 0), body]);
    let error = goaway(1, frames::INTERNAL_ERROR);
    menu.says_and_closes("goaway-error", FAILS, &[error.clone()]);
    let parts = [ok(), data(0, b"half"), error];
    menu.says_and_closes("goaway-error-in-body", CUT, &parts);
    let refused = vec![send(greeting()), Act::Request, send(bye())];
    let fine = vec![send(greeting()), Act::Request, send(whole()), hold()];
    menu.plays("goaway-once", FINE, vec![refused, fine]);
}

fn resets(menu: &mut Menu) {
    for (name, code) in [
        ("no-error", frames::NO_ERROR),
        ("protocol", frames::PROTOCOL_ERROR),
        ("cancel", frames::CANCEL),
        ("refused", frames::REFUSED_STREAM),
        ("http-1.1-required", frames::HTTP_1_1_REQUIRED),
    ] {
        menu.says(&format!("rst-{name}"), FAILS, &[rst(code)]);
        let parts = [ok(), data(0, b"half"), rst(code)];
        menu.says(&format!("rst-{name}-in-body"), CUT, &parts);
        let parts = [whole(), rst(code)];
        menu.says(&format!("rst-{name}-after-answer"), FINE, &parts);
    }
    menu.says("rst-after-head", CUT, &[ok(), rst(frames::CANCEL)]);
    let rst = |stream| frame(frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    menu.says("rst-of-nothing", FAILS, &[rst(0), whole()]);
    let hold = Act::Do(Step::Hold);
    let refused = frames::rst(frames::REFUSED_STREAM);
    let refused = vec![send(greeting()), Act::Request, send(refused), hold.clone()];
    let fine = vec![send(greeting()), Act::Request, send(whole()), hold];
    menu.plays("rst-refused-once", FINE, vec![refused, fine]);
}

fn stalls(menu: &mut Menu) {
    let reset = || Act::Do(Step::Reset);
    menu.says("never", LATE, &[]);
    menu.plays("never-greets", LATE, vec![vec![Act::Do(Step::Hold)]]);
    menu.says("stalls-in-frame", LATE, &[ok()[..12].to_vec()]);
    menu.says(
        "stalls-before-continuation",
        LATE,
        &[frame(HEADERS, 0, 1, &head("200", &[]))],
    );
    menu.says("stalls-after-head", CUT, &[ok()]);
    menu.says("stalls-in-body", CUT, &[ok(), data(0, b"half")]);
    menu.says_and_closes("closes", FAILS, &[]);
    menu.says_and_closes("closes-in-frame", FAILS, &[ok()[..12].to_vec()]);
    menu.says_and_closes("closes-after-head", CUT, &[ok()]);
    menu.says_and_closes("closes-in-body", CUT, &[ok(), data(0, b"half")]);
    menu.plays("closes-at-once", FAILS, vec![vec![]]);
    menu.plays("resets-at-once", FAILS, vec![vec![reset()]]);
    let parts = [greeting(), ok(), data(0, b"half")].concat();
    let play = vec![
        Act::Request,
        send(parts),
        Act::Do(Step::Pause(Duration::from_millis(100))),
        reset(),
    ];
    menu.plays("resets-in-body", CUT, vec![play]);
    let drip = Act::Do(Step::Drip(whole(), Duration::from_millis(300)));
    menu.plays(
        "drips",
        LATE,
        vec![vec![send(greeting()), Act::Request, drip]],
    );
    let hold = || Act::Do(Step::Hold);
    let play = vec![
        send(greeting()),
        Act::Request,
        Act::Do(Step::Pause(Duration::from_millis(200))),
        send(whole()),
        hold(),
    ];
    menu.plays("slow-but-in-time", FINE, vec![play]);
    let ping = frame(frames::PING, 0, 0, &[7; 8]);
    let play = vec![
        send(greeting()),
        Act::Request,
        send(ping),
        Act::Frame(frames::PING, frames::ACK),
        send(whole()),
        hold(),
    ];
    menu.plays("ping-before-answer", FINE, vec![play]);
    let play = vec![
        Act::Request,
        send(greeting()),
        Act::Frame(frames::SETTINGS, frames::ACK),
        send(whole()),
        hold(),
    ];
    menu.plays("settings-must-be-acknowledged", FINE, vec![play]);
    let play = vec![
        Act::Request,
        send(frames::settings(&[])),
        send(whole()),
        hold(),
    ];
    menu.plays("greets-after-request", FINE, vec![play]);
}

fn bad_frames(menu: &mut Menu) {
    let hold = || Act::Do(Step::Hold);
    menu.plays(
        "settings-missing",
        FAILS,
        vec![vec![Act::Request, send(whole()), hold()]],
    );
    for (name, code, bytes) in [
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
        ("head-on-stream-2", FAILS, frame(HEADERS, 5, 2, &[0x88])),
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
    ] {
        menu.says(name, code, &[bytes]);
    }
}

fn floods(menu: &mut Menu) {
    let ping = frame(frames::PING, 0, 0, &[7; 8]);
    menu.floods("flood-of-pings", FAILS, vec![], &ping);
    menu.floods("flood-of-settings", FAILS, vec![], &frames::settings(&[]));
    let acks = frame(frames::SETTINGS, frames::ACK, 0, &[]);
    menu.floods("flood-of-acks", FAILS, vec![], &acks);
    menu.floods("flood-of-windows", FAILS, vec![], &frames::window(1, 1));
    menu.floods(
        "flood-of-unknown-frames",
        FAILS,
        vec![],
        &frame(0xbe, 0, 0, &[]),
    );
    let interim = headers(0, &head("103", &[]));
    menu.floods("flood-of-interim-answers", FAILS, vec![], &interim);
    let first = frame(HEADERS, 0, 1, &[0x88]);
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(4096))]));
    menu.floods("flood-of-continuations", FAILS, first.clone(), &more);
    let empty = frame(CONTINUATION, 0, 1, &[]);
    menu.floods("flood-of-empty-continuations", FAILS, first, &empty);
    menu.floods("flood-of-empty-data", CUT, ok(), &data(0, b""));
    menu.floods(
        "flood-of-padding",
        CUT,
        ok(),
        &data(PADDED, &[&[255][..], &[0; 255]].concat()),
    );
    menu.floods("flood-of-data", FINE, ok(), &data(0, &[b'x'; 4096]));
    let names = block(&[("x", "y")]).repeat(2_000);
    let first = frame(HEADERS, 0, 1, &[0x88]);
    menu.floods(
        "flood-of-fields",
        FAILS,
        first,
        &frame(CONTINUATION, 0, 1, &names),
    );
    // kubelet's own client never returns from this one: it waits to write WINDOW_UPDATE.
    let dishes = menu.faults.dishes.iter_mut();
    let endless = dishes.filter(|dish| dish.name.ends_with("-flood-of-padding"));
    endless.for_each(|dish| dish.judged = false);
    // They move megabytes.
    let dishes = menu.faults.dishes.iter_mut();
    let floods = dishes.filter(|dish| dish.name.contains("-flood-"));
    floods.for_each(|dish| dish.seconds = 8);
}

fn redirects(menu: &mut Menu) {
    let hold = || Act::Do(Step::Hold);
    let to = |location: &str| {
        let answer = last("302", &[("location", location)]);
        vec![send(greeting()), Act::Request, send(answer), hold()]
    };
    let fine = || vec![send(greeting()), Act::Request, send(whole()), hold()];
    menu.plays("redirect", FINE, vec![to("/fine"), fine()]);
    menu.plays("redirect-loop", FAILS, vec![to("/again")]);
    let away = Code::Plain(302);
    menu.plays("redirect-away", away, vec![to("https://example.invalid/")]);
    menu.plays("redirect-nowhere", FAILS, vec![to("/%zz")]);
    // To an app that speaks HTTP/1.1 alone, in plaintext and over TLS.
    for tls in [false, true] {
        let security = tls.then(|| Identity::self_signed().security(&["http/1.1"], None));
        let app = FakeApp::secure(security.flatten());
        app.otherwise(super::answer(super::FINE));
        let scheme = if tls { "https" } else { "http" };
        let location = format!("{scheme}://127.0.0.1:{}/fine", app.port());
        // kubelet's transport of `protocol: HTTP2` speaks HTTP/2 and nothing else.
        let code = if menu.is_secure { FINE } else { FAILS };
        menu.plays(
            &format!("redirect-to-{scheme}-1.1"),
            code,
            vec![to(&location)],
        );
        menu.faults.others.push(app);
    }
    let security = Identity::self_signed().security(&["h2"], None);
    let app = Scripted::start(security, vec![fine()]);
    let location = format!("https://127.0.0.1:{}/fine", app.port());
    let code = if menu.is_secure { FINE } else { FAILS };
    menu.plays("redirect-to-https-2", code, vec![to(&location)]);
    menu.faults.apps.push(app);
}

/// What is no HTTP/2 where it was due.
fn no_http2(menu: &mut Menu) {
    for (name, text) in [
        (
            "http-1.1-refuses",
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        ),
        ("http-1.1-answers", super::FINE),
        ("ssh", "SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        let play = vec![Act::Bytes(24), send(text)];
        menu.plays(name, FAILS, vec![play]);
    }
    if !menu.is_secure {
        let app = FakeApp::secure(Identity::self_signed().security(&["h2"], None));
        let dish = Dish::aimed("h2c-at-tls", Aim::Http2(app.port()), FAILS);
        menu.faults.dishes.push(dish);
        menu.faults.others.push(app);
    }
}
