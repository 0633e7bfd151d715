//! gRPC health checks judged, from the frames up.

use super::course::Course;
use crate::support::kubelet::Kubelet;
use crate::support::menu::grpc;
use crate::support::{Outcome, TLS};

/// Each fault gives its code and leaves nothing.
pub fn codes() -> Outcome {
    let (course, _faults) = open()?;
    Ok(course.assert_leaves_nothing(|| course.assert_codes())?)
}

/// kubelet agrees on them.
pub fn agree() -> Outcome {
    let (course, _faults) = open()?;
    Ok(course.assert_agrees(Kubelet::get()?)?)
}

fn open() -> Result<(Course, grpc::Faults), String> {
    let mut faults = grpc::faults();
    faults
        .dishes
        .retain(|dish| TLS || !dish.name.starts_with("grpc-tls-"));
    let course = Course::open("grpc-", faults.dishes.clone(), &[])?;
    Ok((course, faults))
}
