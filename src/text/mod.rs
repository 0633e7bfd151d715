//! Text in errors and log lines: quoted on one line, with passwords redacted.

mod quoted;
mod redacted;

pub use quoted::Quoted;
pub use redacted::Redacted;
