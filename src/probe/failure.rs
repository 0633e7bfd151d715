//! The causes of a failed probe, each with its reason label in logs and metrics.

use rustix::io::Errno;

use crate::net::{StreamError, TlsFault, is_out_of_resources};
use crate::wire::h2::H2Error;
use crate::wire::response::ResponseError;

/// Declares the enum together with the list of its variants and their labels.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why a probe failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $($(#[$doc])* $name,)*
        }

        impl Failure {
            /// Every failure, in the order of the metrics.
            pub const ALL: &[Failure] = &[$(Failure::$name),*];

            /// The reason label in logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Failure::$name => $word,)*
                }
            }
        }
    };
}

failures! {
    /// Nothing listens on the app's port.
    ConnectionRefused = "connection_refused",
    /// No route to the app's address, or no reply from it.
    Unreachable = "unreachable",
    /// This process may not connect: a network policy or a seccomp profile forbids it.
    ConnectDenied = "connect_denied",
    /// The app reset the connection, or the stream.
    Reset = "reset",
    /// The app closed the connection before its head was complete.
    ClosedEarly = "closed_early",
    /// The app sent something that kubelet does not accept as a response.
    MalformedResponse = "malformed_response",
    /// A TLS record in place of a response in plaintext: the port expects TLS.
    TlsRequired = "tls_required",
    /// An HTTP/1 response in place of HTTP/2, or a TLS handshake in which the app did not choose `h2`.
    NotHttp2 = "not_http2",
    /// The app sent more non-progress frames than any response needs.
    Http2Flood = "http2_flood",
    /// The response head is larger than kubelet reads.
    HeadTooLarge = "head_too_large",
    /// The app answered 101 without an `Upgrade` in the request.
    SwitchingProtocols = "switching_protocols",
    /// The app's status code is below 100 or above 599 and cannot be passed on.
    StatusOutOfRange = "status_out_of_range",
    /// The tenth redirect in a row.
    TooManyRedirects = "too_many_redirects",
    /// A redirect to a port of probelet.
    RedirectToSelf = "redirect_to_self",
    /// A redirect that cannot be followed: its `Location` is invalid or too long, or leads from HTTP/2 in plaintext to
    /// TLS.
    BadRedirect = "bad_redirect",
    /// The deadline passed before the response, the TLS handshake took longer than
    /// [`TLS_HANDSHAKE_TIMEOUT`](crate::limits::TLS_HANDSHAKE_TIMEOUT), or the app sent the gRPC status
    /// DEADLINE_EXCEEDED.
    DeadlineExceeded = "deadline_exceeded",
    /// A probe over TLS in a build without TLS.
    TlsNotBuilt = "tls_not_built",
    /// Plaintext HTTP in place of TLS: the port expects `scheme: HTTP`.
    PlainHttp = "plain_http",
    /// Something other than TLS in place of a ServerHello.
    NotTls = "not_tls",
    /// No TLS version, cipher suite or key exchange in common with the app.
    NoCommonCipher = "no_common_cipher",
    /// A certificate, key or CA file of the settings is not loaded yet: it does not exist, or was never valid.
    CertificateMissing = "certificate_missing",
    /// The app demands a client certificate, and none is configured.
    ClientCertificateRequired = "client_certificate_required",
    /// The app refused the client certificate.
    ClientCertificateRefused = "client_certificate_refused",
    /// The app's certificate chain does not lead to a trust anchor.
    UnknownIssuer = "unknown_issuer",
    /// A certificate of the app's chain has expired.
    CertificateExpired = "certificate_expired",
    /// The app's certificate does not verify against the CA for another reason.
    BadCertificate = "bad_certificate",
    /// The app's certificate is that of another workload.
    WrongIdentity = "wrong_identity",
    /// The app's certificate is not valid yet by a clock that was never set.
    ClockNotSet = "clock_not_set",
    /// The app ended TLS with another alert.
    TlsAlert = "tls_alert",
    /// The app violated the TLS protocol.
    TlsProtocolError = "tls_protocol_error",
    /// TLS failed in this process: no random numbers or no memory.
    TlsInternal = "tls_internal",
    /// The health service reported another status than SERVING.
    GrpcNotServing = "grpc_not_serving",
    /// The app has no health service.
    GrpcUnimplemented = "grpc_unimplemented",
    /// The app's status code is not one that the prober expects.
    UnexpectedStatus = "unexpected_status",
    /// The app's body does not have the text that the prober expects.
    BodyMismatch = "body_mismatch",
    /// This process or node is out of file descriptors or socket memory for the connection.
    OutOfResources = "out_of_resources",
    /// The source address is not an address of this host, or all its ports are in use.
    AddressNotAvailable = "address_not_available",
    /// The connection failed with another error of the operating system.
    IoError = "io_error",
}

/// An error of the connection to the app before the response head was complete.
impl From<Errno> for Failure {
    fn from(error: Errno) -> Failure {
        match error {
            // ENOENT: no UNIX socket has this path.
            Errno::CONNREFUSED | Errno::NOENT => Failure::ConnectionRefused,
            Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => Failure::AddressNotAvailable,
            error if is_out_of_resources(error) => Failure::OutOfResources,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Failure::Reset,
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::TIMEDOUT => Failure::Unreachable,
            Errno::PERM | Errno::ACCESS => Failure::ConnectDenied,
            _ => Failure::IoError,
        }
    }
}

impl From<ResponseError> for Failure {
    fn from(error: ResponseError) -> Failure {
        match error {
            ResponseError::Malformed => Failure::MalformedResponse,
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
            H2Error::Tls => Failure::TlsRequired,
            H2Error::HeadTooLarge => Failure::HeadTooLarge,
            H2Error::StatusOutOfRange => Failure::StatusOutOfRange,
            H2Error::Reset(_) => Failure::Reset,
            H2Error::GoAway(_) => Failure::ClosedEarly,
            H2Error::TooManyNonProgressFrames => Failure::Http2Flood,
            H2Error::FrameTooLarge
            | H2Error::FrameSize
            | H2Error::Protocol
            | H2Error::FlowControl
            | H2Error::Compression(_)
            | H2Error::BadHead
            | H2Error::BodyLength => Failure::MalformedResponse,
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
            TlsFault::PlainHttp => Failure::PlainHttp,
            TlsFault::NotTls => Failure::NotTls,
            TlsFault::CertificateMissing => Failure::CertificateMissing,
            TlsFault::ClientCertificateRequired => Failure::ClientCertificateRequired,
            TlsFault::ClientCertificateRefused => Failure::ClientCertificateRefused,
            TlsFault::UnknownIssuer => Failure::UnknownIssuer,
            TlsFault::CertificateExpired => Failure::CertificateExpired,
            TlsFault::BadCertificate => Failure::BadCertificate,
            TlsFault::WrongIdentity => Failure::WrongIdentity,
            TlsFault::ClockNotSet => Failure::ClockNotSet,
            TlsFault::Alert(_) => Failure::TlsAlert,
            // Only clients of inbound ports have this one, with a result of its own.
            TlsFault::ProtocolViolation | TlsFault::HandshakeTooLong => Failure::TlsProtocolError,
            TlsFault::Internal => Failure::TlsInternal,
            TlsFault::ClosedEarly | TlsFault::Truncated => Failure::ClosedEarly,
            TlsFault::TimedOut => Failure::DeadlineExceeded,
            TlsFault::NotBuilt => Failure::TlsNotBuilt,
        }
    }
}
