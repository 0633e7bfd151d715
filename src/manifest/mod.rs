//! Reads and edits manifests. Parses YAML and JSON to values and keeps the span of each node, so that an edit changes
//! only the bytes of the edited nodes. This layer knows nothing about Kubernetes.
//!
//! A [`Stream`] splits a file into the texts of its documents. A [`Document`] is a parsed text. Edits are spliced into
//! the text, and the result is parsed again and compared with the intended value.

mod difference;
mod document;
mod edit;
mod edit_text;
mod error;
mod fragment;
mod parser;
mod pointer;
mod render;
mod resolve;
mod scalar;
mod source;
mod splice;
mod stream;
mod text;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use document::Document;
pub use edit::{Edit, InvalidPointer, NewValue, Op, apply, json_patch, sort_edits};
pub use error::{EditError, ParseError, ParseErrorKind};
pub use fragment::{fragment_value, is_shared_fragment};
pub use pointer::{Pointer, Segment};
pub use source::Source;
pub use stream::{RawDocument, Stream, StreamError, StreamErrorKind};
