//! What a server can make of a GET in HTTP/2, from the frames up: the same once over TLS, where ALPN
//! chose it, and once in plaintext with prior knowledge.

mod breaks;
mod heads;

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
    heads::add_to(&mut menu);
    goaways(&mut menu);
    resets(&mut menu);
    breaks::add_to(&mut menu);
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

/// An app that answers 200.
pub fn serving() -> Play {
    let hold = Act::Do(Step::Hold);
    vec![send(greeting()), Act::Request, send(whole()), hold]
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
    menu.says("length-in-304", Code::Cut(200), &[bodiless]);
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
    menu.says_and_closes("goaway-error", FAILS, std::slice::from_ref(&error));
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
