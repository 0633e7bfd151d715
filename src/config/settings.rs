//! From what was typed, and what the environment adds, to what is meant.

use super::settings_error::{ConfigError, Fault};
use super::{Action, Capacity, Config, Format, Forward, Level, Listen, Log, Probers, listen};
use super::{ProbersError, Problem};
use crate::limits;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::ffi::OsString;
use std::io;

/// The status port, which Istio's agent has as well.
const STATUS_PORT: u16 = 15020;

/// take probes on the status port and probe the app
#[derive(argh::FromArgs, Clone, Debug, Default, PartialEq, Eq)]
#[argh(subcommand, name = "run")]
pub struct Settings {
    /// port that kubelet probes
    #[argh(option)]
    pub status_port: Option<String>,
    /// address the status port listens on
    #[argh(option)]
    pub status_addr: Option<String>,
    /// the app's address
    #[argh(option)]
    pub target_ip: Option<String>,
    /// address to probe from
    #[argh(option)]
    pub source_ip: Option<String>,
    /// what to probe: JSON, or @ and a file of it
    #[argh(option)]
    pub app_probers: Option<String>,
    /// LISTEN=TARGET to pass through
    #[argh(option)]
    pub forward: Vec<String>,
    /// milliseconds to answer before a probe's timeout
    #[argh(option)]
    pub deadline_margin: Option<String>,
    /// seconds to serve on after SIGTERM
    #[argh(option)]
    pub shutdown_delay: Option<String>,
    /// least important log line that is written
    #[argh(option)]
    pub log_level: Option<String>,
    /// shape of a log line
    #[argh(option)]
    pub log_format: Option<String>,
    /// probes at once
    #[argh(option)]
    pub max_probes: Option<String>,
    /// lifecycle hooks at once
    #[argh(option)]
    pub max_hooks: Option<String>,
    /// connections that are told 503
    #[argh(option)]
    pub max_reserve: Option<String>,
    /// forwarded connections at once
    #[argh(option)]
    pub max_forwards: Option<String>,
}

/// A value and the flag or variable it came from.
struct Given {
    origin: Box<str>,
    value: Box<str>,
}

impl Given {
    fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, Fault>) -> Result<T, ConfigError> {
        read(&self.value).map_err(|fault| ConfigError::Value {
            origin: self.origin.clone(),
            value: self.value.clone(),
            fault,
        })
    }
}

impl Config {
    /// What the settings mean. `env` looks up a variable, `read_file` the text of a file.
    ///
    /// # Errors
    /// The first setting that is wrong, or that does not go with the others.
    pub fn from_settings(
        typed: &Settings,
        env: impl Fn(&str) -> Option<OsString>,
        read_file: impl Fn(&str) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let env: &dyn Fn(&str) -> Option<OsString> = &env;
        let one = |flag, typed: &Option<String>| find(flag, typed.as_deref(), &[], env);
        let status_port = one("status-port", &typed.status_port)?;
        let status_addr = one("status-addr", &typed.status_addr)?;
        let target = find(
            "target-ip",
            typed.target_ip.as_deref(),
            &["POD_IP", "INSTANCE_IP"],
            env,
        )?;
        let source = one("source-ip", &typed.source_ip)?;
        let probers = find(
            "app-probers",
            typed.app_probers.as_deref(),
            &["ISTIO_KUBE_APP_PROBERS"],
            env,
        )?;
        let (forwards, forward_names) = forwards(typed, env)?;
        let config = Config {
            status: Listen {
                addr: optional(status_addr, listen::address)?,
                port: optional(status_port, listen::port)?.unwrap_or(STATUS_PORT),
            },
            target: optional(target, listen::target)?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            source: optional(source, listen::address)?,
            probers: Probers::default(),
            forwards,
            deadline_margin: optional(one("deadline-margin", &typed.deadline_margin)?, millis)?
                .unwrap_or(limits::DEADLINE_MARGIN),
            shutdown_delay: optional(one("shutdown-delay", &typed.shutdown_delay)?, seconds)?
                .unwrap_or(Duration::ZERO),
            log: Log {
                level: optional(one("log-level", &typed.log_level)?, level)?.unwrap_or(Level::Info),
                format: optional(one("log-format", &typed.log_format)?, format)?
                    .unwrap_or(Format::Logfmt),
            },
            capacity: Capacity {
                probes: slots(one("max-probes", &typed.max_probes)?, limits::PROBE_SLOTS)?,
                hooks: slots(one("max-hooks", &typed.max_hooks)?, limits::HOOK_SLOTS)?,
                reserve: slots(
                    one("max-reserve", &typed.max_reserve)?,
                    limits::RESERVE_SLOTS,
                )?,
                forwards: slots(
                    one("max-forwards", &typed.max_forwards)?,
                    limits::FORWARD_SLOTS,
                )?,
            },
        };
        config.check_addresses(&forward_names)?;
        config.with_probers(probers, read_file)
    }

    /// Listeners that get in each other's way, and forwards that lead back to one.
    fn check_addresses(&self, forward_names: &[Box<str>]) -> Result<(), ConfigError> {
        if let Some(source) = self.source
            && source.is_ipv4() != self.target.is_ipv4()
        {
            return Err(ConfigError::Family {
                source,
                target: self.target,
            });
        }
        let name = |index: usize| match index {
            0 => "the status port".into(),
            _ => forward_names[index - 1].clone(),
        };
        let listeners: Vec<Listen> = self.listeners().collect();
        for (index, listener) in listeners.iter().enumerate() {
            if let Some(first) = listeners[..index]
                .iter()
                .position(|other| other.overlaps(*listener))
            {
                let (first, second) = (name(first), name(index));
                return Err(ConfigError::SamePort {
                    port: listener.port,
                    first,
                    second,
                });
            }
        }
        for (index, forward) in self.forwards.iter().enumerate() {
            let is_reached =
                |listener: &Listen| listener.is_reached_by(forward.target, self.target);
            if let Some(listener) = listeners.iter().position(is_reached) {
                let (forward, listener) = (name(index + 1), name(listener));
                return Err(ConfigError::Loop { forward, listener });
            }
        }
        Ok(())
    }

    fn listeners(&self) -> impl Iterator<Item = Listen> {
        core::iter::once(self.status).chain(self.forwards.iter().map(|forward| forward.listen))
    }

    fn with_probers(
        mut self,
        given: Option<Given>,
        read_file: impl Fn(&str) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let Some(mut given) = given else {
            return Ok(self);
        };
        if let Some(path) = given.value.strip_prefix('@') {
            let text = read_file(path).map_err(|error| ConfigError::File {
                origin: given.origin.clone(),
                path: path.into(),
                reason: error.to_string().into(),
            })?;
            given = Given {
                origin: path.into(),
                value: text.into(),
            };
        }
        let origin = given.origin;
        match Probers::parse(&given.value).and_then(|probers| self.check_ports(probers)) {
            Ok(probers) => self.probers = probers,
            Err(error) => return Err(ConfigError::Probers { origin, error }),
        }
        self.check_margin()?;
        Ok(self)
    }

    /// No prober may be aimed at probelet itself.
    fn check_ports(&self, probers: Probers) -> Result<Probers, ProbersError> {
        for prober in probers.iter() {
            let (field, port) = match &prober.action {
                Action::Http(get) => ("httpGet.port", get.port),
                Action::Tcp { port } => ("tcpSocket.port", *port),
                Action::Grpc { port, .. } => ("grpc.port", *port),
            };
            let to = SocketAddr::new(self.target, port);
            if self
                .listeners()
                .any(|listener| listener.is_reached_by(to, self.target))
            {
                let problem = Problem::OwnPort { field, port };
                return Err(ProbersError::Entry {
                    key: prober.path.clone(),
                    problem,
                });
            }
        }
        Ok(probers)
    }

    /// The margin must leave each prober some time; hooks have no deadline.
    fn check_margin(&self) -> Result<(), ConfigError> {
        let timed = self.probers.iter().filter(|prober| !prober.is_hook);
        match timed.min_by_key(|prober| prober.timeout) {
            Some(prober) if self.deadline_margin >= prober.timeout => Err(ConfigError::Margin {
                margin: self.deadline_margin.as_millis(),
                prober: prober.path.clone(),
                timeout: prober.timeout.as_secs(),
            }),
            _ => Ok(()),
        }
    }
}

/// A setting by its flag, then `PROBELET_<NAME>`, then the variables it has as well; an empty
/// variable is none.
fn find(
    flag: &str,
    typed: Option<&str>,
    also: &[&str],
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Given>, ConfigError> {
    if let Some(value) = typed {
        return Ok(Some(Given {
            origin: format!("--{flag}").into(),
            value: value.into(),
        }));
    }
    let own = format!("PROBELET_{}", flag.to_ascii_uppercase().replace('-', "_"));
    for origin in core::iter::once(&*own).chain(also.iter().copied()) {
        let Some(value) = env(origin).filter(|value| !value.is_empty()) else {
            continue;
        };
        let origin = Box::from(origin);
        return match value.into_string() {
            Ok(value) => Ok(Some(Given {
                origin,
                value: value.into(),
            })),
            Err(_) => Err(ConfigError::NotText { origin }),
        };
    }
    Ok(None)
}

/// The forwards, and what to call each in an error.
fn forwards(
    typed: &Settings,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(Vec<Forward>, Vec<Box<str>>), ConfigError> {
    let mut given: Vec<Given> = typed
        .forward
        .iter()
        .map(|value| Given {
            origin: "--forward".into(),
            value: value.as_str().into(),
        })
        .collect();
    if given.is_empty()
        && let Some(list) = find("forward", None, &[], env)?
    {
        let one = |value: &str| Given {
            origin: list.origin.clone(),
            value: value.trim().into(),
        };
        given.extend(list.value.split(',').map(one));
    }
    if given.len() > limits::FORWARDS {
        return Err(ConfigError::Forwards { count: given.len() });
    }
    let forwards: Result<_, _> = given
        .iter()
        .map(|given| given.read(listen::forward))
        .collect();
    let name = |given: &Given| format!("{} {}", given.origin, given.value).into();
    Ok((forwards?, given.iter().map(name).collect()))
}

fn optional<T>(
    given: Option<Given>,
    read: impl FnOnce(&str) -> Result<T, Fault>,
) -> Result<Option<T>, ConfigError> {
    given.map(|given| given.read(read)).transpose()
}

fn slots(given: Option<Given>, max: usize) -> Result<usize, ConfigError> {
    let read = |text: &str| match whole(text) {
        Some(slots @ 1..) if slots <= max as u64 => Ok(slots as usize),
        _ => Err(Fault::Slots(max)),
    };
    Ok(optional(given, read)?.unwrap_or(max))
}

fn millis(text: &str) -> Result<Duration, Fault> {
    let millis = whole(text).filter(|&millis| millis <= limits::DEADLINE_MARGIN_MILLIS);
    millis.map(Duration::from_millis).ok_or(Fault::Millis)
}

fn seconds(text: &str) -> Result<Duration, Fault> {
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

fn level(text: &str) -> Result<Level, Fault> {
    match text {
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err(Fault::Level),
    }
}

fn format(text: &str) -> Result<Format, Fault> {
    match text {
        "logfmt" => Ok(Format::Logfmt),
        "json" => Ok(Format::Json),
        _ => Err(Fault::Format),
    }
}

#[cfg(test)]
mod tests;
