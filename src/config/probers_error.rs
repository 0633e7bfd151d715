//! Errors of the probers' JSON. The text names the key and what to write instead.

use super::json;
use crate::limits;
use crate::text::Quoted;
use core::fmt;

// The text of the rules has these.
const _: () = assert!(limits::EXPECTED_STATUS_ITEMS == 16 && limits::EXPECTED_BODY_BYTES == 255);
const _: () = assert!(limits::PROBE_HANDLERS == 8);

/// Why the probers' JSON is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbersError {
    /// Not JSON.
    Syntax(json::Error),
    /// More than `limits::PROBERS_JSON_BYTES`.
    TooLong {
        /// Its bytes. A file is not read to its end, so its size is unknown.
        bytes: Option<usize>,
    },
    /// JSON, but no object.
    NotATable,
    /// More than `limits::PROBERS`.
    TooMany {
        /// The number of entries.
        count: usize,
    },
    /// One entry is not valid.
    Entry {
        /// The entry's key.
        key: Box<str>,
        /// The error.
        problem: Problem,
    },
}

/// The error of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The key is not one of Istio's paths.
    Path,
    /// The key has bytes that are not valid in a path.
    PathByte,
    /// The key is repeated.
    RepeatedEntry,
    /// A member of the entry is repeated.
    Repeated(&'static str),
    /// A member that no prober has, in one with members that only probelet's have.
    UnknownMember {
        /// The object with it.
        object: &'static str,
        /// Its name.
        member: Box<str>,
        /// The names that the object may have.
        known: &'static [&'static str],
    },
    /// None of httpGet, tcpSocket and grpc.
    NoKind,
    /// Two of httpGet, tcpSocket and grpc, or all.
    ManyKinds,
    /// A lifecycle hook that is not httpGet.
    Hook(&'static str),
    /// A lifecycle hook with a member whose result kubelet would ignore.
    HookMember(&'static str),
    /// A member for httpGet, with tcpSocket or grpc.
    OnlyHttp(&'static str),
    /// A member of the prober in one of its handlers.
    OnlyInProber(&'static str),
    /// A member of a handler beside `all`.
    BesideAll(&'static str),
    /// The error of one of `all`.
    InAll {
        /// Its index.
        index: usize,
        /// The error.
        problem: Box<Problem>,
    },
    /// A port of probelet.
    OwnPort {
        /// The member's name.
        field: &'static str,
        /// The port.
        port: u16,
    },
    /// A port of `--inbound`, behind which the app is.
    InboundPort {
        /// The member's name.
        field: &'static str,
        /// The port.
        port: u16,
        /// The app's port.
        app: u16,
    },
    /// `protocol: HTTP2` with `scheme: HTTPS`.
    Http2OverTls,
    /// A member's value is not valid.
    Value {
        /// The member's name.
        field: &'static str,
        /// The value as it is written, shortened.
        found: Box<str>,
        /// The rule that it breaks.
        rule: Rule,
    },
}

/// A rule of a member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An entry.
    Entry,
    /// httpGet
    HttpGet,
    /// tcpSocket
    TcpSocket,
    /// grpc
    Grpc,
    /// A port.
    Port,
    /// timeoutSeconds
    Timeout,
    /// target
    Target,
    /// redirects
    Redirects,
    /// expect
    Expect,
    /// expect.status
    ExpectStatus,
    /// expect.body
    ExpectBody,
    /// all
    All,
    /// One of all.
    Handler,
    /// Text.
    Text,
    /// scheme
    Scheme,
    /// protocol
    Protocol,
    /// mode
    Mode,
    /// A path with user and password.
    UserInfo,
    /// A path such as `http:x`.
    Opaque,
    /// httpHeaders
    Headers,
    /// One of httpHeaders.
    Header,
    /// The name of one.
    HeaderName,
    /// The value of one.
    HeaderValue,
}

impl Rule {
    /// The rule, and what to write instead.
    fn text(self) -> &'static str {
        match self {
            Rule::Entry => {
                r#"but a prober must be an object: write {"httpGet":{"path":"/healthz","port":8080}}"#
            }
            Rule::HttpGet => r#"but must be an object: write {"path":"/healthz","port":8080}"#,
            Rule::TcpSocket | Rule::Grpc => r#"but must be an object: write {"port":8080}"#,
            Rule::Port => {
                "but a port must be a number from 1 to 65535: write the container port's number"
            }
            Rule::Timeout => {
                "but must be a whole number of seconds: write 1 or more, or leave it out for 1"
            }
            Rule::Target => {
                r#"but must be loopback or localhost: write "loopback", or leave it out for --target-ip"#
            }
            Rule::Redirects => {
                r#"but must be none: write "none", or leave it out to follow redirects as kubelet does"#
            }
            Rule::Expect => {
                r#"but must be an object with status, body or both: write {"status":"200-299,401"}"#
            }
            Rule::ExpectStatus => {
                r#"but must be a list of at most 16 codes and ranges from 100 to 599: write "200-299,401""#
            }
            Rule::ExpectBody => "but must have 1 to 255 bytes: write a part of the app's body",
            Rule::All => {
                r#"but must be a list of 2 to 8 handlers: write [{"httpGet":{"port":8080}},{"tcpSocket":{"port":5432}}]"#
            }
            Rule::Handler => {
                r#"but a handler of all must be an object: write {"tcpSocket":{"port":5432}}"#
            }
            Rule::Text => "but must be a string: write it in double quotes",
            Rule::Scheme => r#"but must be HTTP or HTTPS: write "HTTP", or leave it out"#,
            Rule::Protocol => r#"but must be HTTP1 or HTTP2: write "HTTP1", or leave it out"#,
            Rule::Mode => r#"but must be Plaintext or TLS: write "Plaintext", or leave it out"#,
            Rule::UserInfo => {
                "but may not carry a user: write the path alone, and an Authorization header into httpHeaders"
            }
            Rule::Opaque => {
                "which kubelet reads as a URL without a host and never sends: write it with a leading slash"
            }
            Rule::Headers => r#"but must be a list: write [{"name":"X-Probe","value":"1"}]"#,
            Rule::Header => r#"but must be an object: write {"name":"X-Probe","value":"1"}"#,
            Rule::HeaderName => {
                "but a header's name must be a token: write letters, digits and '-', such as X-Probe"
            }
            Rule::HeaderValue => {
                "but a header's value may not have control characters: write it without line breaks"
            }
        }
    }
}

impl fmt::Display for ProbersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbersError::Syntax(error) => write!(f, "probers are not JSON: {error}"),
            ProbersError::TooLong { bytes: Some(bytes) } => write!(
                f,
                "probers are {bytes} bytes of JSON, but at most {} are supported: \
                 shorten httpHeaders, or remove probers",
                limits::PROBERS_JSON_BYTES
            ),
            ProbersError::TooLong { bytes: None } => write!(
                f,
                "probers are more than {} bytes of JSON, the most that is supported: \
                 shorten httpHeaders, or remove probers",
                limits::PROBERS_JSON_BYTES
            ),
            ProbersError::NotATable => f.write_str(
                r#"probers must be one JSON object: write {"/app-health/web/livez":{"httpGet":{"port":8080}}}"#,
            ),
            ProbersError::TooMany { count } => write!(
                f,
                "there are {count} probers, but at most {} are supported: leave out containers that kubelet can probe \
                 itself (annotation probelet.dev/exclude-containers)",
                limits::PROBERS
            ),
            ProbersError::Entry { key, problem } => write!(f, "prober {}: {problem}", Quoted(key)),
        }
    }
}

impl Problem {
    /// The problem of the handler with this index of `all`.
    #[cold]
    pub(super) fn in_all(self, index: usize) -> Problem {
        Problem::InAll {
            index,
            problem: self.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Path => f.write_str(
                "the key must be /app-health/CONTAINER/ or /app-lifecycle/CONTAINER/ and one of livez, \
                 readyz, startupz, prestopz, poststartz: write a key such as /app-health/web/livez",
            ),
            Problem::PathByte => f.write_str(
                "no request has such a path: write the container's name with letters, digits and '-', \
                 such as /app-health/web/livez",
            ),
            Problem::RepeatedEntry => f.write_str("the key is given twice: write it once"),
            Problem::Repeated(field) => write!(f, "{field} is given twice: write it once"),
            Problem::UnknownMember {
                object,
                member,
                known,
            } => {
                let member = Quoted(member);
                let advice = "remove it, or write one of";
                write!(f, "{object} has the unknown member {member}: {advice} ")?;
                for (index, name) in known.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{name}")?;
                }
                Ok(())
            }
            Problem::NoKind => {
                f.write_str("it has nothing to probe: write one of httpGet, tcpSocket and grpc")
            }
            Problem::ManyKinds => f.write_str(
                "it has more than one of httpGet, tcpSocket and grpc: write one and leave out the others",
            ),
            Problem::Hook(kind) => write!(
                f,
                "a lifecycle hook is {kind}, which kubelet always fails: write httpGet"
            ),
            Problem::HookMember(name) => write!(
                f,
                "a lifecycle hook has {name}, but kubelet ignores its response: leave {name} out"
            ),
            Problem::OnlyHttp(name) => write!(
                f,
                "{name} is for httpGet alone: leave it out beside tcpSocket and grpc"
            ),
            Problem::OnlyInProber(name) => write!(
                f,
                "{name} is in a handler of all: write it once, in the prober itself"
            ),
            Problem::BesideAll(name) => write!(
                f,
                "it has {name} beside all: write it into the handlers of all"
            ),
            Problem::InAll { index, problem } => write!(f, "all[{index}]: {problem}"),
            Problem::OwnPort { field, port } => write!(
                f,
                "{field} is {port}, but probelet itself listens there: write the port the app listens on"
            ),
            Problem::InboundPort { field, port, app } => write!(
                f,
                r#"{field} is {port}, but probelet itself accepts mutual TLS there: write {app}, the app's port, and "target":"loopback" beside it"#
            ),
            Problem::Http2OverTls => f.write_str(
                "httpGet.protocol is HTTP2 with scheme HTTPS, which Kubernetes rejects: leave protocol out, \
                 HTTPS probes speak HTTP/2 wherever the app does",
            ),
            Problem::Value { field, found, rule } => {
                write!(f, "{field} is {found}, {}", rule.text())
            }
        }
    }
}

impl core::error::Error for ProbersError {}
