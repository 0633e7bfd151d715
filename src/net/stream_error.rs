//! What can go wrong on a connection to the app, encrypted or not. The same in every build.

use rustix::io::Errno;

/// What went wrong on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The kernel's error.
    Io(Errno),
    /// What TLS made of the bytes.
    Tls(TlsFault),
}

/// What TLS made of the app's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// No version, cipher suite or key exchange group in common: CBC suites alone, P-521 key exchange
    /// alone, TLS 1.1 and older.
    NoCommonCipher,
    /// Plaintext came where a ServerHello was due.
    NotTls,
    /// The plaintext that came began with `HTTP/`: what Go calls "server gave HTTP response to HTTPS client"
    /// (`net/http/client.go`: `ErrSchemeMismatch`), and what a hook falls back on plain HTTP for.
    HttpAnswer,
    /// The app wants a certificate of ours, and there is none.
    ClientCertificateRequired,
    /// The app does not take our certificate.
    ClientCertificateRefused,
    /// The app's certificate leads to none of `--app-ca`'s.
    UnknownIssuer,
    /// The app's certificate, or one on the way to `--app-ca`'s, has expired.
    CertificateExpired,
    /// The app's certificate does not verify against `--app-ca` for another reason.
    BadCertificate,
    /// The app's certificate is good, but is not `--app-id`'s.
    WrongIdentity,
    /// The app's certificate is not valid yet by a clock that stands before this code was written.
    ClockNotSet,
    /// Another alert of the app's; its number (RFC 8446 section 6).
    Alert(u8),
    /// The app broke the rules of TLS.
    Broken,
    /// The app closed the connection during the handshake.
    ClosedEarly,
    /// The app closed the connection within a record, after the handshake.
    Truncated,
    /// The handshake took too long.
    TimedOut,
    /// This build has no TLS.
    NotBuilt,
}

impl From<Errno> for StreamError {
    fn from(error: Errno) -> StreamError {
        StreamError::Io(error)
    }
}

impl From<TlsFault> for StreamError {
    fn from(fault: TlsFault) -> StreamError {
        StreamError::Tls(fault)
    }
}
