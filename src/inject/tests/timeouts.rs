//! The shortest timeout of injected probes.

use super::*;

fn with_min(seconds: u64) -> Settings {
    Settings {
        min_timeout: seconds,
        ..settings()
    }
}

/// The timeouts of the probe and of its prober.
fn timeouts(after: &Value) -> (Value, Value) {
    let table: Value = serde_json::from_str(&table(after)).expect("a table");
    let probe = &after["spec"]["containers"][0]["livenessProbe"];
    (
        probe["timeoutSeconds"].clone(),
        table["/app-health/web/livez"]["timeoutSeconds"].clone(),
    )
}

fn web(timeout: &Value) -> Value {
    let mut probe = json!({"httpGet": {"path": "/foo", "port": 8001}});
    if *timeout != "absent" {
        probe["timeoutSeconds"] = timeout.clone();
    }
    probed(probe)
}

fn both(seconds: u64) -> (Value, Value) {
    (seconds.into(), seconds.into())
}

#[test]
fn shorter_timeouts_of_probe_and_prober_are_raised_together() {
    for timeout in [json!("absent"), json!(1), json!(4), json!(0), Value::Null] {
        let document = web(&timeout);
        let after = injected_with(&document, &with_min(5));
        assert_eq!(timeouts(&after), both(5), "{timeout}");
        assert_eq!(uninjected(&after), document);
        assert_eq!(injected_with(&after, &settings()), injected(&document));
        assert_eq!(timeouts(&injected_with(&after, &with_min(8))), both(8));
        let again = report(&after, Task::Inject, &with_min(5)).verdict;
        assert_eq!(again, Verdict::Unchanged("already injected".into()));
    }
    for (timeout, min) in [(5, 5), (9, 5), (1, 1), (3, 0)] {
        let document = web(&timeout.into());
        let after = injected_with(&document, &with_min(min));
        assert_eq!(after, injected(&document));
        assert_eq!(timeouts(&after), both(timeout));
    }
}

#[test]
fn a_timeout_that_the_api_server_rejects_is_not_raised() {
    for timeout in [json!(-1), json!(1.5), json!("3"), json!([])] {
        let after = injected_with(&web(&timeout), &with_min(5));
        assert_eq!(timeouts(&after), (timeout, Value::Null));
    }
}

#[test]
fn the_annotation_sets_the_shortest_timeout_of_one_pod() {
    let of = |value: &str| {
        let annotations = json!({"probelet.dev/min-timeout-seconds": value});
        annotated(web(&1.into()), annotations)
    };
    assert_eq!(timeouts(&injected(&of("7"))), both(7));
    assert_eq!(timeouts(&injected_with(&of("0"), &with_min(5))), both(1));
    for invalid in ["301", "-1", "5s", "", "+5"] {
        assert_eq!(
            refusal_reason(&of(invalid)),
            format!(
                "annotation probelet.dev/min-timeout-seconds is \"{invalid}\": write a number of seconds up to 300, such as 5; \
                 0 leaves timeouts unchanged"
            )
        );
    }
}

#[test]
fn a_timeout_that_its_owner_changes_after_injection_is_the_new_original() {
    let mut document = injected_with(&web(&1.into()), &with_min(5));
    for (timeout, expected) in [(2, 5), (7, 7)] {
        document["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = timeout.into();
        let after = injected_with(&document, &with_min(5));
        assert_eq!(timeouts(&after), both(expected));
        assert_eq!(uninjected(&after), web(&timeout.into()));
    }
}

#[test]
fn the_default_of_the_api_server_is_not_a_change() {
    let mut document = web(&"absent".into());
    document["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = 1.into();
    let after = injected_with(&document, &with_min(5));
    assert_eq!(timeouts(&after), both(5));
    assert_eq!(uninjected(&after), document);
}

#[test]
fn hooks_exec_probes_and_excluded_probes_keep_their_timeouts_and_forwarded_ones_do_not() {
    let get = |port: u16| json!({"httpGet": {"path": "/foo", "port": port}, "timeoutSeconds": 1});
    let document = annotated(
        pod(json!([{
            "name": "web",
            "livenessProbe": get(8001),
            "readinessProbe": {"exec": {"command": ["x"]}, "timeoutSeconds": 1},
            "startupProbe": get(8002),
            "lifecycle": {"postStart": {"httpGet": {"path": "/foo", "port": 8001}}},
        }, {"name": "db", "livenessProbe": get(8003)}])),
        json!({"probelet.dev/forward": "8002=15032", "probelet.dev/exclude-ports": "8003"}),
    );
    let after = injected_with(&document, &with_min(5));
    let timeout = |index: usize, probe: &str| {
        after["spec"]["containers"][index][probe]
            .get("timeoutSeconds")
            .cloned()
    };
    assert_eq!(timeout(0, "livenessProbe"), Some(5.into()));
    assert_eq!(timeout(0, "readinessProbe"), Some(1.into()));
    assert_eq!(timeout(0, "startupProbe"), Some(5.into()));
    assert_eq!(timeout(1, "livenessProbe"), Some(1.into()));
    let hook = &after["spec"]["containers"][0]["lifecycle"]["postStart"];
    assert_eq!(hook.get("timeoutSeconds"), None);
    let table: Value = serde_json::from_str(&table(&after)).expect("a table");
    assert_eq!(
        table["/app-lifecycle/web/poststartz"].get("timeoutSeconds"),
        None
    );
    assert_eq!(uninjected(&after), document);
}
