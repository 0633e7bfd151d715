//! `probelet install DIR`: this very binary, copied to where another container can run it.

use core::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The kernel's link to the program that runs; it works without a shell, and when the file has moved.
const OURSELVES: &str = "/proc/self/exe";

/// What everybody may do with the copy: run it.
const MODE: u32 = 0o755;

/// Bytes read and written at once.
const COPIED_AT_ONCE: usize = 64 * 1024;

/// Why there is no copy. Nothing half-written is left behind.
#[derive(Debug)]
pub enum InstallError {
    /// The folder is none, or not there.
    Folder(PathBuf, io::Error),
    /// This program cannot be read.
    Ourselves(io::Error),
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
            InstallError::Ourselves(error) => {
                write!(
                    f,
                    "{OURSELVES}, which is to be copied, cannot be read: {error}"
                )
            }
            InstallError::Write(path, error) => {
                write!(f, "{} cannot be written: {error}", path.display())
            }
        }
    }
}

impl core::error::Error for InstallError {}

/// Copies this program to `folder`, as `probelet`. Whoever runs a former copy goes on with that one.
///
/// # Errors
/// What keeps it from being read or written.
#[inline(never)] // as `run`
pub fn install(folder: &Path) -> Result<PathBuf, InstallError> {
    let refuse = |error| InstallError::Folder(folder.into(), error);
    if !fs::metadata(folder).map_err(refuse)?.is_dir() {
        return Err(refuse(io::ErrorKind::NotADirectory.into()));
    }
    let file = folder.join("probelet");
    let temporary = folder.join(format!(".probelet-{}", std::process::id()));
    let done = copy(&temporary).and_then(|()| {
        let renamed = fs::rename(&temporary, &file);
        renamed.map_err(|error| InstallError::Write(file.clone(), error))
    });
    if done.is_err() {
        // Whether it was there at all is no matter now.
        let _ = fs::remove_file(&temporary);
    }
    done.map(|()| file)
}

fn copy(to: &Path) -> Result<(), InstallError> {
    let refuse = |error| InstallError::Write(to.into(), error);
    let mut source = File::open(OURSELVES).map_err(InstallError::Ourselves)?;
    // One that was ended half-way had the same number, as process 1 has in every container.
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(MODE).open(to);
    let mut file = file.map_err(refuse)?;
    // By hand: std's copy brings every shortcut of the kernel's along.
    let mut buf = vec![0; COPIED_AT_ONCE];
    loop {
        match source.read(&mut buf).map_err(InstallError::Ourselves)? {
            0 => break,
            len => file.write_all(&buf[..len]).map_err(refuse)?,
        }
    }
    // Whatever the umask took away.
    file.set_permissions(Permissions::from_mode(MODE))
        .map_err(refuse)
}
