//! Observes a probe: when it reaches each phase, and with `--verbose` a line on standard error for each step.

use core::cell::Cell;
use core::fmt::Display;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use super::failure_context::TlsState;
use super::output::{DeadlineOutput, write_line};
use super::plan::{DialTarget, Plan};
use crate::probe::{Event, Observer};
use crate::text::{EscapedLine, Quoted, Redacted};
use crate::wire::health::GrpcCode;
use crate::wire::output_slice::OutputSlice;
use crate::wire::upstream::UpstreamRequest;

/// A phase of a probe. After a redirect, those of the last request count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The name has addresses.
    Resolved,
    /// The connection is established.
    Connected,
    /// The TLS handshake is finished.
    TlsHandshakeDone,
    /// The first byte of the head arrived.
    FirstByte,
    /// The probe is over.
    Done,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Phase; 5] = [
        Phase::Resolved,
        Phase::Connected,
        Phase::TlsHandshakeDone,
        Phase::FirstByte,
        Phase::Done,
    ];

    /// Its label in the line of the result.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Resolved => "DNS",
            Phase::Connected => "connect",
            Phase::TlsHandshakeDone => "TLS",
            Phase::FirstByte => "first byte",
            Phase::Done => "done",
        }
    }

    /// Its member in the JSON of the result.
    pub fn member(self) -> &'static str {
        match self {
            Phase::Resolved => "dns_ms",
            Phase::Connected => "connect_ms",
            Phase::TlsHandshakeDone => "tls_ms",
            Phase::FirstByte => "first_byte_ms",
            Phase::Done => "done_ms",
        }
    }
}

/// Observes one probe.
pub struct Watch {
    start: Instant,
    /// When standard error is no longer waited for.
    until: Instant,
    is_verbose: bool,
    /// The URL of a UNIX socket.
    unix: Option<Box<str>>,
    times: [Cell<Option<Duration>>; Phase::ALL.len()],
    address: Cell<Option<SocketAddr>>,
    has_connected: Cell<bool>,
    /// The event after which a request can be sent, and its time.
    ready_event: ReadyEvent,
    ready_at: Cell<Option<Instant>>,
    health_status: Cell<Option<i32>>,
    tls_state: Cell<TlsState>,
    redirects: Cell<u32>,
}

/// The event after which a request can be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadyEvent {
    Connected,
    TlsHandshakeDone,
    Http2Ready,
}

impl Watch {
    /// Starts the clock.
    pub fn new(plan: &Plan) -> Watch {
        let start = Instant::now();
        Watch {
            start,
            until: start + plan.timeout,
            is_verbose: plan.is_verbose,
            unix: match &plan.dial {
                DialTarget::Host(_) => None,
                DialTarget::Unix(_) => Some(plan.url.clone()),
            },
            ready_event: match (plan.is_grpc(), plan.is_tls()) {
                (true, _) => ReadyEvent::Http2Ready,
                (false, true) => ReadyEvent::TlsHandshakeDone,
                (false, false) => ReadyEvent::Connected,
            },
            ready_at: Cell::new(None),
            health_status: Cell::new(None),
            times: Default::default(),
            address: Cell::new(None),
            has_connected: Cell::new(false),
            tls_state: Cell::new(TlsState::Plaintext),
            redirects: Cell::new(0),
        }
    }

    /// When the clock started.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The time from the start to this phase, if it was reached.
    pub fn time(&self, phase: Phase) -> Option<Duration> {
        self.times[phase as usize].get()
    }

    /// The last address that was dialled.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    /// Whether any connection was established.
    pub fn has_connected(&self) -> bool {
        self.has_connected.get()
    }

    /// When a request could be sent for the first time.
    pub fn ready_at(&self) -> Option<Instant> {
        self.ready_at.get()
    }

    /// The status that the health service reported (`HealthCheckResponse.ServingStatus`).
    pub fn health_status(&self) -> Option<i32> {
        self.health_status.get()
    }

    /// The state of TLS on the last connection.
    pub fn tls_state(&self) -> TlsState {
        self.tls_state.get()
    }

    /// The number of redirects that were followed.
    pub fn redirects(&self) -> u32 {
        self.redirects.get()
    }

    fn on_ready_event(&self, event: ReadyEvent) {
        if event == self.ready_event {
            let at = self.ready_at.get();
            self.ready_at.set(at.or_else(|| Some(Instant::now())));
        }
    }

    /// Records the time of this phase, once.
    pub fn record(&self, phase: Phase) {
        let time = &self.times[phase as usize];
        time.set(time.get().or_else(|| Some(self.start.elapsed())));
    }

    /// Prints the addresses of a name.
    pub fn print_addresses(&self, name: &str, addresses: &[IpAddr]) {
        for address in addresses {
            self.print(format_args!("* {name} resolves to {address}"));
        }
    }

    /// Records an attempt to connect to one of several addresses.
    pub fn on_attempt(&self, address: SocketAddr) {
        self.address.set(Some(address));
        self.print(format_args!("* trying {address}"));
    }

    /// Prints the status of a gRPC call that failed.
    pub fn print_grpc_code(&self, code: GrpcCode) {
        self.print(format_args!("* gRPC status {code}"));
    }

    fn print(&self, text: impl Display) {
        if self.is_verbose {
            write_line(&mut DeadlineOutput::stderr(self.until), EscapedLine(text));
        }
    }

    fn print_request(&self, request: UpstreamRequest<'_>) {
        if !self.is_verbose {
            return;
        }
        let mut size = OutputSlice::new(&mut [], 0);
        request.write(&mut size);
        let mut bytes = vec![0; size.output_len()];
        request.write(&mut OutputSlice::new(&mut bytes, 0));
        let text = String::from_utf8_lossy(&bytes);
        for line in text.trim_end().lines() {
            let (line, stars) = redact_secrets(line);
            self.print(format_args!("> {line}{stars}"));
        }
    }
}

impl Observer for Watch {
    fn on_event(&self, event: Event<'_>) {
        match event {
            Event::Connecting(address) => {
                self.address.set(self.unix.is_none().then_some(address));
                self.tls_state.set(TlsState::Plaintext);
                for phase in [Phase::Connected, Phase::TlsHandshakeDone, Phase::FirstByte] {
                    self.times[phase as usize].set(None);
                }
                match &self.unix {
                    None => self.print(format_args!("* connecting to {address}")),
                    Some(url) => self.print(format_args!("* connecting to {url}")),
                }
            }
            Event::Connected => {
                self.has_connected.set(true);
                self.record(Phase::Connected);
                self.on_ready_event(ReadyEvent::Connected);
                self.print("* connected");
            }
            Event::TlsHandshakeStarted => self.tls_state.set(TlsState::Handshaking),
            Event::TlsHandshakeDone(stream) => {
                self.tls_state.set(TlsState::Established);
                self.record(Phase::TlsHandshakeDone);
                self.on_ready_event(ReadyEvent::TlsHandshakeDone);
                let version = stream.version().unwrap_or_default();
                let suite = stream.cipher_suite().unwrap_or_default();
                let alpn = String::from_utf8_lossy(stream.alpn().unwrap_or(b"none"));
                self.print(format_args!("* {version}, {suite}, ALPN {alpn}"));
            }
            Event::Http2Ready => self.on_ready_event(ReadyEvent::Http2Ready),
            Event::HealthStatus(status) => self.health_status.set(Some(status)),
            Event::RequestStarted(request) => self.print_request(request),
            Event::ResponseStarted => self.record(Phase::FirstByte),
            Event::RedirectFollowed { status, location } => {
                self.redirects.set(self.redirects.get() + 1);
                let location = String::from_utf8_lossy(location);
                match has_user(&location) {
                    true => self.print(format_args!(
                        "* {status} redirects to {}",
                        Redacted(&location)
                    )),
                    false => self.print(format_args!(
                        "* {status} redirects to {}",
                        Quoted(&location)
                    )),
                }
            }
        }
    }
}

/// A line of a request, with `***` in place of a secret value: the output of an exec probe becomes a pod event.
fn redact_secrets(line: &str) -> (&str, &'static str) {
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
