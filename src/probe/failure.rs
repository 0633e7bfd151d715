//! Why a probe got no answer to hand back: what it means, and its word in logs and metrics.

use rustix::io::Errno;

use crate::net::{StreamError, TlsFault, is_out_of_descriptors};
use crate::wire::h2::H2Error;
use crate::wire::response::ResponseError;

/// Keeps the list of all failures and their words in step with the failures themselves.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why there was no answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $($(#[$doc])* $name,)*
        }

        impl Failure {
            /// Every failure, in the order of the metrics.
            pub const ALL: &[Failure] = &[$(Failure::$name),*];

            /// The word for it in logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Failure::$name => $word,)*
                }
            }
        }
    };
}

failures! {
    /// Nobody listens on the app's port.
    Refused = "refused",
    /// No route, or no sign of life, to the app's address.
    Unreachable = "unreachable",
    /// The app reset the connection, or the stream.
    Reset = "reset",
    /// The app closed the connection before its head was complete.
    ClosedEarly = "closed_early",
    /// What the app sent is no answer that kubelet takes.
    Malformed = "malformed",
    /// A TLS record where an answer in plaintext was due: the port wants TLS.
    TlsPort = "tls_port",
    /// An HTTP/1 answer where HTTP/2 was due.
    NotHttp2 = "not_http2",
    /// The app sent more frames than any answer needs, and none of them led anywhere.
    Flood = "flood",
    /// The head went past what kubelet reads.
    HeadTooLarge = "head_too_large",
    /// The app answered 101, which a probe never asked for.
    SwitchingProtocols = "switching_protocols",
    /// The app's code is none that can be handed back (below 200 or above 599).
    StatusOutOfRange = "status_out_of_range",
    /// The tenth redirect in a row.
    RedirectLoop = "redirect_loop",
    /// A redirect to a port of our own.
    RedirectToSelf = "redirect_to_self",
    /// A redirect to a place that cannot be understood.
    BadRedirect = "bad_redirect",
    /// The deadline came before the answer.
    Deadline = "deadline",
    /// A probe over TLS, which this build has none of.
    NotBuilt = "not_built",
    /// Plaintext HTTP where TLS was due: the port wants `scheme: HTTP`.
    PlainHttp = "plain_http",
    /// Something else that is no TLS where a ServerHello was due.
    NotTls = "not_tls",
    /// The app and we have no TLS version, cipher suite or key exchange in common.
    NoCommonCipher = "no_common_cipher",
    /// The app demands a client certificate, and none is configured.
    ClientCertificateRequired = "client_certificate_required",
    /// The app refused the client certificate.
    ClientCertificateRefused = "client_certificate_refused",
    /// The app's certificate leads to no certificate of the CA.
    UnknownIssuer = "unknown_issuer",
    /// The app's certificate has expired, or one on the way to the CA's.
    CertificateExpired = "certificate_expired",
    /// The app's certificate does not verify against the CA for another reason.
    BadCertificate = "bad_certificate",
    /// The app's certificate is some other workload's.
    WrongIdentity = "wrong_identity",
    /// The app's certificate is not valid yet, by a clock that was never set.
    ClockNotSet = "clock_not_set",
    /// The app ended TLS with some other alert.
    TlsAlert = "tls_alert",
    /// What the app sent breaks the rules of TLS.
    TlsBroken = "tls_broken",
    /// The health service answered, but not SERVING.
    GrpcNotServing = "grpc_not_serving",
    /// The app has no health service.
    GrpcUnimplemented = "grpc_unimplemented",
    /// This process has no descriptor left for the connection to the app.
    NoDescriptors = "no_descriptors",
    /// The address to dial from is not one of this machine's, or its ports are used up.
    AddressNotAvailable = "address_not_available",
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

impl From<H2Error> for Failure {
    fn from(error: H2Error) -> Failure {
        match error {
            H2Error::Http1 => Failure::NotHttp2,
            H2Error::Tls => Failure::TlsPort,
            H2Error::HeadTooLarge => Failure::HeadTooLarge,
            H2Error::StatusOutOfRange => Failure::StatusOutOfRange,
            H2Error::Reset(_) => Failure::Reset,
            H2Error::GoAway(_) => Failure::ClosedEarly,
            H2Error::Flood => Failure::Flood,
            H2Error::FrameTooLarge
            | H2Error::FrameSize
            | H2Error::Protocol
            | H2Error::FlowControl
            | H2Error::Compression(_)
            | H2Error::BadHead
            | H2Error::BodyLength => Failure::Malformed,
        }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Failure {
        match error {
            StreamError::Io(error) => error.into(),
            StreamError::Tls(fault) => fault.into(),
        }
    }
}

impl From<TlsFault> for Failure {
    fn from(fault: TlsFault) -> Failure {
        match fault {
            TlsFault::NoCommonCipher => Failure::NoCommonCipher,
            TlsFault::HttpAnswer => Failure::PlainHttp,
            TlsFault::NotTls => Failure::NotTls,
            TlsFault::ClientCertificateRequired => Failure::ClientCertificateRequired,
            TlsFault::ClientCertificateRefused => Failure::ClientCertificateRefused,
            TlsFault::UnknownIssuer => Failure::UnknownIssuer,
            TlsFault::CertificateExpired => Failure::CertificateExpired,
            TlsFault::BadCertificate => Failure::BadCertificate,
            TlsFault::WrongIdentity => Failure::WrongIdentity,
            TlsFault::ClockNotSet => Failure::ClockNotSet,
            TlsFault::Alert(_) => Failure::TlsAlert,
            TlsFault::Broken => Failure::TlsBroken,
            TlsFault::ClosedEarly | TlsFault::Truncated => Failure::ClosedEarly,
            TlsFault::TimedOut => Failure::Deadline,
            TlsFault::NotBuilt => Failure::NotBuilt,
        }
    }
}
