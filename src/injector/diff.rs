//! `--diff`: a unified diff of each file, made line by line: at most one document and one hunk are in memory.

use super::inputs::Input;
use super::io::Error;
use super::output::{DocumentResult, Output, Spool};
use crate::text::EscapedLines;
use similar::{ChangeTag, TextDiff};
use std::collections::VecDeque;
use std::io::Write;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The diffs.
pub(super) struct Diffs {
    spool: Spool,
    /// Whether a terminal shows the diff. Otherwise it has the bytes that patch(1) needs.
    is_terminal: bool,
    file: FileDiff,
}

/// The diff of the file that is being read.
#[derive(Default)]
struct FileDiff {
    /// Its name; `None` after the header is written.
    name: Option<String>,
    /// The number of lines of the original so far.
    original_lines: usize,
    /// The number of lines of the edited file so far.
    edited_lines: usize,
    /// The last lines before a change.
    before: VecDeque<String>,
    /// The incomplete hunk, up to its last changed line.
    hunk: Hunk,
    /// The unchanged lines after it.
    unchanged: Vec<String>,
    /// Text after the last line break that both files have: parts of a large List may end within a line.
    partial: Partial,
}

/// A hunk: all of it has to be in memory before its header is known.
#[derive(Default)]
struct Hunk {
    /// The lines, each with its sign.
    text: String,
    /// The number of its lines in the original.
    original_lines: usize,
    /// The number of its lines in the edited file.
    edited_lines: usize,
}

/// The texts of an incomplete line.
#[derive(Default)]
struct Partial {
    original: String,
    edited: String,
}

impl Diffs {
    pub(super) fn new(spool: Spool, is_terminal: bool) -> Self {
        Self {
            spool,
            is_terminal,
            file: FileDiff::default(),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        match self.is_terminal {
            true => self.spool.write(&EscapedLines(text).to_string()),
            false => self.spool.write(text),
        }
    }

    /// Adds the lines that have been incomplete.
    fn add_partial(&mut self) -> Result<(), Error> {
        let Partial { original, edited } = core::mem::take(&mut self.file.partial);
        self.add_lines(&original, &edited)
    }

    /// Adds whole lines.
    fn add_lines(&mut self, original_text: &str, edited_text: &str) -> Result<(), Error> {
        let (original, edited) = (lines(original_text), lines(edited_text));
        if original_text == edited_text {
            return original.iter().try_for_each(|line| {
                let hunk = self.file.push_line(ChangeTag::Equal, line);
                self.write(&hunk)
            });
        }
        TextDiff::from_slices(&original, &edited)
            .iter_all_changes()
            .try_for_each(|change| {
                let hunk = self.file.push_line(change.tag(), change.value());
                self.write(&hunk)
            })
    }
}

impl Output for Diffs {
    fn begin_input(&mut self, input: &Input) -> Result<(), Error> {
        self.add_partial()?;
        let hunk = self.file.take_hunk();
        self.write(&hunk)?;
        let name = input.name();
        self.file = FileDiff {
            name: Some(name.trim_start_matches("./").trim_start_matches('/').into()),
            ..FileDiff::default()
        };
        Ok(())
    }

    fn add_document(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        let partial = &mut self.file.partial;
        if !result.is_part && partial.original.is_empty() && partial.edited.is_empty() {
            return self.add_lines(result.original, result.edited);
        }
        partial.original += result.original;
        partial.edited += result.edited;
        // The rest of both lines follows, or the end of the input.
        let lines = |text: &mut String| {
            let end = text.rfind('\n').map_or(0, |newline| newline + 1);
            let rest = text.split_off(end);
            core::mem::replace(text, rest)
        };
        let (original, edited) = (lines(&mut partial.original), lines(&mut partial.edited));
        self.add_lines(&original, &edited)
    }

    fn finish(mut self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error> {
        self.add_partial()?;
        let hunk = self.file.take_hunk();
        self.write(&hunk)?;
        self.spool.write_out(stdout)
    }
}

impl FileDiff {
    /// Adds a line. Returns the hunk that it completes, or nothing.
    fn push_line(&mut self, tag: ChangeTag, line: &str) -> String {
        self.original_lines += usize::from(tag != ChangeTag::Insert);
        self.edited_lines += usize::from(tag != ChangeTag::Delete);
        if tag == ChangeTag::Equal && self.hunk.is_empty() {
            self.push_context(line.into());
            return String::new();
        }
        if tag == ChangeTag::Equal {
            self.unchanged.push(line.into());
        } else {
            let context = self.before.drain(..).chain(self.unchanged.drain(..));
            context.for_each(|line| self.hunk.push(ChangeTag::Equal, &line));
            self.hunk.push(tag, line);
        }
        // Fewer unchanged lines would be context of both changes.
        match self.unchanged.len() > 2 * CONTEXT {
            true => self.take_hunk(),
            false => String::new(),
        }
    }

    fn push_context(&mut self, line: String) {
        if self.before.len() == CONTEXT {
            self.before.pop_front();
        }
        self.before.push_back(line);
    }

    /// Ends the current hunk and returns its text, or nothing.
    fn take_hunk(&mut self) -> String {
        let mut hunk = core::mem::take(&mut self.hunk);
        let mut after = core::mem::take(&mut self.unchanged);
        let next = after.split_off(after.len().min(CONTEXT));
        for line in after {
            hunk.push(ChangeTag::Equal, &line);
        }
        let surplus = next.len();
        let (original_last, edited_last) =
            (self.original_lines - surplus, self.edited_lines - surplus);
        for line in next {
            self.push_context(line);
        }
        if hunk.is_empty() {
            return String::new();
        }
        let original = range(original_last, hunk.original_lines);
        let edited = range(edited_last, hunk.edited_lines);
        let head = self
            .name
            .take()
            .map(|name| format!("--- a/{name}\n+++ b/{name}\n"));
        let head = format!("{}@@ -{original} +{edited} @@\n", head.unwrap_or_default());
        hunk.text.insert_str(0, &head);
        hunk.text
    }
}

impl Hunk {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a line with its sign.
    fn push(&mut self, tag: ChangeTag, line: &str) {
        self.original_lines += usize::from(tag != ChangeTag::Insert);
        self.edited_lines += usize::from(tag != ChangeTag::Delete);
        self.text += match tag {
            ChangeTag::Equal => " ",
            ChangeTag::Delete => "-",
            ChangeTag::Insert => "+",
        };
        self.text += line;
        if !line.ends_with('\n') {
            self.text += "\n\\ No newline at end of file\n";
        }
    }
}

/// The range of a hunk's header, from the last line's number and the number of lines.
fn range(last: usize, count: usize) -> String {
    match count {
        0 => format!("{last},0"),
        1 => last.to_string(),
        _ => format!("{},{count}", last + 1 - count),
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests;
