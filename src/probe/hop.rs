//! One request of a probe, and whether and where a redirect leads from it. No I/O.
//!
//! kubelet's URL is `<scheme>://<pod IP>:<port><path>`; its client follows a redirect to the same host
//! name (`pkg/probe/http/http.go`: `RedirectChecker`) and composes `Host` and `Referer` as Go does
//! (`net/http/client.go`). The pod's IP is the address kubelet dialled us at.

use core::net::IpAddr;
use std::time::Instant;

use super::dialled::{AddrText, Authority, UrlHost};
use super::{Failure, HttpProbe, RedirectSpace};
use crate::config::Protocol;
use crate::limits;
use crate::net::Alpn;
use crate::wire::response::{Location, ResponseHead};
use crate::wire::upstream::UpstreamRequest;
use crate::wire::url::{self, Base, Redirect, Scheme, User};

/// One request on its way to the app.
pub struct Hop<'a> {
    probe: &'a HttpProbe<'a>,
    /// Whether this request goes over TLS.
    pub scheme: Scheme,
    /// The port this request goes to.
    pub port: u16,
    port_given: bool,
    /// What is sent as `Host`.
    host: Authority<'a>,
    /// `Host` is one of the prober's own, as far as Go remembers it.
    own_host: bool,
    /// `Authorization` of the prober stays behind.
    drops_authorization: bool,
    /// Redirects followed so far.
    redirects: u8,
    /// How often a request was sent again.
    retries: u8,
    /// Length of the request-target in the redirect space; the first stands in the table.
    target: Option<usize>,
    referer: Option<usize>,
    credentials: Option<usize>,
    space: RedirectSpace<'a>,
}

/// What follows from a complete head.
pub enum Next {
    /// It is the answer.
    Stay,
    /// The app is to be asked again.
    Follow(Redirect),
    /// kubelet would fail the probe here.
    Fail(Failure),
}

impl<'a> Hop<'a> {
    /// The first request of a probe of the app at `target`.
    pub fn first(probe: &'a HttpProbe<'a>, target: IpAddr, space: RedirectSpace<'a>) -> Hop<'a> {
        let mut hop = Hop {
            probe,
            scheme: probe.get.scheme,
            port: probe.get.port,
            port_given: true,
            host: Authority::whole(b""),
            own_host: true,
            drops_authorization: false,
            redirects: 0,
            retries: 0,
            target: None,
            referer: None,
            credentials: None,
            space,
        };
        hop.begin(target);
        hop
    }

    /// Goes to where the probe begins.
    fn begin(&mut self, target: IpAddr) {
        self.port = self.probe.get.port;
        self.port_given = self.probe.dialled.port_given();
        self.own_host = true;
        (self.redirects, self.retries) = (0, 0);
        (self.target, self.referer, self.credentials) = (None, None, None);
        self.set_first_host(target);
    }

    /// Whether no more redirects are followed.
    pub fn is_last(&self) -> bool {
        self.redirects == limits::REDIRECT_REQUESTS
    }

    /// Whether the same request may be sent once more.
    pub fn retry(&mut self) -> bool {
        self.retries += 1;
        self.retries <= limits::HTTP2_RETRIES
    }

    /// Begins again in plaintext: a hook whose app turned out to have no TLS is run so, once, and without
    /// what is for the app's eyes only (`pkg/kubelet/lifecycle/handlers.go`: `runHTTPHandler`).
    pub fn fall_back(&mut self, target: IpAddr) -> bool {
        if !self.probe.is_hook || self.drops_authorization {
            return false;
        }
        self.drops_authorization = true;
        self.scheme = Scheme::Http;
        self.begin(target);
        true
    }

    /// The table's `Host`, else the one that came in, with the app's port for ours: with no `Host`
    /// configured, kubelet sends the address and port that it dials.
    fn set_first_host(&mut self, target: IpAddr) {
        let probe = self.probe;
        let own = probe.get.host.as_deref().map(str::as_bytes);
        let came = probe.head.host(probe.bytes);
        self.host = match (own, came) {
            (Some(host), _) => Authority::whole(host),
            (None, Some(host)) => match self.less_our_port(host) {
                Some(name) => Authority::named(name, self.port),
                None => Authority::whole(host),
            },
            (None, None) => {
                self.own_host = false;
                self.authority(probe.dialled.first_host(target))
            }
        };
    }

    /// The name in a `Host` that names our port.
    fn less_our_port(&self, host: &'a [u8]) -> Option<&'a [u8]> {
        let ours = Authority::named(b"", self.probe.dialled.status_port()?);
        let [_, ours] = ours.pieces();
        host.strip_suffix(ours)
    }

    /// The request as it is sent.
    pub fn request(&self) -> UpstreamRequest<'_> {
        UpstreamRequest {
            head: self.probe.head,
            buf: self.probe.bytes,
            request_target: self.request_target(),
            host: self.host.pieces(),
            headers: &self.probe.get.headers,
            drops_authorization: self.drops_authorization,
            referer: self.referer.map(|len| &self.space.referer[..len]),
            credentials: self.credentials.map(|len| &self.space.credentials[..len]),
        }
    }

    fn request_target(&self) -> &[u8] {
        target(self.probe, self.target, self.space.target)
    }

    /// What to do about a head that came in answer to this request, `location` being what was kept.
    pub fn after(&mut self, head: &ResponseHead, location: &[u8], own_ports: &[u16]) -> Next {
        // Go follows no other (`net/http/client.go`: `redirectBehavior`), and takes an empty Location
        // for none.
        if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Next::Stay;
        }
        if matches!(head.location, Location::Absent | Location::Kept(0)) {
            return Next::Stay;
        }
        let Some(dialled) = self.probe.dialled.host() else {
            return Next::Fail(Failure::BadRedirect);
        };
        let mut text = AddrText::new();
        let name = dialled.name(&mut text);
        let location = match head.location {
            Location::Kept(len) => &location[..len],
            _ if url::leads_away(location, name) => return Next::Stay,
            _ => return Next::Fail(Failure::BadRedirect),
        };
        let base = Base {
            scheme: self.scheme,
            host: name,
            port: self.port,
            port_given: self.port_given,
            request_target: target(self.probe, self.target, self.space.target),
        };
        match url::resolve(location, &base, self.space.next_target) {
            Err(_) => Next::Fail(Failure::BadRedirect),
            Ok((redirect, _)) if !redirect.same_host => Next::Stay,
            // kubelet's transport for these has no TLS settings: it would verify the certificate.
            Ok((
                Redirect {
                    scheme: Scheme::Https,
                    ..
                },
                _,
            )) if self.is_cleartext_http2() => Next::Fail(Failure::BadRedirect),
            Ok((redirect, _)) if own_ports.contains(&redirect.port) => {
                Next::Fail(Failure::RedirectToSelf)
            }
            Ok((redirect, user)) => {
                self.set_user(user);
                Next::Follow(redirect)
            }
        }
    }

    /// When the answer is due, however many requests it takes.
    pub fn deadline(&self) -> Option<Instant> {
        self.probe.deadline
    }

    /// What a TLS handshake offers: kubelet's client for hooks has no ALPN.
    pub fn tls(&self) -> (Option<&'a str>, Alpn) {
        let alpn = match self.probe.is_hook {
            true => Alpn::Nothing,
            false => Alpn::Http,
        };
        (self.probe.dialled.server_name(), alpn)
    }

    /// HTTP/2 without TLS, which nobody negotiates. kubelet's client for hooks has never heard of it.
    pub fn is_cleartext_http2(&self) -> bool {
        self.probe.get.protocol == Protocol::Http2 && !self.probe.is_hook
    }

    /// Keeps the user of the next request's URL; this request has gone out.
    fn set_user(&mut self, user: User<'_>) {
        self.credentials = match user {
            User::Kept => self.credentials,
            User::Nobody => None,
            // It fits where a whole Location does.
            User::Named(user) => url::credentials(user, self.space.credentials),
        };
    }

    /// Goes on to where a redirect leads.
    pub fn advance(&mut self, redirect: Redirect) {
        let Some(dialled) = self.probe.dialled.host() else {
            return;
        };
        let of_url = self.authority(dialled);
        // Nothing of a request over TLS goes into one in plaintext.
        let is_downgrade = (self.scheme, redirect.scheme) == (Scheme::Https, Scheme::Http);
        self.referer = match is_downgrade {
            true => None,
            false => self.write_referer(&of_url),
        };
        // Go tells a Host of the prober's own by its not being the URL's, keeps it through redirects without a
        // scheme, and has forgotten it after the first other one.
        self.own_host &= !redirect.was_absolute && !self.host.is(&of_url);
        self.redirects += 1;
        self.scheme = redirect.scheme;
        self.port = redirect.port;
        self.port_given = redirect.port_given;
        core::mem::swap(&mut self.space.target, &mut self.space.next_target);
        self.target = Some(redirect.target_len);
        if !self.own_host {
            self.host = self.authority(dialled);
        }
    }

    /// Host and port of this request's URL.
    fn authority(&self, host: UrlHost<'a>) -> Authority<'a> {
        host.authority(self.port, self.port_given)
    }

    /// The URL of this request, unless it is too long to keep.
    fn write_referer(&mut self, of_url: &Authority<'_>) -> Option<usize> {
        let [name, port] = of_url.pieces();
        let target = target(self.probe, self.target, self.space.target);
        let mut len = 0;
        for piece in [self.scheme.as_str().as_bytes(), b"://", name, port, target] {
            let end = len + piece.len();
            self.space.referer.get_mut(len..end)?.copy_from_slice(piece);
            len = end;
        }
        Some(len)
    }
}

/// The request-target: the table's at first, then what a redirect left. Apart from the rest of a hop, which
/// is written to while this is read.
fn target<'t>(probe: &'t HttpProbe<'_>, kept: Option<usize>, space: &'t [u8]) -> &'t [u8] {
    match kept {
        None => probe.get.request_target.as_bytes(),
        Some(len) => &space[..len],
    }
}
