//! What holds for every pod: flags, then the mounted ConfigMap, then what the cluster's version asks for.

use crate::inject::values::Values;
use crate::inject::{Settings, Version};
use crate::limits;
use crate::pem::{ReadError, WatchedFile};
use rustix::io::Errno;
use std::path::Path;
use std::time::Instant;

/// The key of the ConfigMap, which is the file's name where it is mounted.
const KEY: &str = "values";

/// The settings, kept up to date.
#[derive(Debug)]
pub struct Live {
    flags: Values,
    values: Values,
    version: Option<Version>,
    /// What was named, and the file it leads to.
    file: Option<(Box<str>, WatchedFile)>,
    /// Whether nothing is there.
    is_missing: bool,
    look_at: Instant,
    /// What was last said to be wrong.
    told: Option<Box<str>>,
    settings: Settings,
}

/// What came of a ConfigMap that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is in use; whether probes are rewritten then.
    Taken(bool),
    /// Nothing is at this path: whether probes are rewritten then.
    Missing(Box<str>, bool),
    /// What it had before stays in use: why.
    Kept(Box<str>),
}

impl Live {
    /// These flags over the ConfigMap at this path. Where nothing is, the flags alone hold, until something is.
    ///
    /// # Errors
    /// What is wrong with the ConfigMap.
    pub fn load(flags: Values, config: Option<&str>) -> Result<Live, Box<str>> {
        let file = config.map(|path| (path.into(), WatchedFile::new(&leads(path))));
        let mut live = Live {
            settings: flags.clone().settings(),
            flags,
            values: Values::default(),
            version: None,
            file,
            is_missing: false,
            look_at: Instant::now(),
            told: None,
        };
        live.read()?;
        Ok(live)
    }

    /// The settings as they are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the cluster's version has a say.
    pub fn asks_version(&self) -> bool {
        self.flags.sidecar.is_none() && self.values.sidecar.is_none()
    }

    /// The cluster is of this version.
    pub fn set_version(&mut self, version: Version) -> bool {
        let is_new = self.version.replace(version) != Some(version);
        self.make();
        is_new
    }

    /// Looks whether the ConfigMap has changed, if that was not done just now.
    pub fn look(&mut self, now: Instant) -> Option<Notice> {
        let (config, file) = self.file.as_mut()?;
        if now < self.look_at {
            return None;
        }
        self.look_at = now + limits::VALUES_POLL_INTERVAL;
        // A folder may come where nothing was.
        let path = leads(config);
        if file.path() != &*path {
            *file = WatchedFile::new(&path);
        }
        // What could not be read or understood may be well by now, although it looks the same.
        if !file.poll_changed() && self.told.is_none() {
            return None;
        }
        match self.read() {
            Ok(()) => {
                self.told = None;
                self.notice()
            }
            Err(why) if self.told.as_ref() == Some(&why) => None,
            Err(why) => {
                self.told = Some(why.clone());
                Some(Notice::Kept(why))
            }
        }
    }

    /// What holds by now; none where no ConfigMap was named.
    pub fn notice(&self) -> Option<Notice> {
        let (_, file) = self.file.as_ref()?;
        let rewrite = self.settings.rewrite;
        Some(match self.is_missing {
            true => Notice::Missing(file.path().into(), rewrite),
            false => Notice::Taken(rewrite),
        })
    }

    fn read(&mut self) -> Result<(), Box<str>> {
        let Some((_, file)) = &mut self.file else {
            return Ok(());
        };
        let read = file.read(limits::VALUES_BYTES);
        let shown = file.path();
        let is_missing = matches!(read, Err(ReadError::Unreadable(Errno::NOENT)));
        self.values = match read {
            Ok(bytes) => {
                let text = core::str::from_utf8(&bytes);
                let text = text.map_err(|_| format!("{shown}: is not UTF-8"))?;
                Values::read(text).map_err(|error| format!("{shown}: {error}"))?
            }
            Err(_) if is_missing => Values::default(),
            Err(error) => return Err(format!("{shown}: {error}").into()),
        };
        self.is_missing = is_missing;
        self.make();
        Ok(())
    }

    fn make(&mut self) {
        let (flags, config) = (self.flags.clone(), self.values.clone());
        self.settings = flags.over(config, self.version);
    }
}

/// The file that is meant: in a folder, that of the ConfigMap's key.
fn leads(config: &str) -> Box<str> {
    match Path::new(config).is_dir() {
        true => [config.trim_end_matches('/'), "/", KEY].concat().into(),
        false => config.into(),
    }
}

#[cfg(test)]
mod tests;
