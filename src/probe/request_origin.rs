//! The URL that a probe was requested at: redirects are compared with its host, and `Host` and `Referer` name it.

use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use heapless::String;

use crate::net::Socket;
use crate::wire::upstream::Method;

/// Bytes of an IP address with brackets and port.
const ADDR_BYTES: usize = 64;

/// The URL that the prober requested: host and port.
#[derive(Clone, Copy)]
pub enum RequestOrigin<'a> {
    /// kubelet sent the request to the status port.
    StatusPort {
        /// The connection of the request. Its local address is read only when it is needed.
        client: &'a Socket,
        /// The status port.
        status_port: u16,
    },
    /// A URL of the command line. By reference, because each slot stores this enum.
    Url(&'a UrlAuthority<'a>),
}

/// Host and port of a URL of the command line.
pub struct UrlAuthority<'a> {
    /// The host; an IPv6 address is in brackets.
    pub host: &'a str,
    /// Whether the URL names a port.
    pub has_port: bool,
    /// The server name of TLS handshakes, if it is not the host.
    pub server_name: Option<&'a str>,
    /// The method of HTTP.
    pub method: Method,
}

impl<'a> RequestOrigin<'a> {
    /// The status port, if the request was sent to it.
    pub(super) fn status_port(self) -> Option<u16> {
        match self {
            RequestOrigin::StatusPort { status_port, .. } => Some(status_port),
            RequestOrigin::Url(_) => None,
        }
    }

    /// The method of the request.
    pub(super) fn method(self) -> Method {
        match self {
            RequestOrigin::StatusPort { .. } => Method::Get,
            RequestOrigin::Url(url) => url.method,
        }
    }

    /// Whether the URL names a port; kubelet's does.
    pub(super) fn has_port(self) -> bool {
        match self {
            RequestOrigin::StatusPort { .. } => true,
            RequestOrigin::Url(url) => url.has_port,
        }
    }

    /// The URL's host; `None` if the connection is gone.
    pub(super) fn host(self) -> Option<UrlHost<'a>> {
        match self {
            RequestOrigin::StatusPort { client, .. } => client.local_ip().map(UrlHost::Ip),
            RequestOrigin::Url(url) => Some(UrlHost::Name(url.host)),
        }
    }

    /// The server name of a TLS handshake. An address is not sent as SNI (RFC 6066 section 3), but the certificate
    /// may be compared with it.
    pub(super) fn server_name(self) -> Option<&'a str> {
        match self {
            RequestOrigin::StatusPort { .. } => None,
            RequestOrigin::Url(url) => {
                let host = url.host.trim_matches(['[', ']']);
                Some(url.server_name.unwrap_or(host))
            }
        }
    }

    /// The host of the first request to an app at `target`.
    pub(super) fn first_host(self, target: IpAddr) -> UrlHost<'a> {
        match self {
            RequestOrigin::StatusPort { .. } => UrlHost::Ip(target),
            RequestOrigin::Url(url) => UrlHost::Name(url.host),
        }
    }
}

/// The host of a URL.
#[derive(Clone, Copy)]
pub(super) enum UrlHost<'a> {
    /// An address.
    Ip(IpAddr),
    /// A name, or an address as the URL has it, with brackets.
    Name(&'a str),
}

impl<'a> UrlHost<'a> {
    /// The host without brackets (`net/url`: `Hostname`); an address is written into `text`.
    pub(super) fn name<'t>(self, text: &'t mut AddrText) -> &'t [u8]
    where
        'a: 't,
    {
        match self {
            UrlHost::Ip(ip) => {
                // An address fits.
                let _ = write!(text, "{ip}");
                text.as_bytes()
            }
            UrlHost::Name(name) => name.trim_matches(['[', ']']).as_bytes(),
        }
    }

    /// Host and port as in a URL, the port if it is `given`.
    pub(super) fn authority(self, port: u16, given: bool) -> Authority<'a> {
        let mut text = AddrText::new();
        // An address and a port fit.
        let _ = match (self, given) {
            (UrlHost::Name(host), true) => return Authority::named(host.as_bytes(), port),
            (UrlHost::Name(host), false) => return Authority::whole(host.as_bytes()),
            (UrlHost::Ip(ip), true) => write!(text, "{}", SocketAddr::new(ip, port)),
            (UrlHost::Ip(IpAddr::V6(ip)), false) => write!(text, "[{ip}]"),
            (UrlHost::Ip(IpAddr::V4(ip)), false) => write!(text, "{ip}"),
        };
        Authority { name: b"", text }
    }
}

/// Text of an address with or without a port.
pub(super) type AddrText = String<ADDR_BYTES>;

/// Host and port: a borrowed name, and text written after it.
pub(super) struct Authority<'a> {
    name: &'a [u8],
    text: AddrText,
}

impl<'a> Authority<'a> {
    /// Host and port as they are.
    pub(super) fn whole(name: &'a [u8]) -> Authority<'a> {
        let text = AddrText::new();
        Authority { name, text }
    }

    /// This name followed by this port.
    pub(super) fn named(name: &'a [u8], port: u16) -> Authority<'a> {
        let mut text = AddrText::new();
        // Each probe needs this, and `core::fmt` is much code to load into a cache. A colon and five digits fit.
        let _ = text.push(':');
        let mut unit = 10_000;
        while unit > 0 {
            let rest = port / unit;
            if rest > 0 || unit == 1 {
                let _ = text.push(char::from(b'0' + (rest % 10) as u8));
            }
            unit /= 10;
        }
        Authority { name, text }
    }

    /// Both pieces.
    pub(super) fn pieces(&self) -> [&[u8]; 2] {
        [self.name, self.text.as_bytes()]
    }

    /// Whether both have the same text.
    pub(super) fn equals(&self, other: &Authority<'_>) -> bool {
        let (ours, others) = (self.pieces(), other.pieces());
        ours.iter()
            .copied()
            .flatten()
            .eq(others.iter().copied().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(host: UrlHost<'_>, given: bool) -> (std::string::String, std::string::String) {
        let authority = host.authority(80, given).pieces().concat();
        let mut text = AddrText::new();
        let name = host.name(&mut text).to_vec();
        let text = |bytes| std::string::String::from_utf8(bytes).expect("ASCII");
        (text(authority), text(name))
    }

    #[test]
    fn a_host_has_brackets_and_a_port_where_a_url_has_them() {
        let ip = |text: &str| UrlHost::Ip(text.parse().expect("an address"));
        for (host, with_port, without, name) in [
            (ip("10.0.0.7"), "10.0.0.7:80", "10.0.0.7", "10.0.0.7"),
            (ip("::1"), "[::1]:80", "[::1]", "::1"),
            (UrlHost::Name("a.b"), "a.b:80", "a.b", "a.b"),
            (UrlHost::Name("[::1]"), "[::1]:80", "[::1]", "::1"),
        ] {
            assert_eq!(written(host, true), (with_port.into(), name.into()));
            assert_eq!(written(host, false), (without.into(), name.into()));
        }
    }

    #[test]
    fn a_port_is_written_in_decimal() {
        for port in 0..=u16::MAX {
            let expected = format!(":{port}");
            assert_eq!(Authority::named(b"", port).pieces()[1], expected.as_bytes());
        }
    }

    #[test]
    fn two_authorities_are_compared_across_their_pieces() {
        let named = Authority::named(b"a", 80);
        assert!(named.equals(&Authority::whole(b"a:80")));
        assert!(!named.equals(&Authority::whole(b"a")));
        assert!(!named.equals(&Authority::whole(b"a:800")));
    }
}
