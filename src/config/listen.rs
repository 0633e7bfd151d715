//! Parses addresses and ports, and compares listeners.

use super::{Listen, settings_error::SettingRule};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Parses a port: 1 to 65535, digits only. Rust also accepts a sign.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| is_number && port != 0)
}

/// Parses the port of a setting.
pub(super) fn parse_port_setting(text: &str) -> Result<u16, SettingRule> {
    parse_port(text).ok_or(SettingRule::Port)
}

/// Parses an address without brackets or zone; an IPv4-mapped IPv6 address becomes IPv4.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, SettingRule> {
    text.parse::<IpAddr>()
        .map(|ip| ip.to_canonical())
        .map_err(|_| SettingRule::Address)
}

/// Parses an address to connect to.
pub(super) fn parse_target(text: &str) -> Result<IpAddr, SettingRule> {
    connectable(parse_address(text)?).ok_or(SettingRule::TargetAddress)
}

/// Parses a source address.
pub(super) fn parse_source(text: &str) -> Result<IpAddr, SettingRule> {
    connectable(parse_address(text)?).ok_or(SettingRule::SourceAddress)
}

/// Parses an address to listen on.
pub(super) fn parse_listen_address(text: &str) -> Result<IpAddr, SettingRule> {
    unicast_or_unspecified(parse_address(text)?).ok_or(SettingRule::ListenAddress)
}

/// The address, if a connection to or from it is possible.
pub(super) fn connectable(ip: IpAddr) -> Option<IpAddr> {
    unicast_or_unspecified(ip).filter(|ip| !ip.is_unspecified())
}

/// TCP has neither multicast nor broadcast (RFC 9293 section 3.9.2.3).
pub(super) fn unicast_or_unspecified(ip: IpAddr) -> Option<IpAddr> {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!ip.is_multicast() && !is_broadcast).then_some(ip)
}

impl Listen {
    /// Whether it accepts connections to `ip`: without an address all of them, with 0.0.0.0 those of IPv4.
    fn accepts(self, ip: IpAddr) -> bool {
        match self.addr {
            None => true,
            Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => ip.is_ipv4(),
            Some(addr) => addr.is_unspecified() || addr == ip,
        }
    }

    /// Whether both cannot be bound at the same time.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let one_accepts_other =
            |one: Self, other: Self| other.addr.is_none_or(|addr| one.accepts(addr));
        self.port == other.port
            && (one_accepts_other(self, other) || one_accepts_other(other, self))
    }

    /// Whether a connection to `to` reaches this listener. `own` are the pod's addresses; other addresses than these and
    /// loopback are those of other hosts.
    pub fn is_reached_by(self, to: SocketAddr, own: &[IpAddr]) -> bool {
        let is_local = to.ip().is_loopback() || own.contains(&to.ip());
        self.port == to.port() && is_local && self.accepts(to.ip())
    }
}
