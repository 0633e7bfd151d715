//! The menu of misbehaviour: what the fake app does, and the code the agent must make of it.
//! kubelet's verdict is not written here: it is asked.

use super::fake_app::{FakeApp, Script, Step};
use super::ports::{Deaf, Reserved, Resetting, deaf, reserve, resetting};
use std::time::Duration;

/// What the agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// This code, and nothing after the head.
    Plain(u16),
    /// This code, announcing a body that does not come.
    Cut(u16),
}

/// What the prober asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// `httpGet` of this port.
    Http(u16),
    /// `tcpSocket` of this port.
    Tcp(u16),
}

/// One entry of the menu.
#[derive(Clone, Debug)]
pub struct Dish {
    /// Also the path on the app, and the container's name in the table.
    pub name: String,
    /// What the app does.
    pub script: Script,
    /// What the agent answers.
    pub code: Code,
    /// What is asked.
    pub aim: Aim,
    /// `timeoutSeconds`.
    pub seconds: u32,
}

/// The places that dishes speak of.
#[derive(Debug)]
pub struct Kitchen {
    /// Plays the scripts.
    pub app: FakeApp,
    /// Another app on the same host: answers everything with 200.
    pub other: FakeApp,
    /// Refuses.
    pub dead: Reserved,
    /// Neither accepts nor refuses.
    pub deaf: Deaf,
    /// Resets after accepting.
    pub resetting: Resetting,
}

impl Kitchen {
    /// Opens all places.
    pub fn open() -> Self {
        let other = FakeApp::start();
        other.otherwise(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"));
        let (dead, deaf, resetting) = (reserve(), deaf(), resetting());
        Self {
            app: FakeApp::start(),
            other,
            dead,
            deaf,
            resetting,
        }
    }

    /// The menu; `status_port` is the agent's own, which one redirect aims at.
    pub fn menu(&self, status_port: u16) -> Vec<Dish> {
        let mut menu = Menu {
            app: self.app.port(),
            dishes: Vec::new(),
        };
        statuses(&mut menu);
        bodies(&mut menu);
        chunked_bodies(&mut menu);
        sloppy_heads(&mut menu);
        refused_heads(&mut menu);
        framing_fields(&mut menu);
        early_closes(&mut menu);
        interim_answers(&mut menu);
        long_heads(&mut menu);
        slow_answers(&mut menu);
        redirects(&mut menu, self, status_port);
        redirect_bodies(&mut menu);
        redirect_chains(&mut menu);
        self.connections(&mut menu);
        menu.dishes
    }

    /// Teaches the app the scripts of some dishes.
    pub fn serve(&self, dishes: &[Dish]) {
        for dish in dishes {
            self.app.on(&format!("/{}", dish.name), dish.script.clone());
        }
        self.app.on("/hop-0", answer(FINE));
        for hop in 1..=12 {
            let location = format!("/hop-{}", hop - 1);
            self.app
                .on(&format!("/hop-{hop}"), redirect(302, &location));
        }
    }

    fn connections(&self, menu: &mut Menu) {
        let (dead, deaf) = (self.dead.port, self.deaf.port);
        menu.aimed("http-refused", Aim::Http(dead), 502);
        menu.aimed("http-backlog-full", Aim::Http(deaf), 504);
        menu.aimed(
            "http-reset-after-accept",
            Aim::Http(self.resetting.port),
            502,
        );
        menu.aimed("tcp-live", Aim::Tcp(self.other.port()), 200);
        menu.aimed("tcp-refused", Aim::Tcp(dead), 502);
        menu.aimed("tcp-backlog-full", Aim::Tcp(deaf), 504);
        menu.aimed("tcp-reset-after-accept", Aim::Tcp(self.resetting.port), 200);
    }
}

/// A healthy answer.
pub const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// The end of time for a flood: more than any probe reads.
const ENDLESS: u64 = u64::MAX;

struct Menu {
    app: u16,
    dishes: Vec<Dish>,
}

impl Menu {
    fn add(&mut self, name: &str, script: Script, code: Code) {
        let aim = Aim::Http(self.app);
        self.dishes.push(Dish {
            name: name.into(),
            script,
            code,
            aim,
            seconds: 1,
        });
    }

    /// The app says this, then closes.
    fn says(&mut self, name: &str, text: &str, code: u16) {
        self.add(name, answer(text), Code::Plain(code));
    }

    /// The app says this and closes, and kubelet errs on the body.
    fn says_cut(&mut self, name: &str, text: &str, code: u16) {
        self.add(name, answer(text), Code::Cut(code));
    }

    /// The app says this and keeps the connection open.
    fn says_and_holds(&mut self, name: &str, text: &str, code: Code) {
        self.add(name, vec![send(text), Step::Hold], code);
    }

    fn aimed(&mut self, name: &str, aim: Aim, code: u16) {
        let code = Code::Plain(code);
        self.dishes.push(Dish {
            name: name.into(),
            script: Vec::new(),
            code,
            aim,
            seconds: 1,
        });
    }

    /// The dish added last has more time: it moves megabytes.
    fn takes_longer(&mut self) {
        self.dishes.last_mut().expect("one was added").seconds = 8;
    }
}

/// Sends text.
pub fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// Sends text, then closes.
pub fn answer(text: &str) -> Script {
    vec![send(text)]
}

/// A redirect without a body.
pub fn redirect(code: u16, location: &str) -> Script {
    answer(&format!(
        "HTTP/1.1 {code} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn statuses(menu: &mut Menu) {
    menu.says("fine", FINE, 200);
    for code in [
        200, 201, 202, 203, 205, 206, 226, 299, 400, 401, 403, 404, 405, 409, 418, 429,
    ] {
        status(menu, code, code);
    }
    for code in [431, 451, 499, 500, 501, 502, 503, 504, 511, 599] {
        status(menu, code, code);
    }
    for code in [600, 601, 999] {
        status(menu, code, 502);
    }
    // Not followed by kubelet, whatever they carry: a warning.
    for code in [300, 304, 305, 306, 309, 399] {
        status(menu, code, code);
    }
    menu.says("status-204", "HTTP/1.1 204 No Content\r\n\r\n", 204);
    menu.says(
        "status-204-length",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        204,
    );
    menu.says(
        "status-204-body",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
        204,
    );
    menu.says(
        "status-304-length",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        304,
    );
    menu.says(
        "status-000",
        "HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-099",
        "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-plus-20",
        "HTTP/1.1 +20 Odd\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-minus-20",
        "HTTP/1.1 -20 Odd\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-1000",
        "HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-20",
        "HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says(
        "status-letters",
        "HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n",
        502,
    );
    menu.says("status-199", "HTTP/1.1 199 Interim\r\n\r\n", 502);
}

fn status(menu: &mut Menu, code: u16, expected: u16) {
    let text = format!("HTTP/1.1 {code} Some Words\r\nContent-Length: 4\r\n\r\nbody");
    menu.says(&format!("status-{code}"), &text, expected);
}

fn bodies(menu: &mut Menu) {
    let ok = "HTTP/1.1 200 OK\r\n";
    menu.says("body-until-close", &format!("{ok}\r\nall there is"), 200);
    menu.says("body-until-close-empty", &format!("{ok}\r\n"), 200);
    menu.says(
        "body-gzip",
        &format!("{ok}Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"),
        200,
    );
    menu.says("body-and-more", &format!("{FINE}{FINE}"), 200);
    menu.says("http-1.0", "HTTP/1.0 200 OK\r\n\r\nold", 200);
    menu.says(
        "http-1.0-length",
        "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        200,
    );
    menu.says(
        "http-1.0-cut",
        "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nold",
        0,
    );
    menu.dishes.last_mut().expect("just added").code = Code::Cut(200);
    menu.says_and_holds(
        "keep-alive",
        &format!("{ok}Connection: keep-alive\r\nContent-Length: 4\r\n\r\nfine"),
        Code::Plain(200),
    );
    menu.says_and_holds(
        "keep-alive-1.0",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine",
        Code::Plain(200),
    );
    menu.says_and_holds(
        "keep-alive-empty",
        &format!("{ok}Content-Length: 0\r\n\r\n"),
        Code::Plain(200),
    );
    menu.says_and_holds(
        "keep-alive-204",
        "HTTP/1.1 204 No Content\r\n\r\n",
        Code::Plain(204),
    );
    menu.says_and_holds(
        "keep-alive-304",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        Code::Plain(304),
    );
    menu.says_and_holds(
        "keep-alive-500",
        "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
        Code::Plain(500),
    );
    menu.says_and_holds(
        "body-until-close-held",
        &format!("{ok}\r\nmore to come"),
        Code::Cut(200),
    );
    menu.says_and_holds(
        "body-stalls-at-0",
        &format!("{ok}Content-Length: 9\r\n\r\n"),
        Code::Cut(200),
    );
    menu.says_and_holds(
        "body-stalls",
        &format!("{ok}Content-Length: 9\r\n\r\nhalf"),
        Code::Cut(200),
    );
    menu.says_and_holds(
        "body-stalls-500",
        "HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nhalf",
        Code::Cut(500),
    );
    menu.says_cut(
        "body-cut",
        &format!("{ok}Content-Length: 9\r\n\r\nhalf"),
        200,
    );
    menu.says_cut(
        "body-cut-at-0",
        &format!("{ok}Content-Length: 9\r\n\r\n"),
        200,
    );
    menu.says_cut(
        "body-cut-404",
        "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nhalf",
        404,
    );
    menu.says_cut(
        "body-cut-300",
        "HTTP/1.1 300 Many\r\nContent-Length: 9\r\n\r\nhalf",
        300,
    );
    let half = send(&format!("{ok}Content-Length: 9\r\n\r\nhalf"));
    menu.add(
        "body-reset",
        vec![half, Step::Pause(Duration::from_millis(100)), Step::Reset],
        Code::Cut(200),
    );
    let open_end = send(&format!("{ok}\r\nhalf"));
    menu.add(
        "body-until-close-reset",
        vec![
            open_end,
            Step::Pause(Duration::from_millis(100)),
            Step::Reset,
        ],
        Code::Cut(200),
    );
    long_bodies(menu, ok);
}

/// kubelet stops reading, and is content, at 10 KiB.
fn long_bodies(menu: &mut Menu, ok: &str) {
    let long = |length: &str, sent: usize| format!("{ok}{length}\r\n{}", "x".repeat(sent));
    for (name, sent, code) in [
        ("10239", 10239, Code::Cut(200)),
        ("10240", 10240, Code::Plain(200)),
        ("10241", 10241, Code::Plain(200)),
        ("20000", 20000, Code::Plain(200)),
    ] {
        let text = long("Content-Length: 50000\r\n", sent);
        menu.says_and_holds(&format!("body-stalls-at-{name}"), &text, code);
        menu.add(&format!("body-cut-at-{name}"), answer(&text), code);
        menu.says_and_holds(
            &format!("body-until-close-held-at-{name}"),
            &long("", sent),
            code,
        );
    }
    menu.says(
        "body-exactly-10240",
        &long("Content-Length: 10240\r\n", 10240),
        200,
    );
    let giga = vec![
        send(&format!("{ok}Content-Length: 1073741824\r\n\r\n")),
        Step::Flood(vec![b'x'; 65536], 1 << 30),
    ];
    menu.add("body-of-1-GiB", giga, Code::Plain(200));
    let endless = vec![
        send(&format!("{ok}\r\n")),
        Step::Flood(vec![b'x'; 65536], ENDLESS),
    ];
    menu.add("body-endless", endless, Code::Plain(200));
    let chunks = vec![
        send(&format!("{ok}Transfer-Encoding: chunked\r\n\r\n")),
        Step::Flood(b"4\r\nmore\r\n".repeat(1000), ENDLESS),
    ];
    menu.add("body-endless-chunks", chunks, Code::Plain(200));
}

fn chunked_bodies(menu: &mut Menu) {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, body) in [
        ("fine", "4\r\nfine\r\n0\r\n\r\n"),
        ("empty", "0\r\n\r\n"),
        ("two", "4\r\nfine\r\n3\r\nall\r\n0\r\n\r\n"),
        (
            "trailers",
            "4\r\nfine\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
        ),
        ("extensions", "4;a=b;c=\"d\"\r\nfine\r\n0;last\r\n\r\n"),
        ("upper-hex", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("leading-zeros", "0004\r\nfine\r\n000\r\n\r\n"),
        ("space-after-size", "4 \r\nfine\r\n0\r\n\r\n"),
    ] {
        menu.says(&format!("chunked-{name}"), &format!("{head}{body}"), 200);
    }
    for (name, body) in [
        ("no-size", "\r\nfine\r\n0\r\n\r\n"),
        ("bad-size", "zz\r\nfine\r\n0\r\n\r\n"),
        ("signed-size", "+4\r\nfine\r\n0\r\n\r\n"),
        ("huge-size", "fffffffffffffffff\r\nfine\r\n0\r\n\r\n"),
        ("space-before-size", " 4\r\nfine\r\n0\r\n\r\n"),
        ("data-too-long", "4\r\nfineandmore\r\n0\r\n\r\n"),
        ("cut-in-size", "4"),
        ("cut-in-data", "4\r\nfi"),
        ("cut-before-last", "4\r\nfine\r\n"),
        ("cut-in-last", "4\r\nfine\r\n0\r\n"),
        ("cut-in-trailer", "4\r\nfine\r\n0\r\nX-Sum: 1\r\n"),
        ("bad-trailer", "4\r\nfine\r\n0\r\nno colon\r\n\r\n"),
        ("nothing", ""),
    ] {
        menu.says_cut(&format!("chunked-{name}"), &format!("{head}{body}"), 200);
    }
    // What kubelet says of these two is Go's reading of bare LF in a chunk, not RFC 9112's.
    menu.says("chunked-bare-lf", &format!("{head}4\nfine\n0\n\n"), 0);
    menu.says(
        "chunked-bare-lf-size",
        &format!("{head}4\nfine\r\n0\r\n\r\n"),
        0,
    );
    menu.says_and_holds(
        "chunked-held",
        &format!("{head}4\r\nfine\r\n0\r\n\r\n"),
        Code::Plain(200),
    );
    menu.says_and_holds(
        "chunked-stalls-in-data",
        &format!("{head}4\r\nfi"),
        Code::Cut(200),
    );
    menu.says_and_holds(
        "chunked-stalls-before-last",
        &format!("{head}4\r\nfine\r\n"),
        Code::Cut(200),
    );
    menu.says_and_holds(
        "chunked-stalls-in-last",
        &format!("{head}4\r\nfine\r\n0\r\n"),
        Code::Cut(200),
    );
    let long = format!("{head}2800\r\n{}\r\n", "x".repeat(0x2800));
    menu.says("chunked-bad-after-10240", &format!("{long}zz\r\n"), 200);
    menu.says_and_holds("chunked-stalls-after-10240", &long, Code::Plain(200));
    let nearly = format!("{head}27ff\r\n{}\r\n", "x".repeat(0x27ff));
    menu.says_cut("chunked-bad-after-10239", &format!("{nearly}zz\r\n"), 200);
}

/// Not as RFC 9112 wants it, but good enough for kubelet.
fn sloppy_heads(menu: &mut Menu) {
    for (name, text) in [
        ("bare-lf", "HTTP/1.1 200 OK\nContent-Length: 4\n\nfine"),
        (
            "mixed-line-ends",
            "HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 4\n\r\nfine",
        ),
        (
            "obs-fold",
            "HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\n\tthree\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "obs-fold-length",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n 4\r\n\r\nfine",
        ),
        (
            "space-before-colon",
            "HTTP/1.1 200 OK\r\nX-Odd : 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
        ("no-reason", "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nfine"),
        (
            "no-reason-space",
            "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "http-9.9",
            "HTTP/9.9 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "http-0.9-version",
            "HTTP/0.9 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "http-2.0",
            "HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "two-spaces",
            "HTTP/1.1  200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "reason-of-bytes",
            "HTTP/1.1 200 \u{e9}\t\u{7f}\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "two-equal-lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "odd-case-length",
            "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:4\r\n\r\nfine",
        ),
        (
            "length-with-blanks",
            "HTTP/1.1 200 OK\r\nContent-Length: \t 4 \t\r\n\r\nfine",
        ),
        (
            "empty-value",
            "HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "value-of-bytes",
            "HTTP/1.1 200 OK\r\nX-Name: \u{e9}\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "name-only-odd-marks",
            "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~: 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
    ] {
        menu.says(&format!("sloppy-{name}"), text, 200);
    }
}

fn refused_heads(menu: &mut Menu) {
    for (name, text) in [
        ("garbage", "\u{1}\u{2}\u{3}garbage\r\n\r\n"),
        ("http-0.9", "<html>fine</html>\r\n"),
        ("http-0.9-no-line", "fine"),
        (
            "empty-line-first",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        ("no-status", "HTTP/1.1\r\nContent-Length: 4\r\n\r\nfine"),
        (
            "lower-case-http",
            "http/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        ("http-1", "HTTP/1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
        (
            "http-1.10",
            "HTTP/1.10 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "http-x.y",
            "HTTP/x.y 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "tab-for-space",
            "HTTP/1.1\t200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "space-first",
            " HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "fold-first",
            "HTTP/1.1 200 OK\r\n X: 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "no-colon",
            "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "no-name",
            "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "blank-in-name",
            "HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "bytes-in-name",
            "HTTP/1.1 200 OK\r\nX\u{e9}: 1\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "nul-in-value",
            "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 4\r\n\r\nfine",
        ),
        (
            "two-lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine",
        ),
        ("tls-alert", "\u{15}\u{3}\u{1}\0\u{2}\u{2}F"),
        ("ssh", "SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        menu.says(&format!("refused-{name}"), text, 502);
    }
}

/// Fields that say where the body ends; kubelet's verdicts are Go's `net/http/transfer.go`.
fn framing_fields(menu: &mut Menu) {
    for (name, fields, code) in [
        ("length-plus", "Content-Length: +4\r\n", 502),
        ("length-minus", "Content-Length: -4\r\n", 502),
        ("length-hex", "Content-Length: 0x4\r\n", 502),
        ("length-list", "Content-Length: 4, 4\r\n", 502),
        ("length-empty", "Content-Length:\r\n", 0),
        (
            "length-huge",
            "Content-Length: 99999999999999999999\r\n",
            502,
        ),
        ("gzip", "Transfer-Encoding: gzip\r\n", 502),
        ("gzip-chunked", "Transfer-Encoding: gzip, chunked\r\n", 502),
        ("identity", "Transfer-Encoding: identity\r\n", 502),
        (
            "chunked-twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            502,
        ),
        ("coding-empty", "Transfer-Encoding:\r\n", 502),
    ] {
        menu.says(
            &format!("framing-{name}"),
            &format!("HTTP/1.1 200 OK\r\n{fields}\r\nfine"),
            code,
        );
    }
    let chunks = "4\r\nfine\r\n0\r\n\r\n";
    menu.says(
        "framing-odd-case-chunked",
        &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n{chunks}"),
        200,
    );
    menu.says(
        "framing-length-and-chunked",
        &format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ),
        200,
    );
    menu.says(
        "framing-1.0-chunked",
        &format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        0,
    );
    menu.says(
        "framing-204-chunked",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        204,
    );
}

fn early_closes(menu: &mut Menu) {
    let head = &FINE[..FINE.len() - "fine".len()];
    for sent in 0..head.len() {
        menu.says(&format!("closed-at-{sent:02}"), &head[..sent], 502);
    }
    for sent in [0, 1, 12, 17, 30] {
        let pause = Step::Pause(Duration::from_millis(50));
        let script = vec![send(&head[..sent]), pause, Step::Reset];
        menu.add(&format!("reset-at-{sent:02}"), script, Code::Plain(502));
    }
}

fn interim_answers(menu: &mut Menu) {
    menu.says(
        "interim-100",
        &format!("HTTP/1.1 100 Continue\r\n\r\n{FINE}"),
        200,
    );
    menu.says(
        "interim-103",
        &format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{FINE}"),
        200,
    );
    menu.says(
        "interim-199",
        &format!("HTTP/1.1 199 Odd\r\n\r\n{FINE}"),
        200,
    );
    let many = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n".repeat(10);
    menu.says("interim-20", &format!("{many}{FINE}"), 200);
    menu.says(
        "interim-length",
        &format!("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n{FINE}"),
        200,
    );
    menu.says("interim-then-nothing", "HTTP/1.1 100 Continue\r\n\r\n", 502);
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    menu.add(
        "interim-endless",
        vec![Step::Flood(interim, ENDLESS)],
        Code::Plain(502),
    );
    menu.takes_longer();
    menu.says("switching", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502);
    let upgrade =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    menu.says("switching-upgrade", upgrade, 502);
}

fn long_heads(menu: &mut Menu) {
    let field = |count: usize| format!("X-Policy: {}\r\n", "p".repeat(88)).repeat(count);
    menu.says(
        "head-of-4-KiB",
        &format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 4\r\n\r\nfine",
            field(40)
        ),
        200,
    );
    menu.says(
        "head-of-300-KiB",
        &format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 4\r\n\r\nfine",
            field(3000)
        ),
        200,
    );
    let one = format!(
        "HTTP/1.1 200 OK\r\nX-Cookie: {}\r\nContent-Length: 4\r\n\r\nfine",
        "c".repeat(300 * 1024)
    );
    menu.says("head-of-one-300-KiB-field", &one, 200);
    let fields = vec![
        send("HTTP/1.1 200 OK\r\n"),
        Step::Flood(field(500).into_bytes(), ENDLESS),
    ];
    menu.add("head-endless-fields", fields, Code::Plain(502));
    menu.takes_longer();
    let line = vec![
        send("HTTP/1.1 200 OK\r\nX: "),
        Step::Flood(vec![b'x'; 65536], ENDLESS),
    ];
    menu.add("head-endless-field", line, Code::Plain(502));
    menu.takes_longer();
    let reason = vec![
        send("HTTP/1.1 200 "),
        Step::Flood(vec![b'x'; 65536], ENDLESS),
    ];
    menu.add("head-endless-reason", reason, Code::Plain(502));
    menu.takes_longer();
    let first = vec![Step::Flood(vec![b'x'; 65536], ENDLESS)];
    menu.add("head-endless-first-line", first, Code::Plain(502));
    menu.takes_longer();
}

fn slow_answers(menu: &mut Menu) {
    let ms = Duration::from_millis;
    menu.add("never", vec![Step::Hold], Code::Plain(504));
    menu.add(
        "never-after-half-a-head",
        vec![send("HTTP/1.1 200 OK\r\nCont"), Step::Hold],
        Code::Plain(504),
    );
    menu.add(
        "drip-head",
        vec![Step::Drip(FINE.into(), ms(900))],
        Code::Plain(504),
    );
    menu.add(
        "drip-head-quickly",
        vec![Step::Drip(FINE.into(), ms(100))],
        Code::Plain(504),
    );
    let ten = send("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n");
    menu.add(
        "drip-body",
        vec![ten.clone(), Step::Drip(vec![b'x'; 40], ms(900))],
        Code::Cut(200),
    );
    menu.add(
        "drip-body-quickly",
        vec![ten, Step::Drip(vec![b'x'; 40], ms(100))],
        Code::Cut(200),
    );
    menu.add(
        "slow-but-in-time",
        vec![Step::Pause(ms(200)), send(FINE)],
        Code::Plain(200),
    );
    menu.add(
        "slow-inside-margin",
        vec![Step::Pause(ms(750)), send(FINE)],
        Code::Plain(504),
    );
    menu.add(
        "split-head",
        vec![Step::Drip(FINE[..20].into(), ms(5)), send(&FINE[20..])],
        Code::Plain(200),
    );
}

fn redirects(menu: &mut Menu, kitchen: &Kitchen, status_port: u16) {
    let (app, other) = (kitchen.app.port(), kitchen.other.port());
    for code in [301, 302, 303, 307, 308] {
        menu.add(
            &format!("redirect-{code}"),
            redirect(code, "/fine"),
            Code::Plain(200),
        );
        let bare = format!("HTTP/1.1 {code} Go\r\nContent-Length: 0\r\n\r\n");
        menu.says(&format!("redirect-{code}-no-location"), &bare, code);
    }
    for code in [300, 304, 305, 306] {
        menu.add(
            &format!("redirect-{code}-location"),
            redirect(code, "/fine"),
            Code::Plain(code),
        );
    }
    for (name, location, code) in [
        ("to-relative", "fine".into(), 200),
        ("to-dots", "./x/../fine".into(), 200),
        ("to-query", "/fine?a=b&c=%20".into(), 200),
        ("to-fragment", "/fine#part".into(), 200),
        ("to-same-port", format!("http://127.0.0.1:{app}/fine"), 200),
        (
            "to-other-port",
            format!("http://127.0.0.1:{other}/any"),
            200,
        ),
        (
            "to-upper-case-scheme",
            format!("HTTP://127.0.0.1:{other}/any"),
            200,
        ),
        ("to-slashes", format!("//127.0.0.1:{other}/any"), 200),
        ("to-no-path", format!("http://127.0.0.1:{other}"), 200),
        (
            "to-query-only-on-host",
            format!("http://127.0.0.1:{other}?a=b"),
            200,
        ),
        (
            "to-userinfo",
            format!("http://user:word@127.0.0.1:{other}/any"),
            200,
        ),
        ("to-404", "/nowhere".into(), 404),
        ("to-cut-body", "/body-cut-404".into(), 0),
        (
            "to-dead-port",
            format!("http://127.0.0.1:{}/x", kitchen.dead.port),
            502,
        ),
        (
            "to-status-port",
            format!("http://127.0.0.1:{status_port}/app-health/fine/livez-not"),
            502,
        ),
        ("to-never", "/never".into(), 504),
        ("to-https", format!("https://127.0.0.1:{other}/any"), 501),
        ("to-ftp", "ftp://127.0.0.1/x".into(), 502),
        ("to-mailto", "mailto:someone@example.com".into(), 302),
        ("to-other-host", "http://localhost:1/x".into(), 302),
        ("to-other-host-slashes", "//example.invalid/x".into(), 302),
        ("to-other-spelling", format!("http://127.1:{app}/fine"), 302),
        ("to-no-host", "http:///fine".into(), 302),
        ("to-v6-host", format!("http://[::1]:{app}/fine"), 302),
        (
            "to-host-with-userinfo-of-ours",
            "http://127.0.0.1@example.invalid/x".into(),
            302,
        ),
        ("to-nothing", String::new(), 302),
        ("to-bad-port", "http://127.0.0.1:port/x".into(), 502),
        ("to-port-70000", "http://127.0.0.1:70000/x".into(), 502),
        ("to-open-bracket", "http://[::1/x".into(), 502),
        ("to-bad-escape", "/%zz".into(), 502),
        ("to-colon", ":x".into(), 502),
        ("to-bad-scheme", "1http://127.0.0.1/x".into(), 502),
        ("to-blank-in-host", "http://127.0.0.1 /x".into(), 502),
        ("to-control", "/fi\u{1}ne".into(), 502),
        ("to-blanks", "/fine it is".into(), 404),
        ("to-bytes", "/fin\u{e9}".into(), 404),
        ("to-long-path", format!("/{}", "l".repeat(1500)), 404),
    ] {
        menu.add(
            &format!("redirect-{name}"),
            redirect(302, &location),
            Code::Plain(code),
        );
    }
    let two =
        "HTTP/1.1 302 Go\r\nLocation: /fine\r\nLocation: /nowhere\r\nContent-Length: 0\r\n\r\n";
    menu.says("redirect-two-locations", two, 200);
    let odd_case = "HTTP/1.1 302 Go\r\nLOCATION:/fine\r\nContent-Length: 0\r\n\r\n";
    menu.says("redirect-odd-case-location", odd_case, 200);
}

fn redirect_bodies(menu: &mut Menu) {
    let to =
        |location: &str, rest: &str| format!("HTTP/1.1 302 Go\r\nLocation: {location}\r\n{rest}");
    menu.says("redirect-until-close", &to("/fine", "\r\nmoved"), 200);
    menu.says(
        "redirect-cut",
        &to("/fine", "Content-Length: 99\r\n\r\nmov"),
        200,
    );
    menu.says(
        "redirect-bad-chunks",
        &to("/fine", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        200,
    );
    menu.says_and_holds(
        "redirect-stalls",
        &to("/fine", "Content-Length: 99\r\n\r\nmov"),
        Code::Plain(504),
    );
    menu.says_and_holds(
        "redirect-stalls-until-close",
        &to("/fine", "\r\nmov"),
        Code::Plain(504),
    );
    menu.says_and_holds(
        "redirect-long-stalls",
        &to("/fine", "Content-Length: 5000\r\n\r\nmov"),
        Code::Plain(200),
    );
    menu.says_and_holds(
        "redirect-stalls-past-2048",
        &to("/fine", &format!("\r\n{}", "x".repeat(2048))),
        Code::Plain(200),
    );
    let flood = vec![
        send(&to("/fine", "\r\n")),
        Step::Flood(vec![b'x'; 65536], ENDLESS),
    ];
    menu.add("redirect-endless", flood, Code::Plain(200));
    menu.says_cut(
        "redirect-other-host-cut",
        &to("http://localhost:1/", "Content-Length: 99\r\n\r\nmov"),
        302,
    );
    menu.says_cut(
        "redirect-no-location-cut",
        "HTTP/1.1 302 Go\r\nContent-Length: 99\r\n\r\nmov",
        302,
    );
}

fn redirect_chains(menu: &mut Menu) {
    menu.add(
        "redirect-9-times",
        redirect(302, "/hop-8"),
        Code::Plain(200),
    );
    menu.add(
        "redirect-10-times",
        redirect(302, "/hop-9"),
        Code::Plain(502),
    );
    menu.add(
        "redirect-loop",
        redirect(302, "/redirect-loop"),
        Code::Plain(502),
    );
    let other_host = redirect(307, "http://localhost:1/x");
    menu.add(
        "redirect-then-other-host",
        redirect(302, "/redirect-to-other-host"),
        Code::Plain(302),
    );
    menu.add("redirect-other-host-307", other_host, Code::Plain(307));
}
