//! `probelet-inject serve`: the admission webhook over real TLS.

mod api_server;
mod attacks;
mod capacity;
mod client_ca;
mod cluster;
mod fixture;
mod hostile_handshakes;
mod large_pods;
mod reload;
mod requests;
mod reviews;
mod self_signed;
mod shutdown;
mod timeouts;

use libtest_mimic::Trial;

/// The tests.
pub fn tests() -> Vec<Trial> {
    let mut tests = reviews::tests();
    tests.extend(timeouts::tests());
    tests.extend(capacity::tests());
    tests.extend(large_pods::tests());
    tests.extend(attacks::tests());
    tests.extend(reload::tests());
    tests.extend(client_ca::tests());
    tests.extend(self_signed::tests());
    tests.extend(cluster::tests());
    tests.extend(shutdown::tests());
    tests
}
