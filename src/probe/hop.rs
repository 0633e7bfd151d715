//! One request of a probe, and whether and where a redirect leads from it. No I/O.
//!
//! kubelet's URL is `http://<pod IP>:<port><path>`; its client follows a redirect to the same host
//! name (`pkg/probe/http/http.go`: `RedirectChecker`) and composes `Host` and `Referer` as Go does
//! (`net/http/client.go`). The pod's IP is the address kubelet dialled us at.

use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use heapless::{String, Vec};

use super::{Failure, HttpProbe, RedirectSpace};
use crate::limits;
use crate::wire::response::{Location, ResponseHead};
use crate::wire::upstream::UpstreamRequest;
use crate::wire::url::{self, Base, Redirect, Scheme};

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
    /// Length of the request-target in the redirect space; the first stands in the table.
    target: Option<usize>,
    referer: Option<usize>,
    space: RedirectSpace<'a>,
}

/// What follows from a complete head.
pub enum Next {
    /// It is the answer.
    Stay,
    /// The app is to be asked again.
    Follow(Redirect, usize),
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
            target: None,
            referer: None,
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
            let mut text = String::<ADDR_BYTES>::new();
            // An address and a port fit.
            let _ = write!(text, "{}", SocketAddr::new(target, self.port));
            let _ = self.host.extend_from_slice(text.as_bytes());
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
            credentials: None,
        }
    }

    fn request_target(&self) -> &[u8] {
        match self.target {
            None => self.probe.get.request_target.as_bytes(),
            Some(len) => &self.space.target[..len],
        }
    }

    /// What to do about a head that came in answer to this request, `location` being what was kept.
    pub fn next(&mut self, head: &ResponseHead, location: &[u8], own_ports: &[u16]) -> Next {
        // Go follows no other (`net/http/client.go`: `redirectBehavior`), and takes an empty Location
        // for none.
        if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Next::Stay;
        }
        let location = match head.location {
            Location::Absent | Location::Kept(0) => return Next::Stay,
            Location::TooLong => return Next::Fail(Failure::BadRedirect),
            Location::Kept(len) => &location[..len],
        };
        let Some(dialled) = self.probe.client.local_ip() else {
            return Next::Fail(Failure::BadRedirect);
        };
        let name = host_name(dialled);
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
        let mut target = Vec::<u8, { limits::LOCATION_BYTES }>::new();
        match url::resolve(location, &base, &mut target) {
            Err(_) => Next::Fail(Failure::BadRedirect),
            Ok(redirect) if !redirect.same_host => Next::Stay,
            Ok(redirect) if redirect.scheme == Scheme::Https => Next::Fail(Failure::NotBuilt),
            Ok(redirect) if own_ports.contains(&redirect.port) => {
                Next::Fail(Failure::RedirectToSelf)
            }
            Ok(redirect) => {
                self.space.next_target[..target.len()].copy_from_slice(&target);
                Next::Follow(redirect, target.len())
            }
        }
    }

    /// Goes on to where a redirect leads.
    pub fn advance(&mut self, redirect: Redirect, target_len: usize) {
        let Some(dialled) = self.probe.client.local_ip() else {
            return;
        };
        self.referer = self.write_referer(dialled);
        self.port = redirect.port;
        self.port_given = redirect.port_given;
        core::mem::swap(&mut self.space.target, &mut self.space.next_target);
        self.target = Some(target_len);
        // A Host of the prober's own survives a relative redirect only.
        if !redirect.was_absolute
            && let Some(host) = self.own_host(dialled)
        {
            self.whole_host = Some(host);
            return;
        }
        self.whole_host = None;
        self.host.clear();
        let mut text = String::<ADDR_BYTES>::new();
        // An address and a port fit.
        let _ = write_authority(&mut text, dialled, self.port_given.then_some(self.port));
        let _ = self.host.extend_from_slice(text.as_bytes());
    }

    /// A `Host` that is not merely the address kubelet dialled.
    fn own_host(&self, dialled: IpAddr) -> Option<&'a [u8]> {
        if let Some(host) = &self.probe.get.host {
            return Some(host.as_bytes());
        }
        let came = self.probe.head.host(self.probe.bytes)?;
        let mut ours = String::<ADDR_BYTES>::new();
        let _ = write_authority(&mut ours, dialled, Some(self.probe.status_port));
        (came != ours.as_bytes()).then_some(came)
    }

    /// The URL of this request, unless it is too long to keep.
    fn write_referer(&mut self, dialled: IpAddr) -> Option<usize> {
        let mut text = String::<{ ADDR_BYTES + 8 }>::new();
        let _ = text.push_str("http://");
        let _ = write_authority(&mut text, dialled, self.port_given.then_some(self.port));
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

fn write_authority(text: &mut impl Write, ip: IpAddr, port: Option<u16>) -> core::fmt::Result {
    match (ip, port) {
        (ip, Some(port)) => write!(text, "{}", SocketAddr::new(ip, port)),
        (IpAddr::V6(ip), None) => write!(text, "[{ip}]"),
        (IpAddr::V4(ip), None) => write!(text, "{ip}"),
    }
}
