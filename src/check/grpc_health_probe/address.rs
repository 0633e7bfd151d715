//! `-addr`: a target of grpc-go (`grpc.DialContext`), with the resolvers that it has by default.

use core::net::IpAddr;

use rustix::net::SocketAddrUnix;

use super::super::plan::DialTarget;

/// The port of `dns:` without one (`resolver/dns`: `defaultPort`).
const DNS_DEFAULT_PORT: u16 = 443;

/// A parsed `-addr`.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) dial: DialTarget,
    pub(super) port: u16,
    /// The host of `:authority`, an IPv6 address in brackets.
    pub(super) host: Box<str>,
    /// Whether `:authority` has the port.
    pub(super) has_port: bool,
}

impl Address {
    /// `None` for text that grpc-go cannot connect to.
    pub(super) fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Address::unix(SocketAddrUnix::new(without_authority(path)?).ok()?);
        }
        if let Some(name) = text.strip_prefix("unix-abstract:") {
            let name = without_authority(name)?.as_bytes();
            return Address::unix(SocketAddrUnix::new_abstract_name(name).ok()?);
        }
        match text.strip_prefix("dns:") {
            // `resolver/dns`: "missing address".
            Some(rest) if endpoint(rest).is_empty() => None,
            Some(rest) => Address::tcp(endpoint(rest), Some(DNS_DEFAULT_PORT)),
            None => Address::tcp(
                text.strip_prefix("passthrough:").map_or(text, endpoint),
                None,
            ),
        }
    }

    fn unix(address: SocketAddrUnix) -> Option<Address> {
        Some(Address {
            dial: DialTarget::Unix(address),
            port: 0,
            // `internal/resolver/unix`: `OverrideAuthority`.
            host: "localhost".into(),
            has_port: false,
        })
    }

    /// `HOST:PORT`, `[IPv6]:PORT` or `:PORT`.
    fn tcp(text: &str, default_port: Option<u16>) -> Option<Address> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        // Go connects to the loopback address of IPv4 in place of none (`net/sock_posix.go`: `toLocal`).
        let is_unspecified = |ip: IpAddr| ip.is_unspecified();
        let dial = match name.parse().is_ok_and(is_unspecified) || name.is_empty() {
            true => "127.0.0.1",
            false => name,
        };
        Some(Address {
            dial: DialTarget::Host(dial.into()),
            port: port.or(default_port)?,
            host: if host.is_empty() { "localhost" } else { host }.into(),
            // `clientconn.go`: `initAuthority` takes the text as it is.
            has_port: port.is_some(),
        })
    }
}

/// The path of `unix:path` and `unix:///path`; `None` for `unix://authority` (`internal/resolver/unix`).
fn without_authority(text: &str) -> Option<&str> {
    match text.strip_prefix("//") {
        Some(path) => path.starts_with('/').then_some(path),
        None => Some(text),
    }
}

/// The endpoint of `scheme:endpoint` and `scheme://authority/endpoint`.
fn endpoint(text: &str) -> &str {
    match text.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, endpoint)| endpoint),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_where_grpc_go_connects() {
        for (text, dial, port, authority) in [
            (":50051", "127.0.0.1", 50051, "localhost"),
            ("0.0.0.0:1", "127.0.0.1", 1, "0.0.0.0"),
            ("[::]:1", "127.0.0.1", 1, "[::]"),
            ("localhost:8080", "localhost", 8080, "localhost"),
            ("[::1]:8080", "::1", 8080, "[::1]"),
            ("dns:///a.example", "a.example", 443, "a.example"),
            ("dns:a.example:1", "a.example", 1, "a.example"),
            ("passthrough:///a.example:1", "a.example", 1, "a.example"),
        ] {
            let address = Address::parse(text).expect(text);
            let DialTarget::Host(host) = address.dial else {
                panic!("{text}");
            };
            assert_eq!((&*host, address.port), (dial, port), "{text}");
            let has_port = text != "dns:///a.example";
            assert_eq!((&*address.host, address.has_port), (authority, has_port));
        }
        for text in [
            "a",
            "a:b",
            "a:65536",
            "::1:80",
            "[::1",
            "[::1]",
            "dns:",
            "dns:///",
            "dns://8.8.8.8",
            "a:",
        ] {
            assert!(Address::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_has_the_authority_localhost() {
        for (text, path) in [
            ("unix:///run/app.sock", "/run/app.sock"),
            ("unix:/run/app.sock", "/run/app.sock"),
            ("unix:app.sock", "app.sock"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!((&*address.host, address.has_port), ("localhost", false));
            let DialTarget::Unix(socket) = address.dial else {
                panic!("{text}");
            };
            let expected = SocketAddrUnix::new(path).expect("a path");
            assert_eq!(socket, expected, "{text}");
        }
        for text in [
            "unix://app.sock",
            "unix://localhost/run/app.sock",
            "unix-abstract://app",
        ] {
            assert!(Address::parse(text).is_none(), "{text}");
        }
        let name = Address::parse("unix-abstract:app").expect("a name");
        assert!(
            matches!(name.dial, DialTarget::Unix(socket) if socket.abstract_name() == Some(b"app"))
        );
    }
}
