//! Outputs: a result is spooled until every document has succeeded.

use super::atomic_file::{AtomicFile, WriteFailed, create_temporary};
use super::inputs::Input;
use super::io::Error;
use crate::inject::Report;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// The result for a document that succeeded; it may be unchanged.
pub(super) struct DocumentResult<'a> {
    /// The original text of the document, with the text before and after it.
    pub(super) original: &'a str,
    /// The edited text.
    pub(super) edited: &'a str,
    /// The results of its resources.
    pub(super) reports: &'a [Report],
    /// Whether it is a part of a document, which may start and end within a line.
    pub(super) is_part: bool,
}

/// Writes the results of documents.
pub(super) trait Output {
    /// Begins the documents of another input.
    fn begin_input(&mut self, input: &Input) -> Result<(), Error>;
    /// Adds a document.
    fn add_document(&mut self, result: &DocumentResult<'_>) -> Result<(), Error>;
    /// Writes the result: all documents have succeeded.
    fn finish(self: Box<Self>, stdout: &mut dyn Write) -> Result<(), Error>;
}

/// The spooled result.
pub(super) enum Spool {
    /// In a temporary file without a name, as the result may have any size.
    Temporary {
        file: BufWriter<File>,
        /// A file that is not regular; `None` for standard output.
        destination: Option<PathBuf>,
    },
    /// In the file that replaces the destination.
    Replacement(AtomicFile),
}

impl Spool {
    /// A spool for the file, or for standard output.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else {
            return Self::temporary(None);
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(Error::Usage(format!(
                "{} is a directory: write the name of a file after -o",
                path.display()
            ))),
            Ok(metadata) if !metadata.is_file() => Self::temporary(Some(path.into())),
            _ => Ok(Self::Replacement(AtomicFile::create(path)?)),
        }
    }

    fn temporary(destination: Option<PathBuf>) -> Result<Self, Error> {
        let path = std::env::temp_dir().join("manifests");
        let (path, file) = create_temporary(&path, 0o600).map_err(|error| spool_error(&error))?;
        fs::remove_file(path).map_err(|error| spool_error(&error))?;
        let file = BufWriter::new(file);
        Ok(Self::Temporary { file, destination })
    }

    /// Adds text.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Error> {
        let text = text.as_bytes();
        match self {
            Self::Temporary { file, .. } => {
                file.write_all(text).map_err(|error| spool_error(&error))
            }
            Self::Replacement(file) => file.write_all(text).map_err(|error| file.error(&error)),
        }
    }

    /// Writes the result to its destination.
    pub(super) fn write_out(self, stdout: &mut dyn Write) -> Result<(), Error> {
        let (file, destination) = match self {
            Self::Replacement(file) => return file.sync()?.rename(),
            Self::Temporary { file, destination } => (file, destination),
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        let rewound = file.and_then(|mut file| file.rewind().map(|()| file));
        let mut file = rewound.map_err(|error| spool_error(&error))?;
        let Some(path) = destination else {
            return copy(&mut file, stdout).map_err(|error| Error::stdout(&error));
        };
        let opened = File::options().write(true).open(&path);
        let copied = opened.and_then(|mut to| copy(&mut file, &mut to));
        copied.map_err(|error| Error::io(WriteFailed(&path), &error))
    }
}

fn copy(from: &mut File, mut to: &mut dyn Write) -> io::Result<()> {
    io::copy(from, &mut to)?;
    to.flush()
}

fn spool_error(error: &io::Error) -> Error {
    let directory = std::env::temp_dir();
    Error::Failed(format!(
        "a temporary file in {} cannot be written: {error}: set TMPDIR to a directory with free space",
        directory.display()
    ))
}

/// The manifests themselves, as one stream of documents.
pub(super) struct Manifests {
    spool: Spool,
    /// Whether the next document is the first of its input.
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
    fn begin_input(&mut self, _: &Input) -> Result<(), Error> {
        self.is_first = true;
        Ok(())
    }

    fn add_document(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        let mut text = result.edited;
        if self.is_first && self.end != End::Nothing {
            // A byte order mark is valid only at the start of a file.
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if self.end == End::MidLine {
                self.spool.write("\n")?;
            }
            self.spool.write(separator(text))?;
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
        self.spool.write_out(stdout)
    }
}

/// The marker that is required between the previous document and this text.
fn separator(text: &str) -> &'static str {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    match first.unwrap_or("---") {
        line if line.starts_with('%') => "...\n",
        line if line == "---" || line.starts_with("--- ") || line.starts_with("---\t") => "",
        _ => "---\n",
    }
}
