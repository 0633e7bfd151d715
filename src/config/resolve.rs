//! From settings to a validated [`Config`].

use super::checks::SettingLabels;
use super::listen::{parse_source, parse_target};
use super::settings::{RawSettings, SettingValue, parse_deadline_margin, parse_shutdown_delay};
use super::settings_error::{ConfigError, FileSetting};
use super::{Config, Probers, ProbersError, flags};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::io;

impl Config {
    /// Validates the settings. `read_file` reads the file of probers.
    ///
    /// # Errors
    /// The first setting that is not valid by itself, or that contradicts another.
    pub fn from_settings(
        settings: &RawSettings,
        read_file: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Box<ConfigError>> {
        settings.check_build()?;
        settings.config(read_file)
    }
}

/// Checks settings by the rules that the agent applies at its start, whether this build has TLS or not. It opens no
/// file: `@FILE` in `--app-probers` is an error.
///
/// # Errors
/// The error with which the agent would exit.
#[cfg(feature = "inject-library")]
pub(crate) fn validate(settings: &RawSettings) -> Result<(), Box<ConfigError>> {
    let no_file = |_: &str| Err(io::ErrorKind::NotFound.into());
    settings.config(&no_file).map(drop)
}

impl RawSettings {
    fn config(
        &self,
        read_file: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Config, Box<ConfigError>> {
        // Parsed before the forwards: injection writes the same address into them, and the error should name --target-ip.
        let (target, target_label) = self
            .parse_labeled(flags::TARGET_IP, parse_target)?
            .unwrap_or_else(|| {
                let label = "the default --target-ip 127.0.0.1";
                (IpAddr::V4(Ipv4Addr::LOCALHOST), label.into())
            });
        let source = self.parse_labeled(flags::SOURCE_IP, parse_source)?;
        let (source, source_label) = source.unzip();
        let (forwards, forward_labels) = self.forwards()?;
        let status = self.status()?;
        let tls = Box::new(self.tls()?);
        let mut own = self.valid_pod_addresses();
        own.push(target);
        own.extend(source);
        own.extend(status.addr);
        // Most agents have none, and the code of inbound ports is in the cold section (`.cargo/layout.ld`).
        let has_inbound =
            self.find(flags::INBOUND).is_some() || self.find(flags::ALLOW_ID).is_some();
        let (inbounds, inbound_labels) = match cfg!(feature = "tls") && has_inbound {
            true => self.inbounds(tls.identity.as_ref(), &own)?,
            false => (Vec::new(), Vec::new()),
        };
        let margin = self.parse_labeled(flags::DEADLINE_MARGIN, parse_deadline_margin)?;
        let (margin, margin_label) = margin.unzip();
        let labels = SettingLabels {
            target: target_label,
            source: source_label.unwrap_or_default(),
            margin: margin_label.unwrap_or_else(|| "the default --deadline-margin".into()),
            max_probers: self
                .find(flags::MAX_PROBERS)
                .map(SettingValue::label)
                .unwrap_or_default(),
            forwards: forward_labels,
            inbounds: inbound_labels,
        };
        let config = Config {
            status,
            target,
            source,
            probers: Probers::default(),
            forwards,
            inbounds,
            allow_from: self.allow_from()?,
            deadline_margin: margin.unwrap_or(limits::DEFAULT_DEADLINE_MARGIN),
            shutdown_delay: self
                .parse(flags::SHUTDOWN_DELAY, parse_shutdown_delay)?
                .unwrap_or(Duration::ZERO),
            log: self.log()?,
            capacity: self.capacity()?,
            tls,
        };
        config.check_families(&labels)?;
        config.check_listeners(&labels, own)?;
        match self.find(flags::APP_PROBERS) {
            Some(probers) => config.with_probers(probers, &labels, read_file),
            None => Ok(config),
        }
    }
}

impl Config {
    fn with_probers(
        mut self,
        setting: &SettingValue,
        labels: &SettingLabels,
        read_file: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<Self, Box<ConfigError>> {
        let file;
        let (origin, text) = match setting.value.strip_prefix('@') {
            None => (&*setting.origin, &*setting.value),
            Some(path) => {
                let bytes = read_file(path).map_err(|error| {
                    Box::new(ConfigError::File {
                        file: FileSetting {
                            origin: setting.origin.clone(),
                            path: path.into(),
                        },
                        reason: error.to_string().into(),
                    })
                })?;
                file = text_of_file(path, bytes)?;
                (path, &*file)
            }
        };
        match Probers::parse(text).and_then(|probers| self.check_ports(probers)) {
            Ok(probers) => self.probers = probers,
            Err(error) => {
                let origin = origin.into();
                return Err(Box::new(ConfigError::Probers { origin, error }));
            }
        }
        self.check_probers(labels)?;
        self.check_margin(labels)?;
        Ok(self)
    }
}

/// Checks the length first: a file that is too long was cut, perhaps within a character.
fn text_of_file(path: &str, bytes: Vec<u8>) -> Result<String, Box<ConfigError>> {
    let origin = Box::from(path);
    if bytes.len() > limits::PROBERS_JSON_BYTES {
        let error = ProbersError::TooLong { bytes: None };
        return Err(Box::new(ConfigError::Probers { origin, error }));
    }
    String::from_utf8(bytes).map_err(|_| Box::new(ConfigError::NotUtf8 { origin }))
}

#[cfg(test)]
mod tests;
