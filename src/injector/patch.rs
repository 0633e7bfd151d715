//! `--output patch`: a line of JSON Patch for each resource that changes.

use super::inputs::Input;
use super::io::Error;
use super::output::{DocumentResult, Output, Spool};
use crate::inject::Verdict;
use crate::manifest::{Edit, Segment, json_patch};
use std::io::Write;

/// The patches.
pub(super) struct Patches(pub(super) Spool);

impl Output for Patches {
    fn begin_input(&mut self, _: &Input) -> Result<(), Error> {
        Ok(())
    }

    fn add_document(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        for report in result.reports {
            if let Verdict::Edited { edits, .. } = &report.verdict {
                let edits: Vec<Edit> = edits.iter().map(relative_to_resource).collect();
                self.0.write(&format!("{}\n", json_patch(&edits)))?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error> {
        self.0.write_out(stdout)
    }
}

/// An edit with its pointer relative to the resource instead of its List, as `kubectl patch` applies to the resource.
fn relative_to_resource(edit: &Edit) -> Edit {
    let mut steps = edit.pointer.segments();
    while let [Segment::Key(key), Segment::Index(_), rest @ ..] = steps
        && **key == *"items"
    {
        steps = rest;
    }
    Edit {
        pointer: edit
            .pointer
            .without_prefix(edit.pointer.segments().len() - steps.len()),
        op: edit.op.clone(),
    }
}
