//! Members of a prober that Istio's do not have.

use super::*;

const HTTP: &str = r#""httpGet":{"port":1}"#;
const TCP: &str = r#""tcpSocket":{"port":2}"#;

fn with(members: &str) -> HttpGet {
    match action(entry(&format!("{{{HTTP},{members}}}"))) {
        Action::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

#[test]
fn redirects_and_expectations_are_read() {
    let plain = http(r#"{"port":1}"#);
    assert!(plain.follows_redirects && plain.expect.is_none());
    assert!(!with(r#""redirects":"none""#).follows_redirects);
    let expect = with(r#""expect":{"status":"200-299,401","body":"ok"}"#).expect;
    let expect = expect.expect("an expectation");
    assert!(expect.status.contains(401) && !expect.status.contains(302));
    assert!(expect.body.is_some());
    // Without status codes, kubelet's apply.
    let expect = with(r#""expect":{"body":"ok","status":null}"#).expect;
    let expect = expect.expect("an expectation");
    assert!(expect.status.contains(302) && !expect.status.contains(401));
}

#[test]
fn several_handlers_are_read_in_their_order() {
    let all = format!(
        r#"{{"all":[{{{HTTP},"expect":{{"status":"401"}}}},{{{TCP},"target":"loopback"}},{{"grpc":{{"port":3}}}}],"timeoutSeconds":9}}"#
    );
    let prober = entry(&all);
    assert_eq!(prober.timeout, Duration::from_secs(9));
    let ports: Vec<u16> = prober
        .handlers
        .iter()
        .map(|handler| handler.action.port())
        .collect();
    assert_eq!(ports, [1, 2, 3]);
    let targets = prober
        .handlers
        .iter()
        .map(|handler| handler.loopback.is_some());
    assert_eq!(targets.collect::<Vec<_>>(), [false, true, false]);
    let one = entry(&format!("{{{HTTP}}}"));
    assert_eq!(one.handlers.len(), 1);
}

#[test]
fn unknown_members_are_refused_beside_them_alone() {
    const HANDLER: &str = "httpGet, tcpSocket, grpc, target, redirects, expect";
    for own in [r#""redirects":"none""#, r#""Expect":{"status":"200"}"#] {
        for (before, after) in [(own, r#""expekt":{}"#), (r#""expekt":{}"#, own)] {
            assert_eq!(
                entry_refusal(&format!("{{{before},{HTTP},{after}}}")),
                format!(
                    r#"the value has the unknown member "expekt": remove it, or write one of {HANDLER}, timeoutSeconds, all"#
                )
            );
        }
        let get = format!(r#"{{"httpGet":{{"port":1,"paht":"/"}},{own}}}"#);
        assert_eq!(
            entry_refusal(&get),
            r#"httpGet has the unknown member "paht": remove it, or write one of httpGet.path, httpGet.port, httpGet.scheme, httpGet.protocol, httpGet.httpHeaders"#
        );
    }
    // As in Istio's own probers, a member that is null is absent.
    for lenient in [
        r#""exec":{}"#,
        r#""exec":{},"redirects":null"#,
        r#""exec":{},"target":"loopback""#,
        r#""x":{"redirects":"none"}"#,
    ] {
        let get = format!(r#"{{{lenient},"httpGet":{{"port":1,"paht":"/"}}}}"#);
        assert_eq!(entry(&get).handlers.len(), 1);
    }
    let all = format!(r#"{{"all":[{{{HTTP}}},{{{TCP},"x":1}}]}}"#);
    assert_eq!(
        entry_refusal(&all),
        format!(
            r#"all[1]: the value has the unknown member "x": remove it, or write one of {HANDLER}"#
        )
    );
    let expect = format!(r#"{{{HTTP},"expect":{{"code":"200"}}}}"#);
    assert_eq!(
        entry_refusal(&expect),
        r#"expect has the unknown member "code": remove it, or write one of expect.status, expect.body"#
    );
}

#[test]
fn a_misspelt_one_is_refused_by_itself() {
    for name in ["expekt", "expects", "Expected", "redirect", "redirekts"] {
        let refusal = entry_refusal(&format!(r#"{{{HTTP},"{name}":{{}}}}"#));
        let expected = format!(r#"the value has the unknown member "{name}": remove it"#);
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
    // Names of kubelet's probes that Istio's table may have.
    for name in [
        "exec",
        "initialDelaySeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
        "terminationGracePeriodSeconds",
    ] {
        assert_eq!(
            entry(&format!(r#"{{{HTTP},"{name}":1}}"#)).handlers.len(),
            1
        );
    }
}

#[test]
fn the_error_of_an_invalid_value_says_what_to_write() {
    const STATUS: &str =
        r#"but must be a list of at most 16 codes and ranges from 100 to 599: write "200-299,401""#;
    const EXPECT: &str =
        r#"but must be an object with status, body or both: write {"status":"200-299,401"}"#;
    for (member, expected) in [
        (
            r#""redirects":"all""#,
            r#"redirects is "all", but must be none: write "none", or leave it out to follow redirects as kubelet does"#.into(),
        ),
        (
            r#""redirects":false"#,
            "redirects is false, but must be a string: write it in double quotes".into(),
        ),
        (r#""expect":"200""#, format!(r#"expect is "200", {EXPECT}"#)),
        (r#""expect":{}"#, format!("expect is an object, {EXPECT}")),
        (r#""expect":{"status":null}"#, format!("expect is an object, {EXPECT}")),
        (r#""expect":{"status":"2xx"}"#, format!(r#"expect.status is "2xx", {STATUS}"#)),
        (
            r#""expect":{"status":200}"#,
            "expect.status is 200, but must be a string: write it in double quotes".into(),
        ),
        (
            r#""expect":{"body":""}"#,
            r#"expect.body is "", but must have 1 to 255 bytes: write a part of the app's body"#.into(),
        ),
    ] {
        assert_eq!(entry_refusal(&format!("{{{HTTP},{member}}}")), expected);
    }
}

#[test]
fn an_expectation_needs_an_http_get() {
    for kind in [TCP, r#""grpc":{"port":3}"#] {
        for (member, name) in [
            (r#""expect":{"status":"200"}"#, "expect"),
            (r#""redirects":"none""#, "redirects"),
        ] {
            assert_eq!(
                entry_refusal(&format!("{{{member},{kind}}}")),
                format!("{name} is for httpGet alone: leave it out beside tcpSocket and grpc")
            );
        }
    }
}

#[test]
fn several_handlers_are_a_list_of_two_to_eight() {
    const ALL: &str = r#"but must be a list of 2 to 8 handlers: write [{"httpGet":{"port":8080}},{"tcpSocket":{"port":5432}}]"#;
    let list = |count| {
        format!(
            r#"{{"all":[{}]}}"#,
            vec![format!("{{{TCP}}}"); count].join(",")
        )
    };
    for count in [0, 1, 9] {
        assert_eq!(entry_refusal(&list(count)), format!("all is a list, {ALL}"));
    }
    assert_eq!(entry(&list(8)).handlers.len(), 8);
    assert_eq!(
        entry_refusal(r#"{"all":{}}"#),
        format!("all is an object, {ALL}")
    );
    for (value, expected) in [
        (
            format!(r#"{{"all":[{{{TCP}}},{{{HTTP},"timeoutSeconds":1}}]}}"#),
            "all[1]: timeoutSeconds is in a handler of all: write it once, in the prober itself",
        ),
        (
            format!(r#"{{"all":[{{"all":[]}},{{{TCP}}}]}}"#),
            "all[0]: all is in a handler of all: write it once, in the prober itself",
        ),
        (
            format!(r#"{{"all":[{{{TCP}}},5432]}}"#),
            r#"all[1]: the value is 5432, but a handler of all must be an object: write {"tcpSocket":{"port":5432}}"#,
        ),
        (
            format!(r#"{{"all":[{{{TCP}}},{{{TCP}}}],{HTTP}}}"#),
            "it has another handler beside all: write it into the handlers of all",
        ),
        (
            format!(r#"{{"all":[{{{TCP}}},{{{TCP}}}],"target":"loopback"}}"#),
            "it has target beside all: write it into the handlers of all",
        ),
        (
            format!(r#"{{"all":[{{{TCP}}},{{{TCP},{HTTP}}}]}}"#),
            "all[1]: it has more than one of httpGet, tcpSocket and grpc: write one and leave out the others",
        ),
        (
            format!(r#"{{"all":[{{{TCP}}},{{}}]}}"#),
            "all[1]: it has nothing to probe: write one of httpGet, tcpSocket and grpc",
        ),
    ] {
        assert_eq!(entry_refusal(&value), expected);
    }
}

#[test]
fn a_hook_has_none_of_them() {
    for (member, name) in [
        (r#""expect":{"status":"200"}"#, "expect"),
        (r#""redirects":"none""#, "redirects"),
        (
            r#""all":[{"httpGet":{"port":1}},{"httpGet":{"port":1}}]"#,
            "all",
        ),
    ] {
        assert_eq!(
            refusal(&format!(
                r#"{{"/app-lifecycle/web/prestopz":{{{member},{HTTP}}}}}"#
            )),
            format!(
                r#"prober "/app-lifecycle/web/prestopz": a lifecycle hook has {name}, but kubelet ignores its response: leave {name} out"#
            )
        );
    }
}
