//! The parts of a response head that decide the outcome of a probe.

/// How the end of the body is determined (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the fields say: 204 and 304.
    None,
    /// `Content-Length`: this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends when the app closes.
    UntilClose,
}

/// The first `Location` of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// Absent or empty, which Go treats alike.
    Absent,
    /// Longer than the memory for it.
    TooLong,
    /// This many bytes at the start of the caller's memory.
    Stored(usize),
}

/// The stored parts of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200 to 599.
    pub status: u16,
    /// How the end of the body is determined.
    pub framing: Framing,
    /// The target of a redirect.
    pub location: Location,
}
