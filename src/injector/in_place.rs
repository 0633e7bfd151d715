//! `--in-place`: replaces each file that changes, after all documents of all files have succeeded.

use super::atomic_file::{AtomicFile, PendingRename};
use super::inputs::Input;
use super::io::Error;
use super::output::{DocumentResult, Output};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The files.
#[derive(Default)]
pub(super) struct InPlace {
    pending: Vec<PendingRename>,
    current: Option<Current>,
}

/// A file that is being read.
struct Current {
    path: PathBuf,
    /// Its bytes before the first document that changes.
    unchanged_bytes: u64,
    /// Its replacement, once a document has changed.
    replacement: Option<AtomicFile>,
}

impl Current {
    fn add(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        if self.replacement.is_none() && result.original == result.edited {
            self.unchanged_bytes += result.original.len() as u64;
            return Ok(());
        }
        let replacement = match &mut self.replacement {
            Some(replacement) => replacement,
            none => none.insert(Self::create(&self.path, self.unchanged_bytes)?),
        };
        let written = replacement.write_all(result.edited.as_bytes());
        written.map_err(|error| replacement.error(&error))
    }

    /// Creates a replacement that begins with this many bytes of the file itself.
    fn create(path: &Path, unchanged_bytes: u64) -> Result<AtomicFile, Error> {
        let mut replacement = AtomicFile::create(path)?;
        let copied = File::open(path)
            .and_then(|file| io::copy(&mut file.take(unchanged_bytes), &mut replacement));
        match copied {
            Ok(_) => Ok(replacement),
            Err(error) => Err(replacement.error(&error)),
        }
    }
}

impl InPlace {
    /// Checks that each input is a regular file.
    pub(super) fn new(inputs: &[Input]) -> Result<Self, Error> {
        for input in inputs {
            let problem = match input {
                Input::Stdin => "standard input cannot be edited in place".into(),
                Input::File(path) if !path.is_file() => {
                    format!("{} is not a regular file", input.name())
                }
                Input::File(_) => continue,
            };
            return Err(Error::Usage(format!(
                "{problem}: remove --in-place to write to standard output"
            )));
        }
        Ok(Self::default())
    }

    /// Completes the current file.
    fn complete(&mut self) -> Result<(), Error> {
        let current = self.current.take();
        if let Some(replacement) = current.and_then(|current| current.replacement) {
            self.pending.push(replacement.sync()?);
        }
        Ok(())
    }
}

impl Output for InPlace {
    fn begin_input(&mut self, input: &Input) -> Result<(), Error> {
        self.complete()?;
        if let Input::File(path) = input {
            self.current = Some(Current {
                path: path.clone(),
                unchanged_bytes: 0,
                replacement: None,
            });
        }
        Ok(())
    }

    fn add_document(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        match &mut self.current {
            Some(current) => current.add(result),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, _: &mut dyn Write) -> Result<(), Error> {
        self.complete()?;
        self.pending.into_iter().try_for_each(PendingRename::rename)
    }
}
