//! What a pod gets, decided on the pod as it was before any injection.

use super::Sidecar;
use super::annotations::{FORWARD, SIDECAR, STATUS_PORT as PORT, Stop, Wishes};
use super::judge::{self, Judgement};
use super::present::Present;
use super::probes::{self, ISTIO, OURS, Slot};
use super::sidecar::{self, Command, STATUS_PORT, VOLUME};
use super::table::Table;
use super::told;
use crate::config::ConfigError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a pod gets.
pub(super) struct Plan {
    /// Where each probe goes, by its place as the record names it.
    pub(super) probes: BTreeMap<Box<str>, Goal>,
    /// The list that our container goes into.
    pub(super) list: &'static str,
    pub(super) container: Value,
    pub(super) volume: Option<Value>,
    /// Ports that kubelet asks in plaintext, so that interception must leave them out.
    pub(super) excluded: Vec<u16>,
    /// What is done, such as `injected: livez, readyz`, less the first word.
    pub(super) what: Box<str>,
}

/// Where a probe goes.
pub(super) enum Goal {
    /// To this path of the status port.
    Rewritten {
        /// `/app-health/web/livez`
        path: Box<str>,
        /// The status port.
        port: u16,
    },
    /// To this port, with all else as it is.
    Forwarded(u16),
}

/// What the probes of a pod came to.
#[derive(Default)]
struct Sorted {
    goals: BTreeMap<Box<str>, Goal>,
    table: Table,
    /// Containers, each with what is rewritten of it.
    words: Vec<(Box<str>, Vec<&'static str>)>,
    /// Ports of the app that are forwarded.
    forwarded: BTreeSet<u16>,
    has_exec: bool,
    is_left: bool,
    stays: bool,
    taken: Vec<Box<str>>,
}

impl Plan {
    /// # Errors
    /// Why the pod is left alone, or refused.
    pub(super) fn new(
        pod: &Value,
        of_job: bool,
        wishes: &Wishes,
        present: &Present<'_>,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        not_for_us(pod)?;
        if judge::unnamed(pod) {
            warnings.push(
                "a container has no name, so its probes stay as they are: give it one".into(),
            );
        }
        judge::excluded_for_nothing(pod, wishes, warnings);
        let mut sorted = sort(pod, wishes, warnings)?;
        sorted.is_worth_it(wishes)?;
        has_names(pod)?;
        // A job's pods come to the webhook one by one.
        let policy = &pod["spec"]["restartPolicy"];
        let ends = of_job || policy == "Never" || policy == "OnFailure";
        if ends && wishes.sidecar == Sidecar::Container {
            return Err(Stop::Refuse(never_ends()));
        }
        are_ports_free(pod, wishes)?;
        sorted.keep(present);
        for (app, own) in &wishes.forwards {
            if !sorted.forwarded.contains(app) {
                let what = format!("no httpGet probe asks port {app}");
                let why = format!("annotation {FORWARD} forwards {own} to it all the same");
                warnings.push(format!("{what}: {why}").into());
            }
        }
        let what = sorted.what();
        let command = Command::new(pod, wishes, sorted.table);
        let unfit = |error: Box<ConfigError>| Stop::Refuse(told::unfit(*error, pod));
        command.check(wishes).map_err(unfit)?;
        Ok(Self {
            probes: sorted.goals,
            list: match wishes.sidecar {
                Sidecar::Native => "initContainers",
                Sidecar::Container => "containers",
            },
            container: sidecar::container(wishes, &command, port_name(pod)),
            volume: sidecar::volume(wishes),
            excluded: excluded(wishes),
            what,
        })
    }
}

/// Pods that are somebody else's, or that the agent cannot be in.
fn not_for_us(pod: &Value) -> Result<(), Stop> {
    let spec = &pod["spec"];
    let has = |name: &str| probes::containers(pod).any(|container| container.name == name);
    let istio = pod["metadata"]["annotations"].get("sidecar.istio.io/status");
    let why = if istio.is_some() || has(ISTIO) {
        "Istio's own injector has handled it, whose agent does the same"
    } else if has(OURS) {
        "it has a container probelet that was put there by hand"
    } else if spec["hostNetwork"] == true {
        "hostNetwork: the agent's ports would be the node's"
    } else if spec["os"]["name"] == "windows" {
        "it is for Windows, and the agent is for Linux"
    } else {
        return Ok(());
    };
    Err(Stop::Skip(why.into()))
}

fn sort(pod: &Value, wishes: &Wishes, warnings: &mut Vec<Box<str>>) -> Result<Sorted, Stop> {
    let mut sorted = Sorted::default();
    for slot in probes::slots(pod) {
        let goal = match slot.judge(pod, wishes) {
            Judgement::NoPort => {
                sorted.has_exec |= slot.value.contains_key("exec");
                continue;
            }
            Judgement::Left => {
                sorted.is_left = true;
                continue;
            }
            Judgement::Stays(why) => {
                sorted.stays = true;
                warnings.push(why);
                continue;
            }
            Judgement::Taken => {
                sorted.taken.push(slot.name);
                continue;
            }
            Judgement::Refused(why) => return Err(Stop::Refuse(why)),
            Judgement::Rewritten(prober) => {
                sorted.table.insert(&slot.path, prober);
                sorted.tell(&slot);
                Goal::Rewritten {
                    path: slot.path,
                    port: wishes.status_port,
                }
            }
            Judgement::Forwarded { port, to } => {
                sorted.forwarded.insert(port);
                Goal::Forwarded(to)
            }
        };
        sorted.goals.insert(slot.key, goal);
    }
    Ok(sorted)
}

impl Sorted {
    fn tell(&mut self, slot: &Slot<'_>) {
        match self.words.last_mut() {
            Some((name, words)) if **name == *slot.container.name => words.push(slot.word),
            _ => self
                .words
                .push((slot.container.name.into(), vec![slot.word])),
        }
    }

    /// Without a probe that goes to it, the agent would be there for nothing.
    fn is_worth_it(&self, wishes: &Wishes) -> Result<(), Stop> {
        if let Some(first) = self.taken.first() {
            let why = format!("{first} asks a status port already, and not by this tool's doing");
            return Err(Stop::Skip(why.into()));
        }
        let why = match self {
            sorted if !sorted.goals.is_empty() => return Ok(()),
            Sorted { stays: true, .. } => "no probe that could be rewritten",
            Sorted { is_left: true, .. } if !wishes.rewrite => "rewriting is switched off",
            Sorted { is_left: true, .. } => "all its probes are excluded by annotation",
            Sorted { has_exec: true, .. } => "only exec probes",
            _ => "no probes",
        };
        Err(Stop::Skip(why.into()))
    }

    fn keep(&mut self, present: &Present<'_>) {
        let slots = probes::slots(present.pod);
        self.table.keep(&present.table(), |path| {
            let mut slots = slots.iter().filter(|slot| *slot.path == *path);
            slots.any(|slot| present.is_left(slot))
        });
    }

    /// `livez, readyz` of one container, `web livez, readyz; db livez` of several, and `forwarded: 8002`.
    fn what(&self) -> Box<str> {
        let is_one = self.words.len() == 1;
        let of = |(name, words): &(Box<str>, Vec<&str>)| match is_one {
            true => words.join(", "),
            false => format!("{name} {}", words.join(", ")),
        };
        let mut parts: Vec<String> = self.words.iter().map(of).collect();
        if !self.forwarded.is_empty() {
            let ports: Vec<String> = self.forwarded.iter().map(u16::to_string).collect();
            parts.push(format!("forwarded: {}", ports.join(", ")));
        }
        parts.join("; ").into()
    }
}

fn never_ends() -> Box<str> {
    format!(
        "the agent as an ordinary container would keep the pod from ever ending: leave annotation {SIDECAR} \
         out or set it to native (Kubernetes 1.29 or later)"
    )
    .into()
}

/// Probers are named for their containers.
fn has_names(pod: &Value) -> Result<(), Stop> {
    let mut seen = BTreeSet::new();
    let twice = probes::containers(pod).find(|container| !seen.insert(container.name));
    match twice {
        None => Ok(()),
        Some(container) => {
            let what = format!("two containers are called {}", container.name);
            Err(format!("{what}: give each a name of its own").into())
        }
    }
}

/// What a container declares it also listens on, most likely; then one of the two would not start.
fn are_ports_free(pod: &Value, wishes: &Wishes) -> Result<(), Stop> {
    let status = [(wishes.status_port, PORT, "15920")];
    let forwards = wishes
        .forwards
        .iter()
        .map(|(_, own)| (*own, FORWARD, "8002=15932"));
    for (port, annotation, such) in status.into_iter().chain(forwards) {
        let mut containers = probes::containers(pod);
        let clash = containers.find(|container| {
            let mut ports = container.ports();
            ports.any(|(_, number)| number == u64::from(port))
        });
        if let Some(container) = clash {
            let what = format!("container {} has port {port} for itself", container.name);
            let advice = format!("write another into annotation {annotation}, such as {such}");
            return Err(format!("{what}, where the agent would listen: {advice}").into());
        }
    }
    let volumes = pod["spec"]["volumes"].as_array();
    if volumes
        .into_iter()
        .flatten()
        .any(|volume| volume["name"] == VOLUME)
    {
        return Err(format!("it has a volume {VOLUME} already: give that another name").into());
    }
    Ok(())
}

/// A name of a port is found in the whole pod, so it must be nobody else's.
fn port_name(pod: &Value) -> Option<&'static str> {
    let is_free = |name: &&&str| {
        let mut containers = probes::containers(pod);
        !containers.any(|container| container.ports().any(|(taken, _)| taken == **name))
    };
    ["probelet", "probelet-status"]
        .iter()
        .find(is_free)
        .copied()
}

/// Istio's rules leave out its own status port by themselves.
fn excluded(wishes: &Wishes) -> Vec<u16> {
    let status = [wishes.status_port].into_iter();
    let forwards = wishes.forwards.iter().map(|(_, own)| *own);
    status
        .filter(|port| *port != STATUS_PORT)
        .chain(forwards)
        .collect()
}
