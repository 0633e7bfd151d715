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

/// A value and the flag or variable it came from.
pub(super) struct Given {
    pub(super) origin: Box<str>,
    pub(super) value: Box<str>,
}

impl Given {
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<T, Box<ConfigError>> {
        read(&self.value).map_err(|fault| {
            Box::new(ConfigError::Value {
                origin: self.origin.clone(),
                value: self.value.clone(),
                fault,
            })
        })
    }

    /// What to call it in an error.
    pub(super) fn name(&self) -> Box<str> {
        format!("{} {}", self.origin, self.value).into()
    }
}

/// The variables that have the pod's address.
const POD_ADDRESSES: [&str; 2] = ["POD_IP", "INSTANCE_IP"];

/// Forwards, and what to call each in an error.
type Forwards = (Vec<Forward>, Vec<Box<str>>);

/// Where settings come from.
pub(super) struct Sources<'a> {
    pub(super) typed: &'a RawSettings,
    pub(super) env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Sources<'_> {
    /// A setting by its flag, then `PROBELET_<NAME>`, then the variables it has as well; an empty
    /// variable is none.
    pub(super) fn find(
        &self,
        flag: &'static str,
        typed: &Option<String>,
    ) -> Result<Option<Given>, Box<ConfigError>> {
        if let Some(value) = typed {
            return Ok(Some(Given {
                origin: format!("--{flag}").into(),
                value: value.as_str().into(),
            }));
        }
        let also: &[&str] = match flag {
            "target-ip" => &POD_ADDRESSES,
            "app-probers" => &["ISTIO_KUBE_APP_PROBERS"],
            _ => &[],
        };
        let own = format!("PROBELET_{}", flag.to_ascii_uppercase().replace('-', "_"));
        for origin in core::iter::once(&*own).chain(also.iter().copied()) {
            let Some(value) = (self.env)(origin).filter(|value| is_set(value)) else {
                continue;
            };
            let origin = Box::from(origin);
            return match value.into_string() {
                Ok(value) => Ok(Some(Given {
                    origin,
                    value: value.into(),
                })),
                Err(_) => Err(Box::new(ConfigError::NotText { origin })),
            };
        }
        Ok(None)
    }

    pub(super) fn read<T>(
        &self,
        flag: &'static str,
        typed: &Option<String>,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Box<ConfigError>> {
        Ok(self.named(flag, typed, read)?.map(|(value, _)| value))
    }

    /// A setting, and what to call it in an error.
    pub(super) fn named<T>(
        &self,
        flag: &'static str,
        typed: &Option<String>,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<(T, Box<str>)>, Box<ConfigError>> {
        self.find(flag, typed)?
            .map(|given| Ok((given.read(read)?, given.name())))
            .transpose()
    }

    /// The pod's addresses as far as they are told, wherever the target came from.
    pub(super) fn pod_addresses(&self) -> Vec<IpAddr> {
        let values = POD_ADDRESSES.iter().filter_map(|name| (self.env)(name));
        values
            .filter_map(|value| listen::address(value.to_str()?).ok())
            .collect()
    }

    pub(super) fn status(&self) -> Result<Listen, Box<ConfigError>> {
        Ok(Listen {
            addr: self.read("status-addr", &self.typed.status_addr, listen::local)?,
            port: self
                .read("status-port", &self.typed.status_port, listen::port)?
                .unwrap_or(STATUS_PORT),
        })
    }

    pub(super) fn log(&self) -> Result<LogSettings, Box<ConfigError>> {
        Ok(LogSettings {
            level: self
                .read("log-level", &self.typed.log_level, level)?
                .unwrap_or(Level::Info),
            format: self
                .read("log-format", &self.typed.log_format, format)?
                .unwrap_or(Format::Logfmt),
        })
    }

    pub(super) fn capacity(&self) -> Result<Capacity, Box<ConfigError>> {
        let slots = |flag, typed, max| -> Result<usize, Box<ConfigError>> {
            Ok(self
                .read(flag, typed, |text| slots(text, max))?
                .unwrap_or(max))
        };
        Ok(Capacity {
            probes: slots("max-probes", &self.typed.max_probes, limits::PROBE_SLOTS)?,
            hooks: slots("max-hooks", &self.typed.max_hooks, limits::HOOK_SLOTS)?,
            reserve: slots(
                "max-reserve",
                &self.typed.max_reserve,
                limits::RESERVE_SLOTS,
            )?,
            forwards: slots(
                "max-forwards",
                &self.typed.max_forwards,
                limits::FORWARD_SLOTS,
            )?,
        })
    }

    /// Flags go before the variable as a whole.
    pub(super) fn forwards(&self) -> Result<Forwards, Box<ConfigError>> {
        let mut given = Vec::new();
        for value in &self.typed.forward {
            given.push(Given {
                origin: "--forward".into(),
                value: value.as_str().into(),
            });
        }
        if given.is_empty()
            && let Some(list) = self.find("forward", &None)?
        {
            let one = |value: &str| Given {
                origin: list.origin.clone(),
                value: value.trim().into(),
            };
            given.extend(list.value.split(',').map(one));
        }
        if given.len() > limits::FORWARDS {
            return Err(Box::new(ConfigError::Forwards { count: given.len() }));
        }
        let forwards: Result<_, _> = given
            .iter()
            .map(|given| given.read(listen::forward))
            .collect();
        Ok((forwards?, given.iter().map(Given::name).collect()))
    }
}

/// Kubernetes gives every pod `NAME_PORT=tcp://…` for each Service of its namespace: one that is called
/// probelet-status must not be taken for a setting.
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
    let millis = whole(text).filter(|&millis| millis <= limits::DEADLINE_MARGIN_MILLIS);
    millis.map(Duration::from_millis).ok_or(Fault::Millis)
}

pub(crate) fn seconds(text: &str) -> Result<Duration, Fault> {
    let seconds = whole(text).filter(|&seconds| seconds <= limits::SHUTDOWN_DELAY_SECONDS);
    seconds.map(Duration::from_secs).ok_or(Fault::Seconds)
}

/// Digits only.
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
