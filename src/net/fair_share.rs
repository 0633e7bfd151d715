//! Fair shares of a limited resource among peer addresses, so that nobody waits behind an address that takes much of it.
//! It selects which of them loses something, and which of them is next. No I/O and no clock.

use core::net::IpAddr;
#[cfg(feature = "tls")]
use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::semaphore::{Permit, Policy, Semaphore};

/// The network whose clients share what one IPv4 address gets: of IPv6 the first 64 bits, as a host may have all addresses
/// that begin with them (RFC 6177 section 2, RFC 4291 section 2.5.4).
#[cfg(feature = "tls")]
pub fn network_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// A holder of the resource that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<K, G, A> {
    /// Identifies it.
    pub key: K,
    /// Its address.
    pub peer: IpAddr,
    /// The reason why it may be evicted; `()` if there is only one.
    pub ground: G,
    /// Its age, or whatever else orders the holders of an address.
    pub age: A,
}

/// Selects the holder to evict: on the strongest ground, of the address with the largest share, and the oldest. So no
/// address evicts those of one that has less, on the same ground. `share_of` is the share of an address. Count the newcomer
/// in the share of its address.
pub fn select_victim<K, G: Ord, A: Ord, S: Ord>(
    holders: impl Iterator<Item = Candidate<K, G, A>>,
    share_of: impl Fn(IpAddr) -> S,
) -> Option<K> {
    let ranked = holders.map(|holder| {
        let rank = (holder.ground, share_of(holder.peer), holder.age);
        (rank, holder.key)
    });
    let strongest = ranked.max_by(|(one, _), (other, _)| one.cmp(other));
    strongest.map(|(_, key)| key)
}

/// An amount of a resource, such as bytes, that peer addresses share. Of those that wait, the address that holds least is
/// next, and a large request is not overtaken by small ones of other addresses.
#[derive(Debug)]
pub struct FairShares {
    /// Below zero where holders took more than there was.
    available: isize,
    held: BTreeMap<IpAddr, usize>,
}

/// The amount that a holder takes for its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The address.
    pub peer: IpAddr,
    /// The amount.
    pub amount: usize,
}

impl FairShares {
    /// An amount of which nothing is held.
    pub fn of(amount: usize) -> FairShares {
        FairShares {
            available: amount.cast_signed(),
            held: BTreeMap::new(),
        }
    }

    /// The amount that is available; below zero if more is held than there was.
    pub fn available(&self) -> isize {
        self.available
    }

    /// The amount that an address holds.
    pub fn held_by(&self, peer: IpAddr) -> usize {
        self.held.get(&peer).copied().unwrap_or_default()
    }

    fn take(&mut self, share: Share) {
        self.available -= share.amount.cast_signed();
        *self.held.entry(share.peer).or_default() += share.amount;
    }
}

impl Semaphore<FairShares> {
    /// Takes a share even if there is not enough.
    pub fn force_acquire(self: &Rc<Self>, share: Share) -> Permit<FairShares> {
        self.policy.borrow_mut().take(share);
        self.permit(share)
    }
}

impl Policy for FairShares {
    type Request = Share;

    const IS_STRICT: bool = true;

    fn try_take(&mut self, share: Share) -> bool {
        let fits = share.amount.cast_signed() <= self.available;
        if fits {
            self.take(share);
        }
        fits
    }

    fn release(&mut self, share: Share) {
        self.available += share.amount.cast_signed();
        let rest = self.held_by(share.peer).saturating_sub(share.amount);
        match rest {
            0 => self.held.remove(&share.peer),
            _ => self.held.insert(share.peer, rest),
        };
    }

    fn rank(&self, share: Share) -> usize {
        self.held_by(share.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, poll_once};
    use std::pin::pin;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 42, 0, n])
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_first_64_bits_of_ipv6_are_one_network() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:f::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("10.42.0.1"), network("10.42.0.2"));
    }

    #[test]
    fn the_oldest_of_the_address_with_most_is_selected_within_the_strongest_ground() {
        let holders = [(1, 0, 90), (2, 0, 10), (2, 0, 30), (2, 0, 20), (3, 1, 5)];
        let share_of = |peer| holders.iter().filter(|(n, ..)| ip(*n) == peer).count();
        let select = |len: usize| {
            let indexed = holders[..len].iter().enumerate();
            let holders = indexed.map(|(key, (peer, ground, age))| Candidate {
                key,
                peer: ip(*peer),
                ground: *ground,
                age: *age,
            });
            select_victim(holders, share_of)
        };
        assert_eq!(select(0), None);
        assert_eq!(select(4), Some(2));
        assert_eq!(select(5), Some(4), "a stronger ground goes first");
    }

    #[test]
    fn the_address_that_holds_least_is_next() {
        block_on(async {
            let semaphore = Semaphore::new(FairShares::of(3));
            let share = |n, amount| Share {
                peer: ip(n),
                amount,
            };
            let mut held = Vec::new();
            for n in [1, 1, 2] {
                held.push(semaphore.acquire(share(n, 1)).await);
            }
            let mut waiting = [1, 2, 3, 4].map(|n| Box::pin(semaphore.acquire(share(n, 1))));
            for waiter in &mut waiting {
                assert!(poll_once(waiter).await.is_none());
            }
            // Now the first and the second hold as much, and the others nothing.
            held.remove(0);
            for next in [2, 3, 0] {
                let mut granted = Vec::new();
                for (index, waiter) in waiting.iter_mut().enumerate() {
                    if index >= next || next == 0 {
                        granted.extend(poll_once(waiter).await.map(|permit| (index, permit)));
                    }
                    if !granted.is_empty() {
                        break;
                    }
                }
                let (index, permit) = granted.pop().expect("a permit");
                assert_eq!(index, next);
                drop(permit);
            }
        });
    }

    #[test]
    fn a_large_request_is_not_overtaken_but_one_of_an_address_with_less_goes_before_it() {
        block_on(async {
            let semaphore = Semaphore::new(FairShares::of(10));
            let share = |n, amount| Share {
                peer: ip(n),
                amount,
            };
            let _held = semaphore.acquire(share(1, 5)).await;
            let mut large = pin!(semaphore.acquire(share(1, 6)));
            assert!(poll_once(&mut large).await.is_none());
            let mut small = pin!(semaphore.acquire(share(1, 1)));
            assert!(poll_once(&mut small).await.is_none());
            let other = poll_once(pin!(semaphore.acquire(share(2, 5)))).await;
            assert!(other.is_some());
        });
    }

    #[test]
    fn more_than_there_is_can_be_taken_by_force_and_blocks_others_until_it_is_released() {
        block_on(async {
            let semaphore = Semaphore::new(FairShares::of(10));
            let share = |amount| Share {
                peer: ip(1),
                amount,
            };
            let forced = semaphore.force_acquire(share(15));
            assert_eq!(semaphore.with_policy(FairShares::available), -5);
            let mut waiting = pin!(semaphore.acquire(share(1)));
            assert!(poll_once(&mut waiting).await.is_none());
            drop(forced);
            let permit = poll_once(waiting).await.expect("a permit");
            assert_eq!(semaphore.with_policy(|shares| shares.held_by(ip(1))), 1);
            drop(permit);
            assert_eq!(semaphore.with_policy(FairShares::available), 10);
        });
    }
}
