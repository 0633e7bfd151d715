//! HTTPS judged: the whole menu of HTTP/1 behind TLS, and what goes wrong in TLS itself.

use super::course::Course;
use super::stand::Stand;
use crate::support::Outcome;
use crate::support::kubelet::Kubelet;
use crate::support::menu::tls;

/// Each fault of HTTP/1 gives its code behind TLS too, and leaves nothing.
pub fn codes() -> Outcome {
    let stand = Stand::secure(&["http/1.1"])?;
    let course = &stand.course;
    Ok(course.assert_leaves_nothing(|| course.assert_codes())?)
}

/// kubelet agrees on them, of an app without ALPN.
pub fn agree() -> Outcome {
    let stand = Stand::secure(&[])?;
    stand.course.assert_agrees(Kubelet::get()?)?;
    let app = &stand.kitchen.app;
    assert!(app.wait_idle(), "{} connections stay open", app.open());
    Ok(())
}

/// Each fault of TLS itself gives its code and leaves nothing.
pub fn tls_codes() -> Outcome {
    let faults = tls::faults();
    let course = Course::open("tls-", faults.dishes.clone(), &[])?;
    Ok(course.assert_leaves_nothing(|| course.assert_codes())?)
}

/// kubelet agrees on them.
pub fn tls_agree() -> Outcome {
    let faults = tls::faults();
    let course = Course::open("tls-", faults.dishes.clone(), &[])?;
    Ok(course.assert_agrees(Kubelet::get()?)?)
}
