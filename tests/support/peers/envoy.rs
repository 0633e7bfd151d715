//! Envoy like the proxy of a mesh pod: a TLS listener that requires a client certificate and itself returns responses, in
//! HTTP/1.1 or HTTP/2 as ALPN selects; and like the proxy of a client, which adds TLS with a client certificate.

use super::Process;
use crate::support::certs::{Authority, Identity};
use crate::support::folder::Folder;
use crate::support::ports::{Reserved, reserve};
use crate::support::{WAIT_LIMIT, http};
use std::net::Ipv4Addr;
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
        let app = authority.sign("spiffe://cluster.local/ns/shop/sa/web");
        let reserved = reserve();
        let config = CONFIG
            .replace("PORT", &reserved.port.to_string())
            .replace("TLS", &mutual_tls(&app, authority, alpn));
        Self::launch(folder, &config, reserved)
    }

    /// Starts it with this configuration, which listens on the port.
    fn launch(folder: &Folder, config: &str, reserved: Reserved) -> Result<Self, String> {
        let binary = std::env::var(ENVOY).map_err(|e| format!("{ENVOY}: {e}"))?;
        let mut command = Command::new(binary);
        command
            .args(["--config-yaml", config])
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

/// An Envoy that passes requests in plaintext on, over TLS with a client certificate.
#[derive(Debug)]
pub struct ClientEnvoy {
    envoy: Envoy,
    admin: Reserved,
}

/// Its settings.
#[derive(Debug)]
pub struct ClientSettings<'a> {
    /// Its certificate.
    pub identity: &'a Identity,
    /// The authorities of the server, as PEM.
    pub authorities: &'a str,
    /// The SPIFFE ID of the server.
    pub server_id: &'a str,
    /// The port of the server on 127.0.0.1.
    pub server_port: u16,
    /// `h2` or `http/1.1`.
    pub alpn: &'a str,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: &'a str,
}

impl ClientEnvoy {
    /// Starts it. A connection to the server carries at most 10 requests.
    ///
    /// # Errors
    /// If it does not listen in time.
    pub fn start(folder: &Folder, settings: &ClientSettings<'_>) -> Result<Self, String> {
        let (reserved, admin) = (reserve(), reserve());
        let quoted = |pem: &str| pem.replace('\n', "\\n");
        let protocol = match settings.alpn {
            "h2" => "http2_protocol_options",
            _ => "http_protocol_options",
        };
        let config = CLIENT_CONFIG
            .replace("LISTEN_PORT", &reserved.port.to_string())
            .replace("ADMIN_PORT", &admin.port.to_string())
            .replace("SERVER_PORT", &settings.server_port.to_string())
            .replace("SERVER_ID", settings.server_id)
            .replace("ALPN", settings.alpn)
            .replace("VERSION", settings.version)
            .replace("PROTOCOL", protocol)
            .replace("PEM_CHAIN", &quoted(&settings.identity.chain))
            .replace("PEM_KEY", &quoted(&settings.identity.key))
            .replace("PEM_AUTHORITIES", &quoted(settings.authorities));
        let envoy = Envoy::launch(folder, &config, reserved)?;
        Ok(Self { envoy, admin })
    }

    /// Its port of plaintext.
    pub fn port(&self) -> u16 {
        self.envoy.port()
    }

    /// A counter, such as `cluster.app.ssl.handshake`.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let admin = (Ipv4Addr::LOCALHOST, self.admin.port).into();
        let page = http::get(admin, "/stats", WAIT_LIMIT).ok()?;
        let text = String::from_utf8_lossy(&page.bytes);
        let prefix = format!("{name}: ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix))?;
        line.trim().parse().ok()
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
    // Base64 has no underscore, so no placeholder is found in a certificate.
    TLS.replace("ALPN", &alpn.join(","))
        .replace("PEM_CHAIN", &quoted(&identity.chain))
        .replace("PEM_KEY", &quoted(&identity.key))
        .replace("PEM_AUTHORITY", &quoted(&authority.pem()))
}

const TLS: &str = r#"{
  "name": "envoy.transport_sockets.tls",
  "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "require_client_certificate": true,
    "common_tls_context": {
      "alpn_protocols": [ALPN],
      "tls_certificates": [{
        "certificate_chain": {"inline_string": "PEM_CHAIN"},
        "private_key": {"inline_string": "PEM_KEY"}
      }],
      "validation_context": {"trusted_ca": {"inline_string": "PEM_AUTHORITY"}}
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

const CLIENT_CONFIG: &str = r#"{
  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ADMIN_PORT}}},
  "static_resources": {
    "listeners": [{
      "name": "outbound",
      "address": {"socket_address": {"address": "127.0.0.1", "port_value": LISTEN_PORT}},
      "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
          "stat_prefix": "outbound",
          "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
          }]},
          "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
          }]
        }
      }]}]
    }],
    "clusters": [{
      "name": "app",
      "type": "STATIC",
      "connect_timeout": "10s",
      "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": SERVER_PORT}}
      }}]}]},
      "transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
          "common_tls_context": {
            "alpn_protocols": ["ALPN"],
            "tls_params": {"tls_minimum_protocol_version": "VERSION", "tls_maximum_protocol_version": "VERSION"},
            "tls_certificates": [{
              "certificate_chain": {"inline_string": "PEM_CHAIN"},
              "private_key": {"inline_string": "PEM_KEY"}
            }],
            "validation_context": {
              "trusted_ca": {"inline_string": "PEM_AUTHORITIES"},
              "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "SERVER_ID"}}]
            }
          }
        }
      },
      "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
          "common_http_protocol_options": {"max_requests_per_connection": 10},
          "explicit_http_config": {"PROTOCOL": {}}
        }
      }
    }]
  }
}"#;
