//! Dates of certificates, against `date`.

use super::{Validity, parse_rfc3339, rfc3339, uri_names, validity};
use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

fn validity_of_certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> Option<Validity> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let der = certificate.der();
    for end in 0..der.len() {
        // Must not panic.
        let _ = validity(&der[..end]);
    }
    validity(der)
}

#[test]
fn the_validity_period_is_parsed() {
    // `date -u -d DATE +%s`
    for (date, seconds) in [
        ((1970, 1, 1), 0),
        ((1999, 12, 31), 946_598_400),
        ((2000, 2, 29), 951_782_400),
        ((2000, 3, 1), 951_868_800),
        ((2026, 11, 25), 1_795_564_800),
        ((2049, 12, 31), 2_524_521_600),
        ((2050, 1, 1), 2_524_608_000),
        ((2100, 3, 1), 4_107_542_400),
        ((4096, 1, 1), 67_090_118_400),
    ] {
        let expected = Validity {
            not_before: 0,
            not_after: seconds,
        };
        let found = validity_of_certificate((1970, 1, 1), date);
        assert_eq!(found, Some(expected), "{date:?}");
    }
}

#[test]
fn malformed_der_has_no_validity_period() {
    for der in [
        &b""[..],
        b"\x30",
        b"\x30\x80\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x03\x30\x01\x02",
    ] {
        assert_eq!(validity(der), None, "{der:?}");
    }
}

#[test]
fn a_time_is_formatted_and_parsed_as_rfc_3339() {
    // `date -u -d @SECONDS +%FT%TZ`
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (946_684_799, "1999-12-31T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_795_650_123, "2026-11-25T23:42:03Z"),
        (4_107_542_399, "2100-02-28T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (67_090_118_400, "4096-01-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(rfc3339(seconds), text);
        assert_eq!(parse_rfc3339(text), Some(seconds));
    }
    for text in [
        "",
        "2026-11-25T23:42:03",
        "2026-11-25T23:42:03.5Z",
        "2026-11-25 23:42:03Z",
        "2026-00-25T23:42:03Z",
        "2026-11-25T23:42:0äZ",
    ] {
        assert_eq!(parse_rfc3339(text), None, "{text}");
    }
}

#[test]
fn all_uris_of_a_certificate_are_parsed() {
    let der_of = |names: &[&str]| {
        let mut params = CertificateParams::default();
        let uris = names.iter();
        params.subject_alt_names = uris
            .map(|uri| SanType::URI((*uri).try_into().expect("a URI")))
            .chain([SanType::DnsName("a.test".try_into().expect("a name"))])
            .collect();
        let key = KeyPair::generate().expect("a key");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    };
    for names in [&[][..], &["spiffe://td/a"], &["spiffe://td/a", "b:c"]] {
        let der = der_of(names);
        assert_eq!(uri_names(&der).as_deref(), Some(names));
        for end in 0..der.len() {
            // Must not panic.
            let _ = uri_names(&der[..end]);
        }
    }
    let mut der = der_of(&["spiffe://td/a", "b:c"]);
    let second = der.windows(3).position(|bytes| bytes == b"b:c");
    der[second.expect("the URI")] = 0xff;
    assert_eq!(uri_names(&der), None);
}
