//! Which pods that are not injected are evicted. Never in a loop: a second pod of an owner is evicted only after a new pod of
//! it was injected, and none if a new pod is not injected either. The first eviction of all is a trial for all owners.

use super::found_pod::{FoundPod, Owner};
use crate::limits;
use std::collections::HashMap;
use std::time::Instant;

/// What is known of the owners of evicted pods, and the candidates of a search.
#[derive(Debug, Default)]
pub struct Repair {
    owners: HashMap<Box<str>, OwnerEntry>,
    /// The creation time of the newest pod of each owner that this search has found without the sidecar.
    newest: HashMap<Box<str>, Box<str>>,
    candidates: Vec<Candidate>,
    /// Whether the last new pod of an owner was injected.
    has_proof: bool,
    /// The owners whose new pods are not injected, found by this search.
    blocked: Vec<Box<str>>,
}

#[derive(Debug)]
struct OwnerEntry {
    state: OwnerState,
    /// A pod without the sidecar that was created later is a new one.
    newest: Box<str>,
    evicted: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnerState {
    /// A pod was evicted, and no new one is known.
    Evicted,
    /// A new pod was injected.
    Proven,
    /// A new pod was not injected.
    Blocked,
}

/// A pod that may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The pod.
    pub pod: FoundPod,
    /// Its owner.
    pub owner: Owner,
}

impl Repair {
    /// Begins a search. Forgets owners whose time is over.
    pub fn begin_search(&mut self, now: Instant) {
        self.owners
            .retain(|_, entry| now < entry.evicted + limits::REPAIR_OWNER_TIME);
        self.newest.clear();
        self.candidates.clear();
        self.blocked.clear();
    }

    /// Records a pod without the sidecar. `is_unhealthy`: it may be evicted.
    pub fn observe_missing(
        &mut self,
        pod: &FoundPod,
        owner: Owner,
        created: &str,
        is_unhealthy: bool,
    ) {
        if let Some(entry) = self.owners.get_mut(&owner.uid) {
            if *created > *entry.newest && entry.state != OwnerState::Blocked {
                entry.state = OwnerState::Blocked;
                self.has_proof = false;
                self.blocked.push(owner.name.clone());
            }
        } else if self.newest.len() + self.owners.len() >= limits::REPAIR_OWNERS
            && !self.newest.contains_key(&owner.uid)
        {
            return;
        }
        let newest = self.newest.entry(owner.uid.clone()).or_default();
        if *created > **newest {
            *newest = created.into();
        }
        if is_unhealthy && self.candidates.len() < limits::REPAIR_CANDIDATES {
            let pod = pod.clone();
            self.candidates.push(Candidate { pod, owner });
        }
    }

    /// Records an injected pod.
    pub fn observe_present(&mut self, owner: &Owner, created: &str) {
        if let Some(entry) = self.owners.get_mut(&owner.uid)
            && entry.state == OwnerState::Evicted
            && *created > *entry.newest
        {
            entry.state = OwnerState::Proven;
            self.has_proof = true;
        }
    }

    /// The owners whose new pods are not injected, found by this search: none of their pods is evicted.
    pub fn blocked_owners(&self) -> &[Box<str>] {
        &self.blocked
    }

    /// Whether the search has found pods that may be evicted.
    pub fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Removes and returns the next pod to evict, in the order of the search.
    pub fn next_candidate(&mut self, now: Instant) -> Option<Candidate> {
        while !self.candidates.is_empty() {
            let candidate = self.candidates.remove(0);
            let may_evict = match self.owners.get(&candidate.owner.uid) {
                Some(entry) => entry.state == OwnerState::Proven,
                None => self.blocked.is_empty() && (self.has_proof || !self.is_trial_running(now)),
            };
            if may_evict {
                return Some(candidate);
            }
        }
        None
    }

    /// Whether a new pod may still show the result of an eviction.
    fn is_trial_running(&self, now: Instant) -> bool {
        let mut owners = self.owners.values();
        owners.any(|entry| {
            entry.state == OwnerState::Evicted && now < entry.evicted + limits::REPAIR_TRIAL_TIME
        })
    }

    /// Records that a pod was evicted, also by another replica.
    pub fn record_evicted(&mut self, owner: &Owner, now: Instant) {
        let newest = self.newest.get(&owner.uid).cloned().unwrap_or_default();
        self.owners.entry(owner.uid.clone()).or_insert(OwnerEntry {
            state: OwnerState::Evicted,
            newest,
            evicted: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        let [uid, name] = [format!("uid-{name}"), format!("replicaset/{name}")].map(Into::into);
        Owner { uid, name }
    }

    fn pod(name: &str) -> FoundPod {
        let text = || name.into();
        FoundPod {
            namespace: text(),
            name: text(),
            uid: text(),
            details: text(),
        }
    }

    /// A search that finds these pods: name, owner, creation time, and whether it is injected. Returns the pods that are
    /// evicted.
    fn search(repair: &mut Repair, pods: &[(&str, &str, &str, bool)]) -> Vec<String> {
        let now = Instant::now();
        repair.begin_search(now);
        for (name, of, created, is_injected) in pods {
            match is_injected {
                true => repair.observe_present(&owner(of), created),
                false => repair.observe_missing(&pod(name), owner(of), created, true),
            }
        }
        let mut evicted = Vec::new();
        while let Some(candidate) = repair.next_candidate(now) {
            repair.record_evicted(&candidate.owner, now);
            evicted.push(String::from(candidate.pod.name));
        }
        evicted
    }

    #[test]
    fn one_pod_is_evicted_first_and_the_others_once_a_new_one_is_injected() {
        let mut repair = Repair::default();
        let before = [
            ("a1", "a", "01", false),
            ("a2", "a", "02", false),
            ("b1", "b", "01", false),
            ("b2", "b", "01", false),
        ];
        assert_eq!(search(&mut repair, &before), ["a1"]);
        let [_, a2, b1, b2] = before;
        assert!(
            search(&mut repair, &[a2, b1, b2]).is_empty(),
            "no new pod yet"
        );
        let new = ("a3", "a", "05", true);
        assert_eq!(search(&mut repair, &[new, a2, b1, b2]), ["a2", "b1"]);
        assert_eq!(search(&mut repair, &[("b3", "b", "06", true), b2]), ["b2"]);
    }

    #[test]
    fn an_owner_whose_new_pod_is_not_injected_either_loses_no_other_pod() {
        let mut repair = Repair::default();
        let (a2, b1) = (("a2", "a", "01", false), ("b1", "b", "01", false));
        assert_eq!(
            search(&mut repair, &[("a1", "a", "01", false), a2, b1]),
            ["a1"]
        );
        let new = ("a3", "a", "05", false);
        assert!(search(&mut repair, &[a2, new, b1]).is_empty());
        assert_eq!(repair.blocked_owners(), [Box::from("replicaset/a")]);
        // The trial of another owner begins with the next search.
        assert_eq!(search(&mut repair, &[a2, new, b1]), ["b1"]);
        assert!(repair.blocked_owners().is_empty(), "it is reported once");
        assert!(search(&mut repair, &[a2, new, ("b2", "b", "06", true)]).is_empty());
    }

    #[test]
    fn a_pod_whose_eviction_is_refused_does_not_keep_others_from_eviction() {
        let mut repair = Repair::default();
        let now = Instant::now();
        repair.begin_search(now);
        for name in ["a", "b"] {
            repair.observe_missing(&pod(name), owner(name), "01", true);
        }
        assert_eq!(
            repair.next_candidate(now).map(|first| first.pod),
            Some(pod("a"))
        );
        // A PodDisruptionBudget refuses it, so nothing is recorded.
        assert_eq!(
            repair.next_candidate(now).map(|second| second.pod),
            Some(pod("b"))
        );
    }

    #[test]
    fn a_trial_without_a_new_pod_ends_after_a_while() {
        let mut repair = Repair::default();
        let now = Instant::now();
        repair.record_evicted(&owner("deleted"), now);
        for (now, expected) in [
            (now, None),
            (now + limits::REPAIR_TRIAL_TIME, Some(pod("b1"))),
        ] {
            repair.begin_search(now);
            repair.observe_missing(&pod("b1"), owner("b"), "01", true);
            assert_eq!(repair.next_candidate(now).map(|next| next.pod), expected);
        }
    }

    #[test]
    fn healthy_pods_are_not_evicted_and_do_not_count_as_new_ones() {
        let mut repair = Repair::default();
        let now = Instant::now();
        let mut search = || {
            repair.begin_search(now);
            repair.observe_missing(&pod("a1"), owner("a"), "07", false);
            repair.observe_missing(&pod("a2"), owner("a"), "01", true);
            repair.observe_present(&owner("a"), "08");
            let candidate = repair.next_candidate(now);
            candidate.map(|candidate| {
                repair.record_evicted(&candidate.owner, now);
                candidate.pod
            })
        };
        assert_eq!(search(), Some(pod("a2")));
        assert_eq!(
            search(),
            Some(pod("a2")),
            "the injected pod is newer than both"
        );
    }

    #[test]
    fn owners_are_bounded_and_forgotten_after_a_while() {
        let mut repair = Repair::default();
        let now = Instant::now();
        repair.begin_search(now);
        for index in 0..limits::REPAIR_OWNERS + 10 {
            let name = index.to_string();
            repair.observe_missing(&pod(&name), owner(&name), "01", true);
        }
        assert_eq!(repair.newest.len(), limits::REPAIR_OWNERS);
        assert_eq!(repair.candidates.len(), limits::REPAIR_CANDIDATES);
        repair.record_evicted(&owner("0"), now);
        repair.begin_search(now + limits::REPAIR_OWNER_TIME);
        assert!(repair.owners.is_empty());
    }
}
