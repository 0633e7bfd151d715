//! The containers of a pod and the ports they declare.

use crate::manifest::Pointer;
use serde_json::Value;

/// The name of the sidecar.
pub(in crate::inject) const SIDECAR: &str = "probelet";
/// The name of Istio's sidecar.
pub(in crate::inject) const ISTIO: &str = "istio-proxy";
/// The lists of containers, in the order in which kubelet starts them.
pub(in crate::inject) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// A container of a pod.
#[derive(Clone)]
pub(in crate::inject) struct Container<'a> {
    pub(in crate::inject) name: &'a str,
    pub(in crate::inject) value: &'a Value,
    /// Its place in the pod.
    pub(in crate::inject) at: Pointer,
}

/// All containers that have a name.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    LISTS.iter().flat_map(move |list| {
        let items = pod["spec"][list].as_array();
        let items = items.into_iter().flatten().enumerate();
        items.filter_map(move |(index, value)| {
            let name = value["name"].as_str()?;
            let at = Pointer::root().join_keys(&["spec", list]).join_index(index);
            Some(Container { name, value, at })
        })
    })
}

impl Container<'_> {
    /// Whether kubelet probes it: not an init container that exits before the others start.
    pub(in crate::inject) fn is_probed(&self) -> bool {
        let list = self.at.split_last().map(|(list, _)| list.to_string());
        let is_init = list.is_some_and(|list| list.ends_with(LISTS[0]));
        !is_init || self.value["restartPolicy"] == "Always"
    }

    /// Whether it is the sidecar of an injector.
    pub(in crate::inject) fn is_agent(&self) -> bool {
        [SIDECAR, ISTIO].contains(&self.name)
    }

    /// The number of its port of this name. Like kubelet, it ignores the protocol
    /// (`pkg/probe/util.go`: `findPortByName`).
    pub(in crate::inject) fn port_by_name(&self, name: &str) -> Option<u16> {
        let mut ports = self.ports();
        let port = ports.find(|port| port["name"] == name)?;
        port["containerPort"].as_u64()?.try_into().ok()
    }

    /// Whether it declares this TCP port.
    pub(in crate::inject) fn declares(&self, number: u16) -> bool {
        // The API server's default, of an empty protocol too.
        let is_tcp = |port: &Value| matches!(port["protocol"].as_str(), None | Some("" | "TCP"));
        self.ports()
            .any(|port| port["containerPort"] == number && is_tcp(port))
    }

    /// Whether one of its ports has this name.
    pub(in crate::inject) fn has_port_name(&self, name: &str) -> bool {
        self.ports().any(|port| port["name"] == name)
    }

    fn ports(&self) -> impl Iterator<Item = &Value> {
        self.value["ports"].as_array().into_iter().flatten()
    }
}
