//! The mesh: clients, and Envoy in the place of Istio's proxy, which requires certificates.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::support::certs::Authority;
use crate::support::netns::Netns;
use crate::support::peers::envoy::{ENVOY, QUIET, mutual_tls};
use crate::support::{WAIT_LIMIT, http, within};

use super::pod::{POD, proxy_user_wrapper};

/// A TLS client on the node.
pub struct Peer(Arc<ClientConfig>);

impl Peer {
    /// Another pod of the mesh.
    pub fn member(authority: &Authority) -> Self {
        Self(authority.client(Some(&authority.sign("peer.mesh"))))
    }

    /// A client without a certificate.
    pub fn without_certificate(authority: &Authority) -> Self {
        Self(authority.client(None))
    }

    /// Sends a GET. Returns the response.
    pub fn get(&self, node: &Netns, to: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
        let tls = ClientConnection::new(self.0.clone(), to.ip().into())?;
        let tcp = node.enter(|| TcpStream::connect_timeout(&to, WAIT_LIMIT))?;
        tcp.set_read_timeout(Some(WAIT_LIMIT))?;
        let mut stream = StreamOwned::new(tls, tcp);
        stream.write_all(&http::request(&to.to_string(), path))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// A real Envoy. Dropping it kills it.
#[derive(Debug)]
pub struct Envoy(Child);

impl Envoy {
    /// Starts it as Istio's proxy user and waits until it listens.
    pub fn start(pod: &Netns, authority: &Authority) -> Result<Self, String> {
        let binary = std::env::var(ENVOY).map_err(|e| format!("{ENVOY}: {e}"))?;
        let identity = authority.sign(&POD.to_string());
        let config = CONFIG.replace("TLS", &mutual_tls(&identity, authority, &[]));
        let wrapper = proxy_user_wrapper(pod);
        let child = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args([&binary, "--config-yaml", &config])
            .args(QUIET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("{binary}: {e}"))?;
        let mut envoy = Self(child);
        let listens = || pod.enter(|| TcpStream::connect((POD, 15006)).is_ok());
        let has_ended = |envoy: &mut Self| !matches!(envoy.0.try_wait(), Ok(None));
        if within(WAIT_LIMIT, || has_ended(&mut envoy) || listens()) && !has_ended(&mut envoy) {
            return Ok(envoy);
        }
        Err(format!("{binary} does not listen"))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The inbound half of Istio's proxy with `PeerAuthentication` STRICT: port 15006 receives the redirected connections,
/// requires mutual TLS, and forwards to the original destination from 127.0.0.6. Connections to 15006 itself would loop, so
/// they are closed.
const CONFIG: &str = r#"{"static_resources": {
  "listeners": [{
    "name": "virtualInbound",
    "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
    "listener_filters": [{
      "name": "envoy.filters.listener.original_dst",
      "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}
    }],
    "filter_chains": [{
      "filter_chain_match": {"destination_port": 15006},
      "filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
          "stat_prefix": "blackhole",
          "cluster": "BlackHoleCluster"
        }
      }]
    }, {
      "transport_socket": TLS,
      "filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
          "stat_prefix": "inbound",
          "cluster": "InboundPassthroughCluster"
        }
      }]
    }]
  }],
  "clusters": [{
    "name": "BlackHoleCluster",
    "type": "STATIC"
  }, {
    "name": "InboundPassthroughCluster",
    "type": "ORIGINAL_DST",
    "lb_policy": "CLUSTER_PROVIDED",
    "connect_timeout": "1s",
    "upstream_bind_config": {"source_address": {"address": "127.0.0.6", "port_value": 0}}
  }]
}}"#;
