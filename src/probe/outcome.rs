//! How a probe ended, and the one place that says which status code that is.

use super::Failure;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The app answered, and its body ended or reached what kubelet reads of it.
    Answered(u16),
    /// The app answered, but its body stalled, was cut short or broke its chunking: kubelet's prober
    /// errs on it, and so it shall on ours.
    BodyBroken(u16),
    /// The app answered, in plaintext and with an error, that its port wants TLS.
    WantsTls(u16),
    /// The TCP connection stood.
    Connected,
    /// The gRPC health service said SERVING.
    Serving,
    /// There was no answer to hand back.
    Failed(Failure),
}

impl Outcome {
    /// The status code that tells kubelet, and whoever reads its events, how the probe ended.
    pub fn status(self) -> u16 {
        match self {
            // A code without a body cannot announce one that does not come.
            Outcome::BodyBroken(204 | 304) => 200,
            Outcome::Answered(status) | Outcome::BodyBroken(status) | Outcome::WantsTls(status) => {
                status
            }
            Outcome::Connected | Outcome::Serving => 200,
            Outcome::Failed(failure) => match failure {
                Failure::Deadline => 504,
                Failure::NotBuilt | Failure::GrpcUnimplemented => 501,
                Failure::NoDescriptors | Failure::GrpcNotServing => 503,
                _ => 502,
            },
        }
    }

    /// Whether kubelet will count this as a success (`pkg/probe/http/http.go`: 200 to 399).
    pub fn is_healthy(self) -> bool {
        match self {
            Outcome::Answered(status) => (200..400).contains(&status),
            Outcome::Connected | Outcome::Serving => true,
            Outcome::BodyBroken(_) | Outcome::WantsTls(_) | Outcome::Failed(_) => false,
        }
    }

    /// The word for a bad end in logs and metrics.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Outcome::Failed(failure) => Some(failure.as_str()),
            Outcome::BodyBroken(_) => Some("body_broken"),
            Outcome::WantsTls(_) => Some(Failure::TlsPort.as_str()),
            Outcome::Answered(_) if !self.is_healthy() => Some("status"),
            Outcome::Answered(_) | Outcome::Connected | Outcome::Serving => None,
        }
    }
}
