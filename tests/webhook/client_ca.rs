//! `--client-ca`: who may send reviews.

use super::fixture::{NAME, Webhook, assert_injected, get, pod, post, replace, review_of};
use crate::support::certs::{Authority, Identity};
use crate::support::command::{command, injector, run_to_end};
use crate::support::folder::Folder;
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use libtest_mimic::Trial;

pub fn tests() -> Vec<Trial> {
    trials!["webhook_client_ca":
        reviews_require_a_client_certificate_and_probes_of_the_webhook_do_not,
        a_certificate_of_another_ca_ends_the_handshake,
        an_expired_client_certificate_ends_the_handshake,
        a_replaced_ca_applies_to_open_connections,
        a_file_without_a_ca_is_an_error_at_start,
    ]
}

/// The name of the API server's client certificate.
const CLIENT: &str = "kube-apiserver";

/// A webhook that accepts reviews from clients with a certificate of this authority.
fn webhook_for(clients: &Authority) -> Webhook {
    let folder = Folder::new();
    let path = folder.file("client-ca.pem", &clients.pem());
    let path = path.to_str().expect("text").to_owned();
    Webhook::start_in(folder, &["--client-ca", &path])
}

/// The status code of a review on a new connection with this certificate; `None` if the handshake or the connection fails.
fn code_of_review(webhook: &Webhook, identity: Option<&Identity>) -> Option<u16> {
    let config = webhook.authority.client(identity);
    let mut client = webhook.client_trusting(&config).ok()?;
    // In TLS 1.3 the client has completed its handshake before its certificate is verified.
    client.try_send(&post(&review_of(&pod("a")))).ok()?;
    client.response().code()
}

fn reviews_require_a_client_certificate_and_probes_of_the_webhook_do_not() {
    let clients = Authority::new("client CA");
    let webhook = webhook_for(&clients);
    for path in ["/healthz", "/metrics"] {
        assert_eq!(webhook.send(&get(path)).code(), Some(200), "{path}");
    }
    let refused = webhook.send(&post(&review_of(&pod("a"))));
    assert_eq!(refused.code(), Some(403), "{refused:?}");
    let reason = String::from_utf8_lossy(refused.body()).into_owned();
    assert!(
        reason.starts_with("reviews require a client certificate of --client-ca"),
        "{reason}"
    );
    webhook.wait_log("level=warn msg=\"request failed\" status=403 error=\"reviews require ");
    let config = webhook.authority.client(Some(&clients.sign(CLIENT)));
    let mut client = webhook.client_trusting(&config).expect("a handshake");
    for name in ["a", "b"] {
        client.send(&post(&review_of(&pod(name))));
        assert_injected(&client.response(), name);
    }
    assert!((webhook.metric("responses_total", &[("code", "403")]) - 1.0).abs() < 0.5);
}

#[track_caller]
fn assert_refused(webhook: &Webhook, identity: &Identity) {
    assert_eq!(code_of_review(webhook, Some(identity)), None);
    webhook.wait_log("level=warn msg=\"TLS handshake failed\" error=\"invalid peer certificate: ");
    assert!((webhook.metric("tls_handshake_failures_total", &[]) - 1.0).abs() < 0.5);
}

fn a_certificate_of_another_ca_ends_the_handshake() {
    let webhook = webhook_for(&Authority::new("client CA"));
    assert_refused(&webhook, &Authority::new("another CA").sign(CLIENT));
}

fn an_expired_client_certificate_ends_the_handshake() {
    let clients = Authority::new("client CA");
    let webhook = webhook_for(&clients);
    let expired = clients.sign_with(CLIENT, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    });
    assert_refused(&webhook, &expired);
}

fn a_replaced_ca_applies_to_open_connections() {
    let (first, next) = (Authority::new("first CA"), Authority::new("next CA"));
    let webhook = webhook_for(&first);
    let config = webhook.authority.client(Some(&first.sign(CLIENT)));
    let mut client = webhook.client_trusting(&config).expect("a handshake");
    client.send(&post(&review_of(&pod("a"))));
    assert_injected(&client.response(), "a");
    replace(&webhook.folder, "client-ca.pem", "nothing");
    within(WAIT_LIMIT, || {
        client.send(&post(&review_of(&pod("a"))));
        assert_injected(&client.response(), "a");
        webhook.logged("client CA reload failed, keeping previous CA") > 0
    });
    replace(&webhook.folder, "client-ca.pem", &next.pem());
    let is_refused = within(WAIT_LIMIT, || {
        if client.try_send(&post(&review_of(&pod("a")))).is_err() {
            return true;
        }
        client.response().code() == Some(403)
    });
    assert!(is_refused);
    webhook.wait_log("level=info msg=\"client CA reloaded\"");
    let identity = next.sign(CLIENT);
    assert_eq!(code_of_review(&webhook, Some(&identity)), Some(200));
    assert_eq!(code_of_review(&webhook, Some(&first.sign(CLIENT))), None);
    let reloads = |result| webhook.metric("client_ca_reloads_total", &[("result", result)]);
    assert!((reloads("success") - 1.0).abs() < 0.5);
    assert!((reloads("failure") - 1.0).abs() < 0.5);
}

fn a_file_without_a_ca_is_an_error_at_start() {
    let folder = Folder::new();
    let (cert, key) = Authority::new("CA").sign(NAME).write(&folder, "tls");
    let mut command = command(&injector(), &["serve"]);
    command.arg("--cert").arg(cert).arg("--key").arg(&key);
    command.arg("--client-ca").arg(&key);
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1));
    let expected = format!("probelet-inject: {}: has no certificate", key.display());
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
}
