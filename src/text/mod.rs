//! Text in errors and log lines: quoted on one line, with passwords redacted, and suggestions for misspelt names.

mod quoted;
mod redacted;
mod suggest;

pub use quoted::Quoted;
pub use redacted::Redacted;
#[cfg(feature = "inject-library")]
pub(crate) use suggest::by_edit_distance;
pub(crate) use suggest::suggest;
