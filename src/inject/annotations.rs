//! What a pod's labels and annotations ask for, over the settings that hold for all.

use super::original;
use super::values::Values;
use super::words::{go_bool, yaml_bool};
use super::{Settings, Sidecar, Target};
use crate::config::Quoted;
use crate::flags::closest;
use core::net::IpAddr;
use serde_json::{Map, Value};
use std::borrow::Cow;

const PREFIX: &str = "probelet.dev/";
pub(super) const INJECT: &str = "sidecar.istio.io/inject";
pub(super) const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
pub(super) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(super) const FORWARD: &str = "probelet.dev/forward";
pub(super) const SIDECAR: &str = "probelet.dev/sidecar";
pub(super) const EXCLUDE_CONTAINERS: &str = "probelet.dev/exclude-containers";
pub(super) const EXCLUDE_PORTS: &str = "probelet.dev/exclude-ports";
const IMAGE: &str = "probelet.dev/image";
const PULL_POLICY: &str = "probelet.dev/image-pull-policy";
const RESOURCES: &str = "probelet.dev/resources";
pub(super) const TARGET_IP: &str = "probelet.dev/target-ip";
pub(super) const SOURCE_IP: &str = "probelet.dev/source-ip";
const CLIENT_CERT: &str = "probelet.dev/client-cert-secret";
const APP_CA: &str = "probelet.dev/app-ca-secret";
pub(super) const APP_ID: &str = "probelet.dev/app-id";

/// All that are read here, and the record.
const KNOWN: [&str; 17] = [
    INJECT,
    REWRITE,
    STATUS_PORT,
    FORWARD,
    SIDECAR,
    EXCLUDE_CONTAINERS,
    EXCLUDE_PORTS,
    IMAGE,
    PULL_POLICY,
    RESOURCES,
    TARGET_IP,
    SOURCE_IP,
    CLIENT_CERT,
    APP_CA,
    APP_ID,
    original::ANNOTATION,
    super::metadata::EXCLUDE_INBOUND,
];

/// Those that a flag or the ConfigMap may say as well, and what they are called there.
const VALUES: [(&str, &str); 6] = [
    (IMAGE, "image"),
    (PULL_POLICY, "imagePullPolicy"),
    (RESOURCES, "resources"),
    (SIDECAR, "sidecar"),
    (SOURCE_IP, "sourceIp"),
    (TARGET_IP, "targetIp"),
];

/// Names of Istio's that are so near to one of these were meant to be it.
const SLIP: usize = 2;

/// What a pod is to get.
pub(super) struct Wishes {
    /// Whether its probes are rewritten. A port marked as separate is forwarded all the same: that was asked
    /// for by name, and rewrites nothing but a port.
    pub(super) rewrite: bool,
    pub(super) status_port: u16,
    pub(super) image: Box<str>,
    pub(super) pull_policy: Option<Box<str>>,
    pub(super) resources: Value,
    pub(super) exclude_containers: Vec<Box<str>>,
    /// Numbers and names.
    pub(super) exclude_ports: Vec<Box<str>>,
    pub(super) target: Target,
    pub(super) source_ip: Option<IpAddr>,
    /// A Secret with `tls.crt` and `tls.key`.
    pub(super) client_cert: Option<Box<str>>,
    /// A Secret with `ca.crt`.
    pub(super) app_ca: Option<Box<str>>,
    pub(super) app_id: Option<Box<str>>,
    /// The app's port, and the one that probes of it go to instead.
    pub(super) forwards: Vec<(u16, u16)>,
    pub(super) sidecar: Sidecar,
}

/// What is asked for cannot be had: the pod is left alone, and is well so.
pub(super) enum Stop {
    /// Because of this.
    Skip(Box<str>),
    /// It asks for what there is not: what to write instead.
    Refuse(Box<str>),
}

impl From<String> for Stop {
    fn from(refusal: String) -> Self {
        Stop::Refuse(refusal.into())
    }
}

impl Wishes {
    /// Reads them from a pod's metadata.
    ///
    /// # Errors
    /// Why the pod is left alone, by its own wish or because of a value that nothing can be made of.
    pub(super) fn read(
        metadata: &Value,
        settings: &Settings,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        let read = Reader { metadata };
        read.strange(warnings);
        read.is_wanted(warnings)?;
        let values = read.values()?;
        let app_ca = read.word(APP_CA)?;
        let app_id = read.word(APP_ID)?;
        let status_port = read.status_port(settings.status_port)?;
        if app_id.is_some() && app_ca.is_none() {
            let advice = format!("name the Secret with the CA's ca.crt in {APP_CA}");
            return Err(format!("annotation {APP_ID} stands alone: {advice} as well").into());
        }
        Ok(Self {
            rewrite: read.rewrite(settings.rewrite, warnings),
            status_port,
            image: values.image.unwrap_or_else(|| settings.image.clone()),
            pull_policy: values.pull_policy.or_else(|| settings.pull_policy.clone()),
            resources: values
                .resources
                .unwrap_or_else(|| settings.resources.clone()),
            exclude_containers: read.list(EXCLUDE_CONTAINERS),
            exclude_ports: read.list(EXCLUDE_PORTS),
            target: values.target.unwrap_or(settings.target),
            source_ip: values.source_ip.or(settings.source_ip),
            client_cert: read.word(CLIENT_CERT)?,
            app_ca,
            app_id,
            forwards: read.forwards(status_port)?,
            sidecar: values.sidecar.unwrap_or(settings.sidecar),
        })
    }
}

struct Reader<'a> {
    metadata: &'a Value,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(&self.metadata["annotations"], name)
    }

    /// A text without blanks, as names of Secrets are.
    fn word(&self, name: &str) -> Result<Option<Box<str>>, String> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        if text.is_empty() || text.contains(char::is_whitespace) {
            let must = "but must be one word: write it without spaces, or leave the annotation out";
            return Err(wrong(name, &text, must));
        }
        Ok(Some(text.into()))
    }

    fn list(&self, name: &str) -> Vec<Box<str>> {
        let text = self.text(name).unwrap_or_default();
        let items = text.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(Into::into)
            .collect()
    }

    /// Values that are not text, and names that nobody knows.
    fn strange(&self, warnings: &mut Vec<Box<str>>) {
        let annotations = self.metadata["annotations"].as_object();
        for (name, value) in annotations.into_iter().flatten() {
            if KNOWN.contains(&&**name) && !value.is_string() {
                let what = format!("annotation {name} is {value} and not text");
                let advice = "put it in quotes, or the API server refuses it";
                warnings.push(format!("{what}: {advice}").into());
            }
            warnings.extend(misspelt(name));
        }
        let labels = self.metadata["labels"].as_object();
        for name in labels.into_iter().flatten().map(|(name, _)| &**name) {
            if name != INJECT && KNOWN.contains(&name) {
                let what = format!("label {name} counts for nothing");
                warnings.push(format!("{what}: write it as an annotation").into());
            }
        }
    }

    /// As Istio has it: the label over the annotation, and what is no word for yes means no.
    fn is_wanted(&self, warnings: &mut Vec<Box<str>>) -> Result<(), Stop> {
        let labels = &self.metadata["labels"];
        let found = [
            ("label", text_of(labels, INJECT)),
            ("annotation", self.text(INJECT)),
        ]
        .into_iter()
        .find_map(|(what, text)| Some((what, text.filter(|text| !text.is_empty())?)));
        let Some((what, text)) = found else {
            return Ok(());
        };
        match yaml_bool(&text) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => warnings.push(
                format!(
                    "{what} {INJECT} is {}, which counts as false: write true or false",
                    Quoted(&text)
                )
                .into(),
            ),
        }
        Err(Stop::Skip(
            format!("{what} {INJECT} is {}", Quoted(&text)).into(),
        ))
    }

    fn rewrite(&self, all: bool, warnings: &mut Vec<Box<str>>) -> bool {
        let Some(text) = self.text(REWRITE) else {
            return all;
        };
        go_bool(&text).unwrap_or_else(|| {
            let words = "1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";
            let counts = format!("so what holds for all pods counts, which is {all}");
            let must = format!("but must be one of {words}: {counts}");
            warnings.push(wrong(REWRITE, &text, &must).into());
            all
        })
    }

    fn status_port(&self, all: u16) -> Result<u16, Stop> {
        let Some(text) = self.text(STATUS_PORT) else {
            return Ok(all);
        };
        match port(&text) {
            Some(port) => Ok(port),
            None if text == "0" => Err(Stop::Skip(
                format!("annotation {STATUS_PORT} is 0: it has no status port").into(),
            )),
            None => {
                let must = "but a port must be a number from 1 to 65535: write one such as 15020";
                Err(wrong(STATUS_PORT, &text, must).into())
            }
        }
    }

    /// What a flag or the ConfigMap may say as well, read as it is there.
    fn values(&self) -> Result<Values, String> {
        let mut values = Values::default();
        for (name, member) in VALUES {
            if let Some(text) = self.text(name) {
                values.set(member, &text).map_err(|write| {
                    let found = Quoted(&text);
                    format!("annotation {name} is {found}: write {write}")
                })?;
            }
        }
        Ok(values)
    }

    fn forwards(&self, status_port: u16) -> Result<Vec<(u16, u16)>, String> {
        let mut forwards: Vec<(u16, u16)> = Vec::new();
        for item in self.list(FORWARD) {
            let ports = item.split_once('=');
            let ports = ports.and_then(|(app, own)| Some((port(app.trim())?, port(own.trim())?)));
            let Some(ports) = ports else {
                let must = "but must be APP_PORT=OWN_PORT: write 8002=15032, several with commas";
                return Err(wrong(FORWARD, &item, must));
            };
            if forwards.iter().any(|&(app, _)| app == ports.0) {
                let what = format!("annotation {FORWARD} has port {} twice", ports.0);
                return Err(format!("{what}: write it once"));
            }
            forwards.push(ports);
        }
        listen_apart(&forwards, status_port)?;
        Ok(forwards)
    }
}

/// The agent listens on the port behind each `=` and on the status port: no two may be the same, and none is the app's.
fn listen_apart(forwards: &[(u16, u16)], status_port: u16) -> Result<(), String> {
    for (index, (app, own)) in forwards.iter().enumerate() {
        let item = format!("annotation {FORWARD} has {app}={own}");
        let advice = "write another port of the agent's behind '=', such as 15032";
        if *own == status_port {
            return Err(format!("{item}, but {own} is the status port: {advice}"));
        }
        if forwards[..index].iter().any(|(_, other)| other == own) {
            return Err(format!("{item}, but {own} has a port already: {advice}"));
        }
        let is_own =
            |port: &u16| *port == status_port || forwards.iter().any(|(_, own)| own == port);
        if is_own(app) {
            let advice = "write the app's own port before '='";
            return Err(format!(
                "{item}, but on {app} the agent listens itself: {advice}"
            ));
        }
    }
    Ok(())
}

/// A port: 1 to 65535, digits only.
pub(super) fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| is_number && port != 0)
}

fn wrong(name: &str, text: &str, must: &str) -> String {
    format!("annotation {name} is {}, {must}", Quoted(text))
}

/// The value of a label or an annotation; one that should have been quoted counts as if it were.
fn text_of<'a>(entries: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    match entries.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.trim().into()),
        other => Some(other.to_string().into()),
    }
}

fn misspelt(name: &str) -> Option<Box<str>> {
    if KNOWN.contains(&name) {
        return None;
    }
    let is_own = name.starts_with(PREFIX);
    let is_istio = name.contains("sidecar.istio.io/");
    let (distance, known) = closest(name, KNOWN.into_iter())?;
    // Istio has includeInboundPorts as well.
    let is_slip = distance <= SLIP && known != super::metadata::EXCLUDE_INBOUND;
    let is_meant = is_own || (is_istio && is_slip);
    let advice = format!("nothing reads annotation {name}: did you mean {known}?");
    is_meant.then(|| advice.into())
}

/// Annotations of ours on an object whose pods have metadata of their own.
pub(super) fn misplaced(owner: &str, metadata: &Value, warnings: &mut Vec<Box<str>>) {
    let names = |entries: &Value| -> Vec<String> {
        let entries = entries.as_object().map(Map::keys);
        entries.into_iter().flatten().cloned().collect()
    };
    for name in names(&metadata["annotations"]) {
        if KNOWN.contains(&&*name) || name.starts_with(PREFIX) {
            warnings.push(on_owner("annotation", &name, owner));
        }
    }
    if names(&metadata["labels"]).iter().any(|name| name == INJECT) {
        warnings.push(on_owner("label", INJECT, owner));
    }
}

fn on_owner(what: &str, name: &str, owner: &str) -> Box<str> {
    let advice = "move it to metadata of the pod template";
    format!("{what} {name} stands on {owner} itself, where nothing reads it: {advice}").into()
}
