//! Certificates and settings that change while the webhook runs.

use super::fixture::{
    NAME, Webhook, assert_injected, pod, post, replace, response_of, review_of, trusting,
};
use crate::support::certs::Authority;
use crate::support::command::{command, injector, run_to_end};
use crate::support::folder::Folder;
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use libtest_mimic::Trial;
use std::fs;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_reload":
        a_renewed_certificate_is_served_and_connections_stay_open,
        a_mismatched_key_keeps_the_previous_certificate_and_is_not_logged_on_every_poll,
        an_expired_certificate_is_served_with_a_warning,
        a_key_file_without_a_key_is_an_error_at_start,
        a_changed_configmap_switches_injection_off_and_on,
        resources_that_the_api_server_would_refuse_keep_the_previous_values,
        resources_that_the_api_server_would_refuse_are_an_error_at_start,
    ]
}

fn a_renewed_certificate_is_served_and_connections_stay_open() {
    let webhook = Webhook::start(&[]);
    let mut client = webhook.client();
    let next = Authority::new("another CA");
    let identity = next.sign(NAME);
    replace(&webhook.folder, "tls.key", &identity.key);
    replace(&webhook.folder, "tls.pem", &identity.chain);
    let trusts_next = trusting(&next.pem());
    // Until the next poll the webhook serves the previous certificate, which this client does not trust.
    let mut client_of_next = None;
    within(WAIT_LIMIT, || {
        client.send(&post(&review_of(&pod("a"))));
        assert_injected(&client.response(), "a");
        client_of_next = webhook.client_trusting(&trusts_next).ok();
        client_of_next.is_some()
    });
    let mut new = client_of_next.expect("the new certificate is served");
    new.send(&post(&review_of(&pod("b"))));
    assert_injected(&new.response(), "b");
    // The expiry is rcgen's default. The first certificate is not logged as a renewal.
    let end = "not_after=4096-01-01T00:00:00Z";
    webhook.wait_log(&format!("level=info msg=\"certificate reloaded\" {end}"));
    assert_eq!(webhook.logged("msg=\"certificate loaded\""), 1);
    assert_eq!(webhook.logged("msg=\"certificate reloaded\""), 1);
    client.send(&post(&review_of(&pod("c"))));
    assert_injected(&client.response(), "c");
}

fn a_mismatched_key_keeps_the_previous_certificate_and_is_not_logged_on_every_poll() {
    let webhook = Webhook::start(&[]);
    let other = Authority::new("another CA").sign(NAME);
    replace(&webhook.folder, "tls.key", &other.key);
    within(WAIT_LIMIT, || {
        drop(webhook.client());
        webhook.logged("msg=\"certificate reload failed, keeping previous certificate\"") > 0
    });
    let line = webhook
        .wait_log("level=warn msg=\"certificate reload failed, keeping previous certificate\"");
    assert!(
        line.contains("tls.key: has a key that does not match the certificate"),
        "{line}"
    );
    // A valid pair afterwards proves that polls went on without another log line.
    let good = webhook.authority.sign(NAME);
    replace(&webhook.folder, "tls.pem", &good.chain);
    replace(&webhook.folder, "tls.key", &good.key);
    within(WAIT_LIMIT, || {
        drop(webhook.client());
        webhook.logged("msg=\"certificate reloaded\"") > 0
    });
    webhook.wait_log("msg=\"certificate reloaded\"");
    // A poll between the two replacements above sees a second mismatch.
    let failures = webhook.logged("does not match the certificate");
    assert!(matches!(failures, 1 | 2), "{:#?}", webhook.log());
}

fn an_expired_certificate_is_served_with_a_warning() {
    let webhook = Webhook::start(&[]);
    let expired = webhook.authority.sign_with(NAME, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    });
    replace(&webhook.folder, "tls.key", &expired.key);
    replace(&webhook.folder, "tls.pem", &expired.chain);
    within(WAIT_LIMIT, || {
        // Once it is served, handshakes fail.
        let _ = webhook.client_trusting(&trusting(&webhook.authority.pem()));
        webhook.logged("has expired") > 0
    });
    webhook.wait_log("level=warn msg=\"certificate has expired\" not_after=2020-02-29T00:00:00Z");
}

fn a_key_file_without_a_key_is_an_error_at_start() {
    let folder = Folder::new();
    let (cert, key) = Authority::new("CA").sign(NAME).write(&folder, "tls");
    fs::write(&key, "nothing").expect("written");
    let mut command = command(&injector(), &["serve"]);
    command.arg("--cert").arg(cert).arg("--key").arg(&key);
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("probelet-inject: {}: has no private key", key.display());
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
}

fn a_changed_configmap_switches_injection_off_and_on() {
    let folder = Folder::new();
    let values =
        |rewrite| format!(r#"{{"sidecarInjectorWebhook": {{"rewriteAppHTTPProbe": {rewrite}}}}}"#);
    replace(&folder, "values", &values(true));
    let path = folder.path().to_str().expect("text").to_owned();
    let webhook = Webhook::start_in(folder, &["--config", &path]);
    let is_injected = || {
        let response = response_of(&webhook.send(&post(&review_of(&pod("a")))));
        response.get("patch").is_some()
    };
    assert!(is_injected());
    for rewrite in [false, true] {
        replace(&webhook.folder, "values", &values(rewrite));
        assert!(within(WAIT_LIMIT, || is_injected() == rewrite), "{rewrite}");
        webhook.wait_log(&format!("msg=\"values reloaded\" rewrite={rewrite}"));
    }
    replace(&webhook.folder, "values", "{\"sidecarInjectorWebhook\": 1}");
    within(WAIT_LIMIT, || {
        assert!(is_injected());
        webhook.logged("msg=\"values reload failed, keeping previous values\"") > 0
    });
    webhook.wait_log("level=warn msg=\"values reload failed, keeping previous values\" error=");
    assert!(is_injected());
}

fn values_with_memory(limit: &str) -> String {
    format!(r#"{{"probelet": {{"resources": {{"limits": {{"memory": "{limit}"}}}}}}}}"#)
}

const MISSPELT: &str = r#"limits.memory is \"16Mib\": write a quantity such as 16Mi"#;

fn resources_that_the_api_server_would_refuse_keep_the_previous_values() {
    let folder = Folder::new();
    replace(&folder, "values", &values_with_memory("20Mi"));
    let path = folder.path().to_str().expect("text").to_owned();
    let webhook = Webhook::start_in(folder, &["--config", &path]);
    replace(&webhook.folder, "values", &values_with_memory("16Mib"));
    within(WAIT_LIMIT, || {
        let response = response_of(&webhook.send(&post(&review_of(&pod("a")))));
        assert!(response["patch"].to_string().contains("20Mi"), "{response}");
        webhook.logged("msg=\"values reload failed, keeping previous values\"") > 0
    });
    let line =
        webhook.wait_log("level=warn msg=\"values reload failed, keeping previous values\" error=");
    assert!(line.contains(MISSPELT), "{line}");
    let failures = webhook.metric("values_reloads_total", &[("result", "failure")]);
    assert!((failures - 1.0).abs() < 0.5, "{failures}");
    let is_last_successful = || {
        let labels = [("file", "values")];
        webhook.metric("last_reload_success", &labels) > 0.5
    };
    assert!(!is_last_successful());
    replace(&webhook.folder, "values", &values_with_memory("20Mi"));
    let is_reloaded = within(WAIT_LIMIT, || {
        webhook.send(&post(&review_of(&pod("a"))));
        is_last_successful()
    });
    assert!(is_reloaded);
}

fn resources_that_the_api_server_would_refuse_are_an_error_at_start() {
    let folder = Folder::new();
    let (cert, key) = Authority::new("CA").sign(NAME).write(&folder, "tls");
    replace(&folder, "values", &values_with_memory("16Mib"));
    let mut command = command(&injector(), &["serve"]);
    command.arg("--cert").arg(cert).arg("--key").arg(key);
    command.arg("--config").arg(folder.path());
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1));
    let expected = MISSPELT.replace('\\', "");
    assert!(ended.stderr.contains(&expected), "{ended:?}");
}
