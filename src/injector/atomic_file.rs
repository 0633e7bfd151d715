//! A file that is replaced atomically: the new content is written to a temporary file in the same directory and renamed.
//! `check::install` does the same for a copy of the program; the guarantees differ, see there.

use super::io::Error;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The mode of a temporary file before it gets that of the file it replaces.
const PRIVATE: u32 = 0o600;

/// The mode of a new file, before the umask.
const NEW: u32 = 0o666;

/// Further names tried if one is taken, each with another number.
const NAME_RETRIES: u32 = 100;

/// A temporary file that is written.
pub(super) struct AtomicFile {
    file: BufWriter<File>,
    pending: PendingRename,
}

/// A temporary file and the path it will be renamed to. Dropping it before the rename removes the file.
pub(super) struct PendingRename {
    temporary: PathBuf,
    path: PathBuf,
    is_renamed: bool,
}

impl AtomicFile {
    /// Creates the temporary file of a path. It gets the mode and owner of an existing file; links are followed.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let created = Self::try_create(&path);
        created.map_err(|error| Error::io(WriteFailed(&path), &error))
    }

    fn try_create(path: &Path) -> io::Result<Self> {
        let former = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mode = former.as_ref().map_or(NEW, |_| PRIVATE);
        let (temporary, file) = create_temporary(path, mode)?;
        let created = Self {
            file: BufWriter::new(file),
            pending: PendingRename {
                temporary,
                path: path.into(),
                is_renamed: false,
            },
        };
        if let Some(former) = former {
            created.copy_owner_and_mode(&former)?;
        }
        Ok(created)
    }

    fn copy_owner_and_mode(&self, former: &fs::Metadata) -> io::Result<()> {
        let file = self.file.get_ref();
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (former.uid(), former.gid()) {
            // Only root may change the owner; otherwise it becomes the user's file, as with an editor.
            let _ = fchown(file, Some(former.uid()), Some(former.gid()));
        }
        file.set_permissions(Permissions::from_mode(former.mode() & 0o7777))
    }

    /// Syncs the content to the disk, ready for the rename.
    pub(super) fn sync(self) -> Result<PendingRename, Error> {
        let Self { file, pending } = self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(|error| Error::io(WriteFailed(&pending.path), &error))?;
        Ok(pending)
    }

    /// The error of a failed write.
    pub(super) fn error(&self, error: &io::Error) -> Error {
        Error::io(WriteFailed(&self.pending.path), error)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl PendingRename {
    /// Renames it to the path.
    pub(super) fn rename(mut self) -> Result<(), Error> {
        let renamed = fs::rename(&self.temporary, &self.path);
        renamed.map_err(|error| Error::io(WriteFailed(&self.path), &error))?;
        self.is_renamed = true;
        // Syncs the new name. Some file systems refuse to sync a directory, and need not.
        if let Ok(directory) = File::open(directory(&self.path)) {
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

impl Drop for PendingRename {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The path that cannot be written, for an error.
pub(super) struct WriteFailed<'a>(pub(super) &'a Path);

impl core::fmt::Display for WriteFailed<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} cannot be written", self.0.display())
    }
}

/// Creates a temporary file next to a path, with a name that no manifest has.
pub(super) fn create_temporary(sibling: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let name = sibling.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let name = format!(".{name}.probelet-{}-{number}", std::process::id());
        let path = directory(sibling).join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAME_RETRIES => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}
