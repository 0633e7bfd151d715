//! Every rule of the probers' JSON, by the text a person would read.

use super::*;
use core::time::Duration;

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

/// What is said of an entry `/app-health/web/livez` with this value.
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

fn http(value: &str) -> HttpGet {
    match entry(&format!(r#"{{"httpGet":{value}}}"#)).action {
        Action::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_istio_writes_is_read() {
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
    let Action::Http(get) = &ready.action else {
        panic!("{ready:?}")
    };
    assert_eq!(
        (get.scheme, get.port, &*get.request_target),
        (Scheme::Https, 8002, "/foo?a=b&c")
    );
    assert_eq!(get.host.as_deref(), Some("app.example"));
    let headers: Vec<_> = get.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers, [("X-A", "1"), ("X-B", "2")]);
    let action = |path: &[u8]| &probers.find(path).expect("an entry").1.action;
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
    assert!(matches!(&hook.action, Action::Http(get) if &*get.request_target == "/"));
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
fn nothing_is_an_empty_table() {
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
fn each_member_that_is_wrong_is_named_with_what_to_write() {
    const PORT: &str =
        "but a port must be a number from 1 to 65535: write the container port's number";
    for (value, expected) in [
        (
            r#"{"httpGet":{"port":"http"}}"#,
            format!(r#"httpGet.port is "http", {PORT}"#),
        ),
        (
            r#"{"httpGet":{"port":"8080"}}"#,
            format!(r#"httpGet.port is "8080", {PORT}"#),
        ),
        (
            r#"{"httpGet":{"port":0}}"#,
            format!("httpGet.port is 0, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":-1}}"#,
            format!("httpGet.port is -1, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":65536}}"#,
            format!("httpGet.port is 65536, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":80.0}}"#,
            format!("httpGet.port is 80.0, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":8e1}}"#,
            format!("httpGet.port is 8e1, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":true}}"#,
            format!("httpGet.port is true, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":[80]}}"#,
            format!("httpGet.port is a list, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":{"a":1}}}"#,
            format!("httpGet.port is an object, {PORT}"),
        ),
        (
            r#"{"httpGet":{"port":null}}"#,
            format!("httpGet.port is missing, {PORT}"),
        ),
        (
            r#"{"httpGet":{}}"#,
            format!("httpGet.port is missing, {PORT}"),
        ),
        (
            r#"{"tcpSocket":{}}"#,
            format!("tcpSocket.port is missing, {PORT}"),
        ),
        (
            r#"{"tcpSocket":{"port":"db"}}"#,
            format!(r#"tcpSocket.port is "db", {PORT}"#),
        ),
        (
            r#"{"grpc":{"service":""}}"#,
            format!("grpc.port is missing, {PORT}"),
        ),
        (
            r#"{"grpc":{"port":"9000"}}"#,
            format!(r#"grpc.port is "9000", {PORT}"#),
        ),
    ] {
        assert_eq!(entry_refusal(value), expected);
    }
    for (value, expected) in [
        (
            "null",
            r#"the value is null, but a prober must be an object: write {"httpGet":{"path":"/healthz","port":8080}}"#,
        ),
        (
            "[]",
            r#"the value is a list, but a prober must be an object: write {"httpGet":{"path":"/healthz","port":8080}}"#,
        ),
        (
            r#"{"httpGet":8080}"#,
            r#"httpGet is 8080, but must be an object: write {"path":"/healthz","port":8080}"#,
        ),
        (
            r#"{"tcpSocket":8080}"#,
            r#"tcpSocket is 8080, but must be an object: write {"port":8080}"#,
        ),
        (
            r#"{"grpc":"x"}"#,
            r#"grpc is "x", but must be an object: write {"port":8080}"#,
        ),
        (
            r#"{"timeoutSeconds":-1}"#,
            "timeoutSeconds is -1, but must be a whole number of seconds: write 1 or more, or leave it out for 1",
        ),
        (
            r#"{"timeoutSeconds":1.5}"#,
            "timeoutSeconds is 1.5, but must be a whole number of seconds: write 1 or more, or leave it out for 1",
        ),
        (
            r#"{"timeoutSeconds":"1"}"#,
            r#"timeoutSeconds is "1", but must be a whole number of seconds: write 1 or more, or leave it out for 1"#,
        ),
        (
            r#"{"httpGet":{"path":1}}"#,
            "httpGet.path is 1, but must be a string: write it in double quotes",
        ),
        (
            r#"{"httpGet":{"path":"http://u:p@h/"}}"#,
            r#"httpGet.path is "http://u:p@h/", but may not carry a user: write the path alone, and an Authorization header into httpHeaders"#,
        ),
        (
            r#"{"httpGet":{"path":"a:b"}}"#,
            r#"httpGet.path is "a:b", which kubelet reads as a URL without a host and never sends: write it with a leading slash"#,
        ),
        (
            r#"{"httpGet":{"scheme":"ftp"}}"#,
            r#"httpGet.scheme is "ftp", but must be HTTP or HTTPS: write "HTTP", or leave it out"#,
        ),
        (
            r#"{"httpGet":{"protocol":"HTTP3"}}"#,
            r#"httpGet.protocol is "HTTP3", but must be HTTP1 or HTTP2: write "HTTP1", or leave it out"#,
        ),
        (
            r#"{"grpc":{"mode":"mtls"}}"#,
            r#"grpc.mode is "mtls", but must be Plaintext or TLS: write "Plaintext", or leave it out"#,
        ),
        (
            r#"{"grpc":{"service":1}}"#,
            "grpc.service is 1, but must be a string: write it in double quotes",
        ),
        (
            r#"{"httpGet":{"httpHeaders":{"X-A":"1"}}}"#,
            r#"httpGet.httpHeaders is an object, but must be a list: write [{"name":"X-Probe","value":"1"}]"#,
        ),
        (
            r#"{"httpGet":{"httpHeaders":["X-A"]}}"#,
            r#"one of httpHeaders is "X-A", but must be an object: write {"name":"X-Probe","value":"1"}"#,
        ),
        (
            r#"{"httpGet":{"httpHeaders":[{"value":"1"}]}}"#,
            "httpHeaders.name is missing, but a header's name must be a token: write letters, digits and '-', such as X-Probe",
        ),
        (
            r#"{"httpGet":{"httpHeaders":[{"name":"X A"}]}}"#,
            r#"httpHeaders.name is "X A", but a header's name must be a token: write letters, digits and '-', such as X-Probe"#,
        ),
        (
            r#"{"httpGet":{"httpHeaders":[{"name":"X","value":"a\r\nb"}]}}"#,
            r#"httpHeaders.value is "a\r\nb", but a header's value may not have control characters: write it without line breaks"#,
        ),
        (
            r#"{"httpGet":{"httpHeaders":[{"name":"X","value":1}]}}"#,
            "httpHeaders.value is 1, but must be a string: write it in double quotes",
        ),
        (
            r#"{}"#,
            "it has nothing to probe: write one of httpGet, tcpSocket and grpc",
        ),
        (
            r#"{"httpGet":null,"exec":{}}"#,
            "it has nothing to probe: write one of httpGet, tcpSocket and grpc",
        ),
        (
            r#"{"grpc":{"port":1},"tcpSocket":{"port":1}}"#,
            "it has more than one of httpGet, tcpSocket and grpc: write one and leave out the others",
        ),
        (
            r#"{"grpc":{"port":1},"grpc":{"port":1}}"#,
            "grpc stands there twice: write it once",
        ),
        (
            r#"{"grpc":{"port":1,"port":1}}"#,
            "grpc.port stands there twice: write it once",
        ),
        (
            r#"{"httpGet":{"Path":"/a","path":null}}"#,
            "httpGet.path stands there twice: write it once",
        ),
    ] {
        assert_eq!(entry_refusal(value), expected);
    }
}

#[test]
fn a_long_value_is_shown_in_part() {
    let value = format!(r#"{{"httpGet":{{"port":"{}"}}}}"#, "é".repeat(500));
    let text = entry_refusal(&value);
    assert!(
        text.starts_with(&format!("httpGet.port is \"{}..., but", "é".repeat(59))),
        "{text}"
    );
}

#[test]
fn a_key_may_stand_there_once() {
    let one = r#""/app-health/web/livez":{"tcpSocket":{"port":1}}"#;
    assert_eq!(
        refusal(&format!("{{{one},{one}}}")),
        r#"prober "/app-health/web/livez": the key stands there twice: write it once"#
    );
    // The same key, one spelt with an escape.
    let other = one.replace("web", r"\u0077eb");
    assert!(refusal(&format!("{{{one},{other}}}")).contains("twice"));
}

#[test]
fn kubelet_fails_hooks_that_are_not_http_and_so_does_the_configuration() {
    for (kind, text) in [("tcpSocket", "tcpSocket"), ("grpc", "grpc")] {
        assert_eq!(
            refusal(&format!(
                r#"{{"/app-lifecycle/web/prestopz":{{"{kind}":{{"port":1}}}}}}"#
            )),
            format!(
                r#"prober "/app-lifecycle/web/prestopz": a lifecycle hook is {text}, which kubelet always fails: write httpGet"#
            )
        );
    }
}

#[test]
fn as_many_probers_as_fit_are_taken_and_no_more() {
    let table = |count: usize| {
        let one = |i| format!(r#""/app-health/c{i}/livez":{{"tcpSocket":{{"port":1}}}}"#);
        format!("{{{}}}", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(
        parse(&table(limits::PROBERS)).expect("64").len(),
        limits::PROBERS
    );
    assert_eq!(
        refusal(&table(limits::PROBERS + 1)),
        "there are more than 64 probers: leave out those of containers that need no mesh certificate"
    );
}

#[test]
fn text_that_is_too_long_or_no_table_is_refused() {
    let long = " ".repeat(limits::PROBERS_JSON_BYTES + 1);
    assert_eq!(
        refusal(&long),
        "probers are 131073 bytes of JSON, but at most 131072 are read: leave out what no container has"
    );
    for text in ["[]", "1", r#""{}""#, "true"] {
        assert_eq!(
            refusal(text),
            r#"probers must be one JSON object: write {"/app-health/web/livez":{"httpGet":{"port":8080}}}"#
        );
    }
}

#[test]
fn broken_json_is_told_with_its_place() {
    assert_eq!(
        refusal("{\n\"/app-health/web/livez\": {\"httpGet\" {}}}"),
        "probers are not JSON: line 2, column 37: a ':' must follow the key"
    );
    assert_eq!(
        refusal("{} {}"),
        "probers are not JSON: line 1, column 4: nothing may follow the closing '}'"
    );
}

#[test]
fn every_cut_of_the_text_is_refused() {
    for end in 1..ISTIO.len() {
        assert!(parse(&ISTIO[..end]).is_err(), "{end}");
    }
}

#[test]
fn unknown_members_and_nulls_are_passed_over() {
    let get = http(
        r#"{"x":[{"port":"a"},[]],"PORT":80,"path":null,"scheme":null,"httpHeaders":null,"host":7}"#,
    );
    assert_eq!(
        (get.port, &*get.request_target, get.scheme),
        (80, "/", Scheme::Http)
    );
    let prober =
        entry(r#"{"httpGet":{"port":1},"grpc":null,"tcpSocket":null,"timeoutSeconds":null}"#);
    assert_eq!(prober.timeout, limits::PROBE_TIMEOUT);
}

#[test]
fn a_timeout_of_0_is_the_default_and_a_huge_one_is_cut() {
    let timeout = |seconds: &str| {
        entry(&format!(
            r#"{{"tcpSocket":{{"port":1}},"timeoutSeconds":{seconds}}}"#
        ))
        .timeout
    };
    assert_eq!(timeout("0"), limits::PROBE_TIMEOUT);
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
    let action = entry(r#"{"grpc":{"port":1,"service":"a.B","mode":"TLS"}}"#).action;
    assert!(matches!(action, Action::Grpc { tls: true, service, .. } if &*service == "a.B"));
}

#[test]
fn header_values_are_trimmed_and_may_have_tabs() {
    let get = http(r#"{"port":1,"httpHeaders":[{"name":"x-a","value":" a\tb "},{"name":"X-B"}]}"#);
    let headers: Vec<_> = get.headers.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers, [("X-A", "a\tb"), ("X-B", "")]);
}
