//! Reads one handler of a prober: `httpGet`, `tcpSocket` or `grpc`, and how it is used.

use super::headers;
use super::json::Kind;
use super::members::{Member, Members, members};
use super::own_members::{read_expect, read_redirects};
use super::prober_input::Input;
use super::{Action, Expect, Header, HttpGet, ProbeHandler, Problem, Protocol, Rule, Scheme};
use crate::wire::url;
use core::net::{IpAddr, Ipv4Addr};
use std::borrow::Cow;

members! {
    /// The members of a prober. Istio has no `target`, `redirects`, `expect` and `all`.
    pub(super) ProberMember:
    HttpGet = "httpGet",
    TcpSocket = "tcpSocket",
    Grpc = "grpc",
    Target = "target",
    Redirects = "redirects",
    Expect = "expect",
    TimeoutSeconds = "timeoutSeconds",
    All = "all",
}

impl ProberMember {
    /// The names of those that a handler of `all` may have: those before `timeoutSeconds`.
    pub(super) const OF_HANDLER: &[&str] = Self::NAMES
        .split_at(ProberMember::TimeoutSeconds as usize)
        .0;
}

/// The members of one handler that were read so far.
#[derive(Default)]
pub(super) struct HandlerFields {
    action: Option<Action>,
    loopback: Option<IpAddr>,
    tries_ip6: bool,
    follows_redirects: Option<bool>,
    expect: Option<Box<Expect>>,
}

impl HandlerFields {
    /// Reads the value of a member.
    pub(super) fn read(&mut self, input: &mut Input<'_>, member: ProberMember) {
        let field = member.name();
        let found = match member {
            ProberMember::HttpGet => http_get(input),
            ProberMember::TcpSocket => tcp_socket(input),
            ProberMember::Grpc => grpc(input),
            ProberMember::Target => {
                let target = input.one_of(field, Rule::Target, &["loopback", "localhost"]);
                self.loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
                self.tries_ip6 = target == 1;
                return;
            }
            ProberMember::Redirects => {
                self.follows_redirects = Some(read_redirects(input, field));
                return;
            }
            ProberMember::Expect => {
                self.expect = Some(read_expect(input, field));
                return;
            }
            ProberMember::TimeoutSeconds | ProberMember::All => {
                return input.fail(Problem::OnlyInProber(field));
            }
        };
        if self.action.replace(found).is_some() {
            input.fail(Problem::ManyKinds);
        }
    }

    /// The name of a member that was read.
    pub(super) fn any(&self) -> Option<&'static str> {
        let members = [
            (self.action.is_some(), "another handler"),
            (self.loopback.is_some(), ProberMember::Target.name()),
            (
                self.follows_redirects.is_some(),
                ProberMember::Redirects.name(),
            ),
            (self.expect.is_some(), ProberMember::Expect.name()),
        ];
        let mut members = members.into_iter();
        members.find(|(is_set, _)| *is_set).map(|(_, name)| name)
    }

    /// The handler of these members.
    pub(super) fn finish(self, input: &mut Input<'_>) -> Option<ProbeHandler> {
        let Some(mut action) = self.action else {
            input.fail(Problem::NoKind);
            return None;
        };
        match &mut action {
            Action::Http(get) => {
                get.follows_redirects = self.follows_redirects.unwrap_or(true);
                get.expect = self.expect;
            }
            Action::Tcp { .. } | Action::Grpc { .. } => {
                if self.follows_redirects.is_some() {
                    input.fail(Problem::OnlyHttp(ProberMember::Redirects.name()));
                } else if self.expect.is_some() {
                    input.fail(Problem::OnlyHttp(ProberMember::Expect.name()));
                }
            }
        }
        Some(ProbeHandler {
            loopback: self.loopback,
            tries_ip6: self.tries_ip6,
            action,
        })
    }
}

members! {
    HttpGetMember:
    Path = "httpGet.path",
    Port = "httpGet.port",
    Scheme = "httpGet.scheme",
    Protocol = "httpGet.protocol",
    HttpHeaders = "httpGet.httpHeaders",
}

members! {
    /// The members of an item of `httpHeaders`.
    HeaderMember:
    Name = "httpHeaders.name",
    Value = "httpHeaders.value",
}

members! {
    TcpSocketMember:
    Port = "tcpSocket.port",
}

members! {
    GrpcMember:
    Port = "grpc.port",
    Service = "grpc.service",
    Mode = "grpc.mode",
}

/// `httpGet`. Its `host` is ignored: probelet probes its own pod only.
fn http_get(input: &mut Input<'_>) -> Action {
    let mut members = Members::<HttpGetMember>::of(input, "httpGet", Rule::HttpGet);
    let mut path = None;
    let mut port = None;
    let mut scheme = Scheme::Http;
    let mut protocol = Protocol::Http1;
    let mut list = Vec::new();
    while let Some(member) = members.next(input) {
        let field = member.name();
        match member {
            HttpGetMember::Path => path = request_target(input, field),
            HttpGetMember::Port => port = Some(input.port(field)),
            HttpGetMember::Scheme => {
                scheme = match input.one_of(field, Rule::Scheme, &["HTTP", "HTTPS", ""]) {
                    1 => Scheme::Https,
                    _ => Scheme::Http,
                };
            }
            HttpGetMember::Protocol => {
                protocol = match input.one_of(field, Rule::Protocol, &["HTTP1", "HTTP2"]) {
                    1 => Protocol::Http2,
                    _ => Protocol::Http1,
                };
            }
            HttpGetMember::HttpHeaders => header_list(input, field, &mut list),
        }
    }
    if (scheme, protocol) == (Scheme::Https, Protocol::Http2) {
        input.fail(Problem::Http2OverTls);
    }
    let (host, headers) = headers::as_sent(list);
    Action::Http(HttpGet {
        scheme,
        protocol,
        port: required_port(input, port, HttpGetMember::Port.name()),
        request_target: path.unwrap_or_else(|| "/".into()),
        host,
        headers,
        follows_redirects: true,
        expect: None,
    })
}

fn required_port(input: &mut Input<'_>, port: Option<u16>, field: &'static str) -> u16 {
    port.unwrap_or_else(|| {
        input.missing(field, Rule::Port);
        0
    })
}

fn request_target(input: &mut Input<'_>, field: &'static str) -> Option<Box<str>> {
    let before = input.reader.clone();
    let path = input.string(field);
    let broken = match url::request_target(&path) {
        Ok(target) => return Some(target),
        Err(url::BadPath::UserInfo) => Rule::UserInfo,
        Err(url::BadPath::Opaque) => Rule::Opaque,
    };
    input.invalid_value(&before, field, broken);
    None
}

fn header_list(input: &mut Input<'_>, field: &'static str, list: &mut Vec<Header>) {
    input.expect_kind(Kind::Array, field, Rule::Headers);
    let mut array = input.reader.enter();
    while array.next_item(&mut input.reader) {
        let mut members = Members::<HeaderMember>::of(input, "one of httpHeaders", Rule::Header);
        let mut name = None;
        let mut value = Cow::Borrowed("");
        while let Some(member) = members.next(input) {
            let before = input.reader.clone();
            let found = input.string(member.name());
            match member {
                HeaderMember::Name => {
                    name = headers::canonical_name(&found);
                    if name.is_none() {
                        input.invalid_value(&before, member.name(), Rule::HeaderName);
                    }
                }
                HeaderMember::Value => {
                    if !headers::is_value(&found) {
                        input.invalid_value(&before, member.name(), Rule::HeaderValue);
                    }
                    value = found;
                }
            }
        }
        match name {
            Some(name) => list.push(Header {
                name,
                value: headers::trim(&value).into(),
            }),
            None => input.missing(HeaderMember::Name.name(), Rule::HeaderName),
        }
    }
}

fn tcp_socket(input: &mut Input<'_>) -> Action {
    let mut members = Members::<TcpSocketMember>::of(input, "tcpSocket", Rule::TcpSocket);
    let mut port = None;
    while let Some(member) = members.next(input) {
        match member {
            TcpSocketMember::Port => port = Some(input.port(member.name())),
        }
    }
    Action::Tcp {
        port: required_port(input, port, TcpSocketMember::Port.name()),
    }
}

fn grpc(input: &mut Input<'_>) -> Action {
    let mut members = Members::<GrpcMember>::of(input, "grpc", Rule::Grpc);
    let mut port = None;
    let mut service = Cow::Borrowed("");
    let mut tls = false;
    while let Some(member) = members.next(input) {
        let field = member.name();
        match member {
            GrpcMember::Port => port = Some(input.port(field)),
            GrpcMember::Service => service = input.string(field),
            GrpcMember::Mode => {
                tls = input.one_of(field, Rule::Mode, &["Plaintext", "TLS"]) == 1;
            }
        }
    }
    Action::Grpc {
        port: required_port(input, port, GrpcMember::Port.name()),
        service: service.into(),
        tls,
    }
}
