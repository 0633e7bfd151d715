//! A configured header. In its own file because the agent creates headers at start-up, while .cargo/layout.ld keeps the code
//! of requests out of memory until the first probe.

/// A field of `httpHeaders`, checked and owned by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Field name, as sent.
    pub name: Box<str>,
    /// Field value, as sent.
    pub value: Box<str>,
}
