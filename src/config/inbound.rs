//! `--inbound`: ports that terminate mutual TLS, and the rules between them and the identity. Not in
//! `listen`, because its code is in the cold section (`.cargo/layout.ld`): most agents have no such port.

use super::peer_id::{is_trust_domain, trust_domain};
use super::port_mapping::{parse_listen, parse_target_addr};
use super::settings::RawSettings;
use super::settings_error::{ConfigError, FileSetting, SettingRule};
use super::tls::{ClientCert, IdentitySettings, TrustAnchors, incomplete};
use super::{AllowedIds, Config, IdPattern, Listen, ProbeHandler, Problem, flags, listen};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One `--inbound LISTEN=TARGET[,OPTION...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The listener.
    pub listen: Listen,
    /// The target of the decrypted connections.
    pub target: SocketAddr,
    /// The peers that may connect.
    pub allow: AllowedIds,
    /// The application protocols that the server selects from, in its order; none: ALPN is ignored.
    pub alpn: Box<[Box<str>]>,
    /// Whether plaintext connections are accepted too.
    pub mode: InboundMode,
}

/// `mode=` of an inbound port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundMode {
    /// TLS only.
    Strict,
    /// TLS and plaintext.
    Permissive {
        /// Whether a client that sends nothing may wait for the app's first bytes: it is plaintext then.
        server_first: bool,
    },
}

/// Inbound ports, and the label of each.
pub(super) type Inbounds = (Vec<Inbound>, Vec<Box<str>>);

/// The options of a value of `--inbound`.
#[derive(Default)]
struct ListenerOptions {
    allow: Vec<IdPattern>,
    alpn: Vec<Box<str>>,
    is_permissive: Option<bool>,
    server_first: bool,
    unsafe_target: bool,
}

/// A value of `--inbound`.
struct RawInbound {
    listen: Listen,
    target: SocketAddr,
    options: ListenerOptions,
}

impl RawSettings {
    /// The inbound ports. `own` are the pod's addresses.
    #[inline(never)]
    pub(super) fn inbounds(
        &self,
        identity: Option<&IdentitySettings>,
        own: &[IpAddr],
    ) -> Result<Inbounds, Box<ConfigError>> {
        let (mut inbounds, mut labels) = Inbounds::default();
        let settings = self.repeated(flags::INBOUND, limits::INBOUNDS)?;
        let allowed = self.repeated(flags::ALLOW_ID, limits::ALLOWED_IDS)?;
        let by_default: Result<Vec<_>, _> = allowed
            .iter()
            .map(|setting| setting.parse(IdPattern::parse))
            .collect();
        let by_default = by_default?;
        for setting in settings {
            let label = setting.label();
            let RawInbound {
                listen,
                target,
                options,
            } = setting.parse(parse_inbound)?;
            let is_own = |addr: IpAddr| addr.is_loopback() || own.contains(&addr);
            if !options.unsafe_target && !is_own(target.ip()) && listen.addr != Some(target.ip()) {
                return Err(Box::new(ConfigError::InboundTarget { inbound: label }));
            }
            let patterns = match options.allow.is_empty() {
                true => by_default.clone(),
                false => options.allow,
            };
            let identity = identity
                .filter(|identity| !identity.ca.is_empty())
                .ok_or_else(|| missing_identity(&label, identity))?;
            inbounds.push(Inbound {
                listen,
                target,
                allow: allowed_ids(patterns, &identity.ca, &label)?,
                alpn: options.alpn.into(),
                mode: match options.is_permissive {
                    Some(true) => InboundMode::Permissive {
                        server_first: options.server_first,
                    },
                    Some(false) | None => InboundMode::Strict,
                },
            });
            labels.push(label);
        }
        match (allowed.first(), inbounds.is_empty()) {
            (Some(unused), true) => Err(Box::new(ConfigError::Incomplete {
                setting: unused.label(),
                missing: flags::INBOUND,
            })),
            _ => Ok((inbounds, labels)),
        }
    }
}

fn missing_identity(label: &str, identity: Option<&IdentitySettings>) -> Box<ConfigError> {
    Box::new(ConfigError::Incomplete {
        setting: label.into(),
        missing: match identity {
            None => flags::CERT,
            Some(_) => flags::CA,
        },
    })
}

/// The patterns, which `ca` must be able to distinguish: no CA may sign the identities of another one's trust domain.
fn allowed_ids(
    patterns: Vec<IdPattern>,
    ca: &[TrustAnchors],
    label: &str,
) -> Result<AllowedIds, Box<ConfigError>> {
    let inbound = || label.into();
    if patterns.is_empty() {
        return Err(Box::new(ConfigError::InboundWithoutIds {
            inbound: inbound(),
        }));
    }
    if patterns.contains(&IdPattern::Any) {
        return match patterns.len() {
            1 => Ok(AllowedIds::Any),
            _ => Err(Box::new(ConfigError::AnyAndOtherIds { inbound: inbound() })),
        };
    }
    let bound: Vec<&str> = ca.iter().filter_map(|ca| ca.domain.as_deref()).collect();
    let has_dns_names = patterns.iter().any(|id| matches!(id, IdPattern::Dns(_)));
    if has_dns_names && bound.iter().any(|domain| *domain != bound[0]) {
        return Err(Box::new(ConfigError::DnsNameOfManyCas {
            inbound: inbound(),
        }));
    }
    let mut domains = patterns.iter().filter_map(IdPattern::trust_domain);
    let (first, other) = match bound.is_empty() {
        true => {
            let first = domains.next();
            (first, domains.find(|domain| Some(*domain) != first))
        }
        false => (None, domains.find(|domain| !bound.contains(domain))),
    };
    match (first, other) {
        (_, None) => Ok(AllowedIds::Patterns(patterns.into())),
        (Some(first), Some(second)) => Err(Box::new(ConfigError::TwoTrustDomains {
            inbound: inbound(),
            first: first.into(),
            second: second.into(),
        })),
        (None, Some(domain)) => Err(Box::new(ConfigError::TrustDomainWithoutCa {
            inbound: inbound(),
            domain: domain.into(),
        })),
    }
}

impl RawSettings {}

impl RawSettings {
    #[inline(never)]
    pub(super) fn identity(&self) -> Result<Option<IdentitySettings>, Box<ConfigError>> {
        if !cfg!(feature = "tls") {
            // `check_build` has refused the flags.
            return Ok(None);
        }
        let (cert, key) = match (self.find(flags::CERT), self.find(flags::KEY)) {
            (Some(cert), Some(key)) => (cert, key),
            (Some(cert), None) => return Err(incomplete(cert, flags::KEY)),
            (None, Some(key)) => return Err(incomplete(key, flags::CERT)),
            (None, None) => {
                return match self.find(flags::CA) {
                    Some(ca) => Err(incomplete(ca, flags::CERT)),
                    None => Ok(None),
                };
            }
        };
        Ok(Some(IdentitySettings {
            cert: cert.into(),
            key: key.into(),
            ca: self.trust_anchors()?.into(),
        }))
    }

    /// The values of `--ca`.
    #[inline(never)]
    pub(super) fn trust_anchors(&self) -> Result<Vec<TrustAnchors>, Box<ConfigError>> {
        let settings = self.repeated(flags::CA, limits::CA_FILES)?;
        let anchors: Result<Vec<_>, _> = settings
            .iter()
            .map(|setting| setting.parse(|text| parse_ca(text, &setting.origin)))
            .collect();
        let anchors = anchors?;
        let unbound = anchors.iter().position(|anchors| anchors.domain.is_none());
        match unbound {
            Some(unbound) if anchors.iter().any(|anchors| anchors.domain.is_some()) => {
                let setting = settings[unbound].label();
                Err(Box::new(ConfigError::MixedCas { setting }))
            }
            _ => Ok(anchors),
        }
    }
}

impl IdentitySettings {
    /// The certificate and the key.
    #[inline(never)]
    pub(super) fn client_cert(&self) -> ClientCert {
        ClientCert {
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }

    /// The files of the CAs that may sign this SPIFFE ID, or of all. A CA may sign only the identities of its trust domain.
    #[inline(never)]
    pub(super) fn ca_files(&self, id: Option<&str>) -> Vec<FileSetting> {
        let domain = id.and_then(trust_domain);
        let may_sign = |ca: &&TrustAnchors| match (&ca.domain, domain) {
            (Some(of_ca), Some(domain)) => **of_ca == *domain,
            _ => true,
        };
        let files = self.ca.iter().filter(may_sign);
        files.map(|ca| ca.file.clone()).collect()
    }
}

/// Parses `FILE` or `DOMAIN=FILE`. A path with `/` before its first `=` has no domain.
fn parse_ca(text: &str, origin: &str) -> Result<TrustAnchors, SettingRule> {
    let (domain, path) = match text.split_once('=') {
        Some((domain, path)) if !domain.contains('/') => (Some(domain), path),
        _ => (None, text),
    };
    if domain.is_some_and(|domain| !is_trust_domain(domain)) {
        return Err(SettingRule::CaDomain);
    }
    Ok(TrustAnchors {
        domain: domain.map(Into::into),
        file: FileSetting {
            origin: origin.into(),
            path: path.into(),
        },
    })
}

/// Parses `LISTEN=TARGET[,OPTION...]`: `8443=8001`, `[10.42.0.7]:8001=127.0.0.1:8001,alpn=h2`
fn parse_inbound(text: &str) -> Result<RawInbound, SettingRule> {
    let mut parts = text.split(',');
    let ports = parts.next().unwrap_or_default();
    let (listen, target) = ports.split_once('=').ok_or(SettingRule::InboundEquals)?;
    Ok(RawInbound {
        listen: parse_listen(listen, SettingRule::InboundListen)?,
        target: match listen::parse_port(target) {
            Some(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            None => parse_target_addr(target, SettingRule::InboundTarget)?,
        },
        options: parse_options(parts)?,
    })
}

fn parse_options<'a>(parts: impl Iterator<Item = &'a str>) -> Result<ListenerOptions, SettingRule> {
    let mut options = ListenerOptions::default();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        };
        match (name, value) {
            ("allow-id", Some(pattern)) => options.allow.push(IdPattern::parse(pattern)?),
            ("alpn", Some(protocol)) => {
                let is_token = protocol.bytes().all(|b| b.is_ascii_graphic());
                if !is_token || !(1..=255).contains(&protocol.len()) {
                    return Err(SettingRule::InboundAlpn);
                }
                options.alpn.push(protocol.into());
            }
            ("mode", Some("strict")) => options.is_permissive = Some(false),
            ("mode", Some("permissive")) => options.is_permissive = Some(true),
            ("mode", _) => return Err(SettingRule::InboundMode),
            ("server-first", None) => options.server_first = true,
            ("unsafe-target", None) => options.unsafe_target = true,
            _ => return Err(SettingRule::InboundOption),
        }
    }
    if options.server_first && options.is_permissive != Some(true) {
        return Err(SettingRule::InboundServerFirst);
    }
    if options.allow.len() > limits::ALLOWED_IDS || options.alpn.len() > limits::INBOUND_PROTOCOLS {
        return Err(SettingRule::InboundLength);
    }
    Ok(options)
}

impl Config {
    /// The app behind an inbound port may listen on another loopback address than 127.0.0.1, such as ::1.
    #[inline(never)]
    pub(super) fn set_loopback_address(&self, handler: &mut ProbeHandler) {
        let port = handler.action.port();
        let is_app = |to: &SocketAddr| to.port() == port && to.ip().is_loopback();
        let mut targets = self.inbounds.iter().map(|inbound| inbound.target);
        if let Some(app) = targets.find(is_app) {
            handler.loopback = Some(app.ip());
            handler.tries_ip6 = false;
        }
    }

    /// The error of a handler whose port is one of probelet.
    #[inline(never)]
    pub(super) fn own_port(&self, handler: &ProbeHandler) -> Problem {
        let (field, port) = (handler.action.port_field(), handler.action.port());
        let mut inbounds = self.inbounds.iter();
        let inbound = inbounds.find(|inbound| self.reaches(handler, inbound.listen));
        match inbound.map(|inbound| inbound.target) {
            Some(app) if app.ip().is_loopback() => {
                let app = app.port();
                Problem::InboundPort { field, port, app }
            }
            _ => Problem::OwnPort { field, port },
        }
    }

    /// No inbound port may lead to a listener of probelet.
    #[inline(never)]
    pub(super) fn check_inbounds(
        &self,
        labels: &[Box<str>],
        listeners: &[Listen],
        own: &[IpAddr],
        label_of: &dyn Fn(usize) -> Box<str>,
    ) -> Result<(), Box<ConfigError>> {
        for (inbound, label) in self.inbounds.iter().zip(labels) {
            let is_reached = |listener: &Listen| listener.is_reached_by(inbound.target, own);
            if let Some(listener) = listeners.iter().position(is_reached) {
                return Err(Box::new(ConfigError::InboundLoop {
                    inbound: label.clone(),
                    listener: label_of(listener),
                }));
            }
        }
        Ok(())
    }
}
