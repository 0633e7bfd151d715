//! The advice on each failure of a probe: its meaning, and what to check next.

use super::failure_context::FailureContext;
use crate::limits;
use crate::probe::Failure;
use crate::wire::health::GrpcCode;
use core::fmt::Write;
use core::net::SocketAddr;

// The advice on a bad redirect and on a large head contains these.
const _: () = assert!(limits::LOCATION_BYTES == 8 * 1024);
const _: () = assert!(limits::RESPONSE_HEAD_BYTES == 10 << 20);

/// The advice that holds in any state of the probe. `{ip}` and `{port}` are those of the last address dialled.
const fn general_advice(failure: Failure) -> &'static str {
    match failure {
        Failure::ConnectionRefused => {
            "nothing listens on port {port} of {ip}; is the app up, is it bound to another address such as 127.0.0.1?"
        }
        Failure::Unreachable => {
            "no route to {ip}, or no response from it; is it the pod's address, does a network policy drop packets?"
        }
        Failure::ConnectDenied => {
            "the operating system denied the connection to {ip}; does a network policy or a seccomp profile forbid it?"
        }
        Failure::Reset => {
            "the connection was reset; does port {port} require TLS, is there a proxy in front of the app?"
        }
        Failure::ClosedEarly => {
            "the connection was closed without an answer; does port {port} require TLS, or speak another protocol than HTTP?"
        }
        Failure::MalformedResponse => {
            "the response is not HTTP; does port {port} speak another protocol (tcp://)?"
        }
        Failure::TlsRequired => {
            "port {port} answered in TLS; use https://, and `scheme: HTTPS` in the prober"
        }
        Failure::NotHttp2 => {
            "port {port} does not speak HTTP/2, which gRPC requires; is it the app's gRPC port, does it offer h2 by ALPN?"
        }
        Failure::Http2Flood => {
            "the app sent only frames that make no progress; is it the app that listens on port {port}?"
        }
        Failure::HeadTooLarge => {
            "the response head exceeds 10 MiB, kubelet's limit; look at the app's header fields"
        }
        Failure::SwitchingProtocols => {
            "the app answered 101 to a request without Upgrade; does this path expect a WebSocket or another protocol?"
        }
        Failure::StatusOutOfRange => {
            "the app's status code is below 100 or above 599; look at the status that the app sends"
        }
        Failure::TooManyRedirects => {
            "the tenth redirect; --verbose prints them all: probe the final location"
        }
        Failure::RedirectToSelf => "a redirect to probelet itself; probe the final location",
        Failure::BadRedirect => {
            "the Location of the redirect is not valid, or longer than 8 KiB; look at the header that the app sends, \
             or probe the final location"
        }
        Failure::DeadlineExceeded => {
            "{ip} did not accept the connection in time; is it the right address, does a network policy drop packets, \
             is the app too busy to accept?"
        }
        Failure::TlsNotBuilt => {
            "this build has no TLS, which the URL or a redirect requires; use a build with the cargo feature tls"
        }
        Failure::PlainHttp => {
            "port {port} answered in plaintext; use http://, and `scheme: HTTP` in the prober"
        }
        Failure::NotTls => {
            "the response is not TLS; is {port} the right port, does the app send data first (use tcp://)?"
        }
        Failure::NoCommonCipher => {
            "no TLS version, cipher suite or key exchange in common; enable TLS 1.3 in the app, or an ECDHE suite with AES-GCM"
        }
        // Only the agent has it: `check` requires its files.
        Failure::CertificateMissing => {
            "a certificate, key or CA file does not exist; do the flags name the right paths?"
        }
        Failure::ClientCertificateRequired => {
            "the app demands a client certificate; name one by --cert and --key, for the agent by --client-cert and --client-key"
        }
        Failure::ClientCertificateRefused => {
            "the app rejected the client certificate; does it trust its issuer, has it expired, does it require another name?"
        }
        Failure::UnknownIssuer => {
            "the app's certificate does not chain to the CA; is it the CA of the mesh, does the app send its intermediates?"
        }
        Failure::CertificateExpired => {
            "the app's certificate, or an intermediate, has expired; renew it"
        }
        Failure::BadCertificate => {
            "the app's certificate cannot be verified; does it allow server authentication, is it a CA certificate?"
        }
        Failure::WrongIdentity => {
            "the app's certificate is another workload's; does something else listen on port {port} of {ip}?"
        }
        Failure::ClockNotSet => {
            "the app's certificate is not valid yet by this machine's clock; is the clock set?"
        }
        Failure::TlsAlert => {
            "the app ended TLS with an alert; its log should say why: does it require SNI (use a host name in the URL)?"
        }
        Failure::TlsProtocolError => {
            "the response is not valid TLS; does something between here and port {port} change it?"
        }
        Failure::TlsInternal => "TLS failed in this process; is this machine out of memory?",
        Failure::GrpcNotServing => {
            "the health service says that it is not serving; the app's log should say why"
        }
        Failure::GrpcUnimplemented => {
            "the app has no grpc.health.v1.Health; does it register one, is {port} its gRPC port?"
        }
        Failure::UnexpectedStatus => {
            "the app's status code is not an expected one; its log should say why"
        }
        Failure::BodyMismatch => {
            "the first 10 KiB of the body do not have the expected text; look at the body that the app sends"
        }
        Failure::OutOfResources => {
            "this process or machine is out of file descriptors or socket memory; see `ulimit -n`"
        }
        Failure::AddressNotAvailable => {
            "no local address or port is free to connect to {ip}; are all ports taken?"
        }
        Failure::IoError => {
            "the operating system failed the connection to {ip}; does its network work, as with `curl {ip}`?"
        }
    }
}

/// The app answered in plaintext that it requires TLS.
pub const TLS_REQUIRED: &str =
    "the app answered that the port requires TLS; use https://, and `scheme: HTTPS` in the prober";

/// The app's body stalled or was not complete.
pub const BROKEN_BODY: &str = "the head arrived, but the body stalled, was truncated or has invalid chunks, \
    which kubelet reports as an error; look at the app's response body";

/// The advice on a failed probe.
pub fn of_failure(failure: Failure, context: FailureContext) -> String {
    let text = context.specific_advice(failure);
    fill(text.unwrap_or(general_advice(failure)), context.at)
}

/// The advice on a gRPC call that failed with another status.
pub fn of_grpc_error(code: GrpcCode, at: Option<SocketAddr>) -> String {
    let text = match code {
        GrpcCode::NOT_FOUND => "is the service registered under exactly this name?",
        GrpcCode::PERMISSION_DENIED | GrpcCode::UNAUTHENTICATED => {
            "does the app require metadata (-H), or a client certificate (--cert and --key)?"
        }
        GrpcCode::UNAVAILABLE => "is there a proxy in front of the app, is the app up?",
        _ => "what does the app's log say, is {port} the app's gRPC port?",
    };
    format!("the call failed with {code}; {}", fill(text, at))
}

/// Replaces `{ip}` and `{port}`; without an address, they are words.
fn fill(text: &str, at: Option<SocketAddr>) -> String {
    let mut filled = String::with_capacity(2 * text.len());
    for (index, piece) in text.split(['{', '}']).enumerate() {
        // Writing to a string does not fail.
        let _ = match (index % 2, at) {
            (1, Some(at)) if piece == "ip" => write!(filled, "{}", at.ip()),
            (1, Some(at)) if piece == "port" => write!(filled, "{}", at.port()),
            (1, Some(_)) => write!(filled, "{{{piece}}}"),
            (1, None) => filled.write_str("the socket"),
            _ => filled.write_str(piece),
        };
    }
    filled
}

/// The advice on a status code that kubelet does not count as a success.
pub fn of_status(status: u16, is_tls: bool) -> &'static str {
    match status {
        400 if !is_tls => {
            "the app's own code; does the port require TLS (https://), does --verbose show the request that it expects?"
        }
        401 | 403 => {
            "the app's own code; does the path require credentials (-H 'Authorization: ...') or a host name (-H 'Host: ...')?"
        }
        404 => {
            "the app's own code; are path and port right, does the app require a host name (-H 'Host: ...')?"
        }
        405 => "the app's own code; probes are GET requests, which path accepts them?",
        500..=599 => "the app's own code; its log should say why",
        _ => "the app's own code; kubelet counts 200 to 399 as a success",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::failure_context::TlsState;
    use core::net::{IpAddr, Ipv4Addr};

    const PLAIN: FailureContext = FailureContext {
        at: Some(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)),
            8080,
        )),
        has_connected: true,
        is_grpc: false,
        tls: TlsState::Plaintext,
        is_unix: false,
        verifies_name: false,
    };

    fn contexts() -> impl Iterator<Item = FailureContext> {
        let tls = [
            TlsState::Plaintext,
            TlsState::Handshaking,
            TlsState::Established,
        ];
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
            of_failure(Failure::ConnectionRefused, FailureContext { at, ..PLAIN })
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
                Failure::DeadlineExceeded,
                FailureContext {
                    has_connected,
                    ..PLAIN
                },
            )
        };
        assert!(of(true).starts_with("port 8080 accepted"));
        assert!(of(false).starts_with("10.0.0.7 did not accept"));
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
            for context in contexts().filter(|context| context.tls != TlsState::Plaintext) {
                let text = of_failure(*failure, context);
                assert!(!text.contains("require TLS"), "{text}");
            }
        }
    }
}
