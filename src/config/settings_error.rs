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
    /// An inbound port to another host.
    InboundTarget {
        /// The inbound port.
        inbound: Box<str>,
    },
    /// An inbound port to a listener of probelet.
    InboundLoop {
        /// The inbound port.
        inbound: Box<str>,
        /// The listener.
        listener: Box<str>,
    },
    /// An inbound port that allows no peer.
    InboundWithoutIds {
        /// The inbound port.
        inbound: Box<str>,
    },
    /// An inbound port that allows any identity, and also certain ones.
    AnyAndOtherIds {
        /// The inbound port.
        inbound: Box<str>,
    },
    /// An inbound port that allows a DNS name, which several CAs could sign.
    DnsNameOfManyCas {
        /// The inbound port.
        inbound: Box<str>,
    },
    /// An inbound port that allows identities of two trust domains, which one CA could sign.
    TwoTrustDomains {
        /// The inbound port.
        inbound: Box<str>,
        /// One trust domain.
        first: Box<str>,
        /// The other one.
        second: Box<str>,
    },
    /// An inbound port that allows identities of a trust domain without a CA.
    TrustDomainWithoutCa {
        /// The inbound port.
        inbound: Box<str>,
        /// The trust domain.
        domain: Box<str>,
    },
    /// A CA with a trust domain and one without.
    MixedCas {
        /// The setting and value without a trust domain.
        setting: Box<str>,
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
    /// An inbound port without `=`.
    InboundEquals,
    /// An inbound port whose part before `=` is wrong.
    InboundListen,
    /// An inbound port whose part after `=` is wrong.
    InboundTarget,
    /// An unknown option of an inbound port.
    InboundOption,
    /// `mode=`
    InboundMode,
    /// `alpn=`
    InboundAlpn,
    /// `server-first` without `mode=permissive`.
    InboundServerFirst,
    /// Too many options of an inbound port.
    InboundLength,
    /// A pattern of identities.
    IdPattern,
    /// The trust domain of a pattern.
    IdTrustDomain,
    /// The path of a pattern.
    IdPath,
    /// A wildcard of a pattern.
    IdWildcard,
    /// The DNS name of a pattern.
    IdDnsName,
    /// The trust domain of a CA.
    CaDomain,
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
            SettingRule::InboundEquals => {
                "but must be LISTEN=TARGET, and options after commas: write one such as 8443=127.0.0.1:8001"
            }
            SettingRule::InboundListen => {
                "but the part before '=' must be PORT or [IP]:PORT, ports from 1 to 65535: write one such as \
                 [10.42.0.7]:8001=127.0.0.1:8001"
            }
            SettingRule::InboundTarget => {
                "but the part after '=' must be PORT or [IP]:PORT, ports from 1 to 65535: write one such as \
                 8443=127.0.0.1:8001"
            }
            SettingRule::InboundOption => {
                "but the options after ',' are allow-id=PATTERN, alpn=PROTOCOL, mode=strict, mode=permissive, server-first and \
                 unsafe-target: write one such as 8443=8001,alpn=h2"
            }
            SettingRule::InboundMode => {
                "but mode= must be strict or permissive: write mode=strict, or leave it out"
            }
            SettingRule::InboundAlpn => {
                "but alpn= must be the name of one application protocol: write one such as alpn=h2, and alpn=http/1.1 \
                 after it"
            }
            SettingRule::InboundServerFirst => {
                "but server-first is for plaintext clients: write mode=permissive too, or leave it out"
            }
            SettingRule::InboundLength => {
                return write!(
                    f,
                    "but at most {} allow-id= and {} alpn= are supported: remove some",
                    limits::ALLOWED_IDS,
                    limits::INBOUND_PROTOCOLS
                );
            }
            SettingRule::IdPattern => {
                "but an allowed identity must be a SPIFFE ID, dns:NAME or any: write one such as \
                 spiffe://example.org/ns/default/sa/web"
            }
            SettingRule::IdTrustDomain => {
                "but the trust domain of a SPIFFE ID must be 1 to 255 of a-z, 0-9, '.', '-' and '_', without a port or '*': write \
                 one such as spiffe://example.org/ns/default/sa/web"
            }
            SettingRule::IdPath => {
                "but the path of a SPIFFE ID must be segments of letters, digits, '.', '-' and '_': write one such as \
                 spiffe://example.org/ns/default/sa/web"
            }
            SettingRule::IdWildcard => {
                "but '*' must be a whole segment, and '**' the last one: write one such as \
                 spiffe://example.org/ns/*/sa/web or spiffe://example.org/ns/default/**"
            }
            SettingRule::IdDnsName => {
                "but the part after 'dns:' must be a DNS name without '*': write one such as dns:web.example.org"
            }
            SettingRule::CaDomain => {
                "but the part before '=' must be a trust domain, of a-z, 0-9, '.', '-' and '_': write one such as \
                 example.org=/etc/tls/ca.crt"
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
            ConfigError::InboundTarget { inbound } => write!(
                f,
                "{inbound} leads to another host, over plaintext: write 127.0.0.1 or the pod's address after '=', or add \
                 ,unsafe-target"
            ),
            ConfigError::InboundLoop { inbound, listener } => write!(
                f,
                "{inbound} leads to {listener} of probelet itself: write the app's own port after '=', or listen on the pod's \
                 address alone, such as [10.42.0.7]:8001=127.0.0.1:8001"
            ),
            ConfigError::InboundWithoutIds { inbound } => write!(
                f,
                "{inbound} allows no peer: set --allow-id, such as spiffe://example.org/ns/default/sa/web, or any for every \
                 certificate of --ca"
            ),
            ConfigError::AnyAndOtherIds { inbound } => write!(
                f,
                "{inbound} allows any identity and also certain ones: remove `any`, or the others"
            ),
            ConfigError::DnsNameOfManyCas { inbound } => write!(
                f,
                "{inbound} allows a DNS name, which each --ca could sign, as a name has no trust domain: allow SPIFFE IDs, or \
                 set one --ca"
            ),
            ConfigError::TwoTrustDomains {
                inbound,
                first,
                second,
            } => write!(
                f,
                "{inbound} allows identities of two trust domains, {first} and {second}, and each --ca could sign both: write \
                 --ca {first}=FILE and --ca {second}=FILE"
            ),
            ConfigError::TrustDomainWithoutCa { inbound, domain } => write!(
                f,
                "{inbound} allows identities of {domain}, which no --ca may sign: add --ca {domain}=FILE"
            ),
            ConfigError::MixedCas { setting } => write!(
                f,
                "{setting} has no trust domain, but another --ca has one: write DOMAIN=FILE for each"
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
