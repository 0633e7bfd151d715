//! Held against what Go did.

use super::facts::{LOCATIONS, PATHS};
use super::*;

type Out = heapless::Vec<u8, 64>;

fn base<'a>(host: &'a str, request_target: &'a str) -> Base<'a> {
    Base {
        scheme: Scheme::Http,
        host: host.as_bytes(),
        port: 8080,
        port_given: true,
        request_target: request_target.as_bytes(),
    }
}

fn shown(location: &[u8], base: &Base<'_>) -> String {
    let mut out = Out::new();
    match resolve(location, base, &mut out) {
        Err(error) => format!("{error:?}"),
        Ok(Redirect {
            same_host: false, ..
        }) => "Other".into(),
        Ok(to) => {
            let scheme = format!("{:?}", to.scheme).to_lowercase();
            let target = String::from_utf8_lossy(&out);
            format!(
                "{scheme} {} {} {} {target}",
                to.port, to.port_given, to.was_absolute
            )
        }
    }
}

#[test]
fn paths_are_sent_as_kubelet_sends_them() {
    assert!(PATHS.len() > 60);
    for &(path, expected) in PATHS {
        assert_eq!(request_target(path).as_deref(), Ok(expected), "{path:?}");
    }
}

#[test]
fn paths_that_kubelet_reads_as_urls_without_a_host_are_refused() {
    // Observed: kubelet fails each with "no Host in request URL" and sends nothing.
    for path in ["a:b", "a:b/c", "http:x", "http:x?q", "mailto:a@b"] {
        assert_eq!(request_target(path), Err(BadPath::Opaque), "{path:?}");
    }
}

#[test]
fn paths_that_kubelet_turns_into_an_authorization_header_are_refused() {
    for path in ["http://u@other/p", "//u:p@other/p"] {
        assert_eq!(request_target(path), Err(BadPath::UserInfo), "{path:?}");
    }
}

#[test]
fn locations_lead_where_go_goes() {
    for &(host, target, locations) in LOCATIONS {
        for &(location, expected) in locations {
            let location_shown = String::from_utf8_lossy(location);
            assert_eq!(
                shown(location, &base(host, target)),
                expected,
                "{location_shown:?} at {host}{target}"
            );
        }
    }
}

#[test]
fn bytes_of_a_query_go_as_they_are() {
    let mut out = Out::new();
    resolve(b"/x?\xff\xfe", &base("10.0.0.5", "/"), &mut out).expect("a location");
    assert_eq!(out, b"/x?\xff\xfe");
}

#[test]
fn a_relative_location_keeps_scheme_port_and_whether_it_was_named() {
    let base = Base {
        scheme: Scheme::Https,
        port: 443,
        port_given: false,
        ..base("10.0.0.5", "/a")
    };
    assert_eq!(shown(b"b", &base), "https 443 false false /b");
    assert_eq!(shown(b"//10.0.0.5/b", &base), "https 443 false false /b");
    assert_eq!(
        shown(b"//10.0.0.5:8443/b", &base),
        "https 8443 true false /b"
    );
}

#[test]
fn what_does_not_fit_is_an_error_at_every_length() {
    let path = [b'a'; 80];
    for length in 0..path.len() {
        let location = [b"/", &path[..length]].concat();
        let mut out = Out::new();
        let fits = location.len() <= out.capacity();
        let found = resolve(&location, &base("10.0.0.5", "/"), &mut out);
        assert_eq!(found.is_ok(), fits, "{length}");
        if !fits {
            assert_eq!(found, Err(BadLocation::TooLong));
        }
    }
    for location in [&[b' '; 22][..], &[b'?'; 80], &[0xff; 30], b"../../x"] {
        let long = format!("/{}", "b".repeat(60));
        let mut out = Out::new();
        let found = resolve(location, &base("10.0.0.5", &long), &mut out);
        assert!(
            found.is_ok() || found == Err(BadLocation::TooLong),
            "{location:?}"
        );
    }
}

#[test]
fn no_bytes_whatever_make_it_panic() {
    let bytes = b"/.:?#%@[]a0\xff \x01";
    let mut location = Vec::new();
    for seed in 0..40_000_usize {
        location.clear();
        let mut rest = seed * 2_654_435_761;
        for _ in 0..seed % 9 {
            location.push(bytes[rest % bytes.len()]);
            rest /= bytes.len();
        }
        let mut out = Out::new();
        if resolve(&location, &base("a", "/b/c?d"), &mut out).is_ok_and(|to| to.same_host) {
            assert_eq!(out.first(), Some(&b'/'), "{location:?}");
        }
    }
}
