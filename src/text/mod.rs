//! Text in errors and log lines: quoted on one line, escaped, with passwords redacted, and suggestions for misspelt
//! names.

mod escaped;
mod quoted;
mod redacted;
mod suggest;

pub use escaped::{EscapedLine, EscapedLines};
pub use quoted::Quoted;
pub use redacted::Redacted;
#[cfg(feature = "inject-library")]
pub(crate) use suggest::by_edit_distance;
pub(crate) use suggest::suggest;
