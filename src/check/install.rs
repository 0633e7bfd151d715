//! `probelet install DIR`: copies this binary to where another container can run it.

use core::fmt;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The kernel's link to the program that runs; it works without a shell, and when the file has moved.
const SELF_EXE: &str = "/proc/self/exe";

/// What everybody may do with the copy: run it.
const MODE: u32 = 0o755;

/// What a copy's name begins with until it is whole; the process's number and the time follow.
const PREFIX: &str = ".probelet-";

/// Names tried after one that is taken; each is of another time.
const TRIES: u32 = 8;

/// Bytes read and written at once.
const COPIED_AT_ONCE: usize = 64 * 1024;

/// Why there is no copy. Nothing half-written is left behind.
#[derive(Debug)]
pub enum InstallError {
    /// The folder is none, or not there.
    Folder(PathBuf, io::Error),
    /// This program cannot be read.
    Source(io::Error),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Folder(path, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{} does not exist: mount a volume there", path.display())
            }
            InstallError::Folder(path, error) => write!(
                f,
                "{} is no folder to install into: {error}",
                path.display()
            ),
            InstallError::Source(error) => {
                write!(
                    f,
                    "{SELF_EXE}, which is to be copied, cannot be read: {error}"
                )
            }
            InstallError::Write(path, error) => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
        }
    }
}

impl core::error::Error for InstallError {}

/// Copies this program to `folder`, as `probelet`. A process that runs an older copy keeps it. An identical copy stays,
/// as there may be no room for a second one.
///
/// # Errors
/// What keeps it from being read or written.
#[inline(never)] // as `run`
pub fn install(folder: &Path) -> Result<PathBuf, InstallError> {
    let refuse = |error| InstallError::Folder(folder.into(), error);
    if !fs::metadata(folder).map_err(refuse)?.is_dir() {
        return Err(refuse(io::ErrorKind::NotADirectory.into()));
    }
    // They may be what fills the volume.
    remove_leftovers(folder);
    let file = folder.join("probelet");
    if !is_installed(&file) {
        let (temporary, copy) = create(folder)?;
        let done = install_as(&file, &temporary, copy);
        if done.is_err() {
            // It is ours, and there is nothing more to be done about it.
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
    let mut bufs = vec![0; 2 * COPIED_AT_ONCE];
    let (ours, other) = bufs.split_at_mut(COPIED_AT_ONCE);
    loop {
        let len = source.read(ours)?;
        file.read_exact(&mut other[..len])?;
        if len == 0 || ours[..len] != other[..len] {
            return Ok(len == 0);
        }
    }
}

/// A new file under a name that nobody else has: in a container every process is number 1, and several may
/// share the folder, so the clock is part of it.
fn create(folder: &Path) -> Result<(PathBuf, File), InstallError> {
    let mut tries = 0;
    loop {
        // A clock before 1970 makes do with the number.
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = time.unwrap_or_default().as_nanos();
        let name = format!("{PREFIX}{}-{nanos}", std::process::id());
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                tries += 1;
            }
            Err(error) => return Err(InstallError::Write(path, error)),
        }
    }
}

/// Fills the copy, and gives it its name once it is on the disk: a node may lose its power.
fn install_as(file: &Path, temporary: &Path, copy: File) -> Result<(), InstallError> {
    let refuse = |error| InstallError::Write(temporary.into(), error);
    // Whatever the umask took away.
    copy.set_permissions(Permissions::from_mode(MODE))
        .map_err(refuse)?;
    // Held until the file has its name; not by `copy`, as what is open for writing cannot be run. A file
    // system without locks has no leftovers removed either.
    let lock = File::open(temporary).map_err(refuse)?;
    let _ = lock.try_lock();
    fill(copy, temporary)?;
    fs::rename(temporary, file).map_err(|error| InstallError::Write(file.into(), error))
}

fn fill(mut copy: File, path: &Path) -> Result<(), InstallError> {
    let refuse = |error| InstallError::Write(path.into(), error);
    let mut source = File::open(SELF_EXE).map_err(InstallError::Source)?;
    // By hand: std's copy brings every shortcut of the kernel's along.
    let mut buf = vec![0; COPIED_AT_ONCE];
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
fn remove_leftovers(folder: &Path) {
    // A folder that cannot be read, or a file that cannot be removed, is no hindrance.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
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

/// Whether the name is one that [`create`] gives.
fn is_temporary(name: &OsStr) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = name
        .to_str()
        .and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
    numbers.is_some_and(|(id, nanos)| is_number(id) && is_number(nanos))
}
