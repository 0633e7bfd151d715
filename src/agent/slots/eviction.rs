//! Which connection of a full pool is evicted. Not in `slots`, because its code is in the cold section
//! (`.cargo/layout.ld`).

use core::net::IpAddr;
use core::task::Waker;

use super::{Slot, SlotState, Table};

impl<C> Table<C> {
    /// Evicts the oldest connection of the client that has most in the pool, with one more for `newcomer`; of several such
    /// clients, `newcomer` itself or else the one with the oldest connection. So nobody's connections evict those of a
    /// client that has fewer. Returns the evicted task to wake.
    #[inline(never)]
    pub(super) fn evict_for(&mut self, newcomer: IpAddr) -> Option<Waker> {
        let most = self.most_of_a_client();
        let oldest = match self.pooled_of(newcomer) {
            own if own > 0 && own + 1 >= most => self.oldest(|slot| slot.client == newcomer),
            _ => self.oldest(|slot| self.pooled_of(slot.client) == most),
        };
        oldest.and_then(|oldest| self.evict(oldest))
    }

    /// Evicts the oldest connection of the client that has most in the pool, unless one is evicted whose task has not run.
    /// Returns the task to wake.
    #[inline(never)]
    pub(super) fn evict_unless_one_is(&mut self) -> Option<Waker> {
        let mut slots = self.slots.iter();
        if slots.any(|slot| slot.state == SlotState::Evicted) {
            return None;
        }
        let most = self.most_of_a_client();
        let oldest = self.oldest(|slot| self.pooled_of(slot.client) == most);
        oldest.and_then(|oldest| self.evict(oldest))
    }

    fn evict(&mut self, index: usize) -> Option<Waker> {
        self.slots[index].state = SlotState::Evicted;
        self.slots[index].waker.take()
    }

    /// The largest number of connections that a client has in the pool.
    fn most_of_a_client(&self) -> usize {
        let counts = self.slots.iter().map(|slot| self.pooled_of(slot.client));
        counts.max().unwrap_or_default()
    }

    fn pooled_of(&self, client: IpAddr) -> usize {
        let of_client = |slot: &&Slot<C>| slot.client == client && slot.is_pooled();
        self.slots.iter().filter(of_client).count()
    }

    /// The connection that is in the pool longest, of those selected.
    fn oldest(&self, selects: impl Fn(&Slot<C>) -> bool) -> Option<usize> {
        let age = |slot: &Slot<C>| match slot.state {
            SlotState::Pooled { since } if selects(slot) => Some(self.clock.wrapping_sub(since)),
            SlotState::Pooled { .. }
            | SlotState::Free
            | SlotState::Probing { .. }
            | SlotState::Evicted => None,
        };
        let slots = self.slots.iter().enumerate();
        let pooled = slots.filter_map(|(index, slot)| Some((age(slot)?, index)));
        pooled.max().map(|(_, index)| index)
    }
}
