//! Redirects: targets, bodies, and chains.

use super::{ENDLESS, Expected, FINE, HttpCases, Ports, Step, redirect, send};
use crate::support::TLS;

pub(super) fn add_to(cases: &mut HttpCases, ports: &Ports, status_port: u16) {
    by_code(cases);
    for (name, location, code) in LOCATIONS {
        cases.add(
            &format!("redirect-to-{name}"),
            redirect(302, location),
            Expected::Status(*code),
        );
    }
    to_ports(cases, ports, status_port);
    odd_locations(cases);
    bodies(cases);
    chains(cases);
}

fn by_code(cases: &mut HttpCases) {
    for code in [301, 302, 303, 307, 308] {
        cases.add(
            &format!("redirect-{code}"),
            redirect(code, "/fine"),
            Expected::Status(200),
        );
        let bare = format!("HTTP/1.1 {code} Go\r\nContent-Length: 0\r\n\r\n");
        cases.respond(&format!("redirect-{code}-no-location"), &bare, code);
        let away = redirect(code, "http://localhost:1/x");
        cases.add(
            &format!("redirect-{code}-away"),
            away,
            Expected::Status(code),
        );
    }
    for code in [300, 304, 305, 306] {
        let script = redirect(code, "/fine");
        cases.add(
            &format!("redirect-{code}-not-followed"),
            script,
            Expected::Status(code),
        );
    }
}

/// Locations without one of these ports.
const LOCATIONS: &[(&str, &str, u16)] = &[
    ("relative", "fine", 200),
    ("dots", "./x/../fine", 200),
    ("query", "/fine?a=b&c=%20", 200),
    ("fragment", "/fine#part", 200),
    ("404", "/nowhere", 404),
    ("never", "/never", 504),
    ("blanks", "/fine it is", 404),
    ("bytes", "/fin\u{e9}", 404),
    ("ftp", "ftp://127.0.0.1/x", 502),
    ("mailto", "mailto:someone@example.com", 302),
    ("away-slashes", "//example.invalid/x", 302),
    ("no-host", "http:///fine", 302),
    (
        "away-with-our-name",
        "http://127.0.0.1@example.invalid/x",
        302,
    ),
    ("nothing", "", 302),
    ("bad-port", "http://127.0.0.1:port/x", 502),
    ("port-70000", "http://127.0.0.1:70000/x", 502),
    ("open-bracket", "http://[::1/x", 502),
    ("bad-escape", "/%zz", 502),
    ("colon", ":x", 502),
    ("bad-scheme", "1http://127.0.0.1/x", 502),
    ("blank-in-host", "http://127.0.0.1 /x", 502),
    ("control", "/fi\u{1}ne", 502),
];

/// A name, a Location with one of these ports, and the code.
fn locations_with_ports(ports: &Ports, status_port: u16) -> Vec<(&'static str, String, u16)> {
    let (app, other, dead) = (ports.app, ports.other, ports.refusing);
    let across = ports.across;
    let (ours, theirs) = if ports.is_secure {
        ("https", "http")
    } else {
        ("http", "https")
    };
    // Without the agent, kubelet follows this one into the agent, which probes the app, and so on.
    let own = format!("http://127.0.0.1:{status_port}/app-health/redirect-to-status-port/livez");
    vec![
        ("same-port", format!("{ours}://127.0.0.1:{app}/fine"), 200),
        ("other-port", format!("{ours}://127.0.0.1:{other}/any"), 200),
        (
            "upper-case-scheme",
            format!("{}://127.0.0.1:{other}/any", ours.to_uppercase()),
            200,
        ),
        ("slashes", format!("//127.0.0.1:{other}/any"), 200),
        ("no-path", format!("{ours}://127.0.0.1:{other}"), 200),
        (
            "query-on-host",
            format!("{ours}://127.0.0.1:{other}?a=b"),
            200,
        ),
        (
            "userinfo",
            format!("{ours}://user:word@127.0.0.1:{other}/any"),
            200,
        ),
        ("other-spelling", format!("http://127.1:{app}/fine"), 302),
        ("v6-host", format!("http://[::1]:{app}/fine"), 302),
        ("dead-port", format!("{ours}://127.0.0.1:{dead}/x"), 502),
        ("status-port", own, 502),
        (
            "wrong-scheme",
            format!("{theirs}://127.0.0.1:{other}/any"),
            WRONG_SCHEME,
        ),
        (
            "other-scheme",
            format!("{theirs}://127.0.0.1:{across}/any"),
            OTHER_SCHEME,
        ),
        ("long-path", format!("/{}", "l".repeat(1500)), 404),
        ("login", format!("//user:word@127.0.0.1:{app}/login"), 200),
        (
            "wrong-login",
            format!("//user:w@127.0.0.1:{app}/login"),
            401,
        ),
        ("no-login", "/login".into(), 401),
        ("3-kib", format!("/fine?{}", "l".repeat(3 << 10)), 200),
        ("7-kib", format!("/fine?{}", "l".repeat(7 << 10)), 200),
        ("away-3-kib", away(3 << 10), 302),
        ("away-20-kib", away(20 << 10), 302),
    ]
}

fn to_ports(cases: &mut HttpCases, ports: &Ports, status_port: u16) {
    for (name, location, code) in locations_with_ports(ports, status_port) {
        cases.add(
            &format!("redirect-to-{name}"),
            redirect(302, &location),
            Expected::Status(code),
        );
        // Without TLS the verdicts differ.
        cases.last().is_compared = TLS || !matches!(name, "wrong-scheme" | "other-scheme");
    }
    let demand = Step::Demand("Authorization: Basic dXNlcjp3b3Jk");
    cases.add("login", vec![demand, send(FINE)], Expected::Status(401));
    cases.add(
        "redirect-to-cut",
        redirect(302, "/body-cut-404"),
        Expected::BrokenBody(404),
    );
}

/// Codes for the wrong scheme and the right one. A build without TLS cannot follow to HTTPS.
const WRONG_SCHEME: u16 = if TLS { 502 } else { 501 };
const OTHER_SCHEME: u16 = if TLS { 200 } else { 501 };

/// A redirect to the sign-on page of another host, with a query of this length.
fn away(bytes: usize) -> String {
    format!("https://sso.example/login?to={}", "l".repeat(bytes))
}

fn odd_locations(cases: &mut HttpCases) {
    for (name, fields, code) in [
        (
            "two-locations",
            "Location: /fine\r\nLocation: /nowhere",
            200,
        ),
        ("odd-case-location", "LOCATION:/fine", 200),
        ("location-in-blanks", "Location: \t /fine\t ", 200),
        ("folded-location", "Location:\r\n /fine", 200),
    ] {
        let text = format!("HTTP/1.1 302 Go\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
        cases.respond(&format!("redirect-{name}"), &text, code);
    }
}

/// Go reads up to 2 KiB of a redirect's body before it follows, unless its announced length is larger.
fn bodies(cases: &mut HttpCases) {
    let fine = "HTTP/1.1 302 Go\r\nLocation: /fine\r\n";
    let away = "HTTP/1.1 302 Go\r\nLocation: http://localhost:1/\r\n";
    let bare = "HTTP/1.1 302 Go\r\n";
    let cut = "Content-Length: 99\r\n\r\nmov";
    let chunks = "Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    cases.respond("redirect-until-close", &format!("{fine}\r\nmoved"), 200);
    cases.respond("redirect-cut", &format!("{fine}{cut}"), 200);
    cases.respond("redirect-bad-chunks", &format!("{fine}{chunks}"), 200);
    cases.respond_broken("redirect-away-cut", &format!("{away}{cut}"), 302);
    cases.respond_broken("redirect-no-location-cut", &format!("{bare}{cut}"), 302);
    cases.respond_and_hold(
        "redirect-stalls",
        &format!("{fine}{cut}"),
        Expected::Status(504),
    );
    let open = format!("{fine}\r\nmov");
    cases.respond_and_hold("redirect-stalls-until-close", &open, Expected::Status(504));
    let long = format!("{fine}Content-Length: 5000\r\n\r\nmov");
    cases.respond_and_hold("redirect-long-stalls", &long, Expected::Status(200));
    let enough = format!("{fine}\r\n{}", "x".repeat(2048));
    cases.respond_and_hold("redirect-stalls-at-2048", &enough, Expected::Status(200));
    let flood = Step::Flood(vec![b'x'; 64 * 1024], ENDLESS);
    let script = vec![send(&format!("{fine}\r\n")), flood];
    cases.add("redirect-endless", script, Expected::Status(200));
}

fn chains(cases: &mut HttpCases) {
    for (name, first, expected) in [
        ("redirect-9-times", "/hop-8", 200),
        ("redirect-10-times", "/hop-9", 502),
        ("redirect-loop", "/redirect-loop", 502),
    ] {
        cases.add(name, redirect(302, first), Expected::Status(expected));
    }
    let script = redirect(302, "/redirect-307-away");
    cases.add("redirect-then-away", script, Expected::Status(307));
}
