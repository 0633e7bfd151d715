//! The messages of grpc_health_probe.

use core::time::Duration;

use super::super::go_duration::GoDuration;
use super::super::plan::{DialTarget, Plan};
use super::super::report::{CheckResult, status_name};
use super::super::watch::Watch;
use super::code;
use super::flags::ProbeFlags;
use crate::probe::{Failure, Outcome};
use crate::text::Quoted;
use crate::wire::health::GrpcCode;

/// The lines that `-v` prints before the connection is established. Values of headers may be secrets.
pub(super) fn options(flags: &ProbeFlags, connect: Duration, rpc: Duration) -> String {
    let mut text = format!(
        "parsed options:\n> addr={} conn_timeout={} rpc_timeout={}\n",
        flags.addr,
        GoDuration(connect),
        GoDuration(rpc)
    );
    if !flags.rpc_headers.is_empty() {
        let names = flags
            .rpc_headers
            .iter()
            .filter_map(|text| text.split(':').next());
        let names: Vec<&str> = names.collect();
        text += &format!("> headers: {}\n", names.join(" "));
    }
    text += &format!("> tls={}\n", flags.tls);
    if flags.tls {
        text += &format!(
            "  > no-verify={} \n  > ca-cert={}\n  > client-cert={}\n  > client-key={}\n  > server-name={}\n",
            flags.tls_no_verify,
            flags.tls_ca_cert,
            flags.tls_client_cert,
            flags.tls_client_key,
            flags.tls_server_name
        );
    }
    text + &format!("> alts={}\n> spiffe={}", flags.alts, flags.spiffe)
}

pub(super) fn connected(time: Duration) -> String {
    format!("connection established (took {})", GoDuration(time))
}

pub(super) fn elapsed(connect: Duration, rpc: Duration) -> String {
    let (connect, rpc) = (GoDuration(connect), GoDuration(rpc));
    format!("time elapsed: connect={connect} rpc={rpc}")
}

pub(super) fn call_failed(code: &str, description: &str) -> String {
    format!("error: health rpc failed: rpc error: code = {code} desc = {description}")
}

/// What the messages name.
pub(super) struct Verdict<'a> {
    pub(super) plan: &'a Plan,
    pub(super) watch: &'a Watch,
    pub(super) addr: &'a str,
    pub(super) connect_timeout: Duration,
    pub(super) rpc_timeout: Duration,
}

impl Verdict<'_> {
    /// The exit code of a result, and its message.
    pub(super) fn of(&self, result: &CheckResult) -> (u8, String) {
        let outcome = match result {
            CheckResult::Probed(outcome) => *outcome,
            CheckResult::NoAddress(error) => {
                let host = match &self.plan.dial {
                    DialTarget::Host(host) => host,
                    DialTarget::Unix(_) => "",
                };
                return self.not_connected(&format!("{host} has no address, {error}"));
            }
        };
        match outcome {
            Outcome::Serving => (0, "status: SERVING".into()),
            Outcome::Failed(Failure::GrpcNotServing) => {
                let status = self.watch.health_status().unwrap_or_default();
                let text = format!(
                    "service unhealthy (responded with \"{}\")",
                    status_name(status)
                );
                (code::UNHEALTHY, text)
            }
            Outcome::Failed(failure) if self.watch.ready_at().is_none() => match failure {
                Failure::DeadlineExceeded => {
                    let timeout = GoDuration(self.connect_timeout);
                    let addr = self.addr;
                    let text = format!(
                        "timeout: failed to connect service {} within {timeout}",
                        Quoted(addr)
                    );
                    (code::CONNECTION, text)
                }
                failure => self.not_connected(&self.describe(failure)),
            },
            outcome => (code::CALL, self.call_error(outcome)),
        }
    }

    fn not_connected(&self, reason: &str) -> (u8, String) {
        let text = format!(
            "error: failed to connect service at {}: {reason}",
            Quoted(self.addr)
        );
        (code::CONNECTION, text)
    }

    /// The message of a call that failed on an established connection.
    fn call_error(&self, outcome: Outcome) -> String {
        match outcome {
            Outcome::Failed(Failure::GrpcUnimplemented) => {
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                    .into()
            }
            Outcome::Failed(Failure::DeadlineExceeded) => {
                let timeout = GoDuration(self.rpc_timeout);
                format!("timeout: health rpc did not complete within {timeout}")
            }
            Outcome::Failed(failure) => call_failed("Unavailable", &self.describe(failure)),
            outcome => {
                let code = outcome.grpc_code().unwrap_or(GrpcCode::UNKNOWN);
                call_failed(&go_name(code), describe_code(code))
            }
        }
    }

    /// The reason of a failure, and what to do in the terms of these flags.
    fn describe(&self, failure: Failure) -> String {
        let advice = match failure {
            Failure::ConnectionRefused => ": nothing listens there",
            Failure::TlsRequired => ": the server requires TLS: write -tls",
            Failure::NotTls | Failure::PlainHttp => ": the server does not use TLS: leave -tls out",
            Failure::NotHttp2 => ": the server does not speak HTTP/2",
            Failure::UnknownIssuer => {
                ": the server's certificate is signed by unknown authority: write -tls-ca-cert"
            }
            Failure::WrongIdentity => {
                let host = self.plan.host.trim_matches(['[', ']']);
                return format!(
                    "{}: the server's certificate is not valid for {}: write -tls-server-name",
                    failure.as_str(),
                    Quoted(host)
                );
            }
            Failure::CertificateExpired => ": the server's certificate has expired",
            Failure::ClientCertificateRequired => {
                ": the server requires a client certificate: write -tls-client-cert and -tls-client-key"
            }
            Failure::ClientCertificateRefused => ": the server refused -tls-client-cert",
            _ => "",
        };
        format!("{}{advice}", failure.as_str())
    }
}

/// The name of a code in Go: `NotFound` for `NOT_FOUND` (`codes/code_string.go`).
fn go_name(code: GrpcCode) -> String {
    if code == GrpcCode(1) {
        return "Canceled".into();
    }
    let text = code.to_string();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("Code({text})");
    }
    let mut name = String::with_capacity(text.len());
    for word in text.split('_') {
        name.push_str(&word[..1]);
        name.push_str(&word[1..].to_ascii_lowercase());
    }
    name
}

fn describe_code(code: GrpcCode) -> &'static str {
    match code {
        // The server has no such service: every other cause has its own code.
        GrpcCode(5) => "unknown service: is -service the name that the server registered?",
        GrpcCode::UNAVAILABLE => "the server, or a proxy before it, is not available",
        GrpcCode::UNAUTHENTICATED | GrpcCode::PERMISSION_DENIED => {
            "the server rejected the caller: write -rpc-header or -tls-client-cert"
        }
        _ => "the call failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_names_in_go() {
        for (code, name) in [
            (1, "Canceled"),
            (2, "Unknown"),
            (5, "NotFound"),
            (8, "ResourceExhausted"),
            (13, "Internal"),
            (16, "Unauthenticated"),
            (99, "Code(99)"),
        ] {
            assert_eq!(go_name(GrpcCode(code)), name);
        }
    }

    #[test]
    fn a_status_has_its_name_in_the_protocol() {
        let names = [0, 1, 2, 3, 99].map(status_name);
        assert_eq!(
            names,
            ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "99"]
        );
    }
}
