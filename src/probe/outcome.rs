//! The outcome of a probe, and the only place that maps it to a status code.

use super::Failure;
use crate::config::Expect;
use crate::wire::health::GrpcCode;

/// The outcome of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The app responded, and its body ended or reached the 10 KiB that kubelet reads.
    Answered(u16),
    /// The app responded, but its body stalled, was cut short or broke its chunking: kubelet's prober fails on such a
    /// body, so the agent's response breaks as well.
    BodyBroken(u16),
    /// The app's response is an error in plaintext that says that the port requires TLS.
    TlsRequired(u16),
    /// The app responded as the prober expects.
    Expected(u16),
    /// The app responded with a status code that the prober does not expect.
    UnexpectedStatus(u16),
    /// The TCP connection was established.
    Connected,
    /// The gRPC health service reported SERVING.
    Serving,
    /// The gRPC call failed with a status that no [`Failure`] names.
    GrpcError(GrpcCode),
    /// The probe failed, and there is no status code of the app to return.
    Failed(Failure),
}

impl Outcome {
    /// This outcome of an `httpGet` by what the prober expects. `has_text`: whether the body has the expected text.
    #[cold]
    pub fn compare(self, expect: &Expect, has_text: bool) -> Outcome {
        match self {
            // An error in plaintext has a better reason than its status code.
            Outcome::TlsRequired(status) if !expect.status.contains(status) => self,
            Outcome::Answered(status)
            | Outcome::BodyBroken(status)
            | Outcome::TlsRequired(status)
                if !expect.status.contains(status) =>
            {
                Outcome::UnexpectedStatus(status)
            }
            Outcome::Answered(_) | Outcome::TlsRequired(_) if !has_text => {
                Outcome::Failed(Failure::BodyMismatch)
            }
            Outcome::Answered(status) | Outcome::TlsRequired(status) => Outcome::Expected(status),
            // The expected status code may be one that kubelet takes for a failure of another kind.
            Outcome::BodyBroken(_) => Outcome::BodyBroken(502),
            Outcome::Expected(_)
            | Outcome::UnexpectedStatus(_)
            | Outcome::Connected
            | Outcome::Serving
            | Outcome::GrpcError(_)
            | Outcome::Failed(_) => self,
        }
    }

    /// The status code for kubelet, whose events show it.
    pub fn status(self) -> u16 {
        match self {
            // These codes have no body that could break.
            Outcome::BodyBroken(204 | 304) => 200,
            Outcome::Answered(status)
            | Outcome::BodyBroken(status)
            | Outcome::TlsRequired(status) => status,
            Outcome::Connected | Outcome::Serving | Outcome::Expected(_) => 200,
            Outcome::GrpcError(_) | Outcome::UnexpectedStatus(_) => 502,
            Outcome::Failed(failure) => match failure {
                Failure::DeadlineExceeded => 504,
                Failure::TlsNotBuilt | Failure::GrpcUnimplemented => 501,
                Failure::OutOfResources | Failure::GrpcNotServing => 503,
                Failure::ConnectionRefused
                | Failure::Unreachable
                | Failure::ConnectDenied
                | Failure::Reset
                | Failure::ClosedEarly
                | Failure::MalformedResponse
                | Failure::TlsRequired
                | Failure::NotHttp2
                | Failure::Http2Flood
                | Failure::HeadTooLarge
                | Failure::SwitchingProtocols
                | Failure::StatusOutOfRange
                | Failure::TooManyRedirects
                | Failure::RedirectToSelf
                | Failure::BadRedirect
                | Failure::PlainHttp
                | Failure::NotTls
                | Failure::NoCommonCipher
                | Failure::CertificateMissing
                | Failure::ClientCertificateRequired
                | Failure::ClientCertificateRefused
                | Failure::UnknownIssuer
                | Failure::CertificateExpired
                | Failure::BadCertificate
                | Failure::WrongIdentity
                | Failure::ClockNotSet
                | Failure::TlsAlert
                | Failure::TlsProtocolError
                | Failure::TlsInternal
                | Failure::UnexpectedStatus
                | Failure::BodyMismatch
                | Failure::AddressNotAvailable
                | Failure::IoError => 502,
            },
        }
    }

    /// Whether kubelet counts this as a success (`pkg/probe/http/http.go`: 200 to 399).
    pub fn is_healthy(self) -> bool {
        match self {
            Outcome::Answered(status) => (200..400).contains(&status),
            Outcome::Expected(_) | Outcome::Connected | Outcome::Serving => true,
            Outcome::BodyBroken(_)
            | Outcome::UnexpectedStatus(_)
            | Outcome::TlsRequired(_)
            | Outcome::GrpcError(_)
            | Outcome::Failed(_) => false,
        }
    }

    /// The reason label of a failure in logs and metrics.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Outcome::Failed(failure) => Some(failure.as_str()),
            Outcome::BodyBroken(_) => Some("body_broken"),
            Outcome::TlsRequired(_) => Some(Failure::TlsRequired.as_str()),
            Outcome::GrpcError(_) => Some("grpc_error"),
            Outcome::UnexpectedStatus(_) => Some(Failure::UnexpectedStatus.as_str()),
            Outcome::Answered(_) if !self.is_healthy() => Some("unhealthy_status"),
            Outcome::Answered(_) | Outcome::Expected(_) | Outcome::Connected | Outcome::Serving => {
                None
            }
        }
    }

    /// The app's status code, where [`status`](Self::status) is another one.
    pub fn app_status(self) -> Option<u16> {
        match self {
            Outcome::Expected(status) | Outcome::UnexpectedStatus(status) => Some(status),
            Outcome::Answered(_)
            | Outcome::BodyBroken(_)
            | Outcome::TlsRequired(_)
            | Outcome::Connected
            | Outcome::Serving
            | Outcome::GrpcError(_)
            | Outcome::Failed(_) => None,
        }
    }

    /// The status of a gRPC call that failed with `grpc_error`.
    pub fn grpc_code(self) -> Option<GrpcCode> {
        match self {
            Outcome::GrpcError(code) => Some(code),
            Outcome::Answered(_)
            | Outcome::BodyBroken(_)
            | Outcome::TlsRequired(_)
            | Outcome::Expected(_)
            | Outcome::UnexpectedStatus(_)
            | Outcome::Connected
            | Outcome::Serving
            | Outcome::Failed(_) => None,
        }
    }
}
