//! Errors of probers.

use super::*;

/// A prober, and the start of its error, before `PORT`.
const WRONG_PORTS: &[(&str, &str)] = &[
    (
        r#"{"httpGet":{"port":"http"}}"#,
        r#"httpGet.port is "http""#,
    ),
    (
        r#"{"httpGet":{"port":"8080"}}"#,
        r#"httpGet.port is "8080""#,
    ),
    (r#"{"httpGet":{"port":0}}"#, "httpGet.port is 0"),
    (r#"{"httpGet":{"port":-1}}"#, "httpGet.port is -1"),
    (r#"{"httpGet":{"port":65536}}"#, "httpGet.port is 65536"),
    (r#"{"httpGet":{"port":80.0}}"#, "httpGet.port is 80.0"),
    (r#"{"httpGet":{"port":8e1}}"#, "httpGet.port is 8e1"),
    (r#"{"httpGet":{"port":true}}"#, "httpGet.port is true"),
    (r#"{"httpGet":{"port":[80]}}"#, "httpGet.port is a list"),
    (
        r#"{"httpGet":{"port":{"a":1}}}"#,
        "httpGet.port is an object",
    ),
    (r#"{"httpGet":{"port":null}}"#, "httpGet.port is missing"),
    (r#"{"httpGet":{}}"#, "httpGet.port is missing"),
    (r#"{"tcpSocket":{}}"#, "tcpSocket.port is missing"),
    (
        r#"{"tcpSocket":{"port":"db"}}"#,
        r#"tcpSocket.port is "db""#,
    ),
    (r#"{"grpc":{"service":""}}"#, "grpc.port is missing"),
    (r#"{"grpc":{"port":"9000"}}"#, r#"grpc.port is "9000""#),
];

#[test]
fn the_error_of_an_invalid_port_says_what_to_write() {
    const PORT: &str =
        "but a port must be a number from 1 to 65535: write the container port's number";
    for &(value, expected) in WRONG_PORTS {
        assert_eq!(entry_refusal(value), format!("{expected}, {PORT}"));
    }
}

const WRONG_MEMBERS: &[(&str, &str)] = &[
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
        r#"{"target":"127.0.0.1"}"#,
        r#"target is "127.0.0.1", but must be loopback or localhost: write "loopback", or leave it out for --target-ip"#,
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
        r#"{"httpGet":{"port":1,"scheme":"HTTPS","protocol":"HTTP2"}}"#,
        "httpGet.protocol is HTTP2 with scheme HTTPS, which Kubernetes rejects: leave protocol out, HTTPS probes speak HTTP/2 wherever the app does",
    ),
    (
        r#"{"grpc":{"mode":"mtls"}}"#,
        r#"grpc.mode is "mtls", but must be Plaintext or TLS: write "Plaintext", or leave it out"#,
    ),
    (
        r#"{"grpc":{"service":1}}"#,
        "grpc.service is 1, but must be a string: write it in double quotes",
    ),
];

#[test]
fn the_error_of_an_invalid_member_says_what_to_write() {
    for &(value, expected) in WRONG_MEMBERS {
        assert_eq!(entry_refusal(value), expected);
    }
}

#[test]
fn the_error_of_an_invalid_header_says_what_to_write() {
    for (value, expected) in [
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
    ] {
        assert_eq!(entry_refusal(value), expected);
    }
}

#[test]
fn an_entry_has_one_kind_and_each_member_once() {
    for (value, expected) in [
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
            "grpc is given twice: write it once",
        ),
        (
            r#"{"grpc":{"port":1,"port":1}}"#,
            "grpc.port is given twice: write it once",
        ),
        (
            r#"{"httpGet":{"Path":"/a","path":null}}"#,
            "httpGet.path is given twice: write it once",
        ),
    ] {
        assert_eq!(entry_refusal(value), expected);
    }
}

#[test]
fn a_long_value_is_shortened_in_the_error() {
    let value = format!(r#"{{"httpGet":{{"port":"{}"}}}}"#, "é".repeat(500));
    let text = entry_refusal(&value);
    assert!(
        text.starts_with(&format!("httpGet.port is \"{}..., but", "é".repeat(59))),
        "{text}"
    );
}

#[test]
fn a_repeated_key_is_refused() {
    let one = r#""/app-health/web/livez":{"tcpSocket":{"port":1}}"#;
    assert_eq!(
        refusal(&format!("{{{one},{one}}}")),
        r#"prober "/app-health/web/livez": the key is given twice: write it once"#
    );
    // The same key, one spelt with an escape.
    let other = one.replace("web", r"\u0077eb");
    assert!(refusal(&format!("{{{one},{other}}}")).contains("twice"));
}

#[test]
fn hooks_other_than_http_get_are_refused() {
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
fn the_number_of_probers_is_limited() {
    let table = |count: usize| {
        let one = |i| format!(r#""/app-health/c{i}/livez":{{"tcpSocket":{{"port":1}}}}"#);
        format!("{{{}}}", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    assert_eq!(
        parse(&table(limits::PROBERS)).expect("64").len(),
        limits::PROBERS
    );
    assert_eq!(
        refusal(&table(limits::PROBERS + 3)),
        "there are 67 probers, but at most 64 are supported: leave out containers that kubelet can probe itself \
         (annotation probelet.dev/exclude-containers)"
    );
}

#[test]
fn text_that_is_too_long_or_not_an_object_is_refused() {
    let long = " ".repeat(limits::PROBERS_JSON_BYTES + 1);
    assert_eq!(
        refusal(&long),
        "probers are 131073 bytes of JSON, but at most 131072 are supported: shorten httpHeaders, or remove probers"
    );
    for text in ["[]", "1", r#""{}""#, "true"] {
        assert_eq!(
            refusal(text),
            r#"probers must be one JSON object: write {"/app-health/web/livez":{"httpGet":{"port":8080}}}"#
        );
    }
}

#[test]
fn the_error_of_invalid_json_has_its_position() {
    assert_eq!(
        refusal("{\n\"/app-health/web/livez\": {\"httpGet\" {}}}"),
        "probers are not JSON: line 2, column 37: expected ':' after the key"
    );
    assert_eq!(
        refusal("{} {}"),
        "probers are not JSON: line 1, column 4: unexpected text after the value"
    );
}

#[test]
fn every_truncation_of_the_text_is_refused() {
    for end in 1..ISTIO.len() {
        assert!(parse(&ISTIO[..end]).is_err(), "{end}");
    }
}
