//! Istio's agent in a pod that Istio has injected after probelet: the port that it shares with the injected sidecar, and
//! the ports that it probes.

use super::handler::{Handler, HandlerKind};
use super::prober_table::{parse_table, table_text};
use super::probes::HttpGet;
use serde_json::{Map, Value};

/// Istio's agent.
pub(super) struct IstioAgent {
    /// The port on which both agents listen.
    pub(super) clashing_port: Option<u16>,
    /// Its table of probers; empty if it cannot be read.
    table: Map<String, Value>,
}

impl IstioAgent {
    /// The agent in this container, if the pod has it, with the port on which both agents listen.
    pub(super) fn new(clashing_port: Option<u16>, sidecar: Option<&Value>) -> Self {
        Self {
            clashing_port,
            table: parse_table(sidecar.and_then(table_text)),
        }
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
