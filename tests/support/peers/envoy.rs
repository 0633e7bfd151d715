//! Envoy like the proxy of a mesh pod: a TLS listener that requires a client certificate and itself returns responses, in
//! HTTP/1.1 or HTTP/2 as ALPN selects.

use super::Process;
use crate::support::certs::{Authority, Identity};
use crate::support::folder::Folder;
use crate::support::ports::{Reserved, reserve};
use std::process::Command;

/// The variable with the path of the binary.
pub const ENVOY: &str = "PROBELET_ENVOY";

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    _process: Process,
    reserved: Reserved,
}

impl Envoy {
    /// Starts it with a certificate of this authority, which its clients need as well. `alpn` are its protocols.
    ///
    /// # Errors
    /// If it does not listen in time.
    pub fn start(folder: &Folder, authority: &Authority, alpn: &[&str]) -> Result<Self, String> {
        let binary = std::env::var(ENVOY).map_err(|e| format!("{ENVOY}: {e}"))?;
        let app = authority.sign("spiffe://cluster.local/ns/shop/sa/web");
        let reserved = reserve();
        let config = CONFIG
            .replace("PORT", &reserved.port.to_string())
            .replace("TLS", &mutual_tls(&app, authority, alpn));
        let mut command = Command::new(binary);
        command
            .args(["--config-yaml", &config])
            .args(QUIET)
            .current_dir(folder.path());
        let process = Process::listening(&mut command, reserved.port)?;
        Ok(Self {
            _process: process,
            reserved,
        })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.reserved.port
    }
}

/// Arguments of Envoy: one worker, a log of errors only.
pub const QUIET: [&str; 5] = [
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--log-level",
    "error",
];

/// The `transport_socket` of a listener with this certificate that requires one of the authority. `alpn` are its
/// protocols.
pub fn mutual_tls(identity: &Identity, authority: &Authority, alpn: &[&str]) -> String {
    let quoted = |pem: &str| pem.replace('\n', "\\n");
    let alpn: Vec<String> = alpn.iter().map(|p| format!("{p:?}")).collect();
    TLS.replace("ALPN", &alpn.join(","))
        .replace("CHAIN", &quoted(&identity.chain))
        .replace("KEY", &quoted(&identity.key))
        .replace("AUTHORITY", &quoted(&authority.pem()))
}

const TLS: &str = r#"{
  "name": "envoy.transport_sockets.tls",
  "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "require_client_certificate": true,
    "common_tls_context": {
      "alpn_protocols": [ALPN],
      "tls_certificates": [{
        "certificate_chain": {"inline_string": "CHAIN"},
        "private_key": {"inline_string": "KEY"}
      }],
      "validation_context": {"trusted_ca": {"inline_string": "AUTHORITY"}}
    }
  }
}"#;

const CONFIG: &str = r#"{"static_resources": {"listeners": [{
  "name": "inbound",
  "address": {"socket_address": {"address": "127.0.0.1", "port_value": PORT}},
  "filter_chains": [{
    "transport_socket": TLS,
    "filters": [{
      "name": "envoy.filters.network.http_connection_manager",
      "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": {"virtual_hosts": [{
          "name": "all",
          "domains": ["*"],
          "routes": [{
            "match": {"path": "/broken"},
            "direct_response": {"status": 500}
          }, {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": "%PROTOCOL%"}}
          }]
        }]},
        "http_filters": [{
          "name": "envoy.filters.http.router",
          "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
        }]
      }
    }]
  }]
}]}}"#;
