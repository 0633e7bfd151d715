//! Which CAs a bundle keeps, and their order.

use super::*;
use crate::webhook::self_signed::CertBundle;

const NOW: u64 = limits::CLOCK_IS_SET_FROM + 1000;

/// A time at which the certificates of [`NOW`] have expired.
const LATE: u64 = NOW + limits::CERTIFICATE_VALIDITY.as_secs() + 1;

fn ca(now: u64) -> String {
    let bundle = CertBundle::generate("injector.demo.svc", None, now).expect("a bundle");
    bundle.ca.into()
}

#[test]
fn a_bundle_with_all_required_cas_is_not_changed() {
    let (one, two) = (ca(NOW), ca(NOW));
    let bundle = [&*one, "text\n", &two].concat();
    assert_eq!(with_required(&bundle, &[], NOW), None);
    assert_eq!(with_required(&bundle, &[&one], NOW), None);
    assert_eq!(with_required(&bundle, &[&two, &one], NOW), None);
}

#[test]
fn previous_cas_stay_after_required_ones() {
    let [old, served, new] = [ca(NOW), ca(NOW), ca(NOW)];
    let bundle = [&*old, &served].concat();
    let merged = with_required(&bundle, &[&new, &served], NOW);
    assert_eq!(merged, Some([&*new, &served, &old].concat()));
    assert_eq!(with_required("", &[&new, &new], NOW), Some(new.clone()));
    let both = [&*new, &old].concat();
    assert_eq!(with_required("", &[&both], NOW), Some(both));
}

#[test]
fn a_replica_whose_clock_is_ahead_keeps_the_cas_of_the_others() {
    let (served, valid) = (ca(NOW), ca(LATE));
    let next = ca(LATE);
    let bundle = [&*served, &valid].concat();
    let merged = with_required(&bundle, &[&next], LATE);
    assert_eq!(merged, Some([&*next, &valid, &served].concat()));
}

#[test]
fn expired_cas_are_displaced_first() {
    let expired = ca(NOW);
    let valid: Vec<String> = (1..limits::CA_BUNDLE_CERTIFICATES)
        .map(|_| ca(LATE))
        .collect();
    let bundle = [&*expired, &valid.concat()].concat();
    let next = ca(LATE);
    let merged = with_required(&bundle, &[&next], LATE);
    assert_eq!(merged, Some([&*next, &valid.concat()].concat()));
}

#[test]
fn other_text_is_dropped() {
    let (old, new) = (ca(NOW), ca(NOW));
    let broken = [BEGIN, "\nAAAA\n", BEGIN, "\n"].concat();
    for garbage in [
        "garbage",
        BEGIN,
        END,
        &broken,
        &old.replacen("MII", "AAA", 1),
    ] {
        let bundle = [garbage, "\n", &old, garbage].concat();
        let expected = [&*new, &old].concat();
        assert_eq!(
            with_required(&bundle, &[&new], NOW),
            Some(expected),
            "{garbage}"
        );
    }
    // An expired CA that is still served is of no use.
    assert_eq!(with_required("", &[&old], LATE), None);
}

#[test]
fn the_number_of_previous_cas_is_bounded() {
    let mut bundle = String::new();
    let all: Vec<String> = (0..limits::CA_BUNDLE_CERTIFICATES + 2)
        .map(|_| ca(NOW))
        .collect();
    for ca in &all {
        bundle = with_required(&bundle, &[ca], NOW).expect("a new CA");
    }
    let newest = all.iter().rev().take(limits::CA_BUNDLE_CERTIFICATES);
    assert_eq!(bundle, newest.map(String::as_str).collect::<String>());
    // A required CA is never dropped.
    let required: Vec<&str> = all.iter().map(String::as_str).collect();
    let merged = with_required(&bundle, &required, NOW);
    assert_eq!(merged, Some(all.concat()));
}
