//! Errors of connections to the app, with TLS or without. The same types in every build.

use rustix::io::Errno;

/// An error of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The kernel's error.
    Io(Errno),
    /// A fault of TLS.
    Tls(TlsFault),
}

/// A fault of TLS to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// No version, cipher suite or key exchange group in common: CBC suites alone, P-521 key exchange
    /// alone, TLS 1.1 and older.
    NoCommonCipher,
    /// Plaintext was received instead of a ServerHello.
    NotTls,
    /// The plaintext begins with `HTTP/`: Go's "server gave HTTP response to HTTPS client" (`net/http/client.go`:
    /// `ErrSchemeMismatch`), after which a hook falls back to plain HTTP.
    PlainHttp,
    /// A certificate, key or CA file of the settings could not be read yet.
    CertificateMissing,
    /// The app requires a client certificate, and there is none.
    ClientCertificateRequired,
    /// The app refuses our certificate.
    ClientCertificateRefused,
    /// The chain of the app's certificate leads to none of `--app-ca`'s.
    UnknownIssuer,
    /// The app's certificate, or one in its chain, has expired.
    CertificateExpired,
    /// The app's certificate does not verify against `--app-ca` for another reason.
    BadCertificate,
    /// The app's certificate verifies, but its URI is not `--app-id`.
    WrongIdentity,
    /// The app's certificate is not valid yet by a clock that is earlier than this code.
    ClockNotSet,
    /// Another alert of the app's; its number (RFC 8446 section 6).
    Alert(u8),
    /// The app violated the TLS protocol.
    ProtocolViolation,
    /// The messages of a client's handshake are longer than we accept: its certificate chain, as a rule.
    HandshakeTooLong,
    /// TLS failed in this process: no random numbers or no memory.
    Internal,
    /// The app closed the connection during the handshake.
    ClosedEarly,
    /// The app closed the connection within a record, after the handshake.
    Truncated,
    /// The handshake took too long.
    TimedOut,
    /// This build has no TLS.
    NotBuilt,
}

/// Whether this process or node is out of file descriptors or socket memory. The peer is not at fault.
pub fn is_out_of_resources(error: Errno) -> bool {
    matches!(
        error,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
    )
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
