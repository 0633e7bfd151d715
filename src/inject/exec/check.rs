//! `probelet check URL`: kubelet's semantics, which the agent has.

use super::conversion::{Conversion, Reason, quoted, variable_names, whole_seconds};
use super::header;
use super::target::{LocalUrl, http_get};
use crate::limits;
use serde_json::{Map, Value, json};

/// Before the names of variables that set its flags.
const ENV_PREFIX: &str = "PROBELET_CHECK_";

#[derive(Default)]
struct Options<'a> {
    url: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    timeout: Option<u64>,
}

pub(super) fn convert(args: &[&str], env: &Value) -> Result<Conversion, Reason> {
    if let Some(name) = variable_names(env).find(|name| name.starts_with(ENV_PREFIX)) {
        return Err(format!("runs probelet check, and the container sets {name}").into());
    }
    let mut options = Options::default();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let (flag, attached) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => match arg.strip_prefix("-H").filter(|value| !value.is_empty()) {
                Some(value) => ("-H", Some(value)),
                None => (arg, None),
            },
        };
        let unknown = || Reason::from(format!("has the flag {} of probelet check", quoted(flag)));
        let mut value = || attached.or_else(|| args.next()).ok_or_else(unknown);
        match flag {
            "--quiet" | "--verbose" | "--json" if attached.is_none() => {}
            "--timeout" => {
                let text = value()?;
                options.timeout = Some(whole_seconds(
                    flag,
                    text,
                    if text.ends_with('s') { "s" } else { "" },
                )?);
            }
            "-H" => options.headers.push(header::parse(value()?)?),
            _ if flag.starts_with('-') => {
                return Err(unknown());
            }
            url if options.url.replace(url).is_some() => {
                return Err("runs probelet check with more than one URL".into());
            }
            _ => {}
        }
    }
    options.convert()
}

impl Options<'_> {
    fn convert(self) -> Result<Conversion, Reason> {
        let url = self.url.ok_or("runs probelet check without a URL")?;
        let (scheme, rest) = url.split_once("://").ok_or("has a URL without a host")?;
        let default_port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let url = LocalUrl::parse(rest, default_port)?;
        let (port, path) = (url.port, url.path);
        let (kind, handler) = match scheme {
            "http" | "https" => {
                let target = url.request_target();
                let target = target.ok_or("has a URL that is changed before it is sent")?;
                let authority = &rest[..rest.len() - path.len()];
                let is_https = scheme == "https";
                let get = http_get(&target, port, &self.headers, authority, is_https)?;
                ("httpGet", get)
            }
            "tcp" if path.is_empty() => ("tcpSocket", json!({"port": port})),
            "grpc" | "grpcs" if self.headers.is_empty() => {
                let service = path.strip_prefix('/').unwrap_or(path);
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
                if !service.bytes().all(is_plain) {
                    return Err(format!("probes the service {}", quoted(service)).into());
                }
                let mut grpc = json!({"port": port, "service": service});
                if scheme == "grpcs" {
                    grpc["mode"] = "TLS".into();
                }
                ("grpc", grpc)
            }
            "grpc" | "grpcs" => return Err("sends gRPC metadata".into()),
            _ => return Err(format!("has a URL with the scheme {}", quoted(scheme)).into()),
        };
        let mut members = Map::new();
        members.insert(kind.into(), handler);
        url.target.write(&mut members);
        let default = limits::DEFAULT_PROBE_TIMEOUT.as_secs();
        Ok(Conversion {
            port,
            members,
            timeout: Some(self.timeout.unwrap_or(default)),
        })
    }
}
