//! The mesh's part of the pod: certificates, and Envoy where Istio has it, demanding them.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::client::WantsClientCert;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};

use crate::support::{WAIT_LIMIT, http, within};

use super::netns::Netns;
use super::pod::{POD, before_proxy_user};

/// An authority that all of the mesh trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        // Without its own name it could not be distinguished from the certificates that it signs.
        params.distinguished_name.push(DnType::CommonName, "mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    fn sign(&self, name: &str) -> Result<(Certificate, KeyPair), rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((certificate, key))
    }

    /// Another pod of the mesh.
    pub fn member(&self) -> Result<Peer, Box<dyn Error>> {
        let (certificate, key) = self.sign("peer.mesh")?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let chain = vec![certificate.der().clone()];
        let config = self.trusting()?.with_client_auth_cert(chain, key.into())?;
        Ok(Peer(config.into()))
    }

    /// Somebody who speaks TLS and has no certificate.
    pub fn stranger(&self) -> Result<Peer, Box<dyn Error>> {
        Ok(Peer(self.trusting()?.with_no_client_auth().into()))
    }

    fn trusting(&self) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        Ok(ClientConfig::builder().with_root_certificates(roots))
    }
}

/// A client in TLS on the node.
pub struct Peer(Arc<ClientConfig>);

impl Peer {
    /// GET; the whole answer.
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

/// A real Envoy; it is killed when dropped.
#[derive(Debug)]
pub struct Envoy(Child);

impl Envoy {
    /// Starts it as Istio's proxy user and waits until it listens.
    pub fn start(pod: &Netns, authority: &Authority) -> Result<Self, String> {
        let binary = std::env::var("PROBELET_ENVOY").map_err(|e| format!("PROBELET_ENVOY: {e}"))?;
        let (certificate, key) = authority
            .sign(&POD.to_string())
            .map_err(|e| e.to_string())?;
        let quoted = |pem: String| pem.replace('\n', "\\n");
        let config = CONFIG
            .replace("CHAIN", &quoted(certificate.pem()))
            .replace("KEY", &quoted(key.serialize_pem()))
            .replace("AUTHORITY", &quoted(authority.0.pem()));
        let before = before_proxy_user(pod);
        let child = Command::new(&before[0])
            .args(&before[1..])
            .args([&binary, "--config-yaml", &config])
            .args("--concurrency 1 --disable-hot-restart --log-level error".split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("{binary}: {e}"))?;
        let mut envoy = Self(child);
        let listens = || pod.enter(|| TcpStream::connect((POD, 15006)).is_ok());
        let ended = |envoy: &mut Self| !matches!(envoy.0.try_wait(), Ok(None));
        if within(WAIT_LIMIT, || ended(&mut envoy) || listens()) && !ended(&mut envoy) {
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

/// The inbound half of Istio's proxy under `PeerAuthentication` STRICT: whatever the rules divert
/// comes to 15006, must be mutual TLS, and goes on to where it was sent, from 127.0.0.6. What was sent
/// to 15006 itself would go round for ever and ends.
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
      "transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
          "require_client_certificate": true,
          "common_tls_context": {
            "tls_certificates": [{
              "certificate_chain": {"inline_string": "CHAIN"},
              "private_key": {"inline_string": "KEY"}
            }],
            "validation_context": {"trusted_ca": {"inline_string": "AUTHORITY"}}
          }
        }
      },
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
