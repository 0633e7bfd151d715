//! Parses what `--forward` and `--inbound` consist of: a listener and the target of its connections. Not in `listen`,
//! because its code is in the cold section (`.cargo/layout.ld`): most agents have neither.

use super::listen::{connectable, parse_port, unicast_or_unspecified};
use super::settings_error::SettingRule;
use super::{Forward, Listen};
use core::net::{IpAddr, SocketAddr};

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

/// Parses address and port, without a zone, as in [`parse_address`](super::listen::parse_address). An IPv4 address may be in brackets too, so that
/// `[$(POD_IP)]:8001` works in a pod of either family.
fn parse_socket_addr(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']')?.parse().ok()?,
        None => IpAddr::V4(ip.parse().ok()?),
    };
    Some((ip.to_canonical(), parse_port(port)?))
}
