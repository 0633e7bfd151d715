//! A configured header. Its file is its own because every pod creates and drops headers at its start, while the code of
//! requests stays out of memory until the first probe (.cargo/layout.ld).

/// A field of `httpHeaders`, checked and owned by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Field name, as sent.
    pub name: Box<str>,
    /// Field value, as sent.
    pub value: Box<str>,
}
