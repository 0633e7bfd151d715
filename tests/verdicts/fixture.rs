//! The apps of a family of cases, and the agents that probe them.

use super::busy;
use super::family::AddCases;
use crate::support::agent::{Agent, Setup};
use crate::support::faults::{Catalogue, FaultCase};
use crate::support::lock;
use crate::support::permit::{TrialLoad, TrialPermit};
use crate::support::ports::reserve;
use probelet::limits;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

/// The deadline margin in milliseconds. The shipped margin is for a node. While other tests run on two cores, half a second
/// keeps both sides away from the deadline.
pub const MARGIN_MS: &str = "500";

/// Agents, apps, and cases.
pub struct Fixture {
    /// The prefix of its cases in the list of differences.
    pub prefix: &'static str,
    pub catalogue: Catalogue,
    pub agents: Vec<Agent>,
    /// Open descriptors of each agent before its first probe.
    pub descriptors: Vec<usize>,
    /// Locked for reading by each case, for writing by a trial that measures the agents.
    pub exclusive: RwLock<()>,
    /// Lines of the list of differences that a case has needed.
    pub used_differences: Mutex<HashSet<usize>>,
    entries: HashMap<String, Entry>,
}

/// One case of a fixture.
pub struct Entry {
    pub case: FaultCase,
    /// The agent that probes it.
    pub agent: usize,
    /// Whether its trial has run.
    pub has_run: AtomicBool,
    /// An app may run another script on its next connection, so one probe at a time.
    turn: Mutex<()>,
}

impl Fixture {
    /// Starts the apps and the agents.
    pub fn open(prefix: &'static str, add_cases: AddCases) -> Result<Self, String> {
        let mut status = reserve();
        let mut catalogue = Catalogue::serving();
        add_cases(&mut catalogue, status.port)?;
        let extra = catalogue.http1.as_ref().map(busy::serve);
        let (mut agents, mut entries) = (Vec::new(), HashMap::new());
        for cases in catalogue.cases.chunks(limits::PROBERS - busy::PROBERS) {
            let probers = cases.iter().map(|case| (case.status_path(), case.prober()));
            let probers = probers.chain(extra.iter().flatten().cloned());
            let probers = probers.map(|(path, prober)| format!(r#""{path}":{prober}"#));
            let table = format!("{{{}}}", probers.collect::<Vec<_>>().join(","));
            let setup = Setup::new().status(status).probers(&table);
            let agent = setup.arg("--deadline-margin").arg(MARGIN_MS).start()?;
            entries.extend(cases.iter().map(|case| {
                let entry = Entry {
                    case: case.clone(),
                    agent: agents.len(),
                    has_run: AtomicBool::new(false),
                    turn: Mutex::new(()),
                };
                (case.name.clone(), entry)
            }));
            agents.push(agent);
            status = reserve();
        }
        Ok(Self {
            prefix,
            descriptors: agents.iter().map(Agent::descriptors).collect(),
            catalogue,
            agents,
            exclusive: RwLock::new(()),
            used_differences: Mutex::default(),
            entries,
        })
    }

    /// Runs a case, by its name.
    pub fn run<T>(&self, name: &str, check: impl FnOnce(&Agent, &FaultCase) -> T) -> T {
        let _shared = self
            .exclusive
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = self
            .entries
            .get(name)
            .expect("the catalogue was listed like this");
        self.run_entry(entry, check)
    }

    fn run_entry<T>(&self, entry: &Entry, check: impl FnOnce(&Agent, &FaultCase) -> T) -> T {
        let _turn = lock(&entry.turn);
        let _permit = TrialPermit::acquire(TrialLoad::of_case(entry.case.is_heavy));
        let result = check(&self.agents[entry.agent], &entry.case);
        entry.has_run.store(true, Ordering::SeqCst);
        result
    }

    /// Runs these cases concurrently, while no other trial uses the fixture. Returns their failures, sorted.
    pub fn run_all(
        &self,
        is_included: impl Fn(&Entry) -> bool,
        check: impl Fn(&Agent, &FaultCase) -> Option<String> + Sync,
    ) -> Vec<String> {
        let mut entries: Vec<&Entry> = self.entries.values().filter(|e| is_included(e)).collect();
        entries.sort_by_key(|entry| (entry.case.is_heavy, !entry.case.waits()));
        let (next, found) = (Mutex::new(entries.into_iter()), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..TrialPermit::MAX_WAITING {
                scope.spawn(|| {
                    loop {
                        let entry = lock(&next).next();
                        let Some(entry) = entry else { return };
                        let result = self.run_entry(entry, &check);
                        lock(&found).extend(result);
                    }
                });
            }
        });
        let mut found = found.into_inner().expect("all threads ended");
        found.sort();
        found
    }
}
