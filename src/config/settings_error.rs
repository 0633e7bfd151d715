//! Errors of the settings. The text names the flag or variable and what to write instead.

use super::ProbersError;
use crate::limits;
use crate::text::Quoted;
use core::fmt;

/// A file, and the setting that names it. Displayed as the subject of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSetting {
    /// The flag or variable.
    pub origin: Box<str>,
    /// The path.
    pub path: Box<str>,
}

impl fmt::Display for FileSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Quoted(&self.path);
        write!(f, "{} names the file {path}", self.origin)
    }
}

/// Why the settings are not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// One setting's value is not valid.
    Value {
        /// The flag or variable it came from.
        origin: Box<str>,
        /// The value.
        value: Box<str>,
        /// The rule that it breaks.
        rule: SettingRule,
    },
    /// A variable or the file of probers is not UTF-8.
    NotUtf8 {
        /// The variable, or the path of the file.
        origin: Box<str>,
    },
    /// The file after `@` cannot be read.
    File {
        /// The file, and the setting that names it.
        file: FileSetting,
        /// Why.
        reason: Box<str>,
    },
    /// A setting that requires another one.
    Incomplete {
        /// The setting and its value.
        setting: Box<str>,
        /// The flag that is missing.
        missing: &'static str,
    },
    /// A setting for TLS in a build without TLS.
    NoTls {
        /// The flag or variable.
        origin: Box<str>,
    },
    /// The probers are not valid.
    Probers {
        /// The flag, variable or file they came from.
        origin: Box<str>,
        /// Why.
        error: ProbersError,
    },
    /// Two listeners that cannot both be bound.
    SamePort {
        /// The port.
        port: u16,
        /// What the first one is.
        first: Box<str>,
        /// What the second one is.
        second: Box<str>,
    },
    /// A forward to a listener of probelet.
    ForwardLoop {
        /// The forward.
        forward: Box<str>,
        /// The listener.
        listener: Box<str>,
    },
    /// Source and target address are of different families.
    AddressFamilies {
        /// The source address and the flag or variable it came from.
        source: Box<str>,
        /// The target address, likewise.
        target: Box<str>,
    },
    /// The margin is not shorter than some prober's timeout.
    Margin {
        /// The margin, in milliseconds, and the flag or variable it came from.
        margin: Box<str>,
        /// The prober's key.
        prober: Box<str>,
        /// Its timeout, in seconds.
        timeout: u64,
    },
    /// `--max-probers` is less than the number of probers.
    TooFewProbers {
        /// The flag or variable, and its value.
        setting: Box<str>,
        /// The number of probers in the table.
        probers: usize,
    },
    /// A repeatable setting has too many values.
    TooManyValues {
        /// The flag or variable they came from.
        origin: Box<str>,
        /// Their number.
        count: usize,
        /// The largest number.
        max: usize,
    },
}

/// A rule of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingRule {
    /// A port.
    Port,
    /// An IP address.
    Address,
    /// An IP address to connect to.
    TargetAddress,
    /// A source address.
    SourceAddress,
    /// An IP address to listen on.
    ListenAddress,
    /// `--deadline-margin`, in milliseconds.
    DeadlineMargin,
    /// `--shutdown-delay`, in seconds.
    ShutdownDelay,
    /// `true` or `false`.
    Bool,
    /// A capacity from 1 to this.
    Capacity(usize),
    /// One of the levels.
    LogLevel,
    /// One of the formats.
    LogFormat,
    /// A SPIFFE ID.
    SpiffeId,
    /// A network.
    Cidr,
    /// The prefix length of a network, up to this.
    PrefixLength(u8),
    /// An IPv4-mapped network that also has other addresses.
    MappedCidr,
    /// A forward without `=`.
    ForwardEquals,
    /// A forward whose part before `=` is wrong.
    ForwardListen,
    /// A forward whose part after `=` is wrong.
    ForwardTarget,
}

impl fmt::Display for SettingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            SettingRule::Port => "but a port must be a number from 1 to 65535: write one such as 15020",
            SettingRule::Address => "but must be an IP address: write one such as 127.0.0.1 or ::1",
            SettingRule::TargetAddress => {
                "which is not a unicast address: write the app's address, such as 127.0.0.1"
            }
            SettingRule::SourceAddress => {
                "which cannot be a source address: write an address of the pod, such as 127.0.0.6"
            }
            SettingRule::ListenAddress => {
                "which cannot be listened on: write an address of the pod, or 0.0.0.0 or :: for all"
            }
            SettingRule::DeadlineMargin => {
                return write!(
                    f,
                    "but must be whole milliseconds up to {}: write a number such as {}",
                    limits::DEADLINE_MARGIN_MAX_MILLIS,
                    limits::DEFAULT_DEADLINE_MARGIN.as_millis() as u64
                );
            }
            SettingRule::ShutdownDelay => {
                return write!(
                    f,
                    "but must be whole seconds up to {}: write a number such as 5",
                    limits::SHUTDOWN_DELAY_MAX_SECONDS
                );
            }
            SettingRule::Capacity(max) => {
                return write!(
                    f,
                    "but must be a number from 1 to {max}, the built-in limit"
                );
            }
            SettingRule::Bool => "but must be true or false",
            SettingRule::LogLevel => "but must be one of error, warn, info, debug",
            SettingRule::LogFormat => "but must be logfmt or json",
            SettingRule::SpiffeId => {
                "but must be a SPIFFE ID: write one such as spiffe://example.org/ns/default/sa/web"
            }
            SettingRule::Cidr => {
                "but must be an IP address, or one with a prefix length: write one such as 10.42.0.0/24 or fd00::/64"
            }
            SettingRule::PrefixLength(max) => {
                return write!(
                    f,
                    "but the prefix length after '/' must be a number from 0 to {max}: write one such as 10.42.0.0/24 \
                     or fd00::/64"
                );
            }
            SettingRule::MappedCidr => {
                "but the prefix length of an IPv4-mapped address must be 96 or more: write the IPv4 network, such as \
                 10.42.0.0/24"
            }
            SettingRule::ForwardEquals => {
                "but must be LISTEN=TARGET: write one such as 15032=127.0.0.1:8002"
            }
            SettingRule::ForwardListen => {
                "but the part before '=' must be PORT, IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: \
                 write one such as 0.0.0.0:15032=127.0.0.1:8002"
            }
            SettingRule::ForwardTarget => {
                "but the part after '=' must be IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: \
                 write one such as 15032=[::1]:8002"
            }
        })
    }
}

impl ConfigError {
    /// A setting whose value breaks a rule. Not inlined into the parsers of the settings, because these run at every start.
    #[cold]
    #[inline(never)]
    pub(super) fn invalid_value(origin: &str, value: &str, rule: SettingRule) -> Box<Self> {
        Box::new(ConfigError::Value {
            origin: origin.into(),
            value: value.into(),
            rule,
        })
    }
}

impl fmt::Display for ConfigError {
    // Not inlined, like `invalid_value`.
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Value {
                origin,
                value,
                rule,
            } => write!(f, "{origin} is {}, {rule}", Quoted(value)),
            ConfigError::NotUtf8 { origin } => {
                write!(f, "{origin} is not UTF-8: encode it as UTF-8")
            }
            ConfigError::File { file, reason } => {
                write!(
                    f,
                    "{file}, which cannot be read: {reason}: write the path of a readable file"
                )
            }
            ConfigError::Incomplete { setting, missing } => {
                write!(f, "{setting} requires {missing}: set both")
            }
            ConfigError::NoTls { origin } => write!(
                f,
                "{origin} is for TLS, and this build has none: use one built with the feature `tls`"
            ),
            ConfigError::Probers { origin, error } => write!(f, "{origin}: {error}"),
            ConfigError::SamePort {
                port,
                first,
                second,
            } => same_port(f, *port, first, second),
            ConfigError::ForwardLoop { forward, listener } => write!(
                f,
                "{forward} leads to {listener} of probelet itself: write the app's own port after '='"
            ),
            ConfigError::AddressFamilies { source, target } => write!(
                f,
                "{source} cannot connect to {target}: write two IPv4 or two IPv6 addresses"
            ),
            ConfigError::Margin {
                margin,
                prober,
                timeout,
            } => margin_too_large(f, margin, prober, *timeout),
            ConfigError::TooFewProbers { setting, probers } => write!(
                f,
                "{setting} is less than the number of probers ({probers}): write {probers} or more, or remove it"
            ),
            ConfigError::TooManyValues { origin, count, max } => write!(
                f,
                "{origin} has {count} values, but at most {max} are supported: remove some"
            ),
        }
    }
}

fn same_port(f: &mut fmt::Formatter<'_>, port: u16, first: &str, second: &str) -> fmt::Result {
    write!(
        f,
        "{first} and {second} both listen on port {port}: give each a different port or address"
    )
}

fn margin_too_large(
    f: &mut fmt::Formatter<'_>,
    margin: &str,
    prober: &str,
    timeout: u64,
) -> fmt::Result {
    write!(
        f,
        "{margin} is not shorter than the timeout of prober {} ({timeout} s): write less than {} (milliseconds)",
        Quoted(prober),
        timeout * 1000
    )
}

impl core::error::Error for ConfigError {}
