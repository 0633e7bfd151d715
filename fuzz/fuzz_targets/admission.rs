//! AdmissionReviews: no bytes make the webhook panic. A response allows the pod and has the `uid` of the request; an error
//! has a text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::inject::values::Values;
use probelet::webhook::{Outcome, review};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    match review(body, &Values::default().with_defaults()) {
        Ok(reviewed) => {
            let request: Value = serde_json::from_slice(body).expect("it was parsed");
            let review: Value = serde_json::from_slice(&reviewed.response_body).expect("JSON");
            let response = &review["response"];
            assert_eq!(response["uid"], request["request"]["uid"]);
            assert_eq!(response["allowed"], true);
            let is_patched = matches!(reviewed.outcome, Outcome::Patched(_));
            assert_eq!(response["patch"].is_string(), is_patched);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
