//! The values of settings, and the rules of each.

use super::allow_from::{AllowFrom, Cidr};
use super::listen::{parse_address, parse_listen_address, parse_port_setting};
use super::port_mapping::parse_forward;
use super::settings_error::{ConfigError, SettingRule};
use super::{Capacity, Forward, Listen, flags};
use crate::limits;
use crate::telemetry::{Format, Level, LogSettings};
use core::net::IpAddr;
use core::time::Duration;

/// The status port of an agent that is started without `--status-port`: that of Istio's agent.
pub(crate) const DEFAULT_STATUS_PORT: u16 = 15020;

/// A setting that is set: its text, and where it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The flag of the setting, such as `--status-port`.
    pub flag: &'static str,
    /// Where it is set: the flag, a variable or an annotation.
    pub origin: Box<str>,
    /// The text.
    pub value: Box<str>,
}

/// The settings that are set, before their values are parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawSettings {
    /// One value of each setting, and all values of the repeatable ones.
    pub values: Vec<SettingValue>,
    /// The pod's addresses, whatever the target is.
    pub pod_addresses: Vec<Box<str>>,
}

impl SettingValue {
    pub(super) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, SettingRule>,
    ) -> Result<T, Box<ConfigError>> {
        parse(&self.value)
            .map_err(|rule| ConfigError::invalid_value(&self.origin, &self.value, rule))
    }

    /// Origin and value, as errors quote them: `--status-port 15020`.
    pub(super) fn label(&self) -> Box<str> {
        format!("{} {}", self.origin, self.value).into()
    }
}

/// Forwards, and the label of each.
type Forwards = (Vec<Forward>, Vec<Box<str>>);

impl RawSettings {
    /// The value of a flag.
    pub(super) fn find(&self, flag: &str) -> Option<&SettingValue> {
        self.values.iter().find(|setting| setting.flag == flag)
    }

    pub(super) fn parse<T>(
        &self,
        flag: &str,
        parse: impl FnOnce(&str) -> Result<T, SettingRule>,
    ) -> Result<Option<T>, Box<ConfigError>> {
        Ok(self.parse_labeled(flag, parse)?.map(|(value, _)| value))
    }

    /// The parsed value of a setting, and its label.
    pub(super) fn parse_labeled<T>(
        &self,
        flag: &str,
        parse: impl FnOnce(&str) -> Result<T, SettingRule>,
    ) -> Result<Option<(T, Box<str>)>, Box<ConfigError>> {
        self.find(flag)
            .map(|setting| Ok((setting.parse(parse)?, setting.label())))
            .transpose()
    }

    /// The addresses of the pod, without invalid ones.
    pub(super) fn valid_pod_addresses(&self) -> Vec<IpAddr> {
        let addresses = self.pod_addresses.iter();
        addresses
            .filter_map(|address| parse_address(address).ok())
            .collect()
    }

    pub(super) fn status(&self) -> Result<Listen, Box<ConfigError>> {
        Ok(Listen {
            addr: self.parse(flags::STATUS_ADDR, parse_listen_address)?,
            port: self
                .parse(flags::STATUS_PORT, parse_port_setting)?
                .unwrap_or(DEFAULT_STATUS_PORT),
        })
    }

    pub(super) fn log(&self) -> Result<LogSettings, Box<ConfigError>> {
        Ok(LogSettings {
            level: self
                .parse(flags::LOG_LEVEL, parse_log_level)?
                .unwrap_or(Level::Info),
            format: self
                .parse(flags::LOG_FORMAT, parse_log_format)?
                .unwrap_or(Format::Logfmt),
        })
    }

    pub(super) fn capacity(&self) -> Result<Capacity, Box<ConfigError>> {
        let parse = |flag, max| -> Result<usize, Box<ConfigError>> {
            Ok(self
                .parse(flag, |text| parse_capacity(text, max))?
                .unwrap_or(max))
        };
        Ok(Capacity {
            probers: parse(flags::MAX_PROBERS, limits::PROBERS)?,
            forward_connections: parse(flags::MAX_FORWARDS, limits::FORWARD_CONNECTIONS)?,
            inbound_connections: self
                .parse(flags::MAX_INBOUND, |text| {
                    parse_capacity(text, limits::INBOUND_CONNECTIONS_MAX)
                })?
                .unwrap_or(limits::INBOUND_CONNECTIONS),
        })
    }

    pub(super) fn forwards(&self) -> Result<Forwards, Box<ConfigError>> {
        let settings = self.repeated(flags::FORWARD, limits::FORWARDS)?;
        let forwards: Result<_, _> = settings
            .iter()
            .map(|setting| setting.parse(parse_forward))
            .collect();
        Ok((
            forwards?,
            settings.iter().map(|setting| setting.label()).collect(),
        ))
    }

    pub(super) fn allow_from(&self) -> Result<AllowFrom, Box<ConfigError>> {
        let settings = self.repeated(flags::ALLOW_FROM, limits::ALLOWED_NETWORKS)?;
        let networks: Result<_, _> = settings
            .iter()
            .map(|setting| setting.parse(Cidr::parse))
            .collect();
        Ok(AllowFrom::new(networks?))
    }

    /// All values of a repeatable flag, at most `max`.
    pub(super) fn repeated(
        &self,
        flag: &str,
        max: usize,
    ) -> Result<Vec<&SettingValue>, Box<ConfigError>> {
        let settings = self.values.iter();
        let settings: Vec<_> = settings.filter(|setting| setting.flag == flag).collect();
        match settings.first() {
            Some(first) if settings.len() > max => Err(Box::new(ConfigError::TooManyValues {
                origin: first.origin.clone(),
                count: settings.len(),
                max,
            })),
            _ => Ok(settings),
        }
    }
}

fn parse_capacity(text: &str, max: usize) -> Result<usize, SettingRule> {
    match parse_digits(text).map(usize::try_from) {
        Some(Ok(count)) if (1..=max).contains(&count) => Ok(count),
        _ => Err(SettingRule::Capacity(max)),
    }
}

pub(super) fn parse_deadline_margin(text: &str) -> Result<Duration, SettingRule> {
    let millis = parse_digits(text).filter(|&millis| millis <= limits::DEADLINE_MARGIN_MAX_MILLIS);
    millis
        .map(Duration::from_millis)
        .ok_or(SettingRule::DeadlineMargin)
}

pub(crate) fn parse_shutdown_delay(text: &str) -> Result<Duration, SettingRule> {
    let seconds =
        parse_digits(text).filter(|&seconds| seconds <= limits::SHUTDOWN_DELAY_MAX_SECONDS);
    seconds
        .map(Duration::from_secs)
        .ok_or(SettingRule::ShutdownDelay)
}

/// Parses a number of digits only.
fn parse_digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

pub(crate) fn parse_log_level(text: &str) -> Result<Level, SettingRule> {
    match text {
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err(SettingRule::LogLevel),
    }
}

pub(crate) fn parse_log_format(text: &str) -> Result<Format, SettingRule> {
    match text {
        "logfmt" => Ok(Format::Logfmt),
        "json" => Ok(Format::Json),
        _ => Err(SettingRule::LogFormat),
    }
}
