//! Judged by kubelet's own code: its verdict through the agent against its verdict of the app.

#[path = "judgement/differences.rs"]
mod differences;
#[path = "judgement/fairness.rs"]
mod fairness;
#[path = "judgement/fidelity.rs"]
mod fidelity;
#[path = "judgement/hooks.rs"]
mod hooks;
#[path = "judgement/mutations.rs"]
mod mutations;
#[path = "judgement/stand.rs"]
mod stand;
#[path = "judgement/verdicts.rs"]
mod verdicts;

use crate::support::{Need, Outcome, needs};
use libtest_mimic::Trial;

type Test = (&'static [Need], &'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    (
        &[],
        "differences_are_well_formed",
        differences::are_well_formed,
    ),
    (
        &[],
        "each_fault_gives_its_code_and_leaves_nothing",
        verdicts::codes,
    ),
    (
        &[],
        "a_flood_keeps_nobody_waiting",
        fairness::a_flood_keeps_nobody_waiting,
    ),
    (&[Need::Go], "kubelet_agrees_on_each_fault", verdicts::agree),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_changed_byte",
        mutations::agree,
    ),
    (&[Need::Go], "app_gets_kubelets_own_paths", fidelity::paths),
    (
        &[Need::Go],
        "app_gets_kubelets_own_headers",
        fidelity::headers,
    ),
    (
        &[Need::Go],
        "app_gets_kubelets_own_redirected_requests",
        fidelity::redirects,
    ),
    (&[Need::Go], "kubelet_agrees_on_hooks", hooks::agree),
    (
        &[Need::Go],
        "a_hook_outlasts_its_timeout",
        hooks::outlasts_its_timeout,
    ),
    (
        &[],
        "a_hook_ends_when_its_client_leaves",
        hooks::ends_with_its_client,
    ),
];

/// The tests.
pub fn tests() -> Vec<Trial> {
    let trial = |(all, name, body): &Test| needs(all, &format!("judgement::{name}"), *body);
    TESTS.iter().map(trial).collect()
}
