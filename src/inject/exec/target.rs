//! The address that a command connects to, and the request that it sends there.

use super::conversion::{Reason, quoted};
use super::header;
use crate::config;
use crate::wire::url;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The host of a command, which has to be one of loopback: the agent probes its own pod only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopbackHost {
    /// 127.0.0.1
    Ip4,
    /// A name of 127.0.0.1 and ::1.
    Localhost,
}

impl LoopbackHost {
    pub(super) fn parse(host: &str) -> Result<LoopbackHost, Reason> {
        match host {
            "127.0.0.1" => Ok(LoopbackHost::Ip4),
            "localhost" => Ok(LoopbackHost::Localhost),
            _ => {
                let host = quoted(host);
                Err(
                    format!("probes host {host}: only localhost and 127.0.0.1 are converted")
                        .into(),
                )
            }
        }
    }

    /// Adds the member of a prober with this target.
    pub(super) fn write(self, members: &mut Map<String, Value>) {
        let target = match self {
            LoopbackHost::Ip4 => "loopback",
            LoopbackHost::Localhost => "localhost",
        };
        members.insert("target".into(), target.into());
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, Reason> {
    let port = config::parse_port(text);
    port.ok_or_else(|| {
        format!(
            "has port {}, which is no number from 1 to 65535",
            quoted(text)
        )
        .into()
    })
}

/// A URL with a host of loopback, without its scheme.
pub(super) struct LocalUrl<'a> {
    /// The host as it is written.
    pub(super) host: &'a str,
    pub(super) target: LoopbackHost,
    pub(super) port: u16,
    /// The path, the query and the fragment.
    pub(super) path: &'a str,
}

impl<'a> LocalUrl<'a> {
    /// Parses the text after `SCHEME://`. `default_port` is that of the scheme.
    pub(super) fn parse(text: &'a str, default_port: Option<u16>) -> Result<Self, Reason> {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (authority, path) = text.split_at(end);
        if authority.contains('@') {
            return Err("has a URL with a user".into());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (authority, default_port.ok_or("has a URL without a port")?),
        };
        Ok(LocalUrl {
            host,
            target: LoopbackHost::parse(host)?,
            port,
            path,
        })
    }

    /// The request-target of a GET; `None` if the agent sends another one.
    pub(super) fn request_target(&self) -> Option<Cow<'a, str>> {
        let path = match self.path.starts_with('/') {
            true => Cow::Borrowed(self.path),
            false => format!("/{}", self.path).into(),
        };
        let is_plain = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let is_sent = is_plain && url::request_target(&path).is_ok_and(|sent| *sent == *path);
        is_sent.then_some(path)
    }
}

/// `httpGet` with this path and these headers, of which `Host` is `host` unless they have one.
pub(super) fn http_get(
    path: &str,
    port: u16,
    headers: &[(&str, &str)],
    host: &str,
    is_https: bool,
) -> Result<Value, Reason> {
    header::check_unique(headers)?;
    let mut names = headers.iter().map(|(name, _)| name);
    let has_host = names.any(|name| name.eq_ignore_ascii_case("Host"));
    let own_host = (!has_host).then_some(("Host", host));
    let fields = header::list(headers.iter().copied().chain(own_host));
    let mut get = json!({"path": path, "port": port, "httpHeaders": fields});
    if is_https {
        get["scheme"] = "HTTPS".into();
    }
    Ok(get)
}
