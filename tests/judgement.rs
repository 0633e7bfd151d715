//! Judged by kubelet's own code: its verdict through the agent against its verdict of the app.

#[path = "judgement/differences.rs"]
mod differences;
#[path = "judgement/fidelity.rs"]
mod fidelity;
#[path = "judgement/hooks.rs"]
mod hooks;
#[path = "judgement/stand.rs"]
mod stand;
#[path = "judgement/verdicts.rs"]
mod verdicts;

use crate::support::{Need, needs};
use libtest_mimic::Trial;

/// The tests.
pub fn tests() -> Vec<Trial> {
    let go = &[Need::Go];
    vec![
        Trial::test(
            "judgement::differences_are_well_formed",
            differences::are_well_formed,
        ),
        Trial::test(
            "judgement::each_fault_gives_its_code_and_leaves_nothing",
            verdicts::codes,
        ),
        needs(
            go,
            "judgement::kubelet_agrees_on_each_fault",
            verdicts::agree,
        ),
        needs(
            go,
            "judgement::app_gets_kubelets_own_paths",
            fidelity::paths,
        ),
        needs(
            go,
            "judgement::app_gets_kubelets_own_headers",
            fidelity::headers,
        ),
        needs(
            go,
            "judgement::app_gets_kubelets_own_requests_on_redirects",
            fidelity::redirects,
        ),
        needs(go, "judgement::kubelet_agrees_on_hooks", hooks::agree),
        needs(
            go,
            "judgement::a_hook_outlasts_its_timeout",
            hooks::outlasts_its_timeout,
        ),
        Trial::test(
            "judgement::a_hook_ends_when_its_client_leaves",
            hooks::ends_with_its_client,
        ),
    ]
}
