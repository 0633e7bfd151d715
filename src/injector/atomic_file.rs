//! A file written beside the one whose place it takes, so that there is the former or the whole new one.

use super::io::Error;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// What may be done with a file of ours that has no other's permissions yet.
const PRIVATE: u32 = 0o600;

/// What may be done with a new file, less the umask.
const NEW: u32 = 0o666;

/// Names tried after one that is taken.
const TRIES: u32 = 100;

/// A file on its way.
pub(super) struct Replacement {
    file: BufWriter<File>,
    rest: Whole,
}

/// One that is on the disk, and only needs its name. It goes if it never gets it.
pub(super) struct Whole {
    temporary: PathBuf,
    path: PathBuf,
    is_placed: bool,
}

impl Replacement {
    /// Begins one of this path. What is there already hands on its permissions and owner; a link is followed.
    pub(super) fn begin(path: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let begun = Self::begun(&path);
        begun.map_err(|error| Error::io(Cannot(&path), &error))
    }

    fn begun(path: &Path) -> io::Result<Self> {
        let former = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mode = former.as_ref().map_or(NEW, |_| PRIVATE);
        let (temporary, file) = create(path, mode)?;
        let begun = Self {
            file: BufWriter::new(file),
            rest: Whole {
                temporary,
                path: path.into(),
                is_placed: false,
            },
        };
        if let Some(former) = former {
            begun.take_after(&former)?;
        }
        Ok(begun)
    }

    fn take_after(&self, former: &fs::Metadata) -> io::Result<()> {
        let file = self.file.get_ref();
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (former.uid(), former.gid()) {
            // Only root can; for others the file becomes theirs, as with an editor.
            let _ = fchown(file, Some(former.uid()), Some(former.gid()));
        }
        file.set_permissions(Permissions::from_mode(former.mode() & 0o7777))
    }

    /// Everything is written: brings it to the disk.
    pub(super) fn whole(self) -> Result<Whole, Error> {
        let Self { file, rest } = self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(|error| Error::io(Cannot(&rest.path), &error))?;
        Ok(rest)
    }

    /// What is said of an error of writing it.
    pub(super) fn failed(&self, error: &io::Error) -> Error {
        Error::io(Cannot(&self.rest.path), error)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Whole {
    /// Gives it the name of the one it replaces.
    pub(super) fn place(mut self) -> Result<(), Error> {
        let placed = fs::rename(&self.temporary, &self.path);
        placed.map_err(|error| Error::io(Cannot(&self.path), &error))?;
        self.is_placed = true;
        // The name is on the disk with its folder; some file systems cannot, and do it by themselves.
        if let Ok(folder) = File::open(folder(&self.path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

struct Cannot<'a>(&'a Path);

impl core::fmt::Display for Cannot<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} cannot be written", self.0.display())
    }
}

/// A new file beside a path, under a name that no manifest has.
pub(super) fn create(beside: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let name = beside.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let name = format!(".{name}.probelet-{}-{number}", std::process::id());
        let path = folder(beside).join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < TRIES => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
