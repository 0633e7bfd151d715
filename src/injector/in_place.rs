//! `--in-place`: each file that changes is replaced, once all documents of all files have edited.

use super::atomic_file::{Replacement, Whole};
use super::inputs::Input;
use super::io::Error;
use super::output::{Edited, Output};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The files.
#[derive(Default)]
pub(super) struct InPlace {
    whole: Vec<Whole>,
    current: Option<Current>,
}

/// A file that is being read.
struct Current {
    path: PathBuf,
    /// Bytes of it that stay as they are, up to the first document that changes.
    kept: u64,
    /// What takes its place, once a document has changed.
    replacement: Option<Replacement>,
}

impl Current {
    fn take(&mut self, edited: &Edited<'_>) -> Result<(), Error> {
        if self.replacement.is_none() && edited.was == edited.is {
            self.kept += edited.was.len() as u64;
            return Ok(());
        }
        let replacement = match &mut self.replacement {
            Some(replacement) => replacement,
            none => none.insert(Self::begin(&self.path, self.kept)?),
        };
        let written = replacement.write_all(edited.is.as_bytes());
        written.map_err(|error| replacement.failed(&error))
    }

    /// One that begins with so many bytes of the file itself.
    fn begin(path: &Path, kept: u64) -> Result<Replacement, Error> {
        let mut replacement = Replacement::begin(path)?;
        let copied =
            File::open(path).and_then(|file| io::copy(&mut file.take(kept), &mut replacement));
        match copied {
            Ok(_) => Ok(replacement),
            Err(error) => Err(replacement.failed(&error)),
        }
    }
}

impl InPlace {
    /// Checks that each input is a regular file.
    pub(super) fn new(inputs: &[Input]) -> Result<Self, Error> {
        let refuse = |name: String, why: &str| {
            Err(Error::Usage(format!(
                "{name} {why}: leave --in-place out, the result goes to standard output then"
            )))
        };
        for input in inputs {
            match input {
                Input::Stdin => return refuse(input.name(), "has no place to be replaced in"),
                Input::File(path) if !path.is_file() => {
                    return refuse(input.name(), "is no regular file to be replaced");
                }
                Input::File(_) => {}
            }
        }
        Ok(Self::default())
    }

    /// The one before this is complete: it is kept if it has changed.
    fn complete(&mut self) -> Result<(), Error> {
        let current = self.current.take();
        if let Some(replacement) = current.and_then(|current| current.replacement) {
            self.whole.push(replacement.whole()?);
        }
        Ok(())
    }
}

impl Output for InPlace {
    fn input(&mut self, input: &Input) -> Result<(), Error> {
        self.complete()?;
        if let Input::File(path) = input {
            self.current = Some(Current {
                path: path.clone(),
                kept: 0,
                replacement: None,
            });
        }
        Ok(())
    }

    fn document(&mut self, edited: &Edited<'_>) -> Result<(), Error> {
        match &mut self.current {
            Some(current) => current.take(edited),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, _: &mut dyn Write) -> Result<(), Error> {
        self.complete()?;
        self.whole.into_iter().try_for_each(Whole::place)
    }
}
