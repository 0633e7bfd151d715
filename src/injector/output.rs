//! Outputs: a result is spooled until every document has succeeded.

use super::atomic_file::{AtomicFile, create_temporary};
use super::inputs::Input;
use super::io::Error;
use crate::inject::Report;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// A document that succeeded.
pub(super) struct Edited<'a> {
    /// Its text, with the text around it.
    pub(super) was: &'a str,
    /// The edited text.
    pub(super) is: &'a str,
    /// The results of its resources.
    pub(super) reports: &'a [Report],
}

/// Writes the results of documents.
pub(super) trait Output {
    /// Begins the documents of another input.
    fn input(&mut self, input: &Input) -> Result<(), Error>;
    /// Adds a document.
    fn document(&mut self, edited: &Edited<'_>) -> Result<(), Error>;
    /// Writes the result: all documents have succeeded.
    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error>;
}

/// The spooled result.
pub(super) enum Spool {
    /// In a temporary file without a name, as the result may have any size.
    Spooled {
        /// The file.
        spool: BufWriter<File>,
        /// The destination: standard output, or a file that is not regular.
        to: Option<PathBuf>,
    },
    /// In the file that replaces the destination.
    Replacing(AtomicFile),
}

impl Spool {
    /// A spool for the file, or for standard output.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else {
            return Self::spooled(None);
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(Error::Usage(format!(
                "{} is a directory: write the name of a file after -o",
                path.display()
            ))),
            Ok(metadata) if !metadata.is_file() => Self::spooled(Some(path.into())),
            _ => Ok(Self::Replacing(AtomicFile::create(path)?)),
        }
    }

    fn spooled(to: Option<PathBuf>) -> Result<Self, Error> {
        let path = std::env::temp_dir().join("manifests");
        let (path, file) = create_temporary(&path, 0o600).map_err(|error| spool(&error))?;
        fs::remove_file(path).map_err(|error| spool(&error))?;
        let spool = BufWriter::new(file);
        Ok(Self::Spooled { spool, to })
    }

    /// Adds text.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Error> {
        let text = text.as_bytes();
        match self {
            Self::Spooled { spool: file, .. } => {
                file.write_all(text).map_err(|error| spool(&error))
            }
            Self::Replacing(file) => file.write_all(text).map_err(|error| file.error(&error)),
        }
    }

    /// Writes the result to its destination.
    pub(super) fn release(self, stdout: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Replacing(file) => file.sync()?.rename(),
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
        "a temporary file in {} cannot be written: {error}: set TMPDIR to a directory with room",
        folder.display()
    ))
}

/// The manifests themselves, as one stream of documents.
pub(super) struct Manifests {
    spool: Spool,
    /// Whether the next document is an input's first.
    is_first: bool,
    /// How the text so far ends.
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Nothing,
    Line,
    MidLine,
}

impl Manifests {
    pub(super) fn new(spool: Spool) -> Self {
        Self {
            spool,
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

    fn document(&mut self, edited: &Edited<'_>) -> Result<(), Error> {
        let mut text = edited.is;
        if self.is_first && self.end != End::Nothing {
            // A byte order mark belongs to the front of a file only.
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if self.end == End::MidLine {
                self.spool.write("\n")?;
            }
            self.spool.write(border(text))?;
        }
        self.is_first = false;
        self.spool.write(text)?;
        self.end = match text.chars().next_back() {
            None => self.end,
            Some('\n') => End::Line,
            Some(_) => End::MidLine,
        };
        Ok(())
    }

    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error> {
        self.spool.release(stdout)
    }
}

/// The marker that is needed between the document before and this text.
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
