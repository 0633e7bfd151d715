//! Files that are looked at again: mounted Secrets and ConfigMaps, which change by a symbolic link.
//!
//! Reading blocks the thread. It is done at the start, and when a file has changed: small files in memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which contents a path leads to: device, inode, size, and both times.
type Stamp = (u64, u64, u64, [i64; 4]);

/// A file as it was at the last look.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Watched {
    /// A file that was not looked at.
    pub fn new(path: impl Into<PathBuf>) -> Watched {
        Watched {
            path: path.into(),
            stamp: None,
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path leads to something else than at the last look; that is remembered.
    pub fn look(&mut self) -> bool {
        let seen = fs::metadata(&self.path).ok().map(|seen| {
            let times = [
                seen.mtime(),
                seen.mtime_nsec(),
                seen.ctime(),
                seen.ctime_nsec(),
            ];
            (seen.dev(), seen.ino(), seen.size(), times)
        });
        core::mem::replace(&mut self.stamp, seen) != seen
    }

    /// Its bytes, when they are not more than `most`. What is no regular file is not waited for.
    ///
    /// # Errors
    /// The kernel's, or what is wrong.
    pub fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let mut bytes = Vec::new();
        let file = File::open(&self.path)?;
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            let kib = most / 1024;
            return Err(io::Error::other(format!("has more than {kib} KiB")));
        }
        Ok(bytes)
    }
}
