//! Maps rustls' errors to faults.

use rustls::{AlertDescription as Alert, CertificateError, Error};

use crate::limits;
use crate::net::stream_error::TlsFault;

/// How far a handshake has come: the meaning of an error depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandshakeProgress {
    /// The ServerHello was received.
    pub(super) has_server_hello: bool,
    /// A CertificateRequest was received.
    pub(super) is_cert_requested: bool,
    /// We have a client certificate.
    pub(super) has_client_cert: bool,
}

/// Maps an error of rustls to a fault.
pub(super) fn fault(error: &Error, progress: HandshakeProgress) -> TlsFault {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert, progress),
        Error::PeerIncompatible(_) => TlsFault::NoCommonCipher,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => TlsFault::BadCertificate,
        Error::FailedToGetRandomBytes => TlsFault::Internal,
        _ => TlsFault::ProtocolViolation,
    }
}

/// Maps an error of rustls to a fault of a client's connection.
pub(super) fn server_fault(error: &Error) -> TlsFault {
    match error {
        Error::AlertReceived(alert) => TlsFault::Alert(u8::from(*alert)),
        // The alert that it sends: no client sends that one.
        Error::NoApplicationProtocol => TlsFault::Alert(u8::from(Alert::NoApplicationProtocol)),
        Error::PeerIncompatible(_) => TlsFault::NoCommonCipher,
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            TlsFault::WrongIdentity
        }
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => TlsFault::ClientCertificateRequired,
        Error::FailedToGetRandomBytes | Error::FailedToGetCurrentTime => TlsFault::Internal,
        _ => TlsFault::ProtocolViolation,
    }
}

/// RFC 8446 section 6.2 has an alert for a missing certificate; before TLS 1.3 servers sent others, and for a certificate
/// that they reject they differ.
fn of_alert(alert: Alert, progress: HandshakeProgress) -> TlsFault {
    let client_cert_fault = match progress.has_client_cert {
        true => TlsFault::ClientCertificateRefused,
        false => TlsFault::ClientCertificateRequired,
    };
    match alert {
        Alert::CertificateRequired => client_cert_fault,
        Alert::HandshakeFailure
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError
            if progress.is_cert_requested =>
        {
            client_cert_fault
        }
        Alert::HandshakeFailure | Alert::InsufficientSecurity | Alert::ProtocolVersion
            if !progress.has_server_hello =>
        {
            TlsFault::NoCommonCipher
        }
        alert => TlsFault::Alert(u8::from(alert)),
    }
}

fn of_certificate(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::NotValidYetContext { time, .. }
            if time.as_secs() < limits::CLOCK_IS_SET_FROM =>
        {
            TlsFault::ClockNotSet
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongIdentity
        }
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            TlsFault::CertificateExpired
        }
        _ => TlsFault::BadCertificate,
    }
}
