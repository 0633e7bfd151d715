//! The options of a pod: its labels and annotations, over the settings for all pods.

pub(crate) mod annotations;
mod parse_bool;

use super::report::Stop;
use super::settings::{Settings, Sidecar, Target};
use super::values::Values;
use crate::limits;
use crate::telemetry::Quoted;
use annotations::{
    APP_CA, APP_ID, CLIENT_CERT, EXCLUDE_CONTAINERS, EXCLUDE_PORTS, FORWARD, IMAGE, INJECT,
    PULL_POLICY, RESOURCES, REWRITE, SIDECAR, SOURCE_IP, STATUS_PORT, TARGET_IP, text_of,
};
use core::net::IpAddr;
use parse_bool::{parse_go_bool, parse_yaml_bool};
use serde_json::Value;
use std::borrow::Cow;

/// Annotations that set the same as a flag or a member of the ConfigMap, and the name of that member.
const VALUES: [(&str, &str); 6] = [
    (IMAGE, "image"),
    (PULL_POLICY, "imagePullPolicy"),
    (RESOURCES, "resources"),
    (SIDECAR, "sidecar"),
    (SOURCE_IP, "sourceIp"),
    (TARGET_IP, "targetIp"),
];

/// The options of a pod.
pub(in crate::inject) struct PodOptions {
    /// Whether its probes are rewritten. Ports in `forwards` are forwarded in both cases.
    pub(in crate::inject) rewrite: bool,
    pub(in crate::inject) status_port: u16,
    pub(in crate::inject) image: Box<str>,
    pub(in crate::inject) pull_policy: Option<Box<str>>,
    pub(in crate::inject) resources: Value,
    pub(in crate::inject) exclude_containers: Vec<Box<str>>,
    /// Numbers and names.
    pub(in crate::inject) exclude_ports: Vec<Box<str>>,
    pub(in crate::inject) target: Target,
    pub(in crate::inject) source_ip: Option<IpAddr>,
    /// A Secret with `tls.crt` and `tls.key`.
    pub(in crate::inject) client_cert: Option<Box<str>>,
    /// A Secret with `ca.crt`.
    pub(in crate::inject) app_ca: Option<Box<str>>,
    pub(in crate::inject) app_id: Option<Box<str>>,
    /// Ports of the app, each with the agent's port that forwards to it.
    pub(in crate::inject) forwards: Vec<(u16, u16)>,
    pub(in crate::inject) sidecar: Sidecar,
}

impl PodOptions {
    /// Reads the options from a pod's metadata.
    ///
    /// # Errors
    /// The pod opts out, or an annotation has a value that is not valid.
    pub(in crate::inject) fn read(
        metadata: &Value,
        settings: &Settings,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        let read = Reader { metadata };
        annotations::warn_of_strange(metadata, warnings);
        read.check_inject(warnings)?;
        let values = read.values()?;
        let app_ca = read.word(APP_CA)?;
        let app_id = read.word(APP_ID)?;
        let status_port = read.status_port(settings.status_port)?;
        if app_id.is_some() && app_ca.is_none() {
            let advice = format!("name the Secret with the CA's ca.crt in {APP_CA}");
            return Err(format!("annotation {APP_ID} needs a CA: {advice} as well").into());
        }
        Ok(Self {
            rewrite: read.rewrite(settings.rewrite, warnings),
            status_port,
            image: values.image.unwrap_or_else(|| settings.image.clone()),
            pull_policy: values.pull_policy.or_else(|| settings.pull_policy.clone()),
            resources: values
                .resources
                .unwrap_or_else(|| settings.resources.clone()),
            exclude_containers: read.list(EXCLUDE_CONTAINERS)?,
            exclude_ports: read.list(EXCLUDE_PORTS)?,
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

    /// A text without white space, such as the name of a Secret.
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

    fn list(&self, name: &str) -> Result<Vec<Box<str>>, String> {
        let text = self.text(name).unwrap_or_default();
        let items = text.split(',').map(str::trim);
        let items: Vec<Box<str>> = items
            .filter(|item| !item.is_empty())
            .map(Into::into)
            .collect();
        if items.len() > limits::ANNOTATION_ITEMS {
            let most = limits::ANNOTATION_ITEMS;
            return Err(format!(
                "annotation {name} has more than {most} items: write fewer"
            ));
        }
        Ok(items)
    }

    /// Like Istio, prefers the label to the annotation, and takes any text that does not mean true as false.
    fn check_inject(&self, warnings: &mut Vec<Box<str>>) -> Result<(), Stop> {
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
        match parse_yaml_bool(&text) {
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
        parse_go_bool(&text).unwrap_or_else(|| {
            let words = "1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";
            let counts = format!("the setting for all pods applies, which is {all}");
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

    /// Annotations that set the same as a flag or the ConfigMap, parsed by the same code.
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
        for item in self.list(FORWARD)? {
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
        check_ports(&forwards, status_port)?;
        Ok(forwards)
    }
}

/// Checks the agent's ports, which are those behind each `=` and the status port: no two are the same, and none is
/// a port of the app.
fn check_ports(forwards: &[(u16, u16)], status_port: u16) -> Result<(), String> {
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
pub(in crate::inject) fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| is_number && port != 0)
}

fn wrong(name: &str, text: &str, must: &str) -> String {
    format!("annotation {name} is {}, {must}", Quoted(text))
}
