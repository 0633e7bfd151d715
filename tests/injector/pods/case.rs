//! A pod with settings, and a property checked on many of them.

use super::golden;
use super::random::Random;
use probelet::inject::Settings;
use serde_json::Value;
use std::collections::BTreeMap;

/// A pod and the settings that it is injected with.
pub struct Case {
    /// `seed 17`, or `golden grpc, pod 0`.
    pub name: String,
    /// The pod.
    pub pod: Value,
    /// The settings.
    pub settings: Settings,
    /// Random choices beyond those.
    pub random: Random,
    /// Selects one variant of every check; `None` runs all variants.
    pub variant: Option<usize>,
}

impl Case {
    /// The variants to check: all, or the one that `variant` selects. `divisor` is the product of the lengths of the
    /// other lists that a check selects from, so that the selections are independent.
    pub fn variants<'a, T>(&self, all: &'a [T], divisor: usize) -> &'a [T] {
        match self.variant {
            None => all,
            Some(number) => core::slice::from_ref(&all[number / divisor % all.len()]),
        }
    }
}

/// Generated cases, one for each seed.
pub fn generated(seeds: core::ops::Range<u64>) -> impl Iterator<Item = Case> {
    seeds.map(|seed| {
        let mut random = Random::new(seed);
        Case {
            name: format!("seed {seed}"),
            pod: random.pod(),
            settings: random.settings(),
            variant: Some(random.below(1 << 16)),
            random,
        }
    })
}

/// All golden pods.
pub fn goldens() -> impl Iterator<Item = Case> {
    golden::pods()
        .into_iter()
        .enumerate()
        .map(|(index, golden)| Case {
            name: format!("golden {}, pod {}", golden.case, golden.index),
            pod: golden.pod,
            settings: golden.settings,
            random: Random::new(index as u64),
            variant: None,
        })
}

/// A failure of a case.
pub struct Failure {
    /// Failures of the same kind are counted together.
    pub kind: String,
    /// The text to print for the first failure of its kind.
    pub detail: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: impl Into<String>, detail: impl Into<String>) -> Self {
        // Names of containers and ports are not part of the kind.
        let kind = kind.into().replace(|c: char| c.is_ascii_digit(), "#");
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

/// The failures of one property.
#[derive(Default)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// Records a failure unless this holds.
    pub fn expect(&mut self, holds: bool, failure: impl FnOnce() -> Failure) {
        if !holds {
            self.0.push(failure());
        }
    }

    /// Records a failure.
    pub fn push(&mut self, failure: Failure) {
        self.0.push(failure);
    }
}

/// How many kinds of failures are printed.
const MOST_KINDS: usize = 12;

/// Checks a property of each case; the property returns whether the case was relevant.
///
/// # Panics
/// With the number of failures of each kind and the first case of it, or if too few cases were relevant.
#[track_caller]
pub fn check(
    cases: impl Iterator<Item = Case>,
    mut property: impl FnMut(&mut Case, &mut Failures) -> bool,
) {
    let (mut total, mut relevant, mut failed) = (0, 0, 0);
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for mut case in cases {
        let mut failures = Failures::default();
        total += 1;
        relevant += usize::from(property(&mut case, &mut failures));
        failed += usize::from(!failures.0.is_empty());
        for failure in failures.0 {
            let first = || (0, format!("{}:\n{}", case.name, failure.detail));
            kinds.entry(failure.kind).or_insert_with(first).0 += 1;
        }
    }
    assert!(
        relevant > total / 4,
        "only {relevant} of {total} pods are relevant"
    );
    if kinds.is_empty() {
        return;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _))| core::cmp::Reverse(*count));
    let more = kinds.len().saturating_sub(MOST_KINDS);
    let line = |(kind, (count, first)): &(String, (usize, String))| {
        format!("- {kind}: {count}, first with {first}")
    };
    let mut lines: Vec<String> = kinds.iter().take(MOST_KINDS).map(line).collect();
    if more > 0 {
        lines.push(format!("- and {more} more kinds"));
    }
    panic!("{failed} of {total} pods fail:\n{}", lines.join("\n"));
}
