//! A temporary folder with PEM files for the flags of probelet.

use std::path::PathBuf;
use std::{fs, io};

/// The folder. Dropping it deletes it.
pub struct Files(PathBuf);

impl Files {
    /// Creates the folder. Its name has the process and `name`.
    pub fn new(name: &str) -> io::Result<Self> {
        let folder = format!("probelet-quickstart-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: String) -> io::Result<()> {
        fs::write(self.0.join(name), text)
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
