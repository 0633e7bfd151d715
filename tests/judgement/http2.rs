//! HTTP/2 judged, over TLS and in plaintext with prior knowledge.

use super::course::Course;
use crate::support::Outcome;
use crate::support::kubelet::Kubelet;
use crate::support::menu::http2;

/// Each fault over TLS gives its code and leaves nothing.
pub fn secure_codes() -> Outcome {
    codes("h2-")
}

/// kubelet agrees on them.
pub fn secure_agree() -> Outcome {
    agree("h2-")
}

/// Each fault in plaintext gives its code and leaves nothing.
pub fn plain_codes() -> Outcome {
    codes("h2c-")
}

/// kubelet agrees on them.
pub fn plain_agree() -> Outcome {
    agree("h2c-")
}

fn codes(prefix: &'static str) -> Outcome {
    let faults = http2::faults(prefix == "h2-");
    let course = Course::open(prefix, faults.dishes.clone(), &[])?;
    Ok(course.assert_leaves_nothing(|| course.assert_codes())?)
}

fn agree(prefix: &'static str) -> Outcome {
    let faults = http2::faults(prefix == "h2-");
    let course = Course::open(prefix, faults.dishes.clone(), &[])?;
    Ok(course.assert_agrees(Kubelet::get()?)?)
}
