//! How a probe ended, and the one place that says which status code that is.

use rustix::io::Errno;

use crate::net::is_out_of_descriptors;
use crate::wire::response::ResponseError;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The app answered, and its body ended or reached what kubelet reads of it.
    Answered(u16),
    /// The app answered, but its body stalled, was cut short or broke its chunking: kubelet's prober
    /// errs on it, and so it shall on ours.
    BodyBroken(u16),
    /// The TCP connection stood.
    Connected,
    /// There was no answer to hand back.
    Failed(Failure),
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens on the app's port.
    Refused,
    /// No route, or no sign of life, to the app's address.
    Unreachable,
    /// The app reset the connection.
    Reset,
    /// The app closed the connection before its head was complete.
    ClosedEarly,
    /// What the app sent is no HTTP/1 answer that kubelet takes.
    Malformed,
    /// The head went past what kubelet reads.
    HeadTooLarge,
    /// The app answered 101, which a probe never asked for.
    SwitchingProtocols,
    /// The app's code is none that can be handed back (below 200 or above 599).
    StatusOutOfRange,
    /// The tenth redirect in a row.
    RedirectLoop,
    /// A redirect to a port of our own.
    RedirectToSelf,
    /// A redirect to a place that cannot be understood.
    BadRedirect,
    /// The deadline came before the head was complete.
    Deadline,
    /// HTTPS and gRPC, which this version does not probe.
    NotBuilt,
    /// This process has no descriptor left for the connection to the app.
    NoDescriptors,
    /// The address to dial from is not one of this machine's, or its ports are used up.
    AddressNotAvailable,
}

impl Failure {
    /// Every failure, in the order of the metrics.
    pub const ALL: [Failure; 15] = [
        Failure::Refused,
        Failure::Unreachable,
        Failure::Reset,
        Failure::ClosedEarly,
        Failure::Malformed,
        Failure::HeadTooLarge,
        Failure::SwitchingProtocols,
        Failure::StatusOutOfRange,
        Failure::RedirectLoop,
        Failure::RedirectToSelf,
        Failure::BadRedirect,
        Failure::Deadline,
        Failure::NotBuilt,
        Failure::NoDescriptors,
        Failure::AddressNotAvailable,
    ];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Unreachable => "unreachable",
            Failure::Reset => "reset",
            Failure::ClosedEarly => "closed_early",
            Failure::Malformed => "malformed",
            Failure::HeadTooLarge => "head_too_large",
            Failure::SwitchingProtocols => "switching_protocols",
            Failure::StatusOutOfRange => "status_out_of_range",
            Failure::RedirectLoop => "redirect_loop",
            Failure::RedirectToSelf => "redirect_to_self",
            Failure::BadRedirect => "bad_redirect",
            Failure::Deadline => "deadline",
            Failure::NotBuilt => "not_built",
            Failure::NoDescriptors => "no_descriptors",
            Failure::AddressNotAvailable => "address_not_available",
        }
    }
}

/// What went wrong on the connection to the app, before its head was complete.
impl From<Errno> for Failure {
    fn from(error: Errno) -> Failure {
        match error {
            Errno::CONNREFUSED => Failure::Refused,
            Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => Failure::AddressNotAvailable,
            error if is_out_of_descriptors(error) => Failure::NoDescriptors,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Failure::Reset,
            _ => Failure::Unreachable,
        }
    }
}

impl From<ResponseError> for Failure {
    fn from(error: ResponseError) -> Failure {
        match error {
            ResponseError::Malformed => Failure::Malformed,
            ResponseError::TooLarge => Failure::HeadTooLarge,
            ResponseError::SwitchingProtocols => Failure::SwitchingProtocols,
            ResponseError::StatusOutOfRange => Failure::StatusOutOfRange,
        }
    }
}

impl Outcome {
    /// The status code that tells kubelet, and whoever reads its events, how the probe ended.
    pub fn status(self) -> u16 {
        match self {
            Outcome::Answered(status) | Outcome::BodyBroken(status) => status,
            Outcome::Connected => 200,
            Outcome::Failed(failure) => match failure {
                Failure::Deadline => 504,
                Failure::NotBuilt => 501,
                Failure::NoDescriptors => 503,
                _ => 502,
            },
        }
    }

    /// Whether kubelet will count this as a success (`pkg/probe/http/http.go`: 200 to 399).
    pub fn is_healthy(self) -> bool {
        match self {
            Outcome::Answered(status) => (200..400).contains(&status),
            Outcome::Connected => true,
            Outcome::BodyBroken(_) | Outcome::Failed(_) => false,
        }
    }

    /// The word for a bad end in logs and metrics.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Outcome::Failed(failure) => Some(failure.as_str()),
            Outcome::BodyBroken(_) => Some("body_broken"),
            Outcome::Answered(_) if !self.is_healthy() => Some("status"),
            Outcome::Answered(_) | Outcome::Connected => None,
        }
    }
}
