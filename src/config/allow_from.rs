//! `--allow-from`: the peers that the status port and the forwards answer. Not in `listen`, because its code is in the
//! cold section (`.cargo/layout.ld`): most agents answer every peer.

use super::settings_error::SettingRule;
use core::fmt::{self, Display, Formatter};
use core::net::{IpAddr, Ipv6Addr};

/// The prefix of the IPv4-mapped addresses, `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// The networks of `--allow-from`; none: every peer is allowed. Not a boxed slice, whose conversion is in the cold
/// section and would run at every start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowFrom(Vec<Cidr>);

/// A network: the addresses that share a prefix with `addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The lowest address of the network.
    addr: IpAddr,
    /// Length of the prefix in bits, at most 32 or 128.
    prefix: u8,
}

impl AllowFrom {
    /// Allows loopback and these networks, or every peer if there are none.
    pub fn new(networks: Vec<Cidr>) -> AllowFrom {
        AllowFrom(networks)
    }

    /// Whether connections of this peer are answered. `peer` must be canonical
    /// ([`IpAddr::to_canonical`]): an IPv4-mapped address is in no IPv4 network.
    // Every connection calls this, and a function of this module is in the cold section.
    #[inline(always)]
    pub fn permits(&self, peer: IpAddr) -> bool {
        self.0.is_empty() || self.contains(peer)
    }

    #[inline(never)]
    fn contains(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.0.iter().any(|network| network.contains(peer))
    }
}

impl Cidr {
    /// Parses `10.42.0.0/24`, `fd00::/8`, or an address without a prefix length, which stands for itself. Bits after
    /// the prefix are cleared. An IPv4-mapped network becomes IPv4, as the addresses of peers do.
    ///
    /// # Errors
    /// The part that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Cidr, SettingRule> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| SettingRule::Cidr)?;
        let max = max_prefix(addr);
        let prefix = match prefix {
            None => max,
            Some(prefix) => parse_prefix(prefix)
                .filter(|prefix| *prefix <= max)
                .ok_or(SettingRule::PrefixLength(max))?,
        };
        match (addr, addr.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(mapped)) => match prefix.checked_sub(MAPPED_PREFIX) {
                Some(prefix) => Ok(Cidr::masked(mapped.into(), prefix)),
                None => Err(SettingRule::MappedCidr),
            },
            _ => Ok(Cidr::masked(addr, prefix)),
        }
    }

    fn masked(addr: IpAddr, prefix: u8) -> Cidr {
        let addr = match addr {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
        };
        Cidr { addr, prefix }
    }

    fn contains(self, peer: IpAddr) -> bool {
        self.addr.is_ipv4() == peer.is_ipv4() && Cidr::masked(peer, self.prefix) == self
    }
}

/// The CIDR as it is parsed, always with its prefix length.
impl Display for Cidr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

fn max_prefix(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Parses a prefix length as the API server does: digits only, without leading zeros.
fn parse_prefix(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| is_number && is_shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(networks: &[&str]) -> AllowFrom {
        let networks = networks.iter();
        let networks = networks.map(|text| Cidr::parse(text).expect("a CIDR"));
        AllowFrom::new(networks.collect())
    }

    fn permits(allowed: &AllowFrom, peer: &str) -> bool {
        let peer: IpAddr = peer.parse().expect("an address");
        allowed.permits(peer.to_canonical())
    }

    #[test]
    fn without_networks_every_peer_is_allowed() {
        for peer in ["192.0.2.1", "2001:db8::1", "127.0.0.1"] {
            assert!(permits(&AllowFrom::default(), peer), "{peer}");
        }
    }

    #[test]
    fn loopback_and_the_networks_are_allowed() {
        let allowed = allow(&["10.42.1.0/24", "192.0.2.7", "fd00:1::/32", "2001:db8::7"]);
        for peer in [
            "10.42.1.0",
            "10.42.1.255",
            "192.0.2.7",
            "::ffff:10.42.1.9",
            "fd00:1::1",
            "fd00:1:ffff::",
            "2001:db8::7",
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(permits(&allowed, peer), "{peer}");
        }
        for peer in [
            "10.42.0.255",
            "10.42.2.0",
            "192.0.2.6",
            "192.0.2.8",
            "128.0.0.1",
            "fd00:2::",
            "2001:db8::6",
            "::2",
            "::",
        ] {
            assert!(!permits(&allowed, peer), "{peer}");
        }
    }

    #[test]
    fn a_network_of_one_family_allows_no_peer_of_the_other() {
        for (network, peer) in [
            ("0.0.0.0/0", "2001:db8::1"),
            ("::/0", "192.0.2.1"),
            ("::/1", "::ffff:192.0.2.1"),
        ] {
            assert!(!permits(&allow(&[network]), peer), "{network} {peer}");
        }
        assert!(permits(&allow(&["0.0.0.0/0"]), "255.255.255.255"));
        assert!(permits(&allow(&["::/0"]), "ff02::1"));
    }

    #[test]
    fn bits_after_the_prefix_are_cleared() {
        for (text, shown) in [
            ("10.42.1.77/24", "10.42.1.0/24"),
            ("255.255.255.255/1", "128.0.0.0/1"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00:1:2::3/33", "fd00:1::/33"),
            ("fd00::1/0", "::/0"),
            ("FD00::1", "fd00::1/128"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            let network = Cidr::parse(text).expect(text);
            assert_eq!(network.to_string(), shown);
            assert_eq!(Cidr::parse(shown), Ok(network));
        }
    }

    #[test]
    fn an_error_says_which_part_is_wrong() {
        for (text, rule) in [
            ("", SettingRule::Cidr),
            ("/8", SettingRule::Cidr),
            ("node-1", SettingRule::Cidr),
            ("10.0.0/8", SettingRule::Cidr),
            ("010.0.0.0/8", SettingRule::Cidr),
            (" 10.0.0.0/8", SettingRule::Cidr),
            ("10.0.0.0:80", SettingRule::Cidr),
            ("[::1]/128", SettingRule::Cidr),
            ("fe80::1%eth0", SettingRule::Cidr),
            ("10.0.0.0/8,10.1.0.0/16", SettingRule::PrefixLength(32)),
            ("10.0.0.0/", SettingRule::PrefixLength(32)),
            ("10.0.0.0/33", SettingRule::PrefixLength(32)),
            ("10.0.0.0/256", SettingRule::PrefixLength(32)),
            ("10.0.0.0/08", SettingRule::PrefixLength(32)),
            ("10.0.0.0/+8", SettingRule::PrefixLength(32)),
            ("10.0.0.0/-1", SettingRule::PrefixLength(32)),
            ("10.0.0.0/8/8", SettingRule::PrefixLength(32)),
            ("10.0.0.0/255.0.0.0", SettingRule::PrefixLength(32)),
            ("fd00::/129", SettingRule::PrefixLength(128)),
            ("::ffff:10.0.0.0/95", SettingRule::MappedCidr),
            ("::ffff:10.0.0.0/8", SettingRule::MappedCidr),
        ] {
            assert_eq!(Cidr::parse(text), Err(rule), "{text}");
        }
    }
}
