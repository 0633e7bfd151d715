//! `probelet grpc-health-probe`: the flags, the exit codes and the messages of grpc_health_probe
//! (`grpc-ecosystem/grpc-health-probe`: `main.go`), over the agent's gRPC probe.

mod address;
mod code;
mod flags;
mod messages;

pub use flags::ProbeFlags;

use core::time::Duration;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use super::go_duration;
use super::metadata::Metadata;
use super::output::write_line;
use super::plan::{Method, Plan};
use super::probing::resolve_and_probe;
use super::synthetic_request::{SyntheticRequest, USER_AGENT};
use super::watch::Watch;
use crate::config::{Action, ClientCert, FileSetting, TlsSettings};
use crate::limits;
use crate::net::tls::{IS_BUILT, Tls};
use crate::probe::load_tls;
use crate::text::EscapedLines;
use crate::text::Quoted;
use address::Address;

/// The `user-agent` without `-user-agent`.
const DEFAULT_USER_AGENT: &str = "grpc_health_probe";

/// `-connect-timeout` and `-rpc-timeout` that are not given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// The CA certificates of a distribution, at the paths where Go looks for them (`crypto/x509/root_linux.go`).
const SYSTEM_CA_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The exit for arguments that no probe is made of.
#[derive(Debug, PartialEq, Eq)]
pub struct ProbeExit {
    /// The exit code.
    pub code: u8,
    /// The message.
    pub text: String,
}

/// A probe, checked as a whole.
#[derive(Debug)]
pub struct GrpcHealthProbe {
    plan: Plan,
    connect_timeout: Duration,
    rpc_timeout: Duration,
    /// `-addr` as it was given.
    addr: Box<str>,
    /// The message of a metadata field that grpc-go refuses when it makes the call.
    metadata_error: Option<String>,
    /// The lines that `-v` prints first.
    options: Option<String>,
}

impl GrpcHealthProbe {
    /// Parses the values of the flags, in the order of the original.
    ///
    /// # Errors
    /// The first one that is not valid, alone or with the others.
    pub fn from_flags(flags: ProbeFlags) -> Result<GrpcHealthProbe, ProbeExit> {
        let connect_timeout = parse_timeout("-connect-timeout", &flags.connect_timeout)?;
        let rpc_timeout = parse_timeout("-rpc-timeout", &flags.rpc_timeout)?;
        let metadata = Metadata::parse(&flags.rpc_headers).map_err(refuse)?;
        if let Some(rule) = broken_rule(&flags, connect_timeout, rpc_timeout) {
            return Err(refuse(format!("error: {rule}")));
        }
        let options = flags
            .is_verbose
            .then(|| messages::options(&flags, connect_timeout, rpc_timeout));
        if flags.tls && flags.spiffe {
            return Err(refuse("-tls and -spiffe are mutually incompatible".into()));
        }
        let tls = load_credentials(&flags)?;
        if flags.alts {
            return Err(ProbeExit {
                code: code::CONNECTION,
                text: "error: -alts is not supported: write -tls, or keep grpc_health_probe for this port".into(),
            });
        }
        if flags.spiffe {
            return Err(ProbeExit {
                code: code::SPIFFE,
                text: "error: -spiffe is not supported: write -tls, and -tls-client-cert, -tls-client-key and \
                       -tls-ca-cert with files that spiffe-helper or a CSI driver writes"
                    .into(),
            });
        }
        let Some(address) = Address::parse(&flags.addr) else {
            return Err(ProbeExit {
                code: code::CONNECTION,
                text: format!(
                    "error: failed to connect service at {}: write -addr=HOST:PORT, -addr=:PORT or \
                     -addr=unix:///PATH",
                    Quoted(&flags.addr)
                ),
            });
        };
        // grpc-go sends the name as :authority, without a port (`clientconn.go`: `initAuthority`).
        let (host, has_port) = match &*flags.tls_server_name {
            "" => (address.host, address.has_port),
            name => (name.into(), false),
        };
        let Some(request) = SyntheticRequest::new(USER_AGENT) else {
            return Err(refuse("error: no request".into()));
        };
        let user_agent = flags.user_agent.as_deref().unwrap_or(DEFAULT_USER_AGENT);
        let plan = Plan {
            url: flags.addr.as_str().into(),
            dial: address.dial,
            host,
            has_port,
            action: Action::Grpc {
                port: address.port,
                service: flags.service.into(),
                tls: flags.tls,
            },
            request,
            user_agent: user_agent.into(),
            metadata: metadata.fields,
            tls,
            timeout: connect_timeout + rpc_timeout,
            connect_timeout: Some(connect_timeout),
            call_timeout: Some(match metadata.error {
                // grpc-go refuses them after it has connected, before it sends the call.
                Some(_) => Duration::ZERO,
                None => rpc_timeout,
            }),
            server_name: None,
            verifies_name: flags.tls && !flags.tls_no_verify,
            source: None,
            method: Method::Get,
            is_quiet: false,
            is_verbose: false,
            is_json: false,
        };
        Ok(GrpcHealthProbe {
            plan,
            connect_timeout,
            rpc_timeout,
            addr: flags.addr.into(),
            metadata_error: metadata.error,
            options,
        })
    }

    /// The limit of the whole probe.
    pub fn timeout(&self) -> Duration {
        self.plan.timeout
    }

    /// Probes, and prints the messages of the original. Returns the exit code.
    #[inline(never)] // as `check::run_and_print`
    pub fn run_and_print(self, output: &mut dyn Write) -> u8 {
        let GrpcHealthProbe {
            plan,
            connect_timeout,
            rpc_timeout,
            addr,
            metadata_error,
            options,
        } = self;
        let is_verbose = options.is_some();
        let mut print = |text: String| write_line(output, EscapedLines(text));
        if let Some(options) = options {
            print(options);
            print("establishing connection".into());
        }
        let plan = Rc::new(plan);
        let watch = Rc::new(Watch::new(&plan));
        let result = match resolve_and_probe(&plan, &watch) {
            Ok(result) => result,
            Err(error) => {
                print(format!(
                    "error: failed to connect service at {}: epoll failed: {error}",
                    Quoted(&addr)
                ));
                return code::CONNECTION;
            }
        };
        let connected = watch.ready_at().map(|at| at - watch.start());
        if let (true, Some(time)) = (is_verbose, connected) {
            print(messages::connected(time));
        }
        if let (Some(error), Some(_)) = (metadata_error, connected) {
            print(messages::call_failed("Internal", &error));
            return code::CALL;
        }
        let verdict = messages::Verdict {
            plan: &plan,
            watch: &watch,
            addr: &addr,
            connect_timeout,
            rpc_timeout,
        };
        let (code, text) = verdict.of(&result);
        if let (true, 0, Some(time)) = (is_verbose, code, connected) {
            print(messages::elapsed(time, watch.start().elapsed() - time));
        }
        print(text);
        code
    }
}

fn refuse(text: String) -> ProbeExit {
    let code = code::ARGUMENTS;
    ProbeExit { code, text }
}

fn parse_timeout(flag: &str, text: &Option<String>) -> Result<Duration, ProbeExit> {
    match text {
        None => Ok(DEFAULT_TIMEOUT),
        Some(text) => match go_duration::parse(text) {
            Some(timeout) => Ok(timeout.min(limits::PROBE_TIMEOUT_MAX)),
            None => Err(refuse(format!(
                "invalid value {} for flag {flag}: parse error: write one such as 250ms or 1.5s",
                Quoted(text)
            ))),
        },
    }
}

/// The rule that the flags break together, as the original states it.
fn broken_rule(
    flags: &ProbeFlags,
    connect_timeout: Duration,
    rpc_timeout: Duration,
) -> Option<&'static str> {
    let without_tls = !flags.tls;
    let has_ca = !flags.tls_ca_cert.is_empty();
    let has_cert = !flags.tls_client_cert.is_empty();
    let has_key = !flags.tls_client_key.is_empty();
    let has_name = !flags.tls_server_name.is_empty();
    let rules = [
        (flags.addr.is_empty(), "-addr not specified"),
        (
            connect_timeout.is_zero(),
            "-connect-timeout must be greater than zero",
        ),
        (
            rpc_timeout.is_zero(),
            "-rpc-timeout must be greater than zero",
        ),
        (
            flags.alts && flags.spiffe,
            "-alts and -spiffe are mutually incompatible",
        ),
        (flags.tls && flags.alts, "cannot specify -tls with -alts"),
        (
            without_tls && flags.tls_no_verify,
            "specified -tls-no-verify without specifying -tls",
        ),
        (
            without_tls && has_ca,
            "specified -tls-ca-cert without specifying -tls",
        ),
        (
            without_tls && has_cert,
            "specified -tls-client-cert without specifying -tls",
        ),
        (
            without_tls && has_name,
            "specified -tls-server-name without specifying -tls",
        ),
        (
            has_cert && !has_key,
            "specified -tls-client-cert without specifying -tls-client-key",
        ),
        (
            has_key && !has_cert,
            "specified -tls-client-key without specifying -tls-client-cert",
        ),
        (
            flags.tls_no_verify && has_ca,
            "cannot specify -tls-ca-cert with -tls-no-verify (CA cert would not be used)",
        ),
        (
            flags.tls_no_verify && has_name,
            "cannot specify -tls-server-name with -tls-no-verify (server name would not be used)",
        ),
    ];
    rules
        .into_iter()
        .find(|(is_broken, _)| *is_broken)
        .map(|(_, rule)| rule)
}

/// Reads the files of TLS.
fn load_credentials(flags: &ProbeFlags) -> Result<Rc<Tls>, ProbeExit> {
    if !flags.tls {
        return Ok(Rc::new(Tls::without_files()));
    }
    let failed = |error: String| {
        refuse(format!(
            "failed to initialize tls credentials. error={error}"
        ))
    };
    if !IS_BUILT {
        return Err(failed(
            "this build has no TLS: use one with the cargo feature tls".into(),
        ));
    }
    let file = |origin: &str, path: &str| FileSetting {
        origin: origin.into(),
        path: path.into(),
    };
    let client = (!flags.tls_client_cert.is_empty()).then(|| ClientCert {
        cert: file("-tls-client-cert", &flags.tls_client_cert),
        key: file("-tls-client-key", &flags.tls_client_key),
    });
    let app_ca = match (&*flags.tls_ca_cert, flags.tls_no_verify) {
        (_, true) => None,
        ("", false) => Some(system_ca(flags)?),
        (path, false) => Some(file("-tls-ca-cert", path)),
    };
    let settings = TlsSettings {
        client,
        app_ca: app_ca.into_iter().collect(),
        verifies_name: true,
        require_files: true,
        ..TlsSettings::default()
    };
    load_tls(&settings).map_err(|error| failed(error.to_string()))
}

/// The CA certificates of this system. Without any the original connects to no server, and exits with the code of that.
fn system_ca(flags: &ProbeFlags) -> Result<FileSetting, ProbeExit> {
    let own = flags
        .ssl_cert_file
        .as_deref()
        .filter(|path| !path.is_empty());
    let found = SYSTEM_CA_FILES
        .into_iter()
        .find(|path| Path::new(path).is_file());
    let path = own.or(found).ok_or_else(|| ProbeExit {
        code: code::CONNECTION,
        text: format!(
            "error: failed to connect service at {}: this system has no CA certificates: write -tls-ca-cert, or \
             -tls-no-verify",
            Quoted(&flags.addr)
        ),
    })?;
    Ok(FileSetting {
        origin: if own.is_some() {
            "SSL_CERT_FILE"
        } else {
            "-tls"
        }
        .into(),
        path: path.into(),
    })
}

#[cfg(test)]
mod tests;
