//! From rustls' errors to ours: the one place that says what a refusal is about.

use rustls::{AlertDescription as Alert, CertificateError, Error};

use crate::limits;
use crate::net::stream_error::TlsFault;

/// How far a connection has come, as far as it matters to what an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// A ServerHello came.
    pub(super) hello: bool,
    /// A CertificateRequest came.
    pub(super) asked: bool,
    /// There was a certificate to show.
    pub(super) has_pair: bool,
}

/// What an error of rustls' means.
pub(super) fn fault(error: &Error, progress: Progress) -> TlsFault {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert, progress),
        Error::PeerIncompatible(_) => TlsFault::NoCommonCipher,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => TlsFault::BadCertificate,
        _ => TlsFault::Broken,
    }
}

/// RFC 8446 section 6.2 has a word for a missing certificate; before TLS 1.3 servers made do with others,
/// and for a certificate they do not like each has its own.
fn of_alert(alert: Alert, progress: Progress) -> TlsFault {
    let of_pair = match progress.has_pair {
        true => TlsFault::ClientCertificateRefused,
        false => TlsFault::ClientCertificateRequired,
    };
    match alert {
        Alert::CertificateRequired => of_pair,
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
            if progress.asked =>
        {
            of_pair
        }
        Alert::HandshakeFailure | Alert::InsufficientSecurity | Alert::ProtocolVersion
            if !progress.hello =>
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
        CertificateError::NotValidForName => TlsFault::WrongIdentity,
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            TlsFault::CertificateExpired
        }
        _ => TlsFault::BadCertificate,
    }
}
