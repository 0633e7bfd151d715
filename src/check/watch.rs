//! What a probe has come to and when, and with `--verbose` a line on standard error for each step.

use core::cell::Cell;
use core::fmt::Display;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io::{self, Write};
use std::time::Instant;

use super::failure_context::Security;
use crate::probe::{Event, Observer};
use crate::telemetry::{Quoted, Redacted};
use crate::wire::health::GrpcCode;
use crate::wire::upstream::UpstreamRequest;
use crate::wire::window::Window;

/// A point on a probe's way. After a redirect those of the last request count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The name has addresses.
    Resolved,
    /// The connection stands.
    Connected,
    /// TLS stands on it.
    Secured,
    /// The first byte of the head came.
    FirstByte,
    /// The probe is over.
    Done,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 5] = [
        Phase::Resolved,
        Phase::Connected,
        Phase::Secured,
        Phase::FirstByte,
        Phase::Done,
    ];

    /// The word for it in the result's line.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Resolved => "DNS",
            Phase::Connected => "connect",
            Phase::Secured => "TLS",
            Phase::FirstByte => "first byte",
            Phase::Done => "done",
        }
    }

    /// The member for it in the result's JSON.
    pub fn member(self) -> &'static str {
        match self {
            Phase::Resolved => "dns_ms",
            Phase::Connected => "connect_ms",
            Phase::Secured => "tls_ms",
            Phase::FirstByte => "first_byte_ms",
            Phase::Done => "done_ms",
        }
    }
}

/// Watches one probe.
pub struct Watch {
    start: Instant,
    verbose: bool,
    times: [Cell<Option<Duration>>; Phase::ALL.len()],
    address: Cell<Option<SocketAddr>>,
    has_connected: Cell<bool>,
    security: Cell<Security>,
    redirects: Cell<u32>,
}

impl Watch {
    /// From now on.
    pub fn new(verbose: bool) -> Watch {
        Watch {
            start: Instant::now(),
            verbose,
            times: Default::default(),
            address: Cell::new(None),
            has_connected: Cell::new(false),
            security: Cell::new(Security::Plaintext),
            redirects: Cell::new(0),
        }
    }

    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// From the start to this point, if it came so far.
    pub fn time(&self, phase: Phase) -> Option<Duration> {
        self.times[phase as usize].get()
    }

    /// What was dialled last.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    /// Whether any connection stood.
    pub fn has_connected(&self) -> bool {
        self.has_connected.get()
    }

    /// How far TLS came on the connection that was dialled last.
    pub fn security(&self) -> Security {
        self.security.get()
    }

    /// Redirects followed.
    pub fn redirects(&self) -> u32 {
        self.redirects.get()
    }

    /// This point is reached; the first time counts.
    pub fn reached(&self, phase: Phase) {
        let time = &self.times[phase as usize];
        time.set(time.get().or_else(|| Some(self.start.elapsed())));
    }

    /// Tells what a name stands for.
    pub fn tell_addresses(&self, name: &str, addresses: &[IpAddr]) {
        for address in addresses {
            self.tell(format_args!("* {name} is {address}"));
        }
    }

    /// Tells the status of a gRPC call that failed.
    pub fn tell_grpc_code(&self, code: GrpcCode) {
        self.tell(format_args!("* gRPC status {code}"));
    }

    fn tell(&self, text: impl Display) {
        if self.verbose {
            // A reader that went away has no use for the rest.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn tell_request(&self, request: UpstreamRequest<'_>) {
        if !self.verbose {
            return;
        }
        let mut size = Window::new(&mut [], 0);
        request.write(&mut size);
        let mut bytes = vec![0; size.total()];
        request.write(&mut Window::new(&mut bytes, 0));
        let text = String::from_utf8_lossy(&bytes);
        for line in text.trim_end().lines() {
            let (line, stars) = less_secrets(line);
            self.tell(format_args!("> {line}{stars}"));
        }
    }
}

impl Observer for Watch {
    fn on(&self, event: Event<'_>) {
        match event {
            Event::Dialling(address) => {
                self.address.set(Some(address));
                self.security.set(Security::Plaintext);
                for phase in [Phase::Connected, Phase::Secured, Phase::FirstByte] {
                    self.times[phase as usize].set(None);
                }
                self.tell(format_args!("* dialling {address}"));
            }
            Event::Connected => {
                self.has_connected.set(true);
                self.reached(Phase::Connected);
                self.tell("* connected");
            }
            Event::HandshakeBegun => self.security.set(Security::Begun),
            Event::Secured(stream) => {
                self.security.set(Security::Secured);
                self.reached(Phase::Secured);
                let [version, suite] = stream.version_and_suite().map(Option::unwrap_or_default);
                let alpn = String::from_utf8_lossy(stream.alpn().unwrap_or(b"none"));
                self.tell(format_args!("* {version}, {suite}, ALPN {alpn}"));
            }
            Event::Sending(request) => self.tell_request(request),
            Event::FirstByte => self.reached(Phase::FirstByte),
            Event::Redirected { status, location } => {
                self.redirects.set(self.redirects.get() + 1);
                let location = String::from_utf8_lossy(location);
                match has_user(&location) {
                    true => self.tell(format_args!("* {status} leads to {}", Redacted(&location))),
                    false => self.tell(format_args!("* {status} leads to {}", Quoted(&location))),
                }
            }
        }
    }
}

/// A line of a request as it may be shown to all who read a pod's events: without the value of a field that
/// is there to be a secret, and stars in its place.
fn less_secrets(line: &str) -> (&str, &'static str) {
    const SECRET: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];
    match line.split_once(':') {
        Some((name, _)) if SECRET.contains(&name) => (name, ": ***"),
        _ => (line, ""),
    }
}

/// Whether a URL or a reference names a user: an `@` in a path is none.
fn has_user(location: &str) -> bool {
    let authority = location.split_once("//").unwrap_or_default().1;
    let authority = authority.split(['/', '?', '#']).next();
    authority.unwrap_or_default().contains('@')
}
