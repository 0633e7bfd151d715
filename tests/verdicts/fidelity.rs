//! The request that the app receives through the agent equals kubelet's direct request, byte for byte.

use crate::support::Outcome;
use crate::support::agent::Setup;
use crate::support::faults::{FINE, answer, redirect};
use crate::support::kubelet::{Kubelet, ProbeRequest};
use crate::support::path_scripted_app::PathScriptedApp;
use probelet::limits;
use std::collections::HashMap;
use std::net::SocketAddr;
use tinyjson::JsonValue;

type Headers = &'static [(&'static str, &'static str)];

/// Where a header of the manifest is after its probe is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderLocation {
    /// Both in the rewritten probe and in the table, as Istio writes it.
    Both,
    /// In the rewritten probe only.
    Probe,
    /// In the table only.
    Table,
}

/// One comparison.
#[derive(Clone, Debug)]
struct Case {
    path: String,
    headers: Headers,
    header_location: HeaderLocation,
    /// The redirect of the first request: status code and Location.
    redirect: Option<(u16, String)>,
}

impl Case {
    fn path(path: &str) -> Self {
        Self {
            path: path.into(),
            headers: &[],
            header_location: HeaderLocation::Both,
            redirect: None,
        }
    }

    /// Whether a request of this case follows one whose URL has a fragment.
    fn has_fragment_in_referer(&self) -> bool {
        let (path, location) = (&self.path, self.redirect.as_ref().map(|(_, l)| l.as_str()));
        match location {
            // This one redirects to itself.
            Some(location) => path.contains('#') || location.starts_with('#'),
            None => false,
        }
    }

    /// The request for kubelet to send there, with the case's headers if `with_headers`.
    fn request(&self, addr: SocketAddr, path: &str, with_headers: bool) -> ProbeRequest {
        let headers = self.headers.iter().filter(|_| with_headers);
        let headers = headers
            .map(|(n, v)| (String::from(*n), String::from(*v)))
            .collect();
        ProbeRequest {
            headers,
            seconds: 5,
            ..ProbeRequest::http(addr, path)
        }
    }

    fn table_entry(&self, container: &str, port: u16) -> (String, JsonValue) {
        let mut get = HashMap::from([
            ("path".to_owned(), JsonValue::from(self.path.clone())),
            ("port".to_owned(), JsonValue::from(f64::from(port))),
        ]);
        if self.header_location != HeaderLocation::Probe && !self.headers.is_empty() {
            let header = |(name, value): &(&str, &str)| {
                let text = |s: &str| JsonValue::from(s.to_owned());
                JsonValue::from(HashMap::from([
                    ("name".to_owned(), text(name)),
                    ("value".to_owned(), text(value)),
                ]))
            };
            let headers: Vec<JsonValue> = self.headers.iter().map(header).collect();
            get.insert("httpHeaders".to_owned(), JsonValue::from(headers));
        }
        let prober = HashMap::from([
            ("httpGet".to_owned(), JsonValue::from(get)),
            ("timeoutSeconds".to_owned(), JsonValue::from(5.0)),
        ]);
        (
            format!("/app-health/{container}/livez"),
            JsonValue::from(prober),
        )
    }
}

/// Probes the app directly and through an agent, case by case, and compares the requests that arrived.
fn compare(cases: &[Case]) -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = PathScriptedApp::start();
    app.set_default(answer(FINE));
    for (path, location) in CHAIN {
        app.on(
            path,
            redirect(302, &location.replace("PORT", &app.port().to_string())),
        );
    }
    let entries = cases.iter().enumerate();
    let table: HashMap<String, JsonValue> = entries
        .map(|(n, case)| case.table_entry(&n.to_string(), app.port()))
        .collect();
    let table = JsonValue::from(table).stringify()?;
    let agent = Setup::new().probers(&table).start()?;
    let mut failures = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        if let Some((code, location)) = &case.redirect {
            app.on(
                "/start",
                redirect(*code, &location.replace("PORT", &app.port().to_string())),
            );
        }
        let direct = case.request(app.addr(), &case.path, true);
        let status_path = format!("/app-health/{n}/livez");
        let through = case.request(
            agent.addr(),
            &status_path,
            case.header_location != HeaderLocation::Table,
        );
        kubelet.verdict(&direct)?;
        let mut expected = heads(&app);
        assert!(
            !expected.is_empty(),
            "kubelet itself sends nothing for {case:?}"
        );
        if case.has_fragment_in_referer() {
            cut_fragments(&mut expected);
        }
        let verdict = kubelet.verdict(&through)?;
        let got = heads(&app);
        if got != expected {
            failures.push(format!(
                "{case:?}:\n  direct  {expected:?}\n  through {got:?}\n  {verdict:?}"
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} requests differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

fn heads(app: &PathScriptedApp) -> Vec<String> {
    let requests = app.take_requests().into_iter();
    requests
        .map(|request| request.head.escape_ascii().to_string())
        .collect()
}

/// Removes fragments from kubelet's requests. This is the only difference: Go leaves the fragment in the `Referer` of a
/// followed redirect, which RFC 9110 section 10.1.3 forbids.
fn cut_fragments(heads: &mut [String]) {
    let mut found = false;
    for head in heads {
        let Some(start) = head.find("Referer: ") else {
            continue;
        };
        let end = start + head[start..].find("\\r").expect("a line ends");
        if let Some(fragment) = head[start..end].find('#') {
            head.replace_range(start + fragment..end, "");
            found = true;
        }
    }
    assert!(found, "Go does not send the fragment: cut nothing");
}

/// The Locations of paths that redirect again.
const CHAIN: &[(&str, &str)] = &[
    ("/on-relative", "/on-absolute"),
    ("/on-absolute", "http://127.0.0.1:PORT/end"),
    ("/on-slashes", "//127.0.0.1:PORT/on-absolute"),
    ("/on-user", "//other:one@127.0.0.1:PORT/on-relative"),
];

const PATHS: &[&str] = &[
    "/",
    "",
    "health",
    "/a b",
    "/%zz",
    "/%",
    "/%7e",
    "/a%2Fb",
    "/x?y=1&z=%20",
    "/x?",
    "?q=1",
    "/x#part",
    "/x?y#part",
    "/x%23part",
    "http://other:99/p?q",
    "http://other",
    "http://[::1",
    "//other/p",
    "///p",
    "/\u{e9}",
    "/\u{e9}?\u{e9}",
    "/a\"b",
    "/a?b c",
    "/a?b'c<d>\"e\"",
    "/a'b(c)*d!",
    "/../x/./y",
    "/a;b=c,d",
    "/a[1]|{2}^`",
    "/a\\b",
    "/a:b@c&d=e+f$g",
    "/a\u{1}b",
    "/a\u{7f}b",
    "/a?b\u{7f}c",
    "/a?b%zz",
    "/a%zz?b",
    "/a b?c d#e f",
    "*",
];

/// The agent sends the path of the table like kubelet.
pub fn paths() -> Outcome {
    compare(
        &PATHS
            .iter()
            .map(|path| Case::path(path))
            .collect::<Vec<_>>(),
    )
}

const HEADERS: &[Headers] = &[
    &[],
    &[("X-One", "1")],
    &[("x-lower", "1"), ("X-UPPER", "2"), ("x_under", "3")],
    &[
        ("X-B", "1"),
        ("X-A", "2"),
        ("Accept-Language", "en"),
        ("Zz", "3"),
        ("A", "4"),
    ],
    &[("X-_b", "1"), ("X-B", "2"), ("X_a", "3"), ("Xa", "4")],
    &[("X-Twice", "1"), ("Between", "2"), ("X-Twice", "3")],
    &[("x-twice", "1"), ("X-Twice", "2")],
    &[("Authorization", "Bearer token"), ("Cookie", "a=b; c=d")],
    &[("Host", "example.com")],
    &[("Host", "example.com:81")],
    &[("host", "lower.example.com")],
    &[
        ("Host", "first.example.com"),
        ("Host", "second.example.com"),
    ],
    &[("Host", "")],
    &[("Accept", "text/plain")],
    &[("accept", "text/plain"), ("Accept", "text/html")],
    &[("Accept", "")],
    &[("Accept-Encoding", "gzip")],
    &[("X-Empty", "")],
    &[("X-Blanks", "  a  b  ")],
    &[("X-Bytes", "\u{e9}")],
    &[("X-Quoted", "\"a\\b\"")],
    &[
        ("Referer", "http://example.com/"),
        ("If-None-Match", "\"a\""),
        ("Range", "bytes=0-1"),
    ],
    &[("Content-Length", "5"), ("Trailer", "X"), ("X", "1")],
    &[
        ("Content-Type", "text/plain"),
        ("Date", "today"),
        ("Via", "1.1 x"),
        ("Expect", "x"),
    ],
];

/// User-Agents that replace kubelet's. In the table alone, only an empty one does.
const USER_AGENTS: &[Headers] = &[
    &[("User-Agent", "me/1.0")],
    &[("User-Agent", "")],
    &[("user-agent", "me/1.0"), ("User-Agent", "you/1.0")],
];

/// The agent sends the headers of the manifest like kubelet, whether they are in the probe, in the table, or in both.
pub fn headers() -> Outcome {
    let case = |headers, header_location| Case {
        headers,
        header_location,
        ..Case::path("/h")
    };
    let with = |header_location| {
        HEADERS
            .iter()
            .map(move |headers| case(headers, header_location))
    };
    compare(&with(HeaderLocation::Both).collect::<Vec<_>>())?;
    compare(&with(HeaderLocation::Table).collect::<Vec<_>>())?;
    let by_probe = with(HeaderLocation::Probe);
    let names = USER_AGENTS.iter();
    let names = names.flat_map(|h| {
        [
            case(h, HeaderLocation::Both),
            case(h, HeaderLocation::Probe),
        ]
    });
    let nameless = case(&[("User-Agent", "")], HeaderLocation::Table);
    compare(&by_probe.chain(names).chain([nameless]).collect::<Vec<_>>())
}

const LOCATIONS: &[&str] = &[
    "/next",
    "next",
    "./x/../next",
    "?x=1",
    "#part",
    "/next#part",
    "/next?a=b c",
    "/a b",
    "/\u{e9}",
    "/a%2Fb",
    "/a?b=\u{e9}",
    "//127.0.0.1:PORT/next",
    "http://127.0.0.1:PORT/next",
    "http://127.0.0.1:PORT",
    "http://127.0.0.1:PORT?q",
    "http://user:word@127.0.0.1:PORT/next",
    "http://user@127.0.0.1:PORT/next",
    "http://@127.0.0.1:PORT/next",
    "//a%3Ab:w%40rd+%C3%A9@127.0.0.1:PORT/next",
    "//user:a:b@127.0.0.1:PORT/next",
    "//user:word@127.0.0.1:PORT/on-relative",
    "//user:word@127.0.0.1:PORT/on-absolute",
    "//user:word@127.0.0.1:PORT/on-user",
];

/// Headers that Go treats specially when it follows a redirect.
const FOLLOWED: &[Headers] = &[
    &[],
    &[
        ("Authorization", "Bearer token"),
        ("Cookie", "a=b"),
        ("X-One", "1"),
    ],
    &[("Host", "example.com")],
    &[("Referer", "http://example.com/")],
    &[("Referer", "")],
    &[("User-Agent", "")],
    &[("Authorization", ""), ("X-One", "1")],
    &[("Authorization", ""), ("authorization", "Bearer token")],
];

/// The agent's request after a redirect is the same as kubelet's.
pub fn redirects() -> Outcome {
    let case = |headers, location: &str, code, path: &str| Case {
        headers,
        redirect: Some((code, location.into())),
        ..Case::path(path)
    };
    let locations: Vec<Case> = LOCATIONS
        .iter()
        .map(|location| case(&[], location, 302, "/start?from=1"))
        .collect();
    compare(&locations)?;
    let mut cases = Vec::new();
    for headers in FOLLOWED {
        for location in [
            "/next",
            "http://127.0.0.1:PORT/next",
            "/on-slashes",
            "http://user:word@127.0.0.1:PORT/on-relative",
        ] {
            for header_location in [HeaderLocation::Both, HeaderLocation::Table] {
                cases.push(Case {
                    header_location,
                    ..case(headers, location, 302, "/start")
                });
            }
        }
    }
    cases.extend(["/start#part", "/start?q#part"].map(|path| case(&[], "/next", 302, path)));
    let long = format!("/{}?q", "l".repeat(7 * 1024));
    cases.push(case(&[], &long, 302, "/start"));
    cases.extend([301, 303, 307, 308].map(|code| case(&[], "/next", code, "/start")));
    cases.chunks(limits::PROBERS).try_for_each(compare)
}
