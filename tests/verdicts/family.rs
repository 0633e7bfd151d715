//! Families of fault cases: each case is its own trial, named for the fault, and the trials of a family share one
//! fixture, which the first of them opens and the last one closes.

use super::fixture::Fixture;
use super::{agreement, codes};
use crate::support::faults::{Catalogue, FaultCase};
use crate::support::{Need, Outcome, needs};
use libtest_mimic::Trial;
use std::sync::{Arc, OnceLock};

/// Adds the cases of a family; the port is the status port of the agent that probes the first of them.
pub type AddCases = fn(&mut Catalogue, status_port: u16) -> Result<(), String>;

/// Cases that are probed in the same way.
pub struct Family {
    /// The prefix of its cases in the list of differences; empty for HTTP/1.1 in plaintext.
    pub prefix: &'static str,
    /// Its requirements of the machine.
    pub needs: &'static [Need],
    pub add_cases: AddCases,
    /// Adds the cases for which kubelet's verdicts are compared.
    pub add_compared_cases: AddCases,
}

impl Family {
    /// A family whose cases are the same with kubelet and without.
    pub fn new(prefix: &'static str, needs: &'static [Need], add_cases: AddCases) -> Self {
        Self {
            prefix,
            needs,
            add_cases,
            add_compared_cases: add_cases,
        }
    }

    /// The trials that check the agent's status codes.
    pub fn code_trials(&self) -> Vec<Trial> {
        let shared = Shared::new(self.prefix, self.add_cases);
        let mut trials = self.case_trials("codes", self.needs, &shared, |_| true, codes::check);
        let name = format!("verdicts::leaves_nothing::{}", self.name());
        trials.push(shared.trial(self.needs, &name, codes::check_leaves_nothing));
        trials
    }

    /// The trials that compare kubelet's verdicts.
    pub fn agreement_trials(&self) -> Vec<Trial> {
        let shared = Shared::new(self.prefix, self.add_compared_cases);
        let needs = [self.needs, &[Need::Go]].concat();
        let is_compared = |case: &FaultCase| case.is_compared;
        let group = "kubelet_agrees";
        let mut trials = self.case_trials(group, &needs, &shared, is_compared, agreement::check);
        let name = format!("verdicts::{group}::differences_are_needed::{}", self.name());
        trials.push(shared.trial(&needs, &name, agreement::check_differences_are_needed));
        trials
    }

    fn name(&self) -> &'static str {
        match self.prefix {
            "" => "http",
            prefix => prefix.trim_end_matches('-'),
        }
    }

    fn case_trials(
        &self,
        group: &str,
        needs: &[Need],
        shared: &Arc<Shared>,
        is_included: impl Fn(&FaultCase) -> bool,
        check: fn(&Fixture, &str) -> Outcome,
    ) -> Vec<Trial> {
        let mut list = Catalogue::listing();
        (self.add_cases)(&mut list, 0).expect("nothing is started");
        let mut cases = list.cases;
        cases.retain(is_included);
        // Cases that wait come first, cases that move megabytes last.
        cases.sort_by_key(|case| (case.is_heavy, !case.waits()));
        let trial = |case: FaultCase| {
            let prefix = if case.name.starts_with(self.prefix) {
                ""
            } else {
                self.prefix
            };
            let trial_name = format!("verdicts::{group}::{prefix}{}", case.name);
            shared.trial(needs, &trial_name, move |fixture| {
                check(fixture, &case.name)
            })
        };
        cases.into_iter().map(trial).collect()
    }
}

/// A fixture that is opened when it is first used.
struct Shared {
    prefix: &'static str,
    add_cases: AddCases,
    fixture: OnceLock<Result<Fixture, String>>,
}

impl Shared {
    fn new(prefix: &'static str, add_cases: AddCases) -> Arc<Self> {
        Arc::new(Self {
            prefix,
            add_cases,
            fixture: OnceLock::new(),
        })
    }

    fn trial(
        self: &Arc<Self>,
        all: &[Need],
        name: &str,
        body: impl FnOnce(&Fixture) -> Outcome + Send + 'static,
    ) -> Trial {
        let shared = Arc::clone(self);
        needs(all, name, move || {
            let open = || Fixture::open(shared.prefix, shared.add_cases);
            let fixture = shared.fixture.get_or_init(open);
            body(fixture.as_ref().map_err(Clone::clone)?)
        })
    }
}
