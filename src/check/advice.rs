//! What to look at next, for each failure of a probe.

use super::failure_context::FailureContext;
use crate::limits;
use crate::probe::Failure;
use core::fmt::Write;
use core::net::SocketAddr;

// As the advice on a bad redirect says.
const _: () = assert!(limits::LOCATION_BYTES == 8 * 1024);

/// The meaning of each failure and what to look at. `{ip}` and `{port}` are those of the last address dialled.
const ADVICE: [(Failure, &str); Failure::ALL.len()] = [
    (
        Failure::Refused,
        "nothing listens on port {port} of {ip}; is the app up, is it bound to another address such as 127.0.0.1?",
    ),
    (
        Failure::Unreachable,
        "no route to {ip}, or no response from it; is it the pod's address, does a network policy forbid it?",
    ),
    (
        Failure::Reset,
        "the connection was reset; does port {port} want TLS, is there a proxy in front of the app?",
    ),
    (
        Failure::ClosedEarly,
        "the connection was closed without an answer; does port {port} want TLS, or speak something else than HTTP?",
    ),
    (
        Failure::Malformed,
        "the response is not HTTP; does port {port} speak something else (tcp://)?",
    ),
    (
        Failure::TlsPort,
        "port {port} answered in TLS; use https://, and `scheme: HTTPS` in the prober",
    ),
    (
        Failure::NotHttp2,
        "port {port} does not speak HTTP/2, which gRPC needs; is it the app's gRPC port, do its ALPN protocols have h2?",
    ),
    (
        Failure::Flood,
        "the app sent only frames that make no progress; is it the app that listens on port {port}?",
    ),
    (
        Failure::HeadTooLarge,
        "the head is larger than kubelet reads; look at the app's header fields",
    ),
    (
        Failure::SwitchingProtocols,
        "the app answered 101 without being requested to; is the path one that upgrades to another protocol?",
    ),
    (
        Failure::StatusOutOfRange,
        "the app's code is below 200 or above 599; look at what it writes in its first line",
    ),
    (
        Failure::RedirectLoop,
        "the tenth redirect; --verbose prints them all: probe the final location",
    ),
    (
        Failure::RedirectToSelf,
        "a redirect to probelet itself; probe the final location",
    ),
    (
        Failure::BadRedirect,
        "the Location of the redirect is not valid, or longer than 8 KiB; look at what the app writes, \
         or probe the final location",
    ),
    (
        Failure::Deadline,
        "{ip} did not take the connection in time; is it the right address, does a network policy drop packets, \
         is the app too busy to accept?",
    ),
    (
        Failure::NotBuilt,
        "this build lacks the protocol of the URL, or of a redirect; is it one without TLS?",
    ),
    (
        Failure::PlainHttp,
        "port {port} answered in plaintext; use http://, and `scheme: HTTP` in the prober",
    ),
    (
        Failure::NotTls,
        "the response is not TLS; is {port} the right port, does the app greet first (tcp://)?",
    ),
    (
        Failure::NoCommonCipher,
        "no TLS version, cipher suite or key exchange in common; let the app offer TLS 1.3, or an ECDHE suite with AES-GCM",
    ),
    (
        Failure::ClientCertificateRequired,
        "the app demands a client certificate; name one by --cert and --key, for the agent by --client-cert and --client-key",
    ),
    (
        Failure::ClientCertificateRefused,
        "the app refused the client certificate; does it trust its issuer, has it expired, does it want another name?",
    ),
    (
        Failure::UnknownIssuer,
        "the app's certificate does not lead to the CA; is it the CA of the mesh, does the app send its intermediates?",
    ),
    (
        Failure::CertificateExpired,
        "the app's certificate has expired, or one on the way to the CA's; let the app renew it",
    ),
    (
        Failure::BadCertificate,
        "the app's certificate does not verify; is it one for servers, and not the CA's own?",
    ),
    (
        Failure::WrongIdentity,
        "the app's certificate is another workload's; does something else listen on port {port} of {ip}?",
    ),
    (
        Failure::ClockNotSet,
        "the app's certificate is not valid yet by this machine's clock; is the clock set?",
    ),
    (
        Failure::TlsAlert,
        "the app ended TLS with an alert; its log should say why: does it want a name (a host name in the URL)?",
    ),
    (
        Failure::TlsBroken,
        "the response is not valid TLS; does something between here and port {port} change it?",
    ),
    (
        Failure::GrpcNotServing,
        "the health service says that it is not serving; the app's log should say why",
    ),
    (
        Failure::GrpcUnimplemented,
        "the app has no grpc.health.v1.Health; does it register one, is {port} its gRPC port?",
    ),
    (
        Failure::NoDescriptors,
        "this process has no file descriptor left; see `ulimit -n`",
    ),
    (
        Failure::AddressNotAvailable,
        "there is no local address or port to dial {ip} from; are all ports taken?",
    ),
];

/// The app answered in plaintext that it requires TLS.
pub const WANTS_TLS: &str =
    "the app answered that the port requires TLS; use https://, and `scheme: HTTPS` in the prober";

/// The gRPC call failed with another status.
const GRPC_ERROR: &str =
    "the call failed; is the service registered by just that name, is {port} the app's gRPC port?";

/// The app's body stalled or was not complete.
pub const BROKEN_BODY: &str = "the head came, but the body stalled, was cut short or broke its chunking, \
    and kubelet errs on that; look at what the app writes after its head";

/// What to look at when a probe failed.
pub fn of_failure(failure: Failure, context: FailureContext) -> String {
    let common = || ADVICE.iter().find(|(of, _)| *of == failure);
    let text = context
        .specific_advice(failure)
        .or_else(|| common().map(|(_, text)| *text));
    fill(text.unwrap_or_default(), context.at)
}

/// What to look at when a gRPC call failed with another status.
pub fn of_grpc_error(at: Option<SocketAddr>) -> String {
    fill(GRPC_ERROR, at)
}

/// Replaces `{ip}` and `{port}`.
fn fill(text: &str, at: Option<SocketAddr>) -> String {
    let mut filled = String::with_capacity(2 * text.len());
    for (index, piece) in text.split(['{', '}']).enumerate() {
        // Writing to a string does not fail.
        let _ = match (index % 2, at) {
            (1, Some(at)) if piece == "ip" => write!(filled, "{}", at.ip()),
            (1, Some(at)) => write!(filled, "{}", at.port()),
            _ => filled.write_str(piece),
        };
    }
    filled
}

/// What to look at when the app answered with a code that kubelet does not take for health.
pub fn of_status(status: u16, is_tls: bool) -> &'static str {
    match status {
        400 if !is_tls => {
            "the app's own code; does the port want TLS (https://), does --verbose show what it expects?"
        }
        401 | 403 => {
            "the app's own code; does the path want credentials (-H 'Authorization: ...') or a name (-H 'Host: ...')?"
        }
        404 => {
            "the app's own code; are path and port right, does the app want a name (-H 'Host: ...')?"
        }
        405 => "the app's own code; probes are GET requests, which path takes them?",
        500..=599 => "the app's own code; its log should say why",
        _ => "the app's own code; kubelet takes 200 to 399 for health",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::failure_context::Security;
    use core::net::{IpAddr, Ipv4Addr};

    const PLAIN: FailureContext = FailureContext {
        at: Some(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
            8080,
        )),
        has_connected: true,
        is_grpc: false,
        tls: Security::Plaintext,
    };

    fn contexts() -> impl Iterator<Item = FailureContext> {
        let tls = [Security::Plaintext, Security::Begun, Security::Secured];
        let all = tls.into_iter().flat_map(|tls| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(move |flags| (tls, flags))
        });
        all.map(|(tls, (has_connected, is_grpc))| FailureContext {
            has_connected,
            is_grpc,
            tls,
            ..PLAIN
        })
    }

    #[test]
    fn a_port_refused_on_loopback_is_not_suspected_to_be_bound_to_loopback() {
        let of = |ip: [u8; 4]| {
            let at = Some(SocketAddr::from((ip, 8080)));
            of_failure(Failure::Refused, FailureContext { at, ..PLAIN })
        };
        let start = "nothing listens on port 8080 of 127.0.0.1; ";
        let text = of([127, 0, 0, 1]);
        let advice = text.strip_prefix(start).expect("the address");
        assert!(!advice.contains("127.0.0.1"), "{text}");
        assert!(of([10, 0, 0, 7]).contains("such as 127.0.0.1"));
    }

    #[test]
    fn each_failure_has_advice() {
        for failure in Failure::ALL {
            for context in contexts() {
                let text = of_failure(*failure, context);
                assert!(text.contains("; ") && !text.contains('{'), "{text}");
            }
        }
        let of = |has_connected| {
            of_failure(
                Failure::Deadline,
                FailureContext {
                    has_connected,
                    ..PLAIN
                },
            )
        };
        assert!(of(true).starts_with("port 8080 took"));
        assert!(of(false).starts_with("10.0.0.7 did not take"));
    }

    /// A gRPC prober has no scheme, and an HTTP prober no mode.
    #[test]
    fn advice_names_the_schemes_of_its_kind_of_probe() {
        for failure in Failure::ALL {
            for context in contexts() {
                let text = of_failure(*failure, context);
                let of_http = ["http://", "https://", "scheme:", "tcp://"];
                let of_grpc = ["grpc://", "grpcs://", "mode:"];
                let others = if context.is_grpc {
                    &of_http[..]
                } else {
                    &of_grpc
                };
                assert!(!others.iter().any(|word| text.contains(word)), "{text}");
            }
        }
    }

    #[test]
    fn advice_on_a_tls_probe_does_not_suggest_tls() {
        for failure in Failure::ALL {
            for context in contexts().filter(|context| context.tls != Security::Plaintext) {
                let text = of_failure(*failure, context);
                assert!(!text.contains("want TLS"), "{text}");
            }
        }
    }
}
