//! `probelet-inject serve`: the admission webhook over real TLS.

mod cluster;
mod crowd;
mod ending;
mod renewal;
mod requests;
mod reviews;
mod self_made;
mod slowness;
mod stand;

use libtest_mimic::Trial;

/// The tests.
pub fn tests() -> Vec<Trial> {
    let mut tests = reviews::tests();
    tests.extend(slowness::tests());
    tests.extend(crowd::tests());
    tests.extend(renewal::tests());
    tests.extend(self_made::tests());
    tests.extend(ending::tests());
    tests
}
