//! A volume of a Kubernetes Secret: files are symbolic links through `..data`, a link that one rename replaces
//! (`pkg/volume/util/atomic_writer.go`).

use crate::support::certs::Identity;
use crate::support::folder::Folder;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// The volume, with `tls.crt` and `tls.key`.
#[derive(Debug)]
pub struct Secret {
    folder: Folder,
    count: usize,
}

impl Secret {
    /// A volume with this certificate.
    pub fn new(identity: &Identity) -> Self {
        let mut secret = Self {
            folder: Folder::new(),
            count: 0,
        };
        secret.swap(identity);
        for name in ["tls.crt", "tls.key"] {
            let link = secret.folder.path().join(name);
            symlink(format!("..data/{name}"), link).expect("a link");
        }
        secret
    }

    /// Replaces both files atomically.
    pub fn swap(&mut self, identity: &Identity) {
        let path = self.folder.path();
        let (old, new) = (format!("..{}", self.count), format!("..{}", self.count + 1));
        self.count += 1;
        std::fs::create_dir(path.join(&new)).expect("a folder");
        std::fs::write(path.join(&new).join("tls.crt"), &identity.chain).expect("written");
        std::fs::write(path.join(&new).join("tls.key"), &identity.key).expect("written");
        symlink(&new, path.join("..data_tmp")).expect("a link");
        std::fs::rename(path.join("..data_tmp"), path.join("..data")).expect("swapped");
        let _ = std::fs::remove_dir_all(path.join(old));
    }

    /// The paths of the certificate and the key.
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        let file = |name| self.folder.path().join(name);
        (file("tls.crt"), file("tls.key"))
    }
}
