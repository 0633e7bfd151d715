//! The values of flags and environment variables, and the rules of each.

use super::settings_error::{ConfigError, Fault};
use super::{Capacity, Forward, Listen, listen};
use crate::limits;
use crate::telemetry::{Format, Level, LogSettings};
use core::net::IpAddr;
use core::time::Duration;
use std::ffi::{OsStr, OsString};

/// The status port, which Istio's agent has as well.
pub(crate) const STATUS_PORT: u16 = 15020;

/// The values of flags, before the environment is read. A field is the flag of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the help of each flag describes it")]
pub struct RawSettings {
    pub status_port: Option<String>,
    pub status_addr: Option<String>,
    pub target_ip: Option<String>,
    pub source_ip: Option<String>,
    pub app_probers: Option<String>,
    pub forward: Vec<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub app_ca: Option<String>,
    pub app_id: Option<String>,
    pub deadline_margin: Option<String>,
    pub shutdown_delay: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    pub max_probes: Option<String>,
    pub max_hooks: Option<String>,
    pub max_reserve: Option<String>,
    pub max_forwards: Option<String>,
}

/// A setting's text, and the flag or variable that it comes from.
pub(super) struct SettingValue {
    pub(super) origin: Box<str>,
    pub(super) value: Box<str>,
}

impl SettingValue {
    pub(super) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<T, Box<ConfigError>> {
        parse(&self.value).map_err(|fault| {
            Box::new(ConfigError::Value {
                origin: self.origin.clone(),
                value: self.value.clone(),
                fault,
            })
        })
    }

    /// Its name in errors.
    pub(super) fn name(&self) -> Box<str> {
        format!("{} {}", self.origin, self.value).into()
    }
}

/// The variables with the pod's address.
const POD_ADDRESSES: [&str; 2] = ["POD_IP", "INSTANCE_IP"];

/// Forwards, and their names in errors.
type Forwards = (Vec<Forward>, Vec<Box<str>>);

/// The sources of settings: flags, then variables.
pub(super) struct SettingSources<'a> {
    pub(super) raw: &'a RawSettings,
    pub(super) env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl SettingSources<'_> {
    /// A setting from its flag, then from `PROBELET_<NAME>`, then from its other variables. Empty variables are ignored.
    pub(super) fn find(
        &self,
        flag: &'static str,
        raw: &Option<String>,
    ) -> Result<Option<SettingValue>, Box<ConfigError>> {
        if let Some(value) = raw {
            return Ok(Some(SettingValue {
                origin: format!("--{flag}").into(),
                value: value.as_str().into(),
            }));
        }
        let aliases: &[&str] = match flag {
            "target-ip" => &POD_ADDRESSES,
            "app-probers" => &["ISTIO_KUBE_APP_PROBERS"],
            _ => &[],
        };
        let own = format!("PROBELET_{}", flag.to_ascii_uppercase().replace('-', "_"));
        for origin in core::iter::once(&*own).chain(aliases.iter().copied()) {
            let Some(value) = (self.env)(origin).filter(|value| is_set(value)) else {
                continue;
            };
            let origin = Box::from(origin);
            return match value.into_string() {
                Ok(value) => Ok(Some(SettingValue {
                    origin,
                    value: value.into(),
                })),
                Err(_) => Err(Box::new(ConfigError::NotText { origin })),
            };
        }
        Ok(None)
    }

    pub(super) fn parse<T>(
        &self,
        flag: &'static str,
        raw: &Option<String>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Box<ConfigError>> {
        Ok(self.parse_named(flag, raw, parse)?.map(|(value, _)| value))
    }

    /// The value of a setting, and its name in errors.
    pub(super) fn parse_named<T>(
        &self,
        flag: &'static str,
        raw: &Option<String>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<(T, Box<str>)>, Box<ConfigError>> {
        self.find(flag, raw)?
            .map(|setting| Ok((setting.parse(parse)?, setting.name())))
            .transpose()
    }

    /// The pod's addresses in the environment, whatever the target is.
    pub(super) fn pod_addresses(&self) -> Vec<IpAddr> {
        let values = POD_ADDRESSES.iter().filter_map(|name| (self.env)(name));
        values
            .filter_map(|value| listen::address(value.to_str()?).ok())
            .collect()
    }

    pub(super) fn status(&self) -> Result<Listen, Box<ConfigError>> {
        Ok(Listen {
            addr: self.parse("status-addr", &self.raw.status_addr, listen::local)?,
            port: self
                .parse("status-port", &self.raw.status_port, listen::port)?
                .unwrap_or(STATUS_PORT),
        })
    }

    pub(super) fn log(&self) -> Result<LogSettings, Box<ConfigError>> {
        Ok(LogSettings {
            level: self
                .parse("log-level", &self.raw.log_level, level)?
                .unwrap_or(Level::Info),
            format: self
                .parse("log-format", &self.raw.log_format, format)?
                .unwrap_or(Format::Logfmt),
        })
    }

    pub(super) fn capacity(&self) -> Result<Capacity, Box<ConfigError>> {
        let slots = |flag, raw, max| -> Result<usize, Box<ConfigError>> {
            Ok(self
                .parse(flag, raw, |text| slots(text, max))?
                .unwrap_or(max))
        };
        Ok(Capacity {
            probes: slots("max-probes", &self.raw.max_probes, limits::PROBE_SLOTS)?,
            hooks: slots("max-hooks", &self.raw.max_hooks, limits::HOOK_SLOTS)?,
            reserve: slots("max-reserve", &self.raw.max_reserve, limits::RESERVE_SLOTS)?,
            forward_connections: slots(
                "max-forwards",
                &self.raw.max_forwards,
                limits::FORWARD_CONNECTIONS,
            )?,
        })
    }

    /// Forwards of flags, or else those of the variable.
    pub(super) fn forwards(&self) -> Result<Forwards, Box<ConfigError>> {
        let mut settings = Vec::new();
        for value in &self.raw.forward {
            settings.push(SettingValue {
                origin: "--forward".into(),
                value: value.as_str().into(),
            });
        }
        if settings.is_empty()
            && let Some(list) = self.find("forward", &None)?
        {
            let one = |value: &str| SettingValue {
                origin: list.origin.clone(),
                value: value.trim().into(),
            };
            settings.extend(list.value.split(',').map(one));
        }
        if settings.len() > limits::FORWARDS {
            return Err(Box::new(ConfigError::TooManyForwards {
                count: settings.len(),
            }));
        }
        let forwards: Result<_, _> = settings
            .iter()
            .map(|setting| setting.parse(listen::forward))
            .collect();
        Ok((forwards?, settings.iter().map(SettingValue::name).collect()))
    }
}

/// Kubernetes sets `NAME_PORT=tcp://…` in every pod for each Service of the namespace: that of a Service with the name
/// probelet-status is not a setting.
fn is_set(value: &OsStr) -> bool {
    !value.is_empty() && !value.as_encoded_bytes().starts_with(b"tcp://")
}

fn slots(text: &str, max: usize) -> Result<usize, Fault> {
    match whole(text).map(usize::try_from) {
        Some(Ok(slots)) if (1..=max).contains(&slots) => Ok(slots),
        _ => Err(Fault::Slots(max)),
    }
}

pub(super) fn millis(text: &str) -> Result<Duration, Fault> {
    let millis = whole(text).filter(|&millis| millis <= limits::DEADLINE_MARGIN_MAX_MILLIS);
    millis.map(Duration::from_millis).ok_or(Fault::Millis)
}

pub(crate) fn seconds(text: &str) -> Result<Duration, Fault> {
    let seconds = whole(text).filter(|&seconds| seconds <= limits::SHUTDOWN_DELAY_MAX_SECONDS);
    seconds.map(Duration::from_secs).ok_or(Fault::Seconds)
}

/// A number of digits only.
fn whole(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

pub(crate) fn level(text: &str) -> Result<Level, Fault> {
    match text {
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err(Fault::Level),
    }
}

pub(crate) fn format(text: &str) -> Result<Format, Fault> {
    match text {
        "logfmt" => Ok(Format::Logfmt),
        "json" => Ok(Format::Json),
        _ => Err(Fault::Format),
    }
}
