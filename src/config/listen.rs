//! Parses addresses and forwards, and compares listeners.

use super::{Forward, Listen, settings_error::SettingRule};
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
fn connectable(ip: IpAddr) -> Option<IpAddr> {
    unicast_or_unspecified(ip).filter(|ip| !ip.is_unspecified())
}

/// TCP has neither multicast nor broadcast (RFC 9293 section 3.9.2.3).
fn unicast_or_unspecified(ip: IpAddr) -> Option<IpAddr> {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!ip.is_multicast() && !is_broadcast).then_some(ip)
}

/// Parses `LISTEN=TARGET`: `15032=127.0.0.1:8002`, `0.0.0.0:15032=[::1]:8002`
pub(super) fn parse_forward(text: &str) -> Result<Forward, SettingRule> {
    let (listen, to) = text.split_once('=').ok_or(SettingRule::ForwardEquals)?;
    Ok(Forward {
        listen: parse_listen(listen, SettingRule::ForwardListen)?,
        target: parse_target_addr(to, SettingRule::ForwardTarget)?,
    })
}

/// Parses `PORT` or an address and a port to listen on; `rule` is that of the syntax.
pub(super) fn parse_listen(text: &str, rule: SettingRule) -> Result<Listen, SettingRule> {
    if let Some(port) = parse_port(text) {
        return Ok(Listen { addr: None, port });
    }
    let (ip, port) = parse_socket_addr(text).ok_or(rule)?;
    let addr = Some(unicast_or_unspecified(ip).ok_or(SettingRule::ListenAddress)?);
    Ok(Listen { addr, port })
}

/// Parses an address and a port to connect to; `rule` is that of the syntax.
pub(super) fn parse_target_addr(text: &str, rule: SettingRule) -> Result<SocketAddr, SettingRule> {
    let (ip, port) = parse_socket_addr(text).ok_or(rule)?;
    let ip = connectable(ip).ok_or(SettingRule::TargetAddress)?;
    Ok(SocketAddr::new(ip, port))
}

/// Parses address and port, without a zone, as in [`parse_address`]. An IPv4 address may be in brackets too, so that
/// `[$(POD_IP)]:8001` works in a pod of either family.
fn parse_socket_addr(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']')?.parse().ok()?,
        None => IpAddr::V4(ip.parse().ok()?),
    };
    Some((ip.to_canonical(), parse_port(port)?))
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
