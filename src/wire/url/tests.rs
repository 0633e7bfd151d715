//! Compares URL parsing with what Go did.

use super::facts::{LOCATIONS, PATHS};
use super::*;

const ROOM: usize = 64;

fn base<'a>(host: &'a str, request_target: &'a str) -> Base<'a> {
    Base {
        scheme: Scheme::Http,
        host: host.as_bytes(),
        port: 8080,
        has_port: true,
        request_target: request_target.as_bytes(),
    }
}

fn shown(location: &[u8], base: &Base<'_>) -> String {
    let mut out = [0; ROOM];
    match resolve_location(location, base, &mut out) {
        Err(error) => format!("{error:?}"),
        Ok(Resolved::OtherHost) => "Other".into(),
        Ok(Resolved::SameHost { redirect: to, .. }) => {
            let scheme = format!("{:?}", to.scheme).to_lowercase();
            let target = String::from_utf8_lossy(&out[..to.target_len]);
            format!(
                "{scheme} {} {} {} {target}",
                to.port, to.has_port, to.was_absolute
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
fn locations_are_resolved_as_go_resolves_them() {
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
fn bytes_of_a_query_are_not_escaped() {
    let mut out = [0; ROOM];
    let found = resolve_location(b"/x?\xff\xfe", &base("10.0.0.5", "/"), &mut out);
    let Ok(Resolved::SameHost { redirect, .. }) = found else {
        panic!("{found:?}");
    };
    assert_eq!(&out[..redirect.target_len], b"/x?\xff\xfe");
}

#[test]
fn a_relative_location_inherits_scheme_and_port() {
    let base = Base {
        scheme: Scheme::Https,
        port: 443,
        has_port: false,
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
fn a_target_that_does_not_fit_is_an_error_at_every_length() {
    let path = [b'a'; 80];
    for length in 0..path.len() {
        let location = [b"/", &path[..length]].concat();
        let mut out = [0; ROOM];
        let fits = location.len() <= ROOM;
        let found = resolve_location(&location, &base("10.0.0.5", "/"), &mut out);
        assert_eq!(found.is_ok(), fits, "{length}");
        if !fits {
            assert_eq!(found, Err(BadLocation::TooLong));
        }
    }
    for location in [&[b' '; 22][..], &[b'?'; 80], &[0xff; 30], b"../../x"] {
        let long = format!("/{}", "b".repeat(60));
        let mut out = [0; ROOM];
        let found = resolve_location(location, &base("10.0.0.5", &long), &mut out);
        assert!(
            found.is_ok() || found == Err(BadLocation::TooLong),
            "{location:?}"
        );
    }
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let bytes = b"/.:?#%@[]a0\xff \x01";
    let mut location = Vec::new();
    for seed in 0..40_000_u64 {
        location.clear();
        let mut rest = seed * 2_654_435_761;
        for _ in 0..seed % 9 {
            let index = rest % bytes.len() as u64;
            location.push(bytes[index as usize]);
            rest /= bytes.len() as u64;
        }
        let mut out = [0; ROOM];
        let found = resolve_location(&location, &base("a", "/b/c?d"), &mut out);
        if matches!(found, Ok(Resolved::SameHost { .. })) {
            assert_eq!(out[0], b'/', "{location:?}");
        }
        leads_to_other_host(&location, b"a");
    }
}

/// The decoded credentials of a `Location`, or how its user is determined.
fn user(location: &[u8]) -> String {
    let mut out = [0; ROOM];
    match resolve_location(location, &base("10.0.0.5", "/a"), &mut out) {
        Ok(Resolved::SameHost {
            user: UserInfo::Given(user),
            ..
        }) => {
            let len = decode_credentials(user, &mut out).expect("fits");
            String::from_utf8_lossy(&out[..len]).into()
        }
        Ok(Resolved::SameHost { user, .. }) => format!("{user:?}"),
        Ok(Resolved::OtherHost) => "Other".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// As Go's `url.Parse` does, and `ResolveReference` for a relative one.
#[test]
fn a_user_is_decoded_and_a_relative_location_inherits_it() {
    for (location, expected) in [
        ("/x", "Inherited"),
        ("?x", "Inherited"),
        ("//10.0.0.5/x", "None"),
        ("http://10.0.0.5/x", "None"),
        ("http://user:word@10.0.0.5/x", "user:word"),
        ("//user@10.0.0.5/x", "user:"),
        ("//@10.0.0.5/x", ":"),
        ("//:@10.0.0.5/x", ":"),
        ("//:word@10.0.0.5/x", ":word"),
        ("//a:b:c@10.0.0.5/x", "a:b:c"),
        ("//a%3Ab:c%40+@10.0.0.5/x", "a:b:c@+"),
        ("//a@b@10.0.0.5/x", "a@b:"),
        ("//a%3Ab@10.0.0.5/x", "a:b:"),
        ("//a%:b@10.0.0.5/x", "Malformed"),
    ] {
        assert_eq!(user(location.as_bytes()), expected, "{location}");
    }
    assert_eq!(decode_credentials(b"user", &mut [0; 4]), None);
}

#[test]
fn the_start_of_a_location_leads_to_another_host_if_its_complete_authority_does() {
    for (start, expected) in [
        ("http://sso.example/login?to=", true),
        ("http://sso.example?", true),
        ("http://sso.example#", true),
        ("//sso.example/", true),
        ("http://u:10.0.0.5@sso.example/", true),
        ("http://10.0.0.5@sso.example/", true),
        ("http:///x", true),
        ("mailto:somebody", true),
        ("http://sso.example/%4", true),
        ("http://sso.example/%", true),
        ("http://sso.example/%zz/", false),
        ("http:/x", true),
        ("http:", false),
        ("http:/", false),
        ("http://", false),
        ("http://sso.exam", false),
        ("//sso.exam", false),
        ("http://u:%4", false),
        ("http://10.0.0.5", false),
        ("http://10.0.0.5/x", false),
        ("http://u@10.0.0.5:80/x", false),
        ("http://10.0.0.%35/x", false),
        ("http://[::1/x", false),
        ("/x?to=http://sso.example/", false),
        ("x//sso.example/", false),
        ("///sso.example/", false),
        ("", false),
    ] {
        assert_eq!(
            leads_to_other_host(start.as_bytes(), b"10.0.0.5"),
            expected,
            "{start}"
        );
    }
}
