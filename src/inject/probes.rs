//! The containers of a pod, and their probes and hooks.

use crate::document::Pointer;
use serde_json::{Map, Value};

/// The agent's container.
pub(super) const OURS: &str = "probelet";
/// That of Istio's agent.
pub(super) const ISTIO: &str = "istio-proxy";
/// The lists of containers, those first that start first.
pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// A place for a probe or a hook: the way there from the container, and what its path ends in.
struct Kind {
    way: &'static [&'static str],
    word: &'static str,
    is_hook: bool,
}

const KINDS: [Kind; 5] = [
    probe(&["livenessProbe"], "livez"),
    probe(&["readinessProbe"], "readyz"),
    probe(&["startupProbe"], "startupz"),
    hook(&["lifecycle", "preStop"], "prestopz"),
    hook(&["lifecycle", "postStart"], "poststartz"),
];

const fn probe(way: &'static [&'static str], word: &'static str) -> Kind {
    let is_hook = false;
    Kind { way, word, is_hook }
}

const fn hook(way: &'static [&'static str], word: &'static str) -> Kind {
    let is_hook = true;
    Kind { way, word, is_hook }
}

/// A container of a pod.
#[derive(Clone)]
pub(super) struct Container<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a Value,
    /// Its place in the pod.
    pub(super) at: Pointer,
}

/// All containers of a pod that have a name.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    LISTS.iter().flat_map(move |list| {
        let items = pod["spec"][list].as_array();
        let named = items.into_iter().flatten().enumerate();
        named.filter_map(move |(index, value)| {
            let name = value["name"].as_str()?;
            let at = Pointer::root().keys(&["spec", list]).item(index);
            Some(Container { name, value, at })
        })
    })
}

impl Container<'_> {
    /// Whether it is an init container that ends before the others start, so that nobody probes it.
    pub(super) fn ends(&self) -> bool {
        let is_init =
            matches!(self.at.split(), Some((list, _)) if list.to_string().ends_with(LISTS[0]));
        is_init && self.value["restartPolicy"] != "Always"
    }

    /// Whether it is a sidecar that its own injector looks after.
    pub(super) fn is_agent(&self) -> bool {
        [OURS, ISTIO].contains(&self.name)
    }

    /// The ports it declares for TCP, with their names.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&str, u64)> {
        let ports = self.value["ports"].as_array();
        let tcp = |port: &&Value| port["protocol"].as_str().is_none_or(|word| word == "TCP");
        let ports = ports.into_iter().flatten().filter(tcp);
        ports.filter_map(|port| {
            let name = port["name"].as_str().unwrap_or_default();
            Some((name, port["containerPort"].as_u64()?))
        })
    }
}

/// A probe or a hook that is there.
pub(super) struct Slot<'a> {
    pub(super) container: Container<'a>,
    /// `livez`
    pub(super) word: &'static str,
    /// `/app-health/web/livez`
    pub(super) path: Box<str>,
    pub(super) is_hook: bool,
    /// The probe or hook.
    pub(super) value: &'a Map<String, Value>,
    /// Its place in the pod.
    pub(super) at: Pointer,
    /// The same as the record names it: `web.livenessProbe`
    pub(super) key: Box<str>,
    /// As a person names it: `livenessProbe of web`
    pub(super) name: Box<str>,
}

/// The probes and hooks of all containers that kubelet probes, less those of agents.
pub(super) fn slots(pod: &Value) -> Vec<Slot<'_>> {
    let probed = containers(pod).filter(|container| !container.ends() && !container.is_agent());
    let mut slots = Vec::new();
    for container in probed {
        slots.extend(KINDS.iter().filter_map(|kind| slot(&container, kind)));
    }
    slots
}

fn slot<'a>(container: &Container<'a>, kind: &Kind) -> Option<Slot<'a>> {
    let step = |value: &'a Value, key: &&str| value.get(*key);
    let value = kind
        .way
        .iter()
        .try_fold(container.value, step)?
        .as_object()?;
    let name = container.name;
    let folder = if kind.is_hook {
        "app-lifecycle"
    } else {
        "app-health"
    };
    Some(Slot {
        word: kind.word,
        path: format!("/{folder}/{name}/{}", kind.word).into(),
        is_hook: kind.is_hook,
        value,
        at: container.at.keys(kind.way),
        key: format!("{name}.{}", kind.way.join(".")).into(),
        name: format!("{} of {name}", kind.way.last().unwrap_or(&"")).into(),
        container: container.clone(),
    })
}

/// What asks a port.
pub(super) const HANDLERS: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];

impl<'a> Slot<'a> {
    /// The handler that asks a port, if there is just one.
    pub(super) fn handler(&self) -> Option<(&'static str, &'a Map<String, Value>)> {
        let mut handlers = HANDLERS
            .iter()
            .filter_map(|kind| Some((*kind, self.value.get(*kind)?)));
        let (kind, handler) = handlers.next().filter(|_| handlers.next().is_none())?;
        Some((kind, handler.as_object()?))
    }
}
