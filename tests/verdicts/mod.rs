//! kubelet's verdict through the agent compared with its verdict of the app, both by kubelet's code, and the agent's status
//! codes.

mod agreement;
mod busy;
mod codes;
mod differences;
mod fairness;
mod family;
mod fidelity;
mod fixture;
mod hooks;
mod mutations;
mod openssl;
mod peers;

use crate::support::agent::is_emulated;
use crate::support::faults::{grpc, http2, tls};
use crate::support::peers::python::PYTHON;
use crate::support::{Need, Outcome, TLS, needs};
use family::Family;
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
        "a_flood_does_not_delay_other_probes",
        fairness::a_flood_does_not_delay_other_probes,
    ),
    (
        &[],
        "long_trailers_do_not_delay_other_probes",
        fairness::long_trailers_do_not_delay_other_probes,
    ),
    (
        &[Need::Go],
        "kubelet_agrees_on_each_changed_byte",
        mutations::agree,
    ),
    (&[Need::Go], "app_receives_kubelets_paths", fidelity::paths),
    (
        &[Need::Go],
        "app_receives_kubelets_headers",
        fidelity::headers,
    ),
    (
        &[Need::Go],
        "app_receives_kubelets_redirected_requests",
        fidelity::redirects,
    ),
    (
        &[Need::Go],
        "a_hook_outlasts_its_timeout",
        hooks::outlasts_its_timeout,
    ),
    (
        &[],
        "a_hook_ends_when_its_client_closes",
        hooks::ends_with_its_client,
    ),
];

/// Tests that need a build with TLS.
const TLS_TESTS: &[Test] = &[(
    &[Need::Go],
    "a_hook_falls_back_to_plaintext_without_credentials",
    hooks::fall_back_to_http,
)];

/// The tests. In an emulator there are none with TLS: on a busy machine a handshake may take the whole timeout of a probe.
/// Tests that do not depend on time cover TLS on other processors.
pub fn tests() -> Vec<Trial> {
    let trial = |(all, name, body): &Test| needs(all, &format!("verdicts::{name}"), *body);
    let has_tls = TLS && !is_emulated();
    let secure = TLS_TESTS.iter().filter(|_| has_tls);
    let mut trials: Vec<Trial> = TESTS.iter().chain(secure).map(trial).collect();
    for family in families(has_tls) {
        trials.extend(family.code_trials());
        trials.extend(family.agreement_trials());
    }
    trials.extend(hooks::agreement_trials(None));
    if has_tls {
        // The app prefers HTTP/2, but a hook offers no ALPN.
        trials.extend(hooks::agreement_trials(Some(&["h2", "http/1.1"])));
    }
    trials
}

fn families(has_tls: bool) -> Vec<Family> {
    let mut families = vec![
        Family::new("", &[], |catalogue, status_port| {
            catalogue.add_http1(None, status_port);
            Ok(())
        }),
        Family::new("h2c-", &[], |catalogue, _| {
            http2::add_to(catalogue, false);
            Ok(())
        }),
        Family::new("grpc-", &[], |catalogue, _| {
            grpc::add_to(catalogue);
            Ok(())
        }),
        Family::new("grpcio-", &[Need::File(PYTHON)], peers::add_grpcio),
        Family::new("peer-", &[Need::File(PYTHON)], peers::add_python_h2),
        Family::new("go-", &[Need::Go], peers::add_go_http),
        Family::new("nghttpd-", &[Need::Peer("nghttpd")], peers::add_nghttpd),
    ];
    if !has_tls {
        return families;
    }
    families.extend([
        Family {
            add_compared_cases: |catalogue, status_port| {
                catalogue.add_http1(Some(&[]), status_port);
                Ok(())
            },
            ..Family::new("https-", &[], |catalogue, status_port| {
                catalogue.add_http1(Some(&["http/1.1"]), status_port);
                Ok(())
            })
        },
        Family::new("tls-", &[], |catalogue, _| {
            tls::add_to(catalogue);
            Ok(())
        }),
        Family::new("h2-", &[], |catalogue, _| {
            http2::add_to(catalogue, true);
            Ok(())
        }),
        Family::new("openssl-", &[Need::Peer("openssl")], openssl::add_to),
    ]);
    families
}
