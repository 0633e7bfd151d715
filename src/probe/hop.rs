//! One request of a probe, and whether and where a redirect leads from it. No I/O.
//!
//! kubelet's URL is `http://<pod IP>:<port><path>`; its client follows a redirect to the same host
//! name (`pkg/probe/http/http.go`: `RedirectChecker`) and composes `Host` and `Referer` as Go does
//! (`net/http/client.go`). The pod's IP is the address kubelet dialled us at.

use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use heapless::{String, Vec};

use super::{Failure, HttpProbe, RedirectSpace};
use crate::wire::response::{Location, ResponseHead};
use crate::wire::upstream::UpstreamRequest;
use crate::wire::url::{self, Base, Redirect, Scheme, User};

/// Bytes of a `Host` that is put together here: a DNS name and a port.
const HOST_BYTES: usize = 253 + 6;

/// Bytes of an IP address with brackets and port.
const ADDR_BYTES: usize = 64;

/// One request on its way to the app.
pub struct Hop<'a> {
    probe: &'a HttpProbe<'a>,
    /// The port this request goes to.
    pub port: u16,
    port_given: bool,
    /// What is sent as `Host`.
    host: Vec<u8, HOST_BYTES>,
    /// `Host` as it came or as the table has it, when `host` does not stand for it.
    whole_host: Option<&'a [u8]>,
    /// `Host` is one of the prober's own, as far as Go remembers it.
    own_host: bool,
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
            port: probe.get.port,
            port_given: true,
            host: Vec::new(),
            whole_host: None,
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
        let came = self.probe.head.host(self.probe.bytes);
        if let Some(host) = &self.probe.get.host {
            self.whole_host = Some(host.as_bytes());
        } else if let Some(name) = came.and_then(|host| self.name_at_status_port(host)) {
            let port = app_port(self.port);
            if self.host.extend_from_slice(name).is_err()
                || self.host.extend_from_slice(port.as_bytes()).is_err()
            {
                self.whole_host = came;
            }
        } else if came.is_some() {
            self.whole_host = came;
        } else {
            self.own_host = false;
            self.set_host(target);
        }
    }

    fn name_at_status_port<'h>(&self, host: &'h [u8]) -> Option<&'h [u8]> {
        let ours = app_port(self.probe.status_port);
        host.strip_suffix(ours.as_bytes())
    }

    /// The request as it is sent.
    pub fn request(&self) -> UpstreamRequest<'_> {
        UpstreamRequest {
            head: self.probe.head,
            buf: self.probe.bytes,
            request_target: self.request_target(),
            host: self.whole_host.unwrap_or(&self.host),
            headers: &self.probe.get.headers,
            referer: self.referer.map(|len| &self.space.referer[..len]),
            credentials: self.credentials.map(|len| &self.space.credentials[..len]),
        }
    }

    fn request_target(&self) -> &[u8] {
        match self.target {
            None => self.probe.get.request_target.as_bytes(),
            Some(len) => &self.space.target[..len],
        }
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
            request_target: match self.target {
                None => self.probe.get.request_target.as_bytes(),
                Some(len) => &self.space.target[..len],
            },
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
        let sent = self.whole_host.unwrap_or(&self.host);
        self.own_host &= !redirect.was_absolute && sent != self.authority(dialled).as_bytes();
        self.port = redirect.port;
        self.port_given = redirect.port_given;
        core::mem::swap(&mut self.space.target, &mut self.space.next_target);
        self.target = Some(redirect.target_len);
        if !self.own_host {
            self.set_host(dialled);
        }
    }

    /// Makes `Host` that of the URL.
    fn set_host(&mut self, ip: IpAddr) {
        let authority = self.authority(ip);
        self.whole_host = None;
        self.host.clear();
        // It is longer than an address and a port.
        let _ = self.host.extend_from_slice(authority.as_bytes());
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
        let target = match self.target {
            None => self.probe.get.request_target.as_bytes(),
            Some(len) => &self.space.target[..len],
        };
        let len = text.len() + target.len();
        let (authority, path) = self.space.referer.get_mut(..len)?.split_at_mut(text.len());
        authority.copy_from_slice(text.as_bytes());
        path.copy_from_slice(target);
        Some(len)
    }
}

/// `:8001`
fn app_port(port: u16) -> String<6> {
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
