//! Istio's agent in a pod that Istio has injected after probelet: the port that it shares with the injected sidecar, and
//! the ports that it probes.

use super::containers::ISTIO_SIDECAR_NAME;
use super::handler::{Handler, HandlerKind};
use super::probes::HttpGet;
use super::{PodView, parse_table, table_text};
use crate::config::{DEFAULT_STATUS_PORT, parse_port};
use serde_json::{Map, Value};

/// The annotation with the status port, which both injectors read.
pub(crate) const STATUS_PORT: &str = "status.sidecar.istio.io/port";

/// Istio's agent.
pub(super) struct IstioAgent {
    /// The port on which both agents listen.
    pub(super) clashing_port: Option<u16>,
    /// Its table of probers; empty if it cannot be read.
    table: Map<String, Value>,
}

impl IstioAgent {
    /// Istio's agent, if Istio has injected the pod.
    pub(super) fn of(view: &PodView<'_>) -> Option<Self> {
        if !view.is_injected_by_istio() {
            return None;
        }
        let mut containers = view.containers.iter();
        let sidecar = containers.find(|container| container.name == ISTIO_SIDECAR_NAME);
        let text = sidecar.and_then(|sidecar| table_text(sidecar.value));
        Some(Self {
            clashing_port: view.clashing_port(),
            table: parse_table(text),
        })
    }

    /// The port that it probes for a path; none if its table does not say. Istio writes names of ports as numbers
    /// (`pkg/kube/inject/app_probe.go`: `DumpAppProbers`).
    pub(super) fn target_port(&self, path: &str) -> Option<u16> {
        let prober = self.table.get(path)?;
        let mut ports = HandlerKind::ALL
            .into_iter()
            .filter_map(|kind| prober[kind.key()].get("port"));
        ports.next()?.as_u64()?.try_into().ok()
    }

    /// A handler that Istio has rewritten, as it was before: Istio replaces port, path and scheme
    /// (`pkg/kube/inject/app_probe.go`: `convertAppProber`).
    pub(super) fn handler_before(&self, get: &HttpGet<'_>) -> Handler {
        let mut handler = get.handler.clone();
        let prober = self.table.get(get.path);
        let before = prober.map_or(&Value::Null, |prober| &prober[HandlerKind::HttpGet.key()]);
        for name in ["path", "scheme"] {
            match before.get(name) {
                Some(value) if handler.fields.contains_key(name) => {
                    handler.fields.insert(name.into(), value.clone());
                }
                None if name == "path" => drop(handler.fields.remove(name)),
                _ => {}
            }
        }
        handler
    }
}

impl PodView<'_> {
    /// The port on which both the injected sidecar and Istio's agent listen. Istio does not put a probe that points at it
    /// in its table (`pkg/kube/inject/app_probe.go`: `DumpAppProbers`). A probe that Istio has rewritten from another port
    /// of the sidecar needs the sidecar.
    pub(in crate::inject) fn clashing_port(&self) -> Option<u16> {
        let is_injected = self.saved.is_some() && self.is_injected_by_istio();
        let port = self.annotation(STATUS_PORT).and_then(Value::as_str);
        let port = port.and_then(parse_port).unwrap_or(DEFAULT_STATUS_PORT);
        (is_injected && self.agent_ports.contains(&port)).then_some(port)
    }
}
