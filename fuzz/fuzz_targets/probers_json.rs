//! The probers' JSON: no text makes the parser panic, an accepted table is valid, and an error has a text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::config::Probers;
use probelet::limits::PROBERS;

fuzz_target!(|text: &str| {
    match Probers::parse(text) {
        Ok(probers) => {
            assert!(probers.len() <= PROBERS);
            assert!(
                probers
                    .iter()
                    .is_sorted_by(|one, next| one.path < next.path)
            );
            for (index, prober) in probers.iter().enumerate() {
                let found = probers.find(prober.path.as_bytes()).map(|(index, _)| index);
                assert_eq!(found, Some(index));
                for handler in prober.handlers.iter() {
                    assert_ne!(handler.action.port(), 0);
                }
                assert!(!prober.timeout.is_zero());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
