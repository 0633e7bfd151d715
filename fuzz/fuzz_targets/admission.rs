//! A review from the API server: no bytes make the webhook panic; what it answers is a review that lets the pod
//! through and echoes its `uid`, and what it does not it can say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::inject::values::Values;
use probelet::webhook::{Outcome, review};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    match review(body, &Values::default().settings()) {
        Ok(reviewed) => {
            let asked: Value = serde_json::from_slice(body).expect("it was read");
            let answer: Value = serde_json::from_slice(&reviewed.response_body).expect("JSON");
            let response = &answer["response"];
            assert_eq!(response["uid"], asked["request"]["uid"]);
            assert_eq!(response["allowed"], true);
            let is_patched = matches!(reviewed.outcome, Outcome::Patched(_));
            assert_eq!(response["patch"].is_string(), is_patched);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
