//! The containers of a pod and the ports they declare.

use super::collections::SpecList;
use crate::manifest::Pointer;
use serde_json::Value;
use std::collections::HashMap;

/// The name of the sidecar.
pub(crate) const SIDECAR_NAME: &str = "probelet";
/// The name of Istio's sidecar.
pub(in crate::inject) const ISTIO_SIDECAR_NAME: &str = "istio-proxy";
/// The name of Linkerd's sidecar.
pub(in crate::inject) const LINKERD_SIDECAR_NAME: &str = "linkerd-proxy";
/// The name of Linkerd's init container, which redirects connections and drops none.
pub(in crate::inject) const LINKERD_INIT_NAME: &str = "linkerd-init";
/// The sidecars of injectors. A mesh's proxy answers kubelet itself on ports that it does not intercept.
const INJECTED_SIDECARS: [&str; 7] = [
    SIDECAR_NAME,
    ISTIO_SIDECAR_NAME,
    LINKERD_SIDECAR_NAME,
    "kuma-sidecar",
    "consul-dataplane",
    "consul-connect-envoy-sidecar",
    "nginx-mesh-sidecar",
];

/// A container of a pod.
#[derive(Clone)]
pub(in crate::inject) struct Container<'a> {
    pub(in crate::inject) name: &'a str,
    pub(in crate::inject) value: &'a Value,
    pub(in crate::inject) list: SpecList,
    pub(in crate::inject) index: usize,
}

/// All containers that have a name.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    SpecList::OF_CONTAINERS.into_iter().flat_map(move |list| {
        let items = pod["spec"][list.key()].as_array();
        let items = items.into_iter().flatten().enumerate();
        items.filter_map(move |(index, value)| {
            let name = value["name"].as_str()?;
            Some(Container {
                name,
                value,
                list,
                index,
            })
        })
    })
}

impl<'a> Container<'a> {
    /// Its pointer in the pod.
    pub(super) fn pointer(&self) -> Pointer {
        self.list.pointer().join_index(self.index)
    }

    /// Whether kubelet probes it: not an init container that exits before the others start.
    pub(in crate::inject) fn is_probed(&self) -> bool {
        self.list != SpecList::InitContainers || self.value["restartPolicy"] == "Always"
    }

    /// Whether it is the sidecar of an injector.
    pub(in crate::inject) fn is_injected_sidecar(&self) -> bool {
        INJECTED_SIDECARS.contains(&self.name)
    }

    /// The number of its port with this name. Like kubelet, it ignores the protocol
    /// (`pkg/probe/util.go`: `findPortByName`).
    pub(in crate::inject) fn port_by_name(&self, name: &str) -> Option<u16> {
        let mut ports = self.ports();
        let port = ports.find(|port| port["name"] == name)?;
        port["containerPort"].as_u64()?.try_into().ok()
    }

    /// Whether one of its ports has this name.
    pub(in crate::inject) fn has_port_name(&self, name: &str) -> bool {
        self.ports().any(|port| port["name"] == name)
    }

    /// The names of its ports with this number.
    pub(in crate::inject) fn names_of_port(&self, port: u16) -> impl Iterator<Item = &'a str> {
        let ports = self.ports();
        let ports = ports.filter(move |declared| declared["containerPort"] == port);
        ports.filter_map(|declared| declared["name"].as_str())
    }

    fn ports(&self) -> impl Iterator<Item = &'a Value> {
        self.value["ports"].as_array().into_iter().flatten()
    }

    /// The numbers of its TCP ports.
    fn tcp_ports(&self) -> impl Iterator<Item = u16> {
        // TCP is the API server's default, also of an empty protocol.
        let is_tcp = |port: &&Value| matches!(port["protocol"].as_str(), None | Some("" | "TCP"));
        let ports = self.ports().filter(is_tcp);
        ports.filter_map(|port| port["containerPort"].as_u64()?.try_into().ok())
    }
}

/// The TCP ports that the containers of a pod declare, each with the first container that does.
pub(in crate::inject) struct DeclaredPorts<'a>(HashMap<u16, &'a str>);

impl<'a> DeclaredPorts<'a> {
    pub(super) fn of(containers: &[Container<'a>]) -> Self {
        let mut ports = HashMap::new();
        for container in containers {
            for port in container.tcp_ports() {
                ports.entry(port).or_insert(container.name);
            }
        }
        Self(ports)
    }

    /// The name of the first container that declares a port.
    pub(in crate::inject) fn first(&self, port: u16) -> Option<&'a str> {
        self.0.get(&port).copied()
    }
}
