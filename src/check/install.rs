//! `probelet install [--as NAME] DIR`: copies this binary to where another container can run it. Unlike `probelet-inject file`, which
//! edits a user's files, an install leaves a partial copy behind when it is killed, so the next one removes it; and it does
//! not sync the directory, as a copy that is lost with the power is made again when the pod starts.

use core::fmt;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The kernel's link to the running program. It is valid also when the file has moved.
const SELF_EXE: &str = "/proc/self/exe";

/// rwxr-xr-x: every user may run the copy.
const MODE: u32 = 0o755;

/// The prefix of a temporary file's name; the process ID and the time follow.
const PREFIX: &str = ".probelet-";

/// Further names tried if one is taken. Each has another time, so a second one is nearly always free.
const NAME_RETRIES: u32 = 8;

/// Bytes of the buffer of a copy.
const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// Why there is no copy. The temporary file is removed.
#[derive(Debug)]
pub enum InstallError {
    /// The directory does not exist, or is not a directory.
    Directory(PathBuf, io::Error),
    /// This program cannot be read.
    Source(io::Error),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Directory(path, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{} does not exist: mount a volume there", path.display())
            }
            InstallError::Directory(path, error) => write!(
                f,
                "{} is not a directory to install into: {error}",
                path.display()
            ),
            InstallError::Source(error) => {
                write!(f, "this program ({SELF_EXE}) cannot be read: {error}")
            }
            InstallError::Write(path, error) => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
        }
    }
}

impl core::error::Error for InstallError {}

/// Copies this program to `directory`, with this name. A process that runs an older copy is not disturbed. An identical copy
/// is not replaced, as there may be no space for a second one.
///
/// # Errors
/// The directory is unusable, or the program cannot be read or written.
#[inline(never)] // as `run`
pub fn install(directory: &Path, name: &str) -> Result<PathBuf, InstallError> {
    let refuse = |error| InstallError::Directory(directory.into(), error);
    if !fs::metadata(directory).map_err(refuse)?.is_dir() {
        return Err(refuse(io::ErrorKind::NotADirectory.into()));
    }
    // They may have filled the volume.
    remove_leftovers(directory);
    let file = directory.join(name);
    if !is_installed(&file) {
        let (temporary, copy) = create_temporary(directory)?;
        let done = install_as(&file, &temporary, copy);
        if done.is_err() {
            // Nothing can be done about a file that cannot be removed.
            let _ = fs::remove_file(&temporary);
        }
        done?;
    }
    Ok(file)
}

/// Whether the file is this program, and executable by everybody.
fn is_installed(file: &Path) -> bool {
    let is_fit = |found: fs::Metadata| found.is_file() && found.mode() & 0o7777 == MODE;
    // A file that cannot be read is replaced, or replacing it fails with the reason.
    fs::symlink_metadata(file).is_ok_and(is_fit) && is_same(file).unwrap_or(false)
}

fn is_same(file: &Path) -> io::Result<bool> {
    let (mut source, mut file) = (File::open(SELF_EXE)?, File::open(file)?);
    if source.metadata()?.len() != file.metadata()?.len() {
        return Ok(false);
    }
    let mut bufs = vec![0; 2 * COPY_BUFFER_BYTES];
    let (ours, other) = bufs.split_at_mut(COPY_BUFFER_BYTES);
    loop {
        let len = source.read(ours)?;
        file.read_exact(&mut other[..len])?;
        if len == 0 || ours[..len] != other[..len] {
            return Ok(len == 0);
        }
    }
}

/// Creates a file with a unique name. In a container every process has the ID 1, and several containers may share the
/// directory, so the time is a part of the name.
fn create_temporary(directory: &Path) -> Result<(PathBuf, File), InstallError> {
    let mut retries = 0;
    loop {
        // With a clock before 1970 the name has the process ID alone.
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = time.unwrap_or_default().as_nanos();
        let name = format!("{PREFIX}{}-{nanos}", std::process::id());
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && retries < NAME_RETRIES =>
            {
                retries += 1;
            }
            Err(error) => return Err(InstallError::Write(path, error)),
        }
    }
}

/// Writes the copy, and renames it after it is synced to the disk: a node may lose its power.
fn install_as(file: &Path, temporary: &Path, copy: File) -> Result<(), InstallError> {
    let refuse = |error| InstallError::Write(temporary.into(), error);
    // The umask may have removed bits.
    copy.set_permissions(Permissions::from_mode(MODE))
        .map_err(refuse)?;
    // Held until the rename; not by `copy`, as a file that is open for writing cannot be run. On a file system without
    // locks no leftovers are removed either.
    let lock = File::open(temporary).map_err(refuse)?;
    let _ = lock.try_lock();
    write_copy(copy, temporary)?;
    fs::rename(temporary, file).map_err(|error| InstallError::Write(file.into(), error))
}

fn write_copy(mut copy: File, path: &Path) -> Result<(), InstallError> {
    let refuse = |error| InstallError::Write(path.into(), error);
    let mut source = File::open(SELF_EXE).map_err(InstallError::Source)?;
    // Not `io::copy`, whose special cases (copy_file_range, splice) add code to the binary.
    let mut buf = vec![0; COPY_BUFFER_BYTES];
    loop {
        match source.read(&mut buf).map_err(InstallError::Source)? {
            0 => return copy.sync_all().map_err(refuse),
            len => copy.write_all(&buf[..len]).map_err(refuse)?,
        }
    }
}

/// Removes the temporary files of installs that were killed. Age does not count: small nodes have no clock before the
/// network is up. An install locks its file before the first byte, and the kernel unlocks it when the process ends, so a
/// file with bytes and without a lock is abandoned.
fn remove_leftovers(directory: &Path) {
    // A directory that cannot be read, or a file that cannot be removed, is not an error.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_temporary(&entry.file_name())) {
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if file.metadata().is_ok_and(|found| found.len() > 0) && file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the name is one of [`create_temporary`].
fn is_temporary(name: &OsStr) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = name
        .to_str()
        .and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
    numbers.is_some_and(|(id, nanos)| is_number(id) && is_number(nanos))
}
