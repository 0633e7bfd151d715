//! Errors in the arguments of `check`: the argument, and what to write instead.

use core::fmt;

use super::synthetic_request::USER_AGENT_BYTES;
use crate::config::ConfigError;
use crate::limits;
use crate::probe::TlsSettingError;
use crate::text::{Quoted, Redacted};

/// An error in the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgsError {
    /// An argument has a value that is not valid.
    Value {
        /// The rule it breaks.
        fault: Fault,
        /// The URL or the value as given. For a header only its name, as its value may be a secret.
        value: Box<str>,
    },
    /// The client certificate cannot be used, for the same reasons as the agent's.
    Tls(TlsSettingError),
    /// A client certificate in a build without TLS.
    NoTls(ConfigError),
}

/// The rule that an argument breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A URL has no scheme.
    NoScheme,
    /// A URL that cannot be parsed.
    InvalidUrl,
    /// An unknown scheme.
    Scheme,
    /// A name or password in a URL.
    User,
    /// A URL has no host.
    NoHost,
    /// A host that is neither a name nor an address.
    Host,
    /// A URL has no port and its scheme no default; a valid example.
    NoPort(&'static str),
    /// An invalid port.
    Port,
    /// A path of a TCP URL.
    TcpPath,
    /// An invalid name of a gRPC service.
    Service,
    /// An invalid time.
    Timeout,
    /// A header without a colon.
    HeaderColon,
    /// A header's name that is not a token (RFC 9110 section 5.6.2).
    HeaderName,
    /// A control character in a header's value.
    HeaderValue,
    /// A `User-Agent` that makes the request head longer than the agent accepts.
    LongUserAgent,
    /// A header of a probe that is not HTTP.
    HeaderWithoutHttp,
    /// A client certificate without TLS.
    PlainCert,
    /// A client's key without TLS.
    PlainKey,
    /// A key without its certificate.
    NoCert,
    /// A certificate without its key.
    NoKey,
}

impl Fault {
    /// The error for this value.
    pub(super) fn error(self, value: &str) -> ArgsError {
        let value = value.into();
        ArgsError::Value { fault: self, value }
    }

    /// Whether the value is a part of a header. Its `@` does not end a password.
    fn is_header_fault(self) -> bool {
        matches!(
            self,
            Fault::HeaderColon
                | Fault::HeaderName
                | Fault::HeaderValue
                | Fault::LongUserAgent
                | Fault::HeaderWithoutHttp
        )
    }

    /// The text before the value, unless the text does not repeat the value.
    fn subject(self) -> Option<&'static str> {
        match self {
            Fault::NoScheme
            | Fault::InvalidUrl
            | Fault::Scheme
            | Fault::User
            | Fault::NoHost
            | Fault::Host
            | Fault::NoPort(_)
            | Fault::Port
            | Fault::TcpPath
            | Fault::Service => Some("the URL is "),
            Fault::Timeout => Some("--timeout is "),
            Fault::HeaderColon => Some("-H is "),
            Fault::HeaderName
            | Fault::HeaderValue
            | Fault::LongUserAgent
            | Fault::HeaderWithoutHttp => Some("-H names the header "),
            Fault::PlainCert | Fault::PlainKey | Fault::NoCert | Fault::NoKey => None,
        }
    }

    /// Writes the text after the value: what is wrong, and what to write.
    fn write_rule(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Fault::NoCert => "--key requires --cert",
            Fault::NoKey => "--cert requires --key",
            Fault::PlainCert => "--cert requires an https:// or grpcs:// URL",
            Fault::PlainKey => "--key requires an https:// or grpcs:// URL",
            Fault::NoScheme => {
                "but must begin with http://, https://, tcp://, grpc:// or grpcs://: \
                 write one such as http://10.0.0.7:8080/healthz"
            }
            Fault::InvalidUrl => {
                "which is not a URL: write one such as http://10.0.0.7:8080/healthz"
            }
            Fault::Scheme => "but its scheme must be one of http, https, tcp, grpc, grpcs",
            Fault::User => {
                "but it must not contain a name or password: write -H 'Authorization: Basic ...'"
            }
            Fault::NoHost => "but has no host: write one such as http://10.0.0.7:8080/healthz",
            Fault::Host => {
                "but its host must be a name, an IPv4 address, or an IPv6 address in brackets, \
                 without a zone: write one such as tcp://[::1]:8080"
            }
            Fault::NoPort(example) => {
                return write!(f, "but has no port: write one such as {example}");
            }
            Fault::Port => "but its port must be a number from 1 to 65535: write one such as 8080",
            Fault::TcpPath => {
                "but a TCP connection has no path: write http:// instead of tcp://, or remove everything after the port"
            }
            Fault::Service => {
                "but its path must be the name of one registered service: \
                 write one such as grpc://10.0.0.7:9090/my.package.Service"
            }
            Fault::Timeout => {
                let most = limits::PROBE_TIMEOUT_MAX.as_secs();
                return write!(
                    f,
                    "but must be seconds, more than 0 and at most {most}: write a number such as 2.5"
                );
            }
            Fault::HeaderColon => {
                "but must be a name and a value: write one such as 'Host: example.org'"
            }
            Fault::HeaderName => {
                "but its name must not contain spaces, quotes or separators: \
                 write one such as 'X-Probe: liveness'"
            }
            Fault::HeaderValue => {
                "but its value has a line break or another control character: write it on one line"
            }
            Fault::LongUserAgent => {
                return write!(
                    f,
                    "but its value is too long: write at most {USER_AGENT_BYTES} bytes"
                );
            }
            Fault::HeaderWithoutHttp => {
                "but only http and https requests have headers: leave it out"
            }
        };
        f.write_str(text)
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, value) = match self {
            ArgsError::Value { fault, value } => (fault, value),
            ArgsError::Tls(error) => return error.fmt(f),
            ArgsError::NoTls(error) => return error.fmt(f),
        };
        if let Some(subject) = fault.subject() {
            match fault.is_header_fault() {
                true => write!(f, "{subject}{}, ", Quoted(value)),
                false => write!(f, "{subject}{}, ", Redacted(value)),
            }?;
        }
        fault.write_rule(f)
    }
}

impl core::error::Error for ArgsError {}
