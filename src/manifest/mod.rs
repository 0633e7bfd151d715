//! Reads and edits manifests. Parses YAML and JSON to values and stores the span of each node, so that an edit changes
//! only the bytes of the edited nodes. The layer knows no Kubernetes objects: only the key order of new mappings
//! (`render`) and the error texts mention them.
//!
//! | file | contents |
//! |---|---|
//! | `stream` | splits a file into the texts of its documents |
//! | `parser`, `scalar`, `tree` | text to nodes with their spans |
//! | `to_json` | nodes to a JSON value: aliases, merge keys |
//! | `document`, `resolve`, `source` | a parsed document; look-ups by pointer: nodes, lines, source texts |
//! | `pointer`, `edit` | JSON Pointers; edits, applied to a JSON value or written as a JSON Patch |
//! | `edit_text` | edits of the text: spliced in, then parsed again and compared with the intended value |
//! | `splice`, `render` | the changed bytes of an edited text; the text of new values |
//! | `fragment` | saved source texts, checked before they are written back |
//! | `difference`, `text`, `error` | the differences between two values; lines and columns; errors |

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
mod to_json;
mod tree;

#[cfg(test)]
mod tests;

pub use document::Document;
pub use edit::{Edit, NewValue, Op, TargetError, apply, json_patch, sort_edits};
pub use error::{EditError, ParseError, ParseErrorKind};
pub use fragment::{fragment_value, is_shared_fragment};
pub use pointer::{Pointer, Segment};
pub use source::SourceText;
pub use stream::{RawDocument, Stream, StreamError, StreamErrorKind};
