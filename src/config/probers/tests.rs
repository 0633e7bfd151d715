//! Every rule of the probers' JSON, by the text a person would read.

use super::*;
use crate::config::{Action, HttpGet, Protocol, Scheme};
use core::time::Duration;

mod own_members;
mod refused;

/// As Istio's injector writes it: Go's own JSON of a pod with three containers.
const ISTIO: &str = concat!(
    r#"{"/app-health/liveness-http/livez":{"httpGet":{"path":"/foo","port":8001,"scheme":"HTTP"},"timeoutSeconds":1},"#,
    r#""/app-health/liveness-http/readyz":{"httpGet":{"path":"foo?a=b\u0026c","port":8002,"host":"169.254.169.254","scheme":"HTTPS","httpHeaders":[{"name":"x-b","value":"2"},{"name":"Host","value":"app.example"},{"name":"X-A","value":"1"}]},"timeoutSeconds":5},"#,
    r#""/app-health/db/startupz":{"tcpSocket":{"port":5432},"timeoutSeconds":10},"#,
    r#""/app-health/rpc/readyz":{"grpc":{"port":9000,"service":null}},"#,
    r#""/app-lifecycle/db/prestopz":{"httpGet":{"port":8080}}}"#,
);

fn parse(text: &str) -> Result<Probers, String> {
    Probers::parse(text).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    parse(text)
        .err()
        .unwrap_or_else(|| panic!("{text} was taken"))
}

/// The error of an entry `/app-health/web/livez` with this value.
fn entry_refusal(value: &str) -> String {
    let text = refusal(&format!(r#"{{"/app-health/web/livez":{value}}}"#));
    let rest = text.strip_prefix(r#"prober "/app-health/web/livez": "#);
    rest.unwrap_or_else(|| panic!("{text:?} names no prober"))
        .into()
}

/// The prober of an entry with this value.
fn entry(value: &str) -> Prober {
    let probers = parse(&format!(r#"{{"/app-health/web/livez":{value}}}"#)).expect(value);
    let mut list = probers.0.into_vec();
    list.pop().expect("one entry")
}

/// What the only handler of a prober does.
fn action(prober: Prober) -> Action {
    let mut handlers = prober.handlers.into_vec();
    handlers.pop().expect("one handler").action
}

fn http(value: &str) -> HttpGet {
    match action(entry(&format!(r#"{{"httpGet":{value}}}"#))) {
        Action::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

#[test]
fn probers_of_istios_injector_are_read() {
    let probers = parse(ISTIO).expect("Istio's own");
    assert_eq!(probers.len(), 5);
    let (index, ready) = probers
        .find(b"/app-health/liveness-http/readyz")
        .expect("readyz");
    assert_eq!(
        probers.iter().nth(index).map(|prober| &*prober.path),
        Some(&*ready.path)
    );
    assert_eq!(
        (ready.timeout, ready.is_hook),
        (Duration::from_secs(5), false)
    );
    let Action::Http(get) = &ready.handlers[0].action else {
        panic!("{ready:?}")
    };
    assert_eq!(
        (get.scheme, get.port, &*get.request_target),
        (Scheme::Https, 8002, "/foo?a=b&c")
    );
    assert_eq!(get.host.as_deref(), Some("app.example"));
    let headers: Vec<_> = get.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers, [("X-A", "1"), ("X-B", "2")]);
    let action = |path: &[u8]| &probers.find(path).expect("an entry").1.handlers[0].action;
    assert!(matches!(
        action(b"/app-health/db/startupz"),
        Action::Tcp { port: 5432 }
    ));
    let grpc = action(b"/app-health/rpc/readyz");
    assert!(matches!(grpc, Action::Grpc { port: 9000, service, tls: false } if service.is_empty()));
    let hook = probers
        .find(b"/app-lifecycle/db/prestopz")
        .expect("a hook")
        .1;
    assert!(hook.is_hook);
    assert!(matches!(&hook.handlers[0].action, Action::Http(get) if &*get.request_target == "/"));
}

#[test]
fn each_entry_is_found_by_its_whole_path_and_nothing_else() {
    let probers = parse(ISTIO).expect("Istio's own");
    for (index, prober) in probers.iter().enumerate() {
        assert_eq!(
            probers.find(prober.path.as_bytes()).map(|found| found.0),
            Some(index)
        );
    }
    for path in [
        &b"/app-health/db/startupz?a"[..],
        b"/app-health/db/startupz/",
        b"/app-health/db/startup",
        b"/App-health/db/startupz",
        b"",
        b"/",
        b"\xff",
    ] {
        assert!(probers.find(path).is_none(), "{path:?}");
    }
}

#[test]
fn empty_text_is_an_empty_table() {
    for text in ["", " \n", "null", "{}", " { } "] {
        assert!(parse(text).expect(text).is_empty());
    }
}

#[test]
fn the_keys_are_istios_paths() {
    for key in [
        "/app-health/a/livez",
        "/app-lifecycle/a-b.c_d/poststartz",
        "/app-health/%20!$&'()*+,;=:@~[]/prestopz",
    ] {
        let probers = parse(&format!(r#"{{"{key}":{{"httpGet":{{"port":1}}}}}}"#)).expect(key);
        let is_hook = probers.iter().all(|prober| prober.is_hook);
        assert_eq!(is_hook, key.starts_with("/app-lifecycle/"));
    }
    for key in [
        "",
        "/",
        "/app-health/web",
        "/app-health//livez",
        "/app-health/a/b/livez",
        "/app-health/web/livez/",
        "/app-health/web/healthz",
        "app-health/web/livez",
        "/app-healthy/web/livez",
        "/x/app-health/web/livez",
        "/app-health/web/livez?a",
    ] {
        assert_eq!(
            refusal(&format!(r#"{{"{key}":{{"httpGet":{{"port":1}}}}}}"#)),
            format!(
                "prober {key:?}: the key must be /app-health/CONTAINER/ or /app-lifecycle/CONTAINER/ \
                 and one of livez, readyz, startupz, prestopz, poststartz: write a key such as \
                 /app-health/web/livez"
            )
        );
    }
}

/// A key is compared with a request's path, which has the bytes of a URI.
#[test]
fn a_key_that_no_request_can_reach_is_refused() {
    for container in [
        "a b", "é", "a?b", "a#b", "a\u{7f}", "a|b", "a^b", "a<", "a`", "a{b}",
    ] {
        let key = format!("/app-health/{container}/livez");
        let text = refusal(&format!(r#"{{"{key}":{{"httpGet":{{"port":1}}}}}}"#));
        assert!(
            text.ends_with(
                ": no request has such a path: write the container's name with letters, digits and \
                 '-', such as /app-health/web/livez"
            ),
            "{text}"
        );
    }
}

#[test]
fn unknown_members_and_nulls_are_ignored() {
    let get = http(
        r#"{"x":[{"port":"a"},[]],"PORT":80,"path":null,"scheme":null,"httpHeaders":null,"host":7}"#,
    );
    assert_eq!(
        (get.port, &*get.request_target, get.scheme),
        (80, "/", Scheme::Http)
    );
    let prober =
        entry(r#"{"httpGet":{"port":1},"grpc":null,"tcpSocket":null,"timeoutSeconds":null}"#);
    assert_eq!(prober.timeout, limits::DEFAULT_PROBE_TIMEOUT);
}

#[test]
fn a_timeout_of_0_is_the_default_and_a_huge_one_is_capped() {
    let timeout = |seconds: &str| {
        entry(&format!(
            r#"{{"tcpSocket":{{"port":1}},"timeoutSeconds":{seconds}}}"#
        ))
        .timeout
    };
    assert_eq!(timeout("0"), limits::DEFAULT_PROBE_TIMEOUT);
    assert_eq!(timeout("7"), Duration::from_secs(7));
    for huge in ["86401", "2147483648", "99999999999999999999999"] {
        assert_eq!(timeout(huge), limits::PROBE_TIMEOUT_MAX);
    }
}

#[test]
fn scheme_protocol_and_mode_are_read_in_any_case() {
    for (text, scheme) in [
        ("", Scheme::Http),
        ("http", Scheme::Http),
        ("HTTPS", Scheme::Https),
        ("Https", Scheme::Https),
    ] {
        assert_eq!(
            http(&format!(r#"{{"port":1,"scheme":"{text}"}}"#)).scheme,
            scheme
        );
    }
    assert_eq!(http(r#"{"port":1}"#).protocol, Protocol::Http1);
    assert_eq!(
        http(r#"{"port":1,"protocol":"HTTP2"}"#).protocol,
        Protocol::Http2
    );
    let action = action(entry(r#"{"grpc":{"port":1,"service":"a.B","mode":"TLS"}}"#));
    assert!(matches!(action, Action::Grpc { tls: true, service, .. } if &*service == "a.B"));
}

#[test]
fn header_values_are_trimmed_and_may_have_tabs() {
    let get = http(r#"{"port":1,"httpHeaders":[{"name":"x-a","value":" a\tb "},{"name":"X-B"}]}"#);
    let headers: Vec<_> = get.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers, [("X-A", "a\tb"), ("X-B", "")]);
}
