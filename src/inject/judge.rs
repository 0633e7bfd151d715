//! What becomes of each probe and hook, by what it asks and what the pod wishes.

use super::annotations::{EXCLUDE_CONTAINERS, EXCLUDE_PORTS, FORWARD, STATUS_PORT, Wishes, port};
use super::probes::{Container, HANDLERS, LISTS, Slot, containers, slots};
use super::table;
use serde_json::{Map, Value};

/// What becomes of a probe or hook.
pub(super) enum Judgement {
    /// It asks no port.
    NoPort,
    /// It could go to the agent, and is not to.
    Left,
    /// It could not, and why: a sentence.
    Stays(Box<str>),
    /// It asks a status port already, and not by our doing.
    Taken,
    /// It should, and cannot without harm: why, and what to write instead.
    Refused(Box<str>),
    /// It goes there; this is its prober.
    Rewritten(String),
    /// It goes to this port of the agent's, which is passed through to that of the app.
    Forwarded {
        /// The app's port.
        port: u16,
        /// The agent's.
        to: u16,
    },
}

/// What is not known of a handler would not survive its becoming another.
const TCP_SOCKET: [&str; 2] = ["port", "host"];
const GRPC: [&str; 3] = ["port", "service", "mode"];

impl Slot<'_> {
    /// What becomes of it by the pod's wishes.
    pub(super) fn judge(&self, pod: &Value, wishes: &Wishes) -> Judgement {
        if !HANDLERS.iter().any(|kind| self.value.contains_key(*kind)) {
            return Judgement::NoPort;
        }
        if wishes
            .exclude_containers
            .iter()
            .any(|name| **name == *self.container.name)
        {
            return Judgement::Left;
        }
        let Some((kind, handler)) = self.handler() else {
            return self.stays("has more than one handler, or an empty one");
        };
        let port = match self.port(handler) {
            Ok(port) => port,
            Err(why) => return self.stays(&why),
        };
        let mut excluded = wishes.exclude_ports.iter();
        if excluded.any(|item| is_asked(&handler["port"], port, item)) {
            return Judgement::Left;
        }
        if let Some(why) = self.unfit(kind, handler) {
            return self.stays(&why);
        }
        if port == wishes.status_port {
            return self.at_status_port(handler, port);
        }
        if let Some(&(_, to)) = wishes.forwards.iter().find(|(app, _)| *app == port) {
            return self.forward(kind, port, to);
        }
        match self.owner(pod, port) {
            _ if !wishes.rewrite => Judgement::Left,
            Some(owner) => self.stays(&format!(
                "asks port {port}, which container {owner} declares and {} does not: declare it there as \
                 well, if it is meant",
                self.container.name
            )),
            None => Judgement::Rewritten(table::prober(kind, handler, port, self.timeout())),
        }
    }

    fn stays(&self, why: &str) -> Judgement {
        Judgement::Stays(format!("{} stays as it is: it {why}", self.name).into())
    }

    fn refused(&self, why: &str) -> Judgement {
        Judgement::Refused(format!("{} {why}", self.name).into())
    }

    /// As kubelet finds it: a name among the container's own ports, else a number in quotes
    /// (`pkg/probe/util.go`: `ResolveContainerPort`).
    fn port(&self, handler: &Map<String, Value>) -> Result<u16, String> {
        match handler.get("port").unwrap_or(&Value::Null) {
            Value::String(name) => {
                let mut ports = self.container.ports();
                let named = ports.find(|(of, _)| *of == name);
                let found = named.and_then(|(_, port)| port.try_into().ok());
                found.or_else(|| port(name)).ok_or_else(|| {
                    format!(
                        "asks port {name}, which {} does not declare: write its number, or name it in ports",
                        self.container.name
                    )
                })
            }
            Value::Number(number) => {
                let port = number.as_u64().and_then(|port| port.try_into().ok());
                port.filter(|port| *port != 0)
                    .ok_or_else(|| format!("asks port {number}: write a number from 1 to 65535"))
            }
            _ => Err("asks no port: write its number".into()),
        }
    }

    /// What the agent could not do as kubelet does.
    fn unfit(&self, kind: &str, handler: &Map<String, Value>) -> Option<String> {
        if self.is_hook && kind != "httpGet" {
            return Some(format!(
                "is {kind}, which kubelet always fails: write httpGet"
            ));
        }
        let host = handler
            .get("host")
            .filter(|host| !host.is_null() && *host != "");
        if let (Some(host), true) = (host, kind != "grpc") {
            let advice = "leave host out, and write it as a Host header if the app wants one";
            return Some(format!(
                "asks host {host}, and the agent asks its own pod alone: {advice}"
            ));
        }
        let known: &[&str] = match kind {
            "tcpSocket" => &TCP_SOCKET,
            "grpc" => &GRPC,
            _ => return None,
        };
        let strange = handler.keys().find(|key| !known.contains(&&***key))?;
        Some(format!("has {kind}.{strange}, which is not known here"))
    }

    fn at_status_port(&self, handler: &Map<String, Value>, port: u16) -> Judgement {
        let path = handler
            .get("path")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/") {
            return Judgement::Taken;
        }
        self.refused(&format!(
            "asks port {port}, which would be the status port: write another into annotation {STATUS_PORT}, \
             such as 15920"
        ))
    }

    fn forward(&self, kind: &str, port: u16, to: u16) -> Judgement {
        if kind == "httpGet" {
            return Judgement::Forwarded { port, to };
        }
        self.refused(&format!(
            "is {kind} of port {port}, which {FORWARD} passes through: a connection to a forwarded port always \
             comes about, so it could not fail; leave {port} out there, or write httpGet"
        ))
    }

    /// The container that declares the port in place of this one.
    fn owner<'p>(&self, pod: &'p Value, port: u16) -> Option<&'p str> {
        let declares = |container: &Container<'_>| {
            let mut ports = container.ports();
            ports.any(|(_, number)| number == u64::from(port))
        };
        let others = containers(pod).filter(|other| !other.is_agent() && !other.ends());
        let other = others.into_iter().find(declares);
        other
            .map(|other| other.name)
            .filter(|_| !declares(&self.container))
    }

    /// Hooks have none.
    fn timeout(&self) -> u64 {
        let timeout = self.value.get("timeoutSeconds").and_then(Value::as_u64);
        timeout.filter(|_| !self.is_hook).unwrap_or_default()
    }
}

/// By number, or by name as it is written.
fn is_asked(written: &Value, port: u16, item: &str) -> bool {
    item == port.to_string() || written == item
}

/// Containers with probes and without a name, by which their probers would be found.
pub(super) fn unnamed(pod: &Value) -> bool {
    let items = LISTS.iter().filter_map(|list| pod["spec"][list].as_array());
    let mut items = items.flatten();
    items.any(|item| item.is_object() && !item["name"].is_string())
}

/// What is to be left out and is not there: containers, and ports that no probe asks.
pub(super) fn excluded_for_nothing(pod: &Value, wishes: &Wishes, warnings: &mut Vec<Box<str>>) {
    for name in &wishes.exclude_containers {
        if !containers(pod).any(|container| *container.name == **name) {
            let what = format!("annotation {EXCLUDE_CONTAINERS} names {name}");
            warnings.push(format!("{what}, which is no container of the pod").into());
        }
    }
    let slots = slots(pod);
    for item in &wishes.exclude_ports {
        let asks = |slot: &Slot<'_>| {
            slot.handler().is_some_and(|(_, handler)| {
                let port = slot.port(handler).unwrap_or_default();
                is_asked(handler.get("port").unwrap_or(&Value::Null), port, item)
            })
        };
        if !slots.iter().any(asks) {
            let what = format!("annotation {EXCLUDE_PORTS} has {item}");
            warnings.push(format!("{what}, which no probe asks").into());
        }
    }
}
