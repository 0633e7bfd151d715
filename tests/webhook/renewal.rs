//! Certificates and settings that change while the webhook serves.

use super::stand::{NAME, Webhook, assert_injected, pod, post, review_of, reviewed, trusting};
use crate::support::certs::{Authority, Folder};
use crate::support::command::{command, ended, injector};
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use libtest_mimic::Trial;
use std::fs;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_renewal":
        a_new_certificate_is_shown_and_no_connection_is_lost,
        a_broken_new_certificate_leaves_the_old_one_and_is_told_once,
        a_certificate_that_has_expired_is_shown_and_told,
        a_certificate_that_is_none_is_told_before_anything_listens,
        the_guides_sed_on_the_configmap_works_in_both_directions,
    ]
}

/// Replaces a file as whoever renews does.
fn replace(folder: &Folder, name: &str, text: &str) {
    let next = folder.file(&format!("{name}.next"), text);
    fs::rename(next, folder.path().join(name)).expect("renamed");
}

fn a_new_certificate_is_shown_and_no_connection_is_lost() {
    let webhook = Webhook::start(&[]);
    let mut line = webhook.line();
    let next = Authority::new("another CA");
    let identity = next.sign(NAME);
    replace(&webhook.folder, "tls.key", &identity.key);
    replace(&webhook.folder, "tls.pem", &identity.chain);
    let trusts_next = trusting(&next.pem());
    // Until it is looked at again the old one is shown, which this client does not trust.
    let mut shown = None;
    within(WAIT_LIMIT, || {
        line.send(&post(&review_of(&pod("a"))));
        assert_injected(&line.answer(), "a");
        shown = webhook.line_by(&trusts_next).ok();
        shown.is_some()
    });
    let mut new = shown.expect("the new certificate is shown");
    new.send(&post(&review_of(&pod("b"))));
    assert_injected(&new.answer(), "b");
    // rcgen's default; the first was shown, and is not said to be a renewal.
    let end = "not_after=4096-01-01T00:00:00Z";
    webhook.wait_log(&format!("level=info msg=\"certificate renewed\" {end}"));
    assert_eq!(webhook.logged("msg=\"certificate loaded\""), 1);
    assert_eq!(webhook.logged("msg=\"certificate renewed\""), 1);
    line.send(&post(&review_of(&pod("c"))));
    assert_injected(&line.answer(), "c");
}

fn a_broken_new_certificate_leaves_the_old_one_and_is_told_once() {
    let webhook = Webhook::start(&[]);
    let other = Authority::new("another CA").sign(NAME);
    replace(&webhook.folder, "tls.key", &other.key);
    within(WAIT_LIMIT, || {
        drop(webhook.line());
        webhook.logged("msg=\"certificate reload failed, keeping previous certificate\"") > 0
    });
    let line = webhook
        .wait_log("level=warn msg=\"certificate reload failed, keeping previous certificate\"");
    assert!(
        line.contains("tls.key: has a key that does not match the certificate"),
        "{line}"
    );
    // A later one that is good shows that looks went on meanwhile, and said nothing.
    let good = webhook.authority.sign(NAME);
    replace(&webhook.folder, "tls.pem", &good.chain);
    replace(&webhook.folder, "tls.key", &good.key);
    within(WAIT_LIMIT, || {
        drop(webhook.line());
        webhook.logged("msg=\"certificate renewed\"") > 0
    });
    webhook.wait_log("msg=\"certificate renewed\"");
    let told = webhook.logged("does not match the certificate");
    assert!(matches!(told, 1 | 2), "{:#?}", webhook.log());
}

fn a_certificate_that_has_expired_is_shown_and_told() {
    let webhook = Webhook::start(&[]);
    let expired = webhook.authority.sign_with(NAME, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    });
    replace(&webhook.folder, "tls.key", &expired.key);
    replace(&webhook.folder, "tls.pem", &expired.chain);
    within(WAIT_LIMIT, || {
        // Once it is shown nobody has a handshake.
        let _ = webhook.line_by(&trusting(&webhook.authority.pem()));
        webhook.logged("has expired") > 0
    });
    webhook.wait_log("level=warn msg=\"certificate has expired\" not_after=2020-02-29T00:00:00Z");
}

fn a_certificate_that_is_none_is_told_before_anything_listens() {
    let folder = Folder::new();
    let (cert, key) = Authority::new("CA").sign(NAME).write(&folder, "tls");
    fs::write(&key, "nothing").expect("written");
    let mut command = command(&injector(), &["serve"]);
    command.arg("--cert").arg(cert).arg("--key").arg(&key);
    let ended = ended(command);
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("probelet-inject: {}: has no private key", key.display());
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
}

fn the_guides_sed_on_the_configmap_works_in_both_directions() {
    let folder = Folder::new();
    let values =
        |rewrite| format!(r#"{{"sidecarInjectorWebhook": {{"rewriteAppHTTPProbe": {rewrite}}}}}"#);
    replace(&folder, "values", &values(true));
    let path = folder.path().to_str().expect("text").to_owned();
    let webhook = Webhook::start_in(folder, &["--config", &path]);
    let is_injected = || {
        let response = reviewed(&webhook.ask(&post(&review_of(&pod("a")))));
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
        webhook.logged("msg=\"reload failed, keeping previous values\"") > 0
    });
    webhook.wait_log("level=warn msg=\"reload failed, keeping previous values\" reason=");
    assert!(is_injected());
}
