//! Errors in the arguments of `check`: which argument, and what to write.

use core::fmt;

use super::synthetic_request::AGENT_BYTES;
use crate::config::ConfigError;
use crate::limits;
use crate::probe::TlsSettingError;
use crate::telemetry::{Quoted, Redacted};

/// An error in the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgsError {
    /// An argument has a value that is not valid.
    Value {
        /// The rule it breaks.
        fault: Fault,
        /// The URL or the value as it was given; of a header its name, as its value may be a secret.
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
    NoUrl,
    /// An unknown scheme.
    Scheme,
    /// A name or password in a URL.
    User,
    /// A URL has no host.
    NoHost,
    /// A host that is neither a name nor an address.
    Host,
    /// A URL has no port where there is no default; one that has.
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
    /// A header's name that is no token.
    HeaderName,
    /// A control character in a header's value.
    HeaderValue,
    /// A `User-Agent` that makes the request head longer than the agent accepts.
    LongAgent,
    /// A header of a probe that is not HTTP.
    HeaderOfNoHttp,
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
    pub(super) fn of(self, value: &str) -> ArgsError {
        let value = value.into();
        ArgsError::Value { fault: self, value }
    }

    /// Whether the value is a header, in which an `@` is nothing special.
    fn is_of_header(self) -> bool {
        self.subject().starts_with("-H")
    }

    /// The beginning of the text.
    fn subject(self) -> &'static str {
        match self {
            Fault::Timeout => "--timeout is ",
            Fault::HeaderColon => "-H is ",
            Fault::HeaderName | Fault::HeaderValue | Fault::LongAgent | Fault::HeaderOfNoHttp => {
                "-H is for "
            }
            Fault::PlainCert | Fault::NoKey => "--cert is ",
            Fault::PlainKey | Fault::NoCert => "--key is ",
            _ => "the URL is ",
        }
    }

    /// The rest of the text: what is wrong, and what to write.
    fn text(self) -> &'static str {
        match self {
            Fault::NoCert => "--key requires --cert",
            Fault::NoKey => "--cert requires --key",
            Fault::NoScheme => {
                "but must begin with http://, https://, tcp://, grpc:// or grpcs://: \
                 write one such as http://10.0.0.7:8080/healthz"
            }
            Fault::NoUrl => "which is no URL: write one such as http://10.0.0.7:8080/healthz",
            Fault::Scheme => "but its scheme must be one of http, https, tcp, grpc, grpcs",
            Fault::User => {
                "but it must not contain a name or password: write -H 'Authorization: Basic ...'"
            }
            Fault::NoHost => "but names no host: write one such as http://10.0.0.7:8080/healthz",
            Fault::Host => {
                "but its host must be a name, an IPv4 address, or an IPv6 address in brackets, \
                 without a zone: write one such as tcp://[::1]:8080"
            }
            Fault::NoPort(_) => "but names no port",
            Fault::Port => "but its port must be a number from 1 to 65535: write one such as 8080",
            Fault::TcpPath => {
                "but a TCP connection has no path: write http:// before it, or nothing after the port"
            }
            Fault::Service => {
                "but after the port it may name one service as it is registered: \
                 write one such as grpc://10.0.0.7:9090/my.package.Service"
            }
            Fault::Timeout => "but must be seconds",
            Fault::HeaderColon => {
                "but must be a name and a value: write one such as 'Host: example.org'"
            }
            Fault::HeaderName => {
                "but its name must be a token: write one such as 'X-Probe: liveness'"
            }
            Fault::HeaderValue => {
                "but its value has a line break or another control character: write it on one line"
            }
            Fault::LongAgent => "but its value is too long",
            Fault::HeaderOfNoHttp => "but only http and https requests have headers: leave it out",
            Fault::PlainCert | Fault::PlainKey => {
                "but a client certificate goes with TLS alone: write https:// or grpcs://"
            }
        }
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, value) = match self {
            ArgsError::Value { fault, value } => (fault, value),
            ArgsError::Tls(error) => return error.fmt(f),
            ArgsError::NoTls(error) => return error.fmt(f),
        };
        if matches!(fault, Fault::NoCert | Fault::NoKey) {
            return f.write_str(fault.text());
        }
        let subject = fault.subject();
        match fault.is_of_header() {
            true => write!(f, "{subject}{}", Quoted(value)),
            false => write!(f, "{subject}{}", Redacted(value)),
        }?;
        write!(f, ", {}", fault.text())?;
        match fault {
            Fault::NoPort(example) => write!(f, ": write one such as {example}"),
            Fault::LongAgent => write!(f, ": write at most {AGENT_BYTES} bytes"),
            Fault::Timeout => {
                let most = limits::PROBE_TIMEOUT_MAX.as_secs();
                write!(
                    f,
                    ", more than 0 and at most {most}: write a number such as 2.5"
                )
            }
            _ => Ok(()),
        }
    }
}

impl core::error::Error for ArgsError {}
