//! The configurations of nginx, HAProxy and Envoy: one worker, a new connection to the app for each request, no access log.
//! Over TLS: no verification, no session resumption.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The scheme between a peer and the app.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// A full handshake for each request.
    Https,
}

fn write(scratch: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = scratch.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// nginx with one worker. Its master process is measured as well.
pub fn nginx(
    program: &Path,
    scheme: Scheme,
    port: u16,
    app: u16,
    scratch: &Path,
) -> Outcome<Command> {
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let server = format!(
        "listen 127.0.0.1:{port};
         location / {{
           proxy_pass {scheme}://127.0.0.1:{app}; proxy_ssl_session_reuse off;
           proxy_ssl_protocols TLSv1.2 TLSv1.3;
           proxy_http_version 1.1; proxy_set_header Connection close;
         }}"
    );
    nginx_with(&server, program, port, scratch)
}

/// nginx as the app: terminates TLS with the certificate and key in `pem` and returns 200 for every path.
/// `client_cert` is whether it requires a certificate of the client, which may have any issuer.
pub fn nginx_app(
    program: &Path,
    pem: &Path,
    client_cert: bool,
    port: u16,
    scratch: &Path,
) -> Outcome<Command> {
    let pem = pem.display();
    let verify = match client_cert {
        true => "ssl_verify_client optional_no_ca; if ($ssl_client_verify = NONE) { return 400; }",
        false => "",
    };
    let server = format!(
        "listen 127.0.0.1:{port} ssl;
         ssl_certificate {pem}; ssl_certificate_key {pem};
         ssl_session_cache off; ssl_session_tickets off; ssl_protocols TLSv1.2 TLSv1.3; {verify}
         location / {{ default_type text/plain; return 200 ok; }}"
    );
    nginx_with(&server, program, port, scratch)
}

fn nginx_with(server: &str, program: &Path, port: u16, scratch: &Path) -> Outcome<Command> {
    let folder = scratch.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log stderr crit;
         events {{ worker_connections 1024; }}
         http {{
           access_log off; keepalive_timeout 0;
           client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
           uwsgi_temp_path {folder}; scgi_temp_path {folder};
           server {{ {server} }}
         }}\n"
    );
    let path = write(scratch, &format!("nginx-{port}.conf"), &text)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(scratch).arg("-c").arg(path);
    command.args(["-e", "stderr"]);
    Ok(command)
}

/// HAProxy as an HTTP proxy, one thread.
pub fn haproxy(
    program: &Path,
    scheme: Scheme,
    port: u16,
    app: u16,
    scratch: &Path,
) -> Outcome<Command> {
    let server = match scheme {
        Scheme::Http => format!("127.0.0.1:{app}"),
        Scheme::Https => format!("127.0.0.1:{app} ssl verify none no-ssl-reuse"),
    };
    haproxy_in("http\n option httpclose", program, port, &server, scratch)
}

/// HAProxy as a TCP proxy with one thread, which copies bytes through its buffers like probelet.
pub fn haproxy_tcp(program: &Path, port: u16, app: u16, scratch: &Path) -> Outcome<Command> {
    haproxy_in("tcp", program, port, &format!("127.0.0.1:{app}"), scratch)
}

fn haproxy_in(
    mode: &str,
    program: &Path,
    port: u16,
    server: &str,
    scratch: &Path,
) -> Outcome<Command> {
    let text = format!(
        "global
 nbthread 1
 nosplice
 maxconn 1024
defaults
 mode {mode}
 timeout connect 5s
 timeout client 300s
 timeout server 300s
listen bench
 bind 127.0.0.1:{port}
 server app {server}\n"
    );
    let path = write(scratch, &format!("haproxy-{port}.cfg"), &text)?;
    let mut command = Command::new(program);
    command.args(["-db", "-q", "-f"]).arg(path);
    Ok(command)
}

const ENVOY_TLS: &str = r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        max_session_keys: 0
"#;

/// Envoy with one worker thread.
pub fn envoy(
    program: &Path,
    scheme: Scheme,
    port: u16,
    app: u16,
    scratch: &Path,
) -> Outcome<Command> {
    let tls = match scheme {
        Scheme::Http => "",
        Scheme::Https => ENVOY_TLS,
    };
    let text = format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: app }} }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    type: STATIC
{tls}    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        common_http_protocol_options: {{ max_requests_per_connection: 1 }}
        explicit_http_config: {{ http_protocol_options: {{}} }}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {app} }} }} }}
"#
    );
    let path = write(scratch, &format!("envoy-{port}.yaml"), &text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(path);
    command.args(["--concurrency", "1", "--disable-hot-restart"]);
    command.args(["--log-level", "error"]);
    Ok(command)
}
