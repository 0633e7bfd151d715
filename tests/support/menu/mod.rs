//! The menu of misbehaviour: what the fake app does, and the code the agent must make of it.
//! kubelet's verdict is not written here: it is asked.

mod bodies;
pub mod grpc;
mod heads;
pub mod http2;
mod redirects;
mod statuses;
mod timing;
pub mod tls;

use super::certs::Identity;
use super::fake_app::{FakeApp, Script, Step};
use super::line::Security;
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
    /// The same over HTTPS.
    Https(u16),
    /// The same with `protocol: HTTP2`.
    Http2(u16),
    /// `grpc` of this port; a service that is missing is written as null.
    Grpc(u16, Option<&'static str>, Mode),
    /// `tcpSocket` of this port.
    Tcp(u16),
}

/// `mode` of a `grpc` probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None is written: plaintext.
    Plaintext,
    /// `TLS`.
    Tls,
}

impl Aim {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Aim::Http(port) | Aim::Https(port) | Aim::Http2(port) => port,
            Aim::Tcp(port) | Aim::Grpc(port, ..) => port,
        }
    }
}

impl Dish {
    /// One without a script: another peer plays it.
    pub fn aimed(name: &str, aim: Aim, code: Code) -> Self {
        Self {
            name: name.into(),
            script: Vec::new(),
            code,
            aim,
            seconds: 1,
            judged: true,
        }
    }

    /// The path of the status port that probes it.
    pub fn status_path(&self) -> String {
        format!("/app-health/{}/livez", self.name)
    }

    /// Its path on the app.
    pub fn app_path(&self) -> String {
        format!("/{}", self.name)
    }

    /// What the table of probers says of it.
    pub fn prober(&self) -> String {
        let get = |port, more: &str| {
            let path = self.app_path();
            format!(r#""httpGet":{{"path":"{path}","port":{port}{more}}}"#)
        };
        let action = match self.aim {
            Aim::Http(port) => get(port, ""),
            Aim::Https(port) => get(port, r#","scheme":"HTTPS""#),
            Aim::Http2(port) => get(port, r#","protocol":"HTTP2""#),
            Aim::Tcp(port) => format!(r#""tcpSocket":{{"port":{port}}}"#),
            Aim::Grpc(port, service, mode) => {
                let service = service.map_or("null".into(), |name| format!("\"{name}\""));
                let mode = match mode {
                    Mode::Plaintext => "",
                    Mode::Tls => r#","mode":"TLS""#,
                };
                format!(r#""grpc":{{"port":{port},"service":{service}{mode}}}"#)
            }
        };
        format!(r#"{{{action},"timeoutSeconds":{}}}"#, self.seconds)
    }
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
    /// kubelet's own verdict is always the same, so that it can be compared.
    pub judged: bool,
}

/// The places that dishes speak of.
#[derive(Debug)]
pub struct Kitchen {
    /// Plays the scripts.
    pub app: FakeApp,
    /// Another app on the same host: answers everything with 200.
    pub other: FakeApp,
    /// Whether these two speak TLS.
    pub is_secure: bool,
    /// One more such app, which speaks TLS where they do not, and the other way round.
    pub across: FakeApp,
    /// Refuses.
    pub dead: Reserved,
    /// Neither accepts nor refuses.
    pub deaf: Deaf,
    /// Resets a moment after accepting.
    pub resetting: Resetting,
    /// Resets in the moment of accepting.
    pub resetting_at_once: Resetting,
}

impl Kitchen {
    /// Opens all places.
    pub fn open() -> Self {
        Self::open_with(None)
    }

    /// The same behind TLS, with these protocols offered by ALPN.
    pub fn secure(alpn: &[&str]) -> Self {
        Self::open_with(Identity::self_signed().security(alpn, None))
    }

    fn open_with(security: Security) -> Self {
        let across = match security {
            Some(_) => None,
            None => Identity::self_signed().security(&[], None),
        };
        let is_secure = security.is_some();
        let app = FakeApp::secure(security.clone());
        let (other, across) = (FakeApp::secure(security), FakeApp::secure(across));
        for other in [&other, &across] {
            other.otherwise(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"));
        }
        let (dead, deaf) = (reserve(), deaf());
        let resetting_at_once = resetting(Duration::ZERO);
        let resetting = resetting(Duration::from_millis(200));
        Self {
            app,
            other,
            is_secure,
            across,
            dead,
            deaf,
            resetting,
            resetting_at_once,
        }
    }

    /// How the apps are asked.
    fn aim(&self, port: u16) -> Aim {
        if self.is_secure {
            Aim::Https(port)
        } else {
            Aim::Http(port)
        }
    }

    /// The menu; `status_port` is the agent's own, which one redirect aims at.
    pub fn menu(&self, status_port: u16) -> Vec<Dish> {
        let mut menu = Menu {
            aim: self.aim(self.app.port()),
            dishes: Vec::new(),
        };
        statuses::add_to(&mut menu);
        bodies::add_to(&mut menu);
        heads::add_to(&mut menu);
        timing::add_to(&mut menu);
        redirects::add_to(&mut menu, self, status_port);
        self.connections(&mut menu);
        menu.dishes
    }

    /// Teaches the app the scripts of some dishes.
    pub fn serve(&self, dishes: &[Dish]) {
        for dish in dishes {
            self.app.on(&dish.app_path(), dish.script.clone());
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
        menu.aimed("http-refused", self.aim(dead), 502);
        menu.aimed("http-backlog-full", self.aim(deaf), 504);
        let resetting = self.aim(self.resetting.port);
        menu.aimed("http-reset-after-accept", resetting, 502);
        menu.aimed("tcp-live", Aim::Tcp(self.other.port()), 200);
        menu.aimed("tcp-refused", Aim::Tcp(dead), 502);
        menu.aimed("tcp-backlog-full", Aim::Tcp(deaf), 504);
        menu.aimed("tcp-reset-after-accept", Aim::Tcp(self.resetting.port), 200);
        let at_once = self.resetting_at_once.port;
        menu.aimed("http-reset-at-once", self.aim(at_once), 502);
        menu.aimed("tcp-reset-at-once", Aim::Tcp(at_once), 200);
        // kubelet reads the result of its connect after the reset or before it.
        menu.last().judged = false;
    }
}

/// A healthy answer.
pub const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// The end of time for a flood: more than any probe reads.
const ENDLESS: u64 = u64::MAX;

struct Menu {
    aim: Aim,
    dishes: Vec<Dish>,
}

impl Menu {
    fn add(&mut self, name: &str, script: Script, code: Code) {
        self.dishes.push(Dish {
            script,
            ..Dish::aimed(name, self.aim, code)
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
        self.dishes.push(Dish::aimed(name, aim, Code::Plain(code)));
    }

    /// The dish added last.
    fn last(&mut self) -> &mut Dish {
        self.dishes.last_mut().expect("one was added")
    }

    /// The dish added last has more time: it moves megabytes.
    fn takes_longer(&mut self) {
        self.last().seconds = 8;
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
