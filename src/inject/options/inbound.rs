//! The annotations of mutual TLS beside the app: the ports that the sidecar opens, the clients that it allows, and the
//! workload's identity.

use super::{Reader, invalid};
use crate::config::parse_port;
use crate::inject::annotation_names::{
    ALLOW_ID, APP_LISTENS, IDENTITY_CSI, IDENTITY_SECRET, INBOUND,
};
use serde_json::{Map, Value, json};

/// The only value of [`APP_LISTENS`].
const LOOPBACK: &str = "loopback";
/// The names of the workload's certificate, its key and the CAs of its clients: those of cert-manager.
pub(in crate::inject) const IDENTITY_FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// The attributes of cert-manager's drivers that rename a file, after the name of the driver.
const FILE_ATTRIBUTES: [&str; 3] = ["certificate-file", "privatekey-file", "ca-file"];

/// The mutual TLS that the sidecar terminates.
#[derive(Default)]
pub(in crate::inject) struct InboundOptions {
    pub(in crate::inject) ports: Vec<InboundPort>,
    /// Patterns of the identities that the sidecar allows.
    pub(in crate::inject) allow_ids: Vec<Box<str>>,
    /// Whether the app listens on loopback alone, so that no client reaches its plaintext ports.
    pub(in crate::inject) app_is_on_loopback: bool,
    pub(in crate::inject) identity: Option<IdentityVolume>,
}

/// A port on which the sidecar terminates mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inject) struct InboundPort {
    pub(in crate::inject) listen: InboundListen,
    pub(in crate::inject) app_port: u16,
    /// Options of the listener, as `--inbound` reads them.
    pub(in crate::inject) options: Vec<Box<str>>,
}

/// Where the sidecar listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inject) enum InboundListen {
    /// This port on each address.
    Port(u16),
    /// The app's port number on the pod's address, beside an app on loopback.
    PodAddress,
}

impl InboundPort {
    /// The port on which clients connect.
    pub(in crate::inject) fn port(&self) -> u16 {
        match self.listen {
            InboundListen::Port(port) => port,
            InboundListen::PodAddress => self.app_port,
        }
    }

    /// The port, if it differs from the app's: the sidecar needs it for itself.
    pub(in crate::inject) fn own_port(&self) -> Option<u16> {
        match self.listen {
            InboundListen::Port(port) => Some(port),
            InboundListen::PodAddress => None,
        }
    }

    /// Whether the options name a protocol of ALPN.
    pub(in crate::inject) fn has_alpn(&self) -> bool {
        self.options
            .iter()
            .any(|option| option.starts_with("alpn="))
    }
}

/// The volume with the workload's certificate, key and CAs.
pub(in crate::inject) enum IdentityVolume {
    /// A Secret with this name.
    Secret(Box<str>),
    /// The volume of a CSI driver, as `csi` of a volume.
    Csi(Map<String, Value>),
}

impl InboundOptions {
    /// The port on which the sidecar itself listens with this number.
    pub(in crate::inject) fn listener_at(&self, port: u16) -> Option<&InboundPort> {
        let mut ports = self.ports.iter();
        ports.find(|inbound| inbound.own_port() == Some(port))
    }

    /// Whether the sidecar passes connections to this port of the app.
    pub(in crate::inject) fn has_app_port(&self, port: u16) -> bool {
        self.ports.iter().any(|inbound| inbound.app_port == port)
    }

    /// Whether the sidecar listens on this port of the pod's address, in place of the app.
    pub(in crate::inject) fn replaces_app_port(&self, port: u16) -> bool {
        let mut ports = self.ports.iter();
        ports.any(|inbound| inbound.app_port == port && inbound.own_port().is_none())
    }

    /// Reads the annotations. `agent_ports` are the other ports of the sidecar.
    ///
    /// # Errors
    /// An annotation is not valid, or requires another one.
    pub(super) fn read(
        read: &Reader<'_>,
        agent_ports: &[u16],
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, String> {
        let app_is_on_loopback = app_is_on_loopback(read)?;
        let ports = ports(read, app_is_on_loopback)?;
        check_ports(&ports, agent_ports)?;
        let options = Self {
            ports,
            allow_ids: read.list(ALLOW_ID)?,
            app_is_on_loopback,
            identity: identity(read)?,
        };
        if options.ports.is_empty() {
            for name in [ALLOW_ID, APP_LISTENS] {
                if read.text(name).is_some() {
                    let what =
                        format!("annotation {name} has no effect without annotation {INBOUND}");
                    let advice = "set that to the port of mutual TLS, such as 8443=8001";
                    warnings.push(format!("{what}: {advice}").into());
                }
            }
            return Ok(options);
        }
        options.check_complete()?;
        Ok(options)
    }

    /// Checks that the listeners have an identity, and clients that they allow.
    fn check_complete(&self) -> Result<(), String> {
        let has_own = |inbound: &InboundPort| {
            let mut options = inbound.options.iter();
            options.any(|option| option.starts_with("allow-id="))
        };
        if self.allow_ids.is_empty() && !self.ports.iter().all(has_own) {
            return Err(format!(
                "annotation {INBOUND} requires annotation {ALLOW_ID}: set it to the identities of the clients, such as \
                 spiffe://cluster.local/ns/shop/sa/web, dns:web.shop.svc, or any"
            ));
        }
        if self.identity.is_none() {
            let [cert, key, ca] = IDENTITY_FILES;
            return Err(format!(
                "annotation {INBOUND} requires annotation {IDENTITY_SECRET} or {IDENTITY_CSI}: set one to the name of a \
                 Secret with {cert}, {key} and {ca}, or to the name of a CSI driver that writes these files"
            ));
        }
        Ok(())
    }
}

fn app_is_on_loopback(read: &Reader<'_>) -> Result<bool, String> {
    match read.text(APP_LISTENS).as_deref() {
        None => Ok(false),
        Some(LOOPBACK) => Ok(true),
        Some(text) => {
            let advice = "write loopback if the app listens on 127.0.0.1 or ::1 alone, else remove the annotation";
            Err(invalid(APP_LISTENS, text, advice))
        }
    }
}

/// Parses `8443=8001,alpn=h2, 9000`: an item that starts with a digit is a port, another one an option of the port
/// before it.
fn ports(read: &Reader<'_>, app_is_on_loopback: bool) -> Result<Vec<InboundPort>, String> {
    let mut ports: Vec<InboundPort> = Vec::new();
    for item in read.list(INBOUND)? {
        if !item.starts_with(|first: char| first.is_ascii_digit())
            && let Some(inbound) = ports.last_mut()
        {
            inbound.options.push(item);
            continue;
        }
        let (listen, app_port) = parse_item(&item).ok_or_else(|| {
            let advice = "write SIDECAR_PORT=APP_PORT, such as 8443=8001, or the port of an app on loopback; separate several \
                          by commas";
            invalid(INBOUND, &item, advice)
        })?;
        let is_same = listen == InboundListen::Port(app_port);
        if is_same || listen == InboundListen::PodAddress && !app_is_on_loopback {
            let what = format!("annotation {INBOUND} has {item}");
            let reason = "so that the sidecar and the app would both listen on that port";
            let advice = match is_same {
                true => format!(
                    "write {app_port} alone, with annotation {APP_LISTENS} set to {LOOPBACK}"
                ),
                false => format!(
                    "let the app listen on 127.0.0.1 and set annotation {APP_LISTENS} to {LOOPBACK}, or write \
                     SIDECAR_PORT={app_port}"
                ),
            };
            return Err(format!("{what}, {reason}: {advice}"));
        }
        ports.push(InboundPort {
            listen,
            app_port,
            options: Vec::new(),
        });
    }
    Ok(ports)
}

fn parse_item(item: &str) -> Option<(InboundListen, u16)> {
    let Some((listen, app_port)) = item.split_once('=') else {
        return Some((InboundListen::PodAddress, parse_port(item)?));
    };
    let listen = InboundListen::Port(parse_port(listen.trim())?);
    Some((listen, parse_port(app_port.trim())?))
}

/// Checks that the ports of the sidecar differ from one another and from the ports of the app.
fn check_ports(ports: &[InboundPort], agent_ports: &[u16]) -> Result<(), String> {
    for (index, inbound) in ports.iter().enumerate() {
        let (port, app_port) = (inbound.port(), inbound.app_port);
        let own = inbound.own_port();
        let item = own.map_or_else(|| port.to_string(), |port| format!("{port}={app_port}"));
        let item = format!("annotation {INBOUND} has {item}");
        if agent_ports.contains(&port) || agent_ports.contains(&app_port) {
            let taken = if agent_ports.contains(&port) {
                port
            } else {
                app_port
            };
            let reason = format!("{taken} is another port of the sidecar");
            return Err(format!("{item}, but {reason}: write another port"));
        }
        let mut others = ports
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        if others.any(|(_, other)| other.port() == port || own.is_some() && other.app_port == port)
        {
            return Err(format!(
                "{item}, but the annotation has port {port} twice: write another port"
            ));
        }
    }
    Ok(())
}

fn identity(read: &Reader<'_>) -> Result<Option<IdentityVolume>, String> {
    let secret = read.word(IDENTITY_SECRET)?;
    let csi = read.text(IDENTITY_CSI).map(|text| csi_volume(&text));
    match (secret, csi.transpose()?) {
        (None, None) => Ok(None),
        (Some(name), None) => Ok(Some(IdentityVolume::Secret(name))),
        (None, Some(volume)) => Ok(Some(IdentityVolume::Csi(volume))),
        (Some(_), Some(_)) => Err(format!(
            "the pod has both annotation {IDENTITY_SECRET} and {IDENTITY_CSI}: remove one of them"
        )),
    }
}

/// Parses the name of a driver, or the JSON object of a volume's `csi`.
fn csi_volume(text: &str) -> Result<Map<String, Value>, String> {
    let advice = "write the name of a CSI driver, such as spiffe.csi.cert-manager.io, or csi of a volume in JSON, such as \
                  {\"driver\":\"csi.cert-manager.io\",\"volumeAttributes\":{\"csi.cert-manager.io/issuer-name\":\"mesh-ca\"}}";
    let invalid = || invalid(IDENTITY_CSI, text, advice);
    let volume = match is_driver(text) {
        true => json!({"driver": text}),
        false => serde_json::from_str(text).map_err(|_| invalid())?,
    };
    let Value::Object(mut volume) = volume else {
        return Err(invalid());
    };
    let is_valid = |(name, value): (&String, &Value)| match &**name {
        "driver" => value.as_str().is_some_and(is_driver),
        "readOnly" => value == true,
        "volumeAttributes" => value
            .as_object()
            .is_some_and(|all| all.values().all(Value::is_string)),
        "nodePublishSecretRef" => {
            let name = value["name"].as_str();
            name.is_some_and(|name| {
                is_subdomain(name) && !name.bytes().any(|b| b.is_ascii_uppercase())
            })
        }
        _ => false,
    };
    if !volume.contains_key("driver") || !volume.iter().all(is_valid) {
        return Err(invalid());
    }
    let attributes = volume.get("volumeAttributes").and_then(Value::as_object);
    for name in attributes.into_iter().flat_map(Map::keys) {
        let last = name.rsplit('/').next().unwrap_or(name);
        if FILE_ATTRIBUTES.contains(&last) {
            let [cert, key, ca] = IDENTITY_FILES;
            let reason = format!("but the sidecar reads {cert}, {key} and {ca}");
            return Err(format!(
                "annotation {IDENTITY_CSI} has {name}, {reason}: remove {name}"
            ));
        }
    }
    volume.insert("readOnly".into(), true.into());
    Ok(volume)
}

/// Whether the API server accepts the name of a CSI driver (`pkg/apis/core/validation`: `ValidateCSIDriverName`).
fn is_driver(name: &str) -> bool {
    name.len() <= 63 && is_subdomain(name)
}

/// Whether a name is a DNS subdomain (RFC 1123), in letters of any case.
fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
