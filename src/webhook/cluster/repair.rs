//! Which pods that are not injected are evicted. The first eviction of an owner is its trial, and one owner has its trial at a time:
//! another pod of the owner is evicted only after the new pod was injected and is ready, and none if the new pod is not injected
//! either, or no new pod is ready after a while. After a failed trial, the next owner's waits for a review and a growing time.

use super::found_pod::{FoundPod, Owner};
use crate::limits;
use core::mem::take;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// What is known of the owners of evicted pods, and the results of a search.
#[derive(Debug, Default)]
pub struct Repair {
    owners: HashMap<Box<str>, OwnerEntry>,
    search: Search,
    /// The trials that have failed since they were last returned.
    failed: Vec<FailedTrial>,
    /// Failures since the last owner was proven.
    failures: u32,
    /// Set after a failure.
    pause: Option<Pause>,
}

/// What a search has found.
#[derive(Debug, Default)]
struct Search {
    /// The creation time of the newest pod without the sidecar, by the UID of its owner.
    newest_missing: HashMap<Box<str>, Box<str>>,
    /// The same of injected pods.
    newest_present: HashMap<Box<str>, Box<str>>,
    /// Whether injected pods of some owners are not known.
    is_incomplete: bool,
    /// The owners that lose no pod before the next search: a pod of them was evicted, or an injected one is not ready.
    busy: HashSet<Box<str>>,
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct OwnerEntry {
    owner: Owner,
    state: OwnerState,
    /// The creation time of its newest pod before the last eviction. One that was created later is a new one.
    newest: Box<str>,
    evicted: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnerState {
    /// Its first pod was evicted, and no new one is ready.
    Trial,
    /// The new pod was injected and is ready.
    Proven,
    /// Another pod was evicted, and no new one is ready.
    Replacing,
    /// A new pod was not injected, or none is ready in time.
    Blocked,
}

/// Until when no trial begins.
#[derive(Debug)]
struct Pause {
    end: Instant,
    /// Reviews that the webhook had received: only a further one shows that the API server reaches it.
    reviews: u64,
}

/// A pod that may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The pod.
    pub pod: FoundPod,
    /// Its owner.
    pub owner: Owner,
}

/// An owner of an evicted pod, none of whose other pods is evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTrial {
    /// The owner.
    pub owner: Owner,
    /// Why.
    pub failure: TrialFailure,
}

/// Why a trial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialFailure {
    /// A new pod is not injected either.
    NotInjected,
    /// No new pod is injected and ready in time: the API server may reject it, or it does not start.
    NotReady,
}

impl Repair {
    /// Begins a search. Forgets owners whose time is over.
    pub fn begin_search(&mut self, now: Instant) {
        self.owners
            .retain(|_, entry| now < entry.evicted + limits::REPAIR_OWNER_TIME);
        self.search = Search::default();
    }

    /// Records a pod without the sidecar. `may_evict`: its probes fail, and nothing keeps it.
    pub fn observe_missing(
        &mut self,
        pod: &FoundPod,
        owner: Owner,
        created: &str,
        may_evict: bool,
    ) {
        let search = &mut self.search;
        if let Some(entry) = self.owners.get_mut(&owner.uid) {
            if *created > *entry.newest && entry.state != OwnerState::Blocked {
                entry.state = OwnerState::Blocked;
                self.failed.push(FailedTrial {
                    owner: owner.clone(),
                    failure: TrialFailure::NotInjected,
                });
            }
        } else if search.newest_missing.len() + self.owners.len() >= limits::REPAIR_OWNERS
            && !search.newest_missing.contains_key(&owner.uid)
        {
            return;
        }
        set_newest(&mut search.newest_missing, &owner.uid, created);
        if may_evict && search.candidates.len() < limits::REPAIR_CANDIDATES {
            let pod = pod.clone();
            search.candidates.push(Candidate { pod, owner });
        }
    }

    /// Records an injected pod. Only one whose containers are ready proves its owner: a sidecar that cannot start is none.
    pub fn observe_present(&mut self, owner: &Owner, created: &str, is_ready: bool) {
        let search = &mut self.search;
        if search.newest_present.len() < limits::REPAIR_INJECTED_OWNERS
            || search.newest_present.contains_key(&owner.uid)
        {
            set_newest(&mut search.newest_present, &owner.uid, created);
        } else {
            search.is_incomplete = true;
        }
        if !is_ready {
            search.busy.insert(owner.uid.clone());
            return;
        }
        if let Some(entry) = self.owners.get_mut(&owner.uid)
            && matches!(entry.state, OwnerState::Trial | OwnerState::Replacing)
            && *created > *entry.newest
        {
            entry.state = OwnerState::Proven;
            self.failures = 0;
            self.pause = None;
        }
    }

    /// Ends a search that has found all pods. `reviews`: the number that the webhook has received. Returns the trials that have
    /// failed, each once.
    pub fn finish_search(&mut self, now: Instant, reviews: u64) -> Vec<FailedTrial> {
        for entry in self.owners.values_mut() {
            let is_waiting = matches!(entry.state, OwnerState::Trial | OwnerState::Replacing);
            if is_waiting && now >= entry.evicted + limits::REPAIR_TRIAL_TIME {
                entry.state = OwnerState::Blocked;
                self.failed.push(FailedTrial {
                    owner: entry.owner.clone(),
                    failure: TrialFailure::NotReady,
                });
            }
        }
        if !self.failed.is_empty() {
            let doubled = 2_u32.saturating_pow(self.failures);
            let time = limits::REPAIR_TRIAL_TIME.saturating_mul(doubled);
            let end = now + time.min(limits::REPAIR_OWNER_TIME);
            self.failures = self.failures.saturating_add(1);
            self.pause = Some(Pause { end, reviews });
        }
        take(&mut self.failed)
    }

    /// Whether the search has found pods that may be evicted.
    pub fn has_candidates(&self) -> bool {
        !self.search.candidates.is_empty()
    }

    /// Removes and returns the next pod to evict, in the order of the search. `reviews`: as in [`Self::finish_search`].
    pub fn next_candidate(&mut self, now: Instant, reviews: u64) -> Option<Candidate> {
        while !self.search.candidates.is_empty() {
            let candidate = self.search.candidates.remove(0);
            let uid = &candidate.owner.uid;
            let may_evict = match self.owners.get(uid) {
                Some(entry) => entry.state == OwnerState::Proven,
                None => self.may_begin_trial(now, reviews),
            };
            if may_evict && !self.search.is_incomplete && !self.search.busy.contains(uid) {
                return Some(candidate);
            }
        }
        None
    }

    fn may_begin_trial(&self, now: Instant, reviews: u64) -> bool {
        let mut owners = self.owners.values();
        let pause = self.pause.as_ref();
        !owners.any(|entry| entry.state == OwnerState::Trial)
            && pause.is_none_or(|pause| now >= pause.end && reviews > pause.reviews)
    }

    /// Records that a pod was evicted, also by another replica.
    pub fn record_evicted(&mut self, owner: &Owner, now: Instant) {
        let uid = &owner.uid;
        let search = &mut self.search;
        let missing = search.newest_missing.get(uid);
        let newest = missing.max(search.newest_present.get(uid));
        let was_proven = self.owners.contains_key(uid);
        let entry = OwnerEntry {
            owner: owner.clone(),
            state: match was_proven {
                true => OwnerState::Replacing,
                false => OwnerState::Trial,
            },
            newest: newest.cloned().unwrap_or_default(),
            evicted: now,
        };
        self.owners.insert(uid.clone(), entry);
        search.busy.insert(uid.clone());
    }
}

fn set_newest(newest: &mut HashMap<Box<str>, Box<str>>, uid: &str, created: &str) {
    let newest = newest.entry(uid.into()).or_default();
    if *created > **newest {
        *newest = created.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::cluster::found_pod::Recreation;

    fn owner(name: &str) -> Owner {
        let [uid, name] = [format!("uid-{name}"), format!("replicaset/{name}")].map(Into::into);
        let namespace = "demo".into();
        Owner {
            uid,
            namespace,
            name,
        }
    }

    fn pod(name: &str) -> FoundPod {
        let text = || name.into();
        FoundPod {
            namespace: text(),
            name: text(),
            uid: text(),
            version: text(),
            details: text(),
            recreation: Recreation::ByController,
        }
    }

    /// How a pod is found.
    #[derive(Clone, Copy)]
    enum Found {
        /// Without the sidecar, and its probes fail.
        Failing,
        /// Without the sidecar, and healthy.
        Healthy,
        /// Injected and ready.
        Ready,
        /// Injected and not ready.
        Starting,
    }
    use Found::{Failing, Healthy, Ready, Starting};

    /// Searches, and what they do.
    struct Searches {
        repair: Repair,
        now: Instant,
        reviews: u64,
        failed: Vec<(String, TrialFailure)>,
    }

    impl Searches {
        fn new() -> Searches {
            Searches {
                repair: Repair::default(),
                now: Instant::now(),
                reviews: 1,
                failed: Vec::new(),
            }
        }

        /// A search that finds these pods: name, owner and creation time. Returns the pods that are evicted.
        fn search(&mut self, pods: &[(&str, &str, &str, Found)]) -> Vec<String> {
            let Searches {
                repair,
                now,
                reviews,
                ..
            } = self;
            repair.begin_search(*now);
            for (name, of, created, found) in pods {
                match found {
                    Failing => repair.observe_missing(&pod(name), owner(of), created, true),
                    Healthy => repair.observe_missing(&pod(name), owner(of), created, false),
                    Ready => repair.observe_present(&owner(of), created, true),
                    Starting => repair.observe_present(&owner(of), created, false),
                }
            }
            let failed = repair.finish_search(*now, *reviews);
            self.failed = failed
                .into_iter()
                .map(|failed| (failed.owner.name.into(), failed.failure))
                .collect();
            let mut evicted = Vec::new();
            while let Some(candidate) = repair.next_candidate(*now, *reviews) {
                repair.record_evicted(&candidate.owner, *now);
                evicted.push(String::from(candidate.pod.name));
            }
            evicted
        }
    }

    #[test]
    fn one_owner_loses_a_pod_at_a_time_until_its_new_one_is_ready() {
        let mut searches = Searches::new();
        let [a1, a2] = [("a1", "a", "01", Failing), ("a2", "a", "02", Failing)];
        let [b1, b2] = [("b1", "b", "01", Failing), ("b2", "b", "01", Failing)];
        assert_eq!(searches.search(&[a1, a2, b1, b2]), ["a1"]);
        assert!(searches.search(&[a2, b1, b2]).is_empty(), "no new pod yet");
        let a3 = |found| ("a3", "a", "05", found);
        // The image of the sidecar may be absent.
        assert!(searches.search(&[a3(Starting), a2, b1, b2]).is_empty());
        assert_eq!(searches.search(&[a3(Ready), a2, b1, b2]), ["a2", "b1"]);
        let b3 = |found| ("b3", "b", "06", found);
        assert!(searches.search(&[a3(Ready), b3(Starting), b2]).is_empty());
        let a4 = ("a4", "a", "06", Ready);
        assert_eq!(searches.search(&[a3(Ready), a4, b3(Ready), b2]), ["b2"]);
        assert!(searches.failed.is_empty());
    }

    #[test]
    fn an_owner_with_an_injected_pod_that_is_not_ready_loses_none() {
        let mut searches = Searches::new();
        let (new, old) = (("a2", "a", "05", Starting), ("a1", "a", "01", Failing));
        assert!(searches.search(&[old, new]).is_empty());
        let ready = ("a2", "a", "05", Ready);
        assert_eq!(searches.search(&[old, ready]), ["a1"]);
        // The pod that was ready before proves nothing.
        let b1 = ("b1", "b", "01", Failing);
        assert!(searches.search(&[ready, b1]).is_empty());
        let newer = ("a3", "a", "06", Ready);
        assert_eq!(searches.search(&[ready, newer, b1]), ["b1"]);
    }

    #[test]
    fn an_owner_whose_new_pod_is_not_injected_either_loses_no_other_pod() {
        let mut searches = Searches::new();
        let (a2, b1) = (("a2", "a", "01", Failing), ("b1", "b", "01", Failing));
        assert_eq!(
            searches.search(&[("a1", "a", "01", Failing), a2, b1]),
            ["a1"]
        );
        let new = ("a3", "a", "05", Failing);
        assert!(searches.search(&[a2, new, b1]).is_empty());
        let failed = ("replicaset/a".to_owned(), TrialFailure::NotInjected);
        assert_eq!(searches.failed, [failed]);
        assert!(searches.search(&[a2, new, b1]).is_empty());
        assert!(searches.failed.is_empty(), "it is returned once");
        // The API server does not reach the webhook.
        searches.now += limits::REPAIR_TRIAL_TIME;
        assert!(searches.search(&[a2, new, b1]).is_empty());
        searches.reviews += 1;
        assert_eq!(searches.search(&[a2, new, b1]), ["b1"]);
    }

    #[test]
    fn after_each_failed_trial_the_next_begins_later() {
        let mut searches = Searches::new();
        let all = ["a", "b", "c", "d"];
        let bare = all.map(|name| (name, name, "01", Failing));
        let mut waited = Vec::new();
        for name in all {
            let start = searches.now;
            while searches.search(&bare) != [name] {
                searches.now += limits::REPAIR_TRIAL_TIME;
                searches.reviews += 1;
            }
            waited.push((searches.now - start).as_secs() / limits::REPAIR_TRIAL_TIME.as_secs());
        }
        // No new pod appears: a trial lasts for one such time, and the pause for one, two and four.
        assert_eq!(waited, [0, 2, 3, 5]);
    }

    #[test]
    fn an_owner_without_a_new_pod_that_is_ready_loses_no_other_pod() {
        let mut searches = Searches::new();
        let (a2, starting) = (("a2", "a", "01", Failing), ("a3", "a", "05", Starting));
        assert_eq!(searches.search(&[("a1", "a", "01", Failing), a2]), ["a1"]);
        assert!(searches.search(&[a2, starting]).is_empty());
        searches.now += limits::REPAIR_TRIAL_TIME;
        assert!(searches.search(&[a2]).is_empty());
        let failed = ("replicaset/a".to_owned(), TrialFailure::NotReady);
        assert_eq!(searches.failed, [failed]);
        assert!(searches.search(&[a2, ("a3", "a", "05", Ready)]).is_empty());
    }

    #[test]
    fn a_failed_trial_is_returned_even_if_the_search_that_shows_it_fails() {
        let mut searches = Searches::new();
        assert_eq!(searches.search(&[("a1", "a", "01", Failing)]), ["a1"]);
        searches.repair.begin_search(searches.now);
        searches
            .repair
            .observe_missing(&pod("a2"), owner("a"), "05", true);
        assert!(searches.search(&[("b1", "b", "01", Failing)]).is_empty());
        let failed = ("replicaset/a".to_owned(), TrialFailure::NotInjected);
        assert_eq!(searches.failed, [failed]);
    }

    #[test]
    fn a_pod_whose_eviction_is_refused_does_not_keep_others_from_eviction() {
        let mut repair = Repair::default();
        let now = Instant::now();
        repair.begin_search(now);
        for name in ["a", "b"] {
            repair.observe_missing(&pod(name), owner(name), "01", true);
        }
        let first = repair.next_candidate(now, 1);
        assert_eq!(first.map(|first| first.pod), Some(pod("a")));
        // A PodDisruptionBudget refuses it, so nothing is recorded.
        let second = repair.next_candidate(now, 1);
        assert_eq!(second.map(|second| second.pod), Some(pod("b")));
    }

    #[test]
    fn healthy_pods_are_not_evicted_and_do_not_count_as_new_ones() {
        let mut searches = Searches::new();
        let (healthy, failing) = (("a1", "a", "07", Healthy), ("a2", "a", "01", Failing));
        assert_eq!(searches.search(&[healthy, failing]), ["a2"]);
        assert!(searches.search(&[healthy]).is_empty());
        assert!(searches.failed.is_empty());
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
        assert_eq!(repair.search.newest_missing.len(), limits::REPAIR_OWNERS);
        assert_eq!(repair.search.candidates.len(), limits::REPAIR_CANDIDATES);
        for index in 0..=limits::REPAIR_INJECTED_OWNERS {
            repair.observe_present(&owner(&format!("injected-{index}")), "01", true);
        }
        let known = repair.search.newest_present.len();
        assert_eq!(known, limits::REPAIR_INJECTED_OWNERS);
        assert_eq!(
            repair.next_candidate(now, 1),
            None,
            "some pods are not known"
        );
        repair.record_evicted(&owner("0"), now);
        repair.begin_search(now + limits::REPAIR_OWNER_TIME);
        assert!(repair.owners.is_empty());
    }
}
