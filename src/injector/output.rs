//! Where results go: all of it held back until every document has passed.

use super::atomic_file::{Replacement, create};
use super::inputs::Input;
use super::io::Error;
use crate::inject::Report;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// A document that passed.
pub(super) struct Passed<'a> {
    /// Its text, with what lies around it.
    pub(super) was: &'a str,
    /// What it becomes.
    pub(super) is: &'a str,
    /// What became of its resources.
    pub(super) reports: &'a [Report],
}

/// What is made of documents.
pub(super) trait Output {
    /// The documents of another input follow.
    fn input(&mut self, input: &Input) -> Result<(), Error>;
    /// One of them.
    fn document(&mut self, passed: &Passed<'_>) -> Result<(), Error>;
    /// All have passed: it goes where it belongs.
    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error>;
}

/// Text held back.
pub(super) enum Held {
    /// In a temporary file without a name, as it may be of any size.
    Spooled {
        /// The file.
        spool: BufWriter<File>,
        /// Where it goes: standard output, or what is no regular file.
        to: Option<PathBuf>,
    },
    /// In the file that takes another's place.
    Replacing(Replacement),
}

impl Held {
    /// For the file, or for standard output.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else {
            return Self::spooled(None);
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(Error::Usage(format!(
                "{} is a folder: write the name of a file behind -o",
                path.display()
            ))),
            Ok(metadata) if !metadata.is_file() => Self::spooled(Some(path.into())),
            _ => Ok(Self::Replacing(Replacement::begin(path)?)),
        }
    }

    fn spooled(to: Option<PathBuf>) -> Result<Self, Error> {
        let path = std::env::temp_dir().join("manifests");
        let (path, file) = create(&path, 0o600).map_err(|error| spool(&error))?;
        fs::remove_file(path).map_err(|error| spool(&error))?;
        let spool = BufWriter::new(file);
        Ok(Self::Spooled { spool, to })
    }

    /// Writes to what is held.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Error> {
        let text = text.as_bytes();
        match self {
            Self::Spooled { spool: file, .. } => {
                file.write_all(text).map_err(|error| spool(&error))
            }
            Self::Replacing(file) => file.write_all(text).map_err(|error| file.failed(&error)),
        }
    }

    /// Lets it go.
    pub(super) fn release(self, stdout: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Replacing(file) => file.whole()?.place(),
            Self::Spooled { spool: file, to } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error);
                let rewound = file.and_then(|mut file| file.rewind().map(|()| file));
                let mut file = rewound.map_err(|error| spool(&error))?;
                match to {
                    None => copy(&mut file, stdout).map_err(|error| Error::stdout(&error)),
                    Some(path) => {
                        let opened = File::options().write(true).open(&path);
                        let copied = opened.and_then(|mut to| copy(&mut file, &mut to));
                        let doing = format_args!("{} cannot be written", path.display());
                        copied.map_err(|error| Error::io(doing, &error))
                    }
                }
            }
        }
    }
}

fn copy(from: &mut File, mut to: &mut dyn Write) -> io::Result<()> {
    io::copy(from, &mut to)?;
    to.flush()
}

fn spool(error: &io::Error) -> Error {
    let folder = std::env::temp_dir();
    Error::Failed(format!(
        "a temporary file in {} cannot be written: {error}: set TMPDIR to a folder with room",
        folder.display()
    ))
}

/// The manifests themselves, one behind the other: a stream of documents still.
pub(super) struct Manifests {
    held: Held,
    /// Whether the next document is an input's first.
    is_first: bool,
    /// How all that is written ends.
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Nothing,
    Line,
    MidLine,
}

impl Manifests {
    pub(super) fn new(held: Held) -> Self {
        Self {
            held,
            is_first: true,
            end: End::Nothing,
        }
    }
}

impl Output for Manifests {
    fn input(&mut self, _: &Input) -> Result<(), Error> {
        self.is_first = true;
        Ok(())
    }

    fn document(&mut self, passed: &Passed<'_>) -> Result<(), Error> {
        let mut text = passed.is;
        if self.is_first && self.end != End::Nothing {
            // A byte order mark belongs to the front of a file only.
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if self.end == End::MidLine {
                self.held.write("\n")?;
            }
            self.held.write(border(text))?;
        }
        self.is_first = false;
        self.held.write(text)?;
        self.end = match text.chars().next_back() {
            None => self.end,
            Some('\n') => End::Line,
            Some(_) => End::MidLine,
        };
        Ok(())
    }

    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error> {
        self.held.release(stdout)
    }
}

/// What has to stand before a document that follows another.
fn border(text: &str) -> &'static str {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    match first.unwrap_or("---") {
        line if line.starts_with('%') => "...\n",
        line if line == "---" || line.starts_with("--- ") || line.starts_with("---\t") => "",
        _ => "---\n",
    }
}
