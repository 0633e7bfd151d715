//! One HTTP request of a probe, and the request that a redirect leads to. No I/O.
//!
//! kubelet's URL is `<scheme>://<pod IP>:<port><path>`; its client follows a redirect to the same host
//! name (`pkg/probe/http/http.go`: `RedirectChecker`) and composes `Host` and `Referer` as Go does
//! (`net/http/client.go`). The pod's IP is the local address of kubelet's connection.

use core::net::SocketAddr;
use std::time::Instant;

use super::Failure;
use super::http_probe::{HttpProbe, RedirectSpace};
use super::request_origin::{AddrText, Authority, UrlHost};
use crate::config::Protocol;
use crate::limits;
use crate::net::{Curves, TlsConnectOptions, TlsPurpose};
use crate::wire::response::{Location, ResponseHead};
use crate::wire::upstream::{Method, UpstreamRequest};
use crate::wire::url::{self, Base, Redirect, Resolved, Scheme, UserInfo};

/// One request to the app.
pub struct RequestAttempt<'a> {
    probe: &'a HttpProbe<'a>,
    /// Whether this request goes over TLS.
    pub scheme: Scheme,
    /// The port this request goes to.
    pub port: u16,
    has_port: bool,
    /// The value of `Host`.
    host: Authority<'a>,
    /// Whether `host` is the prober's or kubelet's, rather than derived from the URL of this request. `advance` clears
    /// it when both are equal.
    has_given_host: bool,
    /// Whether a hook was restarted in plaintext, which happens once. The prober's `Authorization` is then left out.
    is_plaintext_restart: bool,
    /// Redirects followed so far.
    redirects: u8,
    /// How often the request was retried.
    retries: u8,
    /// Length of the request-target in the redirect space; `None` for the first request, which the prober defines.
    target_len: Option<usize>,
    referer_len: Option<usize>,
    credentials_len: Option<usize>,
    space: RedirectSpace<'a>,
}

/// The next step after a complete response head.
pub enum NextStep {
    /// The response is final.
    Finish,
    /// The redirect is followed.
    Follow(Redirect),
    /// kubelet would fail the probe here.
    Fail(Failure),
}

impl<'a> RequestAttempt<'a> {
    /// The first request of a probe.
    pub fn first(probe: &'a HttpProbe<'a>, space: RedirectSpace<'a>) -> RequestAttempt<'a> {
        let mut attempt = RequestAttempt {
            probe,
            scheme: probe.http_get.scheme,
            port: probe.http_get.port,
            has_port: true,
            host: Authority::whole(b""),
            has_given_host: true,
            is_plaintext_restart: false,
            redirects: 0,
            retries: 0,
            target_len: None,
            referer_len: None,
            credentials_len: None,
            space,
        };
        attempt.reset();
        attempt
    }

    /// Resets to the probe's first URL.
    fn reset(&mut self) {
        self.port = self.probe.http_get.port;
        self.has_port = self.probe.origin.has_port();
        self.has_given_host = true;
        (self.redirects, self.retries) = (0, 0);
        (self.target_len, self.referer_len, self.credentials_len) = (None, None, None);
        self.set_first_host();
    }

    /// Whether kubelet follows fewer redirects than led to this request: it is not sent.
    pub fn exceeds_redirect_limit(&self) -> bool {
        self.redirects == limits::REDIRECT_REQUESTS
    }

    /// Whether a retry is left.
    pub fn may_retry(&self) -> bool {
        self.retries < limits::H2_RETRIES
    }

    /// Counts a retry of the request.
    pub fn count_retry(&mut self) {
        self.retries += 1;
    }

    /// Whether the probe may be restarted in plaintext.
    pub fn may_restart_in_plaintext(&self) -> bool {
        self.probe.is_hook && !self.is_plaintext_restart
    }

    /// Restarts the probe in plaintext, without `Authorization`: kubelet runs a hook this way, once, when the app turns
    /// out to have no TLS (`pkg/kubelet/lifecycle/handlers.go`: `runHTTPHandler`).
    pub fn restart_in_plaintext(&mut self) {
        self.is_plaintext_restart = true;
        self.scheme = Scheme::Http;
        self.reset();
    }

    /// Sets `Host` to the prober's, or else to the incoming one with the app's port in place of the status port:
    /// without a configured `Host`, kubelet sends the address and port that it connects to.
    fn set_first_host(&mut self) {
        let probe = self.probe;
        let configured = probe.http_get.host.as_deref().map(str::as_bytes);
        let incoming = probe.head.host(probe.buf);
        self.host = match (configured, incoming) {
            (Some(host), _) => Authority::whole(host),
            (None, Some(host)) => match self.without_status_port(host) {
                Some(name) => Authority::named(name, self.port),
                None => Authority::whole(host),
            },
            (None, None) => {
                self.has_given_host = false;
                self.authority(probe.origin.first_host(probe.target))
            }
        };
    }

    /// The name in a `Host` that ends with the status port.
    fn without_status_port(&self, host: &'a [u8]) -> Option<&'a [u8]> {
        let suffix = Authority::named(b"", self.probe.origin.status_port()?);
        let [_, suffix] = suffix.pieces();
        host.strip_suffix(suffix)
    }

    /// The request to send.
    pub fn request(&self) -> UpstreamRequest<'_> {
        UpstreamRequest {
            head: self.probe.head,
            buf: self.probe.buf,
            method: self.probe.origin.method(),
            request_target: self.request_target(),
            host: self.host.pieces(),
            headers: &self.probe.http_get.headers,
            keeps_authorization: !self.is_plaintext_restart,
            referer: self.referer_len.map(|len| &self.space.referer[..len]),
            credentials: self
                .credentials_len
                .map(|len| &self.space.credentials[..len]),
        }
    }

    fn request_target(&self) -> &[u8] {
        saved_or_configured_target(self.probe, self.target_len, self.space.request_target)
    }

    /// Determines the step after a response head to this request, and saves the request-target and the credentials of a
    /// redirect: until `advance`, no request may be written. `location` is the memory of its `Location`, and `is_own`
    /// returns whether an address and port are probelet's.
    pub fn resolve_next_step(
        &mut self,
        head: &ResponseHead,
        location: &[u8],
        is_own: impl FnOnce(SocketAddr) -> bool,
    ) -> NextStep {
        if !self.probe.http_get.follows_redirects {
            return NextStep::Finish;
        }
        // Go follows no other code (`net/http/client.go`: `redirectBehavior`), and ignores an empty Location.
        if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return NextStep::Finish;
        }
        if matches!(head.location, Location::Absent | Location::Stored(0)) {
            return NextStep::Finish;
        }
        if matches!(self.probe.origin.method(), Method::Options | Method::Post) {
            return NextStep::Finish;
        }
        let Some(origin) = self.probe.origin.host() else {
            return NextStep::Fail(Failure::BadRedirect);
        };
        let mut text = AddrText::new();
        let name = origin.name(&mut text);
        let location = match head.location {
            Location::Stored(len) => &location[..len],
            _ if url::leads_to_other_host(location, name) => return NextStep::Finish,
            _ => return NextStep::Fail(Failure::BadRedirect),
        };
        let base = Base {
            scheme: self.scheme,
            host: name,
            port: self.port,
            has_port: self.has_port,
            request_target: saved_or_configured_target(
                self.probe,
                self.target_len,
                self.space.request_target,
            ),
        };
        let (redirect, user) =
            match url::resolve_location(location, &base, self.space.next_request_target) {
                Err(_) => return NextStep::Fail(Failure::BadRedirect),
                Ok(Resolved::OtherHost) => return NextStep::Finish,
                Ok(Resolved::SameHost { redirect, user }) => (redirect, user),
            };
        // kubelet's transport for HTTP/2 without TLS would verify the certificate.
        if redirect.scheme == Scheme::Https && self.is_cleartext_http2() {
            return NextStep::Fail(Failure::BadRedirect);
        }
        if is_own(SocketAddr::new(self.probe.target, redirect.port)) {
            return NextStep::Fail(Failure::RedirectToSelf);
        }
        self.save_credentials(user);
        NextStep::Follow(redirect)
    }

    /// Deadline of the outcome, over all requests.
    pub fn deadline(&self) -> Option<Instant> {
        self.probe.deadline
    }

    /// Whether the response has no body (RFC 9110 section 9.3.2).
    pub fn has_no_body(&self) -> bool {
        self.probe.origin.method() == Method::Head
    }

    /// The address and port that this request goes to.
    pub fn app(&self) -> SocketAddr {
        SocketAddr::new(self.probe.target, self.port)
    }

    /// The options of a TLS connection for this request.
    pub fn tls_options(&self) -> TlsConnectOptions<'a> {
        TlsConnectOptions {
            port: self.port,
            server_name: self.probe.origin.server_name(),
            purpose: match self.probe.is_hook {
                true => TlsPurpose::Hook,
                false => TlsPurpose::HttpProbe,
            },
            curves: Curves::Default,
        }
    }

    /// Whether the request is sent by HTTP/2 over plaintext with prior knowledge. kubelet's client for hooks does not
    /// support it.
    pub fn is_cleartext_http2(&self) -> bool {
        self.probe.http_get.protocol == Protocol::Http2 && !self.probe.is_hook
    }

    /// Saves the credentials of the next request's URL.
    fn save_credentials(&mut self, user: UserInfo<'_>) {
        self.credentials_len = match user {
            UserInfo::Inherited => self.credentials_len,
            UserInfo::None => None,
            // Credentials are no longer than the `Location` that has them, so they fit.
            UserInfo::Given(user) => url::decode_credentials(user, self.space.credentials),
        };
    }

    /// Advances to the request that a redirect leads to.
    pub fn advance(&mut self, redirect: Redirect) {
        let Some(origin) = self.probe.origin.host() else {
            return;
        };
        let of_url = self.authority(origin);
        // A request in plaintext does not name the URL of one over TLS.
        let is_downgrade = (self.scheme, redirect.scheme) == (Scheme::Https, Scheme::Http);
        self.referer_len = match is_downgrade {
            true => None,
            false => self.write_referer(&of_url),
        };
        // Go keeps a Host that differs from the URL's through redirects without a scheme, and drops it at the first
        // redirect with one.
        self.has_given_host &= !redirect.was_absolute && !self.host.equals(&of_url);
        self.redirects += 1;
        self.scheme = redirect.scheme;
        self.port = redirect.port;
        self.has_port = redirect.has_port;
        core::mem::swap(
            &mut self.space.request_target,
            &mut self.space.next_request_target,
        );
        self.target_len = Some(redirect.target_len);
        if !self.has_given_host {
            self.host = self.authority(origin);
        }
    }

    /// Host and port of this request's URL.
    fn authority(&self, host: UrlHost<'a>) -> Authority<'a> {
        host.authority(self.port, self.has_port)
    }

    /// Writes the URL of this request. Returns its length, or `None` if it does not fit.
    fn write_referer(&mut self, of_url: &Authority<'_>) -> Option<usize> {
        let [name, port] = of_url.pieces();
        let target =
            saved_or_configured_target(self.probe, self.target_len, self.space.request_target);
        let mut len = 0;
        for piece in [self.scheme.as_str().as_bytes(), b"://", name, port, target] {
            let end = len + piece.len();
            self.space.referer.get_mut(len..end)?.copy_from_slice(piece);
            len = end;
        }
        Some(len)
    }
}

/// The request-target of the prober, or the saved one of a redirect. Not a method: other fields are borrowed
/// mutably meanwhile.
fn saved_or_configured_target<'t>(
    probe: &'t HttpProbe<'_>,
    saved_len: Option<usize>,
    space: &'t [u8],
) -> &'t [u8] {
    match saved_len {
        None => probe.http_get.request_target.as_bytes(),
        Some(len) => &space[..len],
    }
}
