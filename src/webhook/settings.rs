//! The settings for all pods: flags, over the values of the mounted ConfigMap, over the default for the cluster's version.

use super::poll_timer::PollTimer;
use crate::inject::values::{Values, ValuesError};
use crate::inject::{KubernetesVersion, Settings};
use crate::limits;
use crate::pem::{ReadError, WatchedFile};
use crate::telemetry::RepeatFilter;
use core::fmt;
use rustix::io::Errno;
use std::path::Path;
use std::time::Instant;

/// The key of the ConfigMap, which is a file name where it is mounted.
const KEY: &str = "values";

/// The settings, and the file whose changes they follow.
#[derive(Debug)]
pub struct ReloadableSettings {
    flags: Values,
    values: Values,
    version: Option<KubernetesVersion>,
    /// The version of the oldest node.
    oldest_node: Option<KubernetesVersion>,
    file: Option<ValuesFile>,
    poll_timer: PollTimer,
    failures: RepeatFilter<ValuesFileError>,
    settings: Settings,
}

/// `--config`, and the file that it selects.
#[derive(Debug)]
struct ValuesFile {
    config: Box<str>,
    file: WatchedFile,
    is_missing: bool,
}

/// The values in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuesState {
    /// Those of the file.
    Loaded {
        /// Whether probes are rewritten.
        rewrite: bool,
    },
    /// The defaults, as there is no file.
    Missing {
        /// Its path.
        path: Box<str>,
        /// Whether probes are rewritten.
        rewrite: bool,
    },
}

/// Why the file of the values cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuesFileError {
    /// Its path.
    pub path: Box<str>,
    /// The reason.
    pub reason: ValuesFileReason,
}

/// The reasons why the file of the values cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuesFileReason {
    /// The file cannot be read.
    Unreadable(ReadError),
    /// The file is not UTF-8.
    NotUtf8,
    /// The values are invalid.
    Invalid(ValuesError),
}

impl core::error::Error for ValuesFileError {}

impl fmt::Display for ValuesFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.reason {
            ValuesFileReason::Unreadable(error) => error.fmt(f),
            ValuesFileReason::NotUtf8 => f.write_str("is not UTF-8"),
            ValuesFileReason::Invalid(error) => error.fmt(f),
        }
    }
}

impl ReloadableSettings {
    /// These flags over the values of `config`: a file, or the directory of a mounted ConfigMap. The file may be missing,
    /// and appear later.
    ///
    /// # Errors
    /// The file cannot be read, or its values are invalid.
    pub fn load(
        flags: Values,
        config: Option<&str>,
    ) -> Result<ReloadableSettings, ValuesFileError> {
        let mut settings = ReloadableSettings {
            settings: flags.clone().with_defaults(),
            flags,
            values: Values::default(),
            version: None,
            oldest_node: None,
            file: config.map(ValuesFile::new),
            poll_timer: PollTimer::new(limits::VALUES_POLL_INTERVAL),
            failures: RepeatFilter::default(),
        };
        settings.read()?;
        Ok(settings)
    }

    /// The current settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the versions of the API server and of the nodes decide on the kind of sidecar.
    pub fn needs_version(&self) -> bool {
        self.flags.sidecar.is_none() && self.values.sidecar.is_none()
    }

    /// Sets the API server's version. Returns whether it is new.
    pub fn set_version(&mut self, version: KubernetesVersion) -> bool {
        let is_new = self.version.replace(version) != Some(version);
        self.merge();
        is_new
    }

    /// Sets the version of the oldest node. The kind of sidecar is that of the older one of node and API server.
    pub fn set_oldest_node(&mut self, version: KubernetesVersion) {
        self.oldest_node = Some(version);
        self.merge();
    }

    /// Reads the file again if it changed. Polls at most once per [`limits::VALUES_POLL_INTERVAL`]. After a failure, which is
    /// returned once, the previous values stay in use.
    pub fn reload(&mut self, now: Instant) -> Option<Result<ValuesState, ValuesFileError>> {
        let file = self.file.as_mut()?;
        if !self.poll_timer.try_start(now) {
            return None;
        }
        // A failed file is read again at each poll: it may have changed within one tick of the kernel's clock.
        if !file.poll_changed() && !self.failures.has_error() {
            return None;
        }
        match self.read() {
            Ok(()) => {
                self.failures.clear();
                self.values_state().map(Ok)
            }
            Err(error) => self.failures.observe_error(&error).then_some(Err(error)),
        }
    }

    /// The values in use; `None` without `--config`.
    pub fn values_state(&self) -> Option<ValuesState> {
        let ValuesFile {
            file, is_missing, ..
        } = self.file.as_ref()?;
        let rewrite = self.settings.rewrite;
        Some(match is_missing {
            true => ValuesState::Missing {
                path: file.path().into(),
                rewrite,
            },
            false => ValuesState::Loaded { rewrite },
        })
    }

    fn read(&mut self) -> Result<(), ValuesFileError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        self.values = file.read()?;
        self.merge();
        Ok(())
    }

    fn merge(&mut self) {
        let (flags, values) = (self.flags.clone(), self.values.clone());
        let versions = [self.version, self.oldest_node];
        let oldest = versions.into_iter().flatten().min();
        self.settings = Settings::resolve(flags, values, oldest);
    }
}

impl ValuesFile {
    fn new(config: &str) -> ValuesFile {
        ValuesFile {
            config: config.into(),
            file: WatchedFile::new(&values_path(config)),
            is_missing: false,
        }
    }

    fn poll_changed(&mut self) -> bool {
        // The directory may appear later.
        let path = values_path(&self.config);
        if self.file.path() != &*path {
            self.file = WatchedFile::new(&path);
        }
        self.file.poll_changed()
    }

    fn read(&mut self) -> Result<Values, ValuesFileError> {
        let read = self.file.read(limits::VALUES_BYTES);
        let is_missing = matches!(read, Err(ReadError::Unreadable(Errno::NOENT)));
        let values = match read {
            Ok(bytes) => parse_values(&bytes),
            Err(_) if is_missing => Ok(Values::default()),
            Err(error) => Err(ValuesFileReason::Unreadable(error)),
        };
        let values = values.map_err(|reason| ValuesFileError {
            path: self.file.path().into(),
            reason,
        })?;
        self.is_missing = is_missing;
        Ok(values)
    }
}

fn parse_values(bytes: &[u8]) -> Result<Values, ValuesFileReason> {
    let text = core::str::from_utf8(bytes).map_err(|_| ValuesFileReason::NotUtf8)?;
    Values::read(text).map_err(ValuesFileReason::Invalid)
}

/// The file with the values. In a directory, it is named as the ConfigMap's key.
fn values_path(config: &str) -> Box<str> {
    match Path::new(config).is_dir() {
        true => [config.trim_end_matches('/'), "/", KEY].concat().into(),
        false => config.into(),
    }
}

#[cfg(test)]
mod tests;
