//! Bounded reads of a regular file, and detection of its changes.

use core::ops::Deref;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::{Permissions, ReadError};

/// A file, and its version at the last poll or read.
#[derive(Debug)]
pub struct WatchedFile {
    path: Box<str>,
    version: Option<FileVersion>,
}

/// The bytes of a file, which may be a key: zeroed on drop.
pub struct FileBytes(Vec<u8>);

/// Identifies a version of a file, with times in seconds and nanoseconds. A Secret volume swaps a symbolic link, so the
/// inode changes. A write in place within one tick of the kernel's clock that keeps the size is not detected; tools that
/// renew certificates rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl WatchedFile {
    /// A file that was not polled yet.
    pub fn new(path: &str) -> WatchedFile {
        WatchedFile {
            path: path.into(),
            version: None,
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns whether the file differs from the last poll or read, and records its current version.
    pub fn poll_changed(&mut self) -> bool {
        let version = stat(&*self.path).ok().map(|stat| FileVersion::of(&stat));
        core::mem::replace(&mut self.version, version) != version
    }

    /// Reads a regular file of at most `max_bytes`. After an error the next poll of an existing file returns `true`: the
    /// error may be transient, such as no free descriptor.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, or is too large.
    pub fn read(&mut self, max_bytes: usize) -> Result<FileBytes, ReadError> {
        self.version = None;
        let (contents, version) = read_version(&self.path, max_bytes)?;
        self.version = Some(version);
        Ok(contents)
    }
}

/// Reads a regular file of at most `max_bytes`.
///
/// # Errors
/// The file cannot be read, is not a regular file, or is too large.
pub fn read_file(path: &str, max_bytes: usize) -> Result<FileBytes, ReadError> {
    read_version(path, max_bytes).map(|(contents, _)| contents)
}

/// Kind, size and version are those of the open file, so a path that is swapped meanwhile has no effect.
fn read_version(path: &str, max_bytes: usize) -> Result<(FileBytes, FileVersion), ReadError> {
    // Opening a pipe for reading would block without NONBLOCK.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = open(path, flags, Mode::empty()).map_err(|error| open_error(path, error))?;
    let stat = fstat(&fd).map_err(ReadError::Unreadable)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ReadError::NotRegular);
    }
    // The file may grow while it is read, so the read is bounded as well.
    if usize::try_from(stat.st_size).is_ok_and(|size| size > max_bytes) {
        return Err(ReadError::TooLarge(max_bytes));
    }
    let mut contents = FileBytes(vec![0; max_bytes + 1]);
    let bytes = &mut contents.0;
    let mut len = 0;
    while len < bytes.len() {
        match rustix::io::read(&fd, &mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(ReadError::Unreadable(error)),
        }
    }
    if len > max_bytes {
        return Err(ReadError::TooLarge(max_bytes));
    }
    bytes.truncate(len);
    Ok((contents, FileVersion::of(&stat)))
}

/// With the file's permissions if they are the cause: of a Secret volume they are those of `defaultMode` and `fsGroup`.
fn open_error(path: &str, error: Errno) -> ReadError {
    match (error, stat(path)) {
        (Errno::ACCESS, Ok(stat)) => ReadError::Denied(Permissions {
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
            user: geteuid().as_raw(),
        }),
        _ => ReadError::Unreadable(error),
    }
}

impl FileVersion {
    #[allow(clippy::unnecessary_cast, reason = "the types differ by architecture")]
    fn of(stat: &Stat) -> FileVersion {
        FileVersion {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for FileBytes {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader the compiler could drop the write.
        core::hint::black_box(&self.0);
    }
}
