//! Which connection of a full pool is evicted. Not in `slots`, because its code is in the cold section
//! (`.cargo/layout.ld`).

use core::net::IpAddr;
use core::task::Waker;

use super::{Slot, SlotState, Table};
use crate::net::{Candidate, select_victim};

impl<C> Table<C> {
    /// Evicts the oldest connection of the client that has most in the pool, with one more for `newcomer`; of several such
    /// clients, `newcomer` itself or else the one with the oldest connection. So nobody's connections evict those of a
    /// client that has fewer. Returns the evicted task to wake.
    #[inline(never)]
    pub(super) fn evict_for(&mut self, newcomer: IpAddr) -> Option<Waker> {
        let victim = self.select(Some(newcomer))?;
        self.evict(victim)
    }

    /// Evicts the oldest connection of the client that has most in the pool, unless one is evicted whose task has not run.
    /// Returns the task to wake.
    #[inline(never)]
    pub(super) fn evict_unless_one_is(&mut self) -> Option<Waker> {
        let mut slots = self.slots.iter();
        if slots.any(|slot| slot.state == SlotState::Evicted) {
            return None;
        }
        let victim = self.select(None)?;
        self.evict(victim)
    }

    fn evict(&mut self, index: usize) -> Option<Waker> {
        self.slots[index].state = SlotState::Evicted;
        self.slots[index].waker.take()
    }

    fn select(&self, newcomer: Option<IpAddr>) -> Option<usize> {
        let pooled = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let age = self.age(slot)?;
            let is_newcomers = newcomer == Some(slot.client);
            Some(Candidate {
                key: index,
                peer: slot.client,
                ground: (),
                age: (is_newcomers, age),
            })
        });
        select_victim(pooled, |client| {
            self.pooled_of(client) + usize::from(newcomer == Some(client))
        })
    }

    fn pooled_of(&self, client: IpAddr) -> usize {
        let of_client = |slot: &&Slot<C>| slot.client == client && slot.is_pooled();
        self.slots.iter().filter(of_client).count()
    }

    /// How long a connection is in the pool.
    fn age(&self, slot: &Slot<C>) -> Option<u32> {
        match slot.state {
            SlotState::Pooled { since } => Some(self.clock.wrapping_sub(since)),
            SlotState::Free | SlotState::Probing { .. } | SlotState::Evicted => None,
        }
    }
}
