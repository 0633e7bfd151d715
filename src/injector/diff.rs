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
    /// The lines of an incomplete hunk, each with its sign.
    hunk: Vec<String>,
    /// The number of unchanged lines at its end.
    unchanged: usize,
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
}

impl Output for Diffs {
    fn begin_input(&mut self, input: &Input) -> Result<(), Error> {
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
        let (original, edited) = (lines(result.original), lines(result.edited));
        if result.original == result.edited {
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

    fn finish(mut self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error> {
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
        if self.hunk.is_empty() {
            let before = self.before.drain(..);
            self.hunk.extend(before.map(|line| format!(" {line}")));
        }
        self.hunk.push(format!("{tag}{line}"));
        self.unchanged = match tag {
            ChangeTag::Equal => self.unchanged + 1,
            ChangeTag::Delete | ChangeTag::Insert => 0,
        };
        // Fewer unchanged lines would be context of both changes.
        match self.unchanged > 2 * CONTEXT {
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
        let surplus = core::mem::take(&mut self.unchanged).saturating_sub(CONTEXT);
        let next = hunk.split_off(hunk.len() - surplus);
        let (original_last, edited_last) =
            (self.original_lines - surplus, self.edited_lines - surplus);
        next.iter()
            .for_each(|line| self.push_context(line[1..].into()));
        if hunk.is_empty() {
            return String::new();
        }
        let without = |sign: char| hunk.iter().filter(|line| !line.starts_with(sign)).count();
        let original = range(original_last, without('+'));
        let edited = range(edited_last, without('-'));
        let head = self
            .name
            .take()
            .map(|name| format!("--- a/{name}\n+++ b/{name}\n"));
        let lines = hunk.iter().map(|line| match line.ends_with('\n') {
            true => line.clone(),
            false => format!("{line}\n\\ No newline at end of file\n"),
        });
        let lines: String = lines.collect();
        format!(
            "{}@@ -{original} +{edited} @@\n{lines}",
            head.unwrap_or_default()
        )
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
