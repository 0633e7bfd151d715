//! The host of a probe's URL: what redirects are held against, and what `Host` and `Referer` name.

use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};

use heapless::String;

use crate::net::Socket;

/// Bytes of an IP address with brackets and port.
const ADDR_BYTES: usize = 64;

/// Where whoever wants the probe dialled: host and port of its first URL.
#[derive(Clone, Copy)]
pub enum Dialled<'a> {
    /// kubelet dialled us.
    Us {
        /// The connection it came in on. The kernel is asked for its address only when that is wanted.
        client: &'a Socket,
        /// The port it came in on.
        status_port: u16,
    },
    /// A person typed a URL. By reference: a slot pays for each byte of this.
    Url(&'a UrlAuthority<'a>),
}

/// Host and port of a URL that a person typed.
pub struct UrlAuthority<'a> {
    /// The host as it stands there, an IPv6 address in brackets.
    pub host: &'a str,
    /// Whether the port stands there.
    pub port_given: bool,
}

impl<'a> Dialled<'a> {
    /// The status port, when it is that which was dialled.
    pub(super) fn status_port(self) -> Option<u16> {
        match self {
            Dialled::Us { status_port, .. } => Some(status_port),
            Dialled::Url(_) => None,
        }
    }

    /// Whether the URL names the port; kubelet's does.
    pub(super) fn port_given(self) -> bool {
        match self {
            Dialled::Us { .. } => true,
            Dialled::Url(url) => url.port_given,
        }
    }

    /// The URL's host, if the kernel still knows the connection.
    pub(super) fn host(self) -> Option<UrlHost<'a>> {
        match self {
            Dialled::Us { client, .. } => client.local_ip().map(UrlHost::Ip),
            Dialled::Url(url) => Some(UrlHost::Name(url.host)),
        }
    }

    /// The name that a TLS handshake asks for (SNI, RFC 6066 section 3); an address is none.
    pub(super) fn server_name(self) -> Option<&'a str> {
        match self {
            Dialled::Us { .. } => None,
            Dialled::Url(url) => Some(url.host).filter(|host| {
                let bare = host.trim_matches(['[', ']']);
                bare.parse::<IpAddr>().is_err()
            }),
        }
    }

    /// The host that the first request goes to, the app being at `target`.
    pub(super) fn first_host(self, target: IpAddr) -> UrlHost<'a> {
        match self {
            Dialled::Us { .. } => UrlHost::Ip(target),
            Dialled::Url(url) => UrlHost::Name(url.host),
        }
    }
}

/// The host of a URL.
#[derive(Clone, Copy)]
pub(super) enum UrlHost<'a> {
    /// An address.
    Ip(IpAddr),
    /// A name, or an address as it was written, with its brackets.
    Name(&'a str),
}

impl<'a> UrlHost<'a> {
    /// Without brackets (`net/url`: `Hostname`); an address is written into `text`.
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

    /// Host and port as they stand in a URL, the port if it is `given`.
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

/// An address, with a port or without.
pub(super) type AddrText = String<ADDR_BYTES>;

/// Host and port: what stands elsewhere already, and after it what does not.
pub(super) struct Authority<'a> {
    name: &'a [u8],
    text: AddrText,
}

impl<'a> Authority<'a> {
    /// This, as it came or as the table has it.
    pub(super) fn whole(name: &'a [u8]) -> Authority<'a> {
        let text = AddrText::new();
        Authority { name, text }
    }

    /// This name, and this port after it.
    pub(super) fn named(name: &'a [u8], port: u16) -> Authority<'a> {
        let mut text = AddrText::new();
        // A colon and five digits fit.
        let _ = write!(text, ":{port}");
        Authority { name, text }
    }

    /// Both pieces.
    pub(super) fn pieces(&self) -> [&[u8]; 2] {
        [self.name, self.text.as_bytes()]
    }

    /// Whether both say the same.
    pub(super) fn is(&self, other: &Authority<'_>) -> bool {
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

    fn shown(host: UrlHost<'_>, given: bool) -> (std::string::String, std::string::String) {
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
            assert_eq!(shown(host, true), (with_port.into(), name.into()));
            assert_eq!(shown(host, false), (without.into(), name.into()));
        }
    }

    #[test]
    fn two_authorities_are_compared_across_their_pieces() {
        let named = Authority::named(b"a", 80);
        assert!(named.is(&Authority::whole(b"a:80")));
        assert!(!named.is(&Authority::whole(b"a")));
        assert!(!named.is(&Authority::whole(b"a:800")));
    }
}
