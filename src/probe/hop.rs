//! One request of a probe, and whether and where a redirect leads from it. No I/O.
//!
//! kubelet's URL is `http://<pod IP>:<port><path>`; its client follows a redirect to the same host
//! name (`pkg/probe/http/http.go`: `RedirectChecker`) and composes `Host` and `Referer` as Go does
//! (`net/http/client.go`). The pod's IP is the address kubelet dialled us at.

use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use heapless::String;

use super::{Failure, HttpProbe, RedirectSpace};
use crate::wire::response::{Location, ResponseHead};
use crate::wire::upstream::UpstreamRequest;
use crate::wire::url::{self, Base, Redirect, Scheme, User};

/// Bytes of an IP address with brackets and port.
const ADDR_BYTES: usize = 64;

/// One request on its way to the app.
pub struct Hop<'a> {
    probe: &'a HttpProbe<'a>,
    /// The port this request goes to.
    pub port: u16,
    port_given: bool,
    host: Host<'a>,
    /// What of `Host` stands nowhere else: a port, or an address and a port.
    host_text: String<ADDR_BYTES>,
    /// `Host` is one of the prober's own, as far as Go remembers it.
    own_host: bool,
    /// Length of the request-target in the redirect space; the first stands in the table.
    target: Option<usize>,
    referer: Option<usize>,
    credentials: Option<usize>,
    space: RedirectSpace<'a>,
}

/// What is sent as `Host`.
#[derive(Clone, Copy)]
enum Host<'a> {
    /// This, as it came or as the table has it.
    Whole(&'a [u8]),
    /// This name, and the app's port.
    Named(&'a [u8]),
    /// The address that is dialled, and its port.
    Dialled,
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
            port: probe.get.port,
            port_given: true,
            host: Host::Dialled,
            host_text: String::new(),
            own_host: true,
            target: None,
            referer: None,
            credentials: None,
            space,
        };
        hop.set_first_host(target);
        hop
    }

    /// The table's `Host`, else the one that came in, with the app's port for ours: with no `Host`
    /// configured, kubelet sends the address and port that it dials.
    fn set_first_host(&mut self, target: IpAddr) {
        let probe = self.probe;
        let own = probe.get.host.as_deref().map(str::as_bytes);
        let came = probe.head.host(probe.bytes);
        let ours = app_port(probe.status_port);
        self.host = match (own, came) {
            (Some(host), _) => Host::Whole(host),
            (None, Some(host)) => match host.strip_suffix(ours.as_bytes()) {
                Some(name) => {
                    self.host_text = app_port(self.port);
                    Host::Named(name)
                }
                None => Host::Whole(host),
            },
            (None, None) => {
                self.own_host = false;
                self.host_text = self.authority(target);
                Host::Dialled
            }
        };
    }

    fn host(&self) -> [&[u8]; 2] {
        let text = self.host_text.as_bytes();
        match self.host {
            Host::Whole(host) => [host, b""],
            Host::Named(name) => [name, text],
            Host::Dialled => [text, b""],
        }
    }

    /// The request as it is sent.
    pub fn request(&self) -> UpstreamRequest<'_> {
        UpstreamRequest {
            head: self.probe.head,
            buf: self.probe.bytes,
            request_target: self.request_target(),
            host: self.host(),
            headers: &self.probe.get.headers,
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
        let Some(dialled) = self.probe.client.local_ip() else {
            return Next::Fail(Failure::BadRedirect);
        };
        let name = host_name(dialled);
        let location = match head.location {
            Location::Kept(len) => &location[..len],
            _ if url::leads_away(location, name.as_bytes()) => return Next::Stay,
            _ => return Next::Fail(Failure::BadRedirect),
        };
        let base = Base {
            scheme: Scheme::Http,
            host: name.as_bytes(),
            port: self.port,
            port_given: self.port_given,
            request_target: target(self.probe, self.target, self.space.target),
        };
        match url::resolve(location, &base, self.space.next_target) {
            Err(_) => Next::Fail(Failure::BadRedirect),
            Ok((redirect, _)) if !redirect.same_host => Next::Stay,
            Ok((redirect, _)) if redirect.scheme == Scheme::Https => Next::Fail(Failure::NotBuilt),
            Ok((redirect, _)) if own_ports.contains(&redirect.port) => {
                Next::Fail(Failure::RedirectToSelf)
            }
            Ok((redirect, user)) => {
                self.set_user(user);
                Next::Follow(redirect)
            }
        }
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
        let Some(dialled) = self.probe.client.local_ip() else {
            return;
        };
        self.referer = self.write_referer(dialled);
        // Go tells a Host of the prober's own by its not being the URL's, keeps it through redirects without a
        // scheme, and has forgotten it after the first other one.
        let of_url = self.authority(dialled);
        let is_of_url = self.host().iter().copied().flatten().eq(of_url.as_bytes());
        self.own_host &= !redirect.was_absolute && !is_of_url;
        self.port = redirect.port;
        self.port_given = redirect.port_given;
        core::mem::swap(&mut self.space.target, &mut self.space.next_target);
        self.target = Some(redirect.target_len);
        if !self.own_host {
            self.host_text = self.authority(dialled);
            self.host = Host::Dialled;
        }
    }

    /// Host and port of this request's URL.
    fn authority(&self, ip: IpAddr) -> String<ADDR_BYTES> {
        let mut text = String::new();
        // An address and a port fit.
        let _ = match (ip, self.port_given) {
            (ip, true) => write!(text, "{}", SocketAddr::new(ip, self.port)),
            (IpAddr::V6(ip), false) => write!(text, "[{ip}]"),
            (IpAddr::V4(ip), false) => write!(text, "{ip}"),
        };
        text
    }

    /// The URL of this request, unless it is too long to keep.
    fn write_referer(&mut self, dialled: IpAddr) -> Option<usize> {
        let mut text = String::<{ ADDR_BYTES + 8 }>::new();
        // They fit.
        let _ = write!(text, "http://{}", self.authority(dialled));
        let target = target(self.probe, self.target, self.space.target);
        let len = text.len() + target.len();
        let (authority, path) = self.space.referer.get_mut(..len)?.split_at_mut(text.len());
        authority.copy_from_slice(text.as_bytes());
        path.copy_from_slice(target);
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

/// `:8001`
fn app_port(port: u16) -> String<ADDR_BYTES> {
    let mut text = String::new();
    // A colon and five digits fit.
    let _ = write!(text, ":{port}");
    text
}

/// The address as a URL's host name, which has no brackets (`net/url`: `Hostname`).
fn host_name(ip: IpAddr) -> String<ADDR_BYTES> {
    let mut text = String::new();
    // An address fits.
    let _ = write!(text, "{ip}");
    text
}
