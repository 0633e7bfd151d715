//! The options of a pod: its labels and annotations, over the settings for all pods.

pub(crate) mod annotations;
mod inbound;
mod parse_bool;
mod probers;

use super::annotation_names::{
    ALLOW_FROM, APP_CA, APP_ID, CLIENT_CERT, CONVERT_EXEC, EXCLUDE_CONTAINERS, EXCLUDE_PORTS,
    FORWARD, IMAGE, INJECT, ISTIO_INJECT, LINKERD_SKIP_PORTS, MIN_TIMEOUT, PULL_POLICY, RESOURCES,
    REWRITE, RUN_AS_USER, SIDECAR_KIND, SOURCE_IP, STARTUP_PROBE, STATUS_PORT, TARGET_IP,
};
use super::container_bounds::ContainerBounds;
use super::report::Stop;
use super::settings::{RunAsUser, Settings, Sidecar, Target};
use super::values::Values;
use crate::config::{Cidr, parse_port};
use crate::limits;
use crate::text::Quoted;
use annotations::text_of;
use core::net::IpAddr;
pub(in crate::inject) use inbound::{
    IDENTITY_FILES, IdentityVolume, InboundListen, InboundOptions, InboundPort,
};
use parse_bool::{parse_go_bool, parse_yaml_bool};
pub(in crate::inject) use probers::AnnotationProber;
use serde_json::Value;
use std::borrow::Cow;

/// Annotations that set the same value as a flag or a field of the ConfigMap, with the name of that field.
const VALUES: [(&str, &str); 12] = [
    (ALLOW_FROM, "allowFrom"),
    (CONVERT_EXEC, "convertExec"),
    (IMAGE, "image"),
    (LINKERD_SKIP_PORTS, "linkerdSkipPorts"),
    (PULL_POLICY, "imagePullPolicy"),
    (MIN_TIMEOUT, "minTimeoutSeconds"),
    (RESOURCES, "resources"),
    (RUN_AS_USER, "runAsUser"),
    (SIDECAR_KIND, "sidecar"),
    (SOURCE_IP, "sourceIp"),
    (STARTUP_PROBE, "startupProbe"),
    (TARGET_IP, "targetIp"),
];

/// The options of a pod.
pub(in crate::inject) struct PodOptions {
    /// Whether its probes are rewritten. Ports in `forwards` are forwarded in both cases.
    pub(in crate::inject) rewrite: bool,
    /// Whether exec probes become probers of the agent where these have the same meaning.
    pub(in crate::inject) convert_exec: bool,
    pub(in crate::inject) status_port: u16,
    pub(in crate::inject) image: Box<str>,
    pub(in crate::inject) pull_policy: Option<Box<str>>,
    pub(in crate::inject) resources: Value,
    /// Whether the pod's annotation sets `resources`.
    pub(in crate::inject) has_own_resources: bool,
    pub(in crate::inject) container_bounds: ContainerBounds,
    /// Whether the sidecar of a BestEffort pod has neither requests nor limits of CPU and memory.
    pub(in crate::inject) keeps_best_effort: bool,
    pub(in crate::inject) exclude_containers: Vec<Box<str>>,
    /// Numbers and names.
    pub(in crate::inject) exclude_ports: Vec<Box<str>>,
    pub(in crate::inject) target: Target,
    pub(in crate::inject) source_ip: Option<IpAddr>,
    /// The peers that the agent answers; none: every peer.
    pub(in crate::inject) allow_from: Vec<Cidr>,
    /// A Secret with `tls.crt` and `tls.key`.
    pub(in crate::inject) client_cert: Option<Box<str>>,
    /// A Secret with `ca.crt`.
    pub(in crate::inject) app_ca: Option<Box<str>>,
    pub(in crate::inject) app_id: Option<Box<str>>,
    pub(in crate::inject) forwards: Vec<PortForward>,
    /// Probers in place of the pod's own handlers.
    pub(in crate::inject) probers: Vec<AnnotationProber>,
    pub(in crate::inject) inbound: InboundOptions,
    pub(in crate::inject) sidecar: Sidecar,
    pub(in crate::inject) run_as_user: RunAsUser,
    /// Whether the pod's annotation sets `run_as_user`.
    pub(in crate::inject) has_own_user: bool,
    /// The shortest timeout of an injected probe, in seconds; 0 leaves timeouts unchanged.
    pub(in crate::inject) min_timeout: u64,
    /// Whether the sidecar has a startup probe.
    pub(in crate::inject) startup_probe: bool,
    /// Whether Linkerd's proxy is configured not to intercept the agent's ports.
    pub(in crate::inject) linkerd_skip_ports: bool,
}

/// A port of the agent that forwards to a port of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inject) struct PortForward {
    pub(in crate::inject) app_port: u16,
    pub(in crate::inject) agent_port: u16,
}

impl PortForward {
    /// Parses `APP_PORT=AGENT_PORT`.
    fn parse(text: &str) -> Option<Self> {
        let (app_port, agent_port) = text.split_once('=')?;
        Some(Self {
            app_port: parse_port(app_port.trim())?,
            agent_port: parse_port(agent_port.trim())?,
        })
    }
}

impl PodOptions {
    /// The ports on which the agent answers kubelet, the status port first.
    pub(in crate::inject) fn agent_ports(&self) -> impl Iterator<Item = u16> {
        let forwards = self.forwards.iter().map(|forward| forward.agent_port);
        [self.status_port].into_iter().chain(forwards)
    }

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
        annotations::warn_of_ignored(metadata, warnings);
        read.check_inject(warnings)?;
        let values = read.values()?;
        let app_ca = read.word(APP_CA)?;
        let app_id = read.word(APP_ID)?;
        let status_port = read.status_port(settings.status_port)?;
        if app_id.is_some() && app_ca.is_none() {
            let advice = "set it to the name of the Secret with the CA's ca.crt";
            return Err(
                format!("annotation {APP_ID} requires annotation {APP_CA}: {advice}").into(),
            );
        }
        let forwards = read.forwards(status_port)?;
        let forward_ports = forwards.iter().map(|forward| forward.agent_port);
        let agent_ports: Vec<u16> = [status_port].into_iter().chain(forward_ports).collect();
        Ok(Self {
            rewrite: read.rewrite(settings.rewrite, warnings),
            convert_exec: values.convert_exec.unwrap_or(settings.convert_exec),
            inbound: InboundOptions::read(&read, &agent_ports, warnings)?,
            status_port,
            image: values.image.unwrap_or_else(|| settings.image.clone()),
            pull_policy: values.pull_policy.or_else(|| settings.pull_policy.clone()),
            has_own_resources: values.resources.is_some(),
            container_bounds: settings.container_bounds.clone(),
            keeps_best_effort: settings.keeps_best_effort,
            resources: values
                .resources
                .unwrap_or_else(|| settings.resources.clone()),
            exclude_containers: read.list(EXCLUDE_CONTAINERS)?,
            exclude_ports: read.list(EXCLUDE_PORTS)?,
            target: values.target.unwrap_or(settings.target),
            source_ip: values.source_ip.or(settings.source_ip),
            allow_from: values
                .allow_from
                .unwrap_or_else(|| settings.allow_from.clone()),
            client_cert: read.word(CLIENT_CERT)?,
            app_ca,
            app_id,
            forwards,
            probers: read.probers()?,
            sidecar: values.sidecar.unwrap_or(settings.sidecar),
            has_own_user: values.run_as_user.is_some(),
            run_as_user: values.run_as_user.unwrap_or(settings.run_as_user),
            min_timeout: values.min_timeout.unwrap_or(settings.min_timeout),
            startup_probe: values.startup_probe.unwrap_or(settings.startup_probe),
            linkerd_skip_ports: values
                .linkerd_skip_ports
                .unwrap_or(settings.linkerd_skip_ports),
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
            let advice = "write one word without spaces, or remove the annotation";
            return Err(invalid(name, &text, advice));
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
                "annotation {name} has more than {most} items: remove some"
            ));
        }
        Ok(items)
    }

    /// Like Istio, prefers the label to the annotation, and parses an invalid value as false. probelet's own takes
    /// precedence over Istio's, which may opt the pod out of Istio alone.
    fn check_inject(&self, warnings: &mut Vec<Box<str>>) -> Result<(), Stop> {
        let labels = &self.metadata["labels"];
        let found = [INJECT, ISTIO_INJECT].into_iter().find_map(|name| {
            [
                ("label", text_of(labels, name)),
                ("annotation", self.text(name)),
            ]
            .into_iter()
            .find_map(|(kind, text)| Some((kind, name, text.filter(|text| !text.is_empty())?)))
        });
        let Some((kind, name, text)) = found else {
            return Ok(());
        };
        match parse_yaml_bool(&text) {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => warnings.push(
                format!(
                    "{kind} {name} is {}, which counts as false: write true or false",
                    Quoted(&text)
                )
                .into(),
            ),
        }
        Err(Stop::Skip(
            format!("{kind} {name} is {}", Quoted(&text)).into(),
        ))
    }

    fn rewrite(&self, default: bool, warnings: &mut Vec<Box<str>>) -> bool {
        let Some(text) = self.text(REWRITE) else {
            return default;
        };
        parse_go_bool(&text).unwrap_or_else(|| {
            let found = Quoted(&text);
            let effect =
                format!("is {found} and is ignored, so that the default ({default}) applies");
            let values = "1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False";
            warnings.push(format!("annotation {REWRITE} {effect}: write one of {values}").into());
            default
        })
    }

    fn status_port(&self, default: u16) -> Result<u16, Stop> {
        let Some(text) = self.text(STATUS_PORT) else {
            return Ok(default);
        };
        match parse_port(&text) {
            Some(port) => Ok(port),
            None if text == "0" => Err(Stop::Skip(
                format!("annotation {STATUS_PORT} is 0, which disables the status port").into(),
            )),
            None => {
                let advice = "write a port from 1 to 65535, such as 15020";
                Err(invalid(STATUS_PORT, &text, advice).into())
            }
        }
    }

    /// Annotations that set the same value as a flag or the ConfigMap, parsed by the same code.
    fn values(&self) -> Result<Values, String> {
        let mut values = Values::default();
        for (name, field) in VALUES {
            if let Some(text) = self.text(name) {
                values.set_from_text(field, &text).map_err(|error| {
                    error.describe(&format_args!("annotation {name}"), &Quoted(&text))
                })?;
            }
        }
        Ok(values)
    }

    fn forwards(&self, status_port: u16) -> Result<Vec<PortForward>, String> {
        let mut forwards: Vec<PortForward> = Vec::new();
        for item in self.list(FORWARD)? {
            let Some(forward) = PortForward::parse(&item) else {
                let advice = "write APP_PORT=AGENT_PORT, in the opposite order of --forward, such as 8002=15032; \
                              separate several by commas";
                return Err(invalid(FORWARD, &item, advice));
            };
            let app_port = forward.app_port;
            if forwards.iter().any(|other| other.app_port == app_port) {
                return Err(format!(
                    "annotation {FORWARD} has port {app_port} twice: write it once"
                ));
            }
            forwards.push(forward);
        }
        check_agent_ports(&forwards, status_port)?;
        Ok(forwards)
    }
}

/// Checks that the agent's ports differ from one another and from the ports of the app.
fn check_agent_ports(forwards: &[PortForward], status_port: u16) -> Result<(), String> {
    for (index, forward) in forwards.iter().enumerate() {
        let PortForward {
            app_port,
            agent_port,
        } = *forward;
        let item = format!("annotation {FORWARD} has {app_port}={agent_port}");
        let advice = "write another agent port after '='";
        if agent_port == status_port {
            return Err(format!(
                "{item}, but {agent_port} is the status port: {advice}"
            ));
        }
        let mut previous = forwards[..index].iter();
        if previous.any(|other| other.agent_port == agent_port) {
            return Err(format!(
                "{item}, but port {agent_port} of the agent already forwards to another port: {advice}"
            ));
        }
        let mut agent_ports = forwards.iter().map(|forward| forward.agent_port);
        if app_port == status_port || agent_ports.any(|port| port == app_port) {
            let advice = "write a port of the app before '='";
            return Err(format!(
                "{item}, but {app_port} is a port of the agent: {advice}"
            ));
        }
    }
    Ok(())
}

fn invalid(name: &str, text: &str, advice: &str) -> String {
    format!("annotation {name} is {}: {advice}", Quoted(text))
}
