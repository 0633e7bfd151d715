//! Judged by kubelet's own code: its verdict through the agent against its verdict of the app.

#[path = "judgement/course.rs"]
mod course;
#[path = "judgement/differences.rs"]
mod differences;
#[path = "judgement/fairness.rs"]
mod fairness;
#[path = "judgement/fidelity.rs"]
mod fidelity;
#[path = "judgement/grpc.rs"]
mod grpc;
#[path = "judgement/hooks.rs"]
mod hooks;
#[path = "judgement/http2.rs"]
mod http2;
#[path = "judgement/https.rs"]
mod https;
#[path = "judgement/mutations.rs"]
mod mutations;
#[path = "judgement/peers.rs"]
mod peers;
#[path = "judgement/peers_tls.rs"]
mod peers_tls;
#[path = "judgement/stand.rs"]
mod stand;
#[path = "judgement/verdicts.rs"]
mod verdicts;

use crate::support::agent::is_emulated;
use crate::support::peers::python::PYTHON;
use crate::support::{Need, Outcome, TLS, needs};
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
    (
        &[],
        "long_trailers_keep_nobody_waiting",
        fairness::long_trailers_keep_nobody_waiting,
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
    (&[], "each_http2_fault_gives_its_code", http2::plain_codes),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_http2_fault",
        http2::plain_agree,
    ),
    (&[], "each_grpc_fault_gives_its_code", grpc::codes),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_grpc_fault",
        grpc::agree,
    ),
    (
        &[Need::Go, Need::File(PYTHON)],
        "kubelet_agrees_on_grpcio",
        peers::grpcio,
    ),
    (
        &[Need::Go, Need::File(PYTHON)],
        "kubelet_agrees_on_h2_of_python",
        peers::python_h2,
    ),
    (&[Need::Go], "kubelet_agrees_on_go_http", peers::go_http),
    (
        &[Need::Go, Need::Peer("nghttpd")],
        "kubelet_agrees_on_nghttpd",
        peers::nghttpd,
    ),
    (
        &[],
        "a_hook_ends_when_its_client_leaves",
        hooks::ends_with_its_client,
    ),
];

/// Those that ask a build with TLS.
const TLS_TESTS: &[Test] = &[
    (
        &[Need::Go],
        "kubelet_agrees_on_hooks_over_tls",
        hooks::agree_over_tls,
    ),
    (
        &[Need::Go],
        "a_hook_falls_back_to_plain_http_without_its_login",
        hooks::fall_back_to_http,
    ),
    (&[], "each_fault_gives_its_code_over_tls", https::codes),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_fault_over_tls",
        https::agree,
    ),
    (&[], "each_tls_fault_gives_its_code", https::tls_codes),
    (
        &[Need::Peer("openssl")],
        "each_openssl_gives_its_code",
        peers_tls::codes,
    ),
    (
        &[Need::Go, Need::Peer("openssl")],
        "kubelet_agrees_on_each_openssl",
        peers_tls::agree,
    ),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_tls_fault",
        https::tls_agree,
    ),
    (
        &[],
        "each_http2_fault_gives_its_code_over_tls",
        http2::secure_codes,
    ),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_http2_fault_over_tls",
        http2::secure_agree,
    ),
];

/// The tests. A handshake under an emulator takes much of a probe's second, on a busy machine all of it: what TLS
/// is on another processor, tests hold that judge nothing by time.
pub fn tests() -> Vec<Trial> {
    let trial = |(all, name, body): &Test| needs(all, &format!("judgement::{name}"), *body);
    let is_judged = TLS && !is_emulated();
    let secure = TLS_TESTS.iter().filter(|_| is_judged);
    TESTS.iter().chain(secure).map(trial).collect()
}
