//! A self-signed certificate in a Secret, and the version of the API server.

use super::api_server::{Action, FakeApiServer, Override, SECRETS, WEBHOOK};
use super::fixture::{Webhook, assert_injected, get, pod, post, response_of, review_of, trusting};
use crate::support::certs::Authority;
use crate::support::command::{command, injector, run_to_end};
use crate::support::folder::Folder;
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use rcgen::date_time_ymd;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_self_signed":
        a_certificate_is_generated_stored_and_its_ca_published,
        a_second_replica_uses_the_certificate_of_the_first,
        a_conflict_uses_the_certificate_of_the_other_replica,
        a_certificate_near_expiry_is_renewed_and_its_ca_stays_published,
        a_ca_bundle_that_does_not_verify_the_certificate_is_replaced,
        an_error_of_the_api_server_is_logged_once_and_retried,
        the_cluster_version_selects_the_kind_of_sidecar,
        an_unknown_version_is_logged_with_a_remedy_and_retried_soon,
        a_response_that_ends_without_close_notify_is_truncated,
        a_certificate_of_another_ca_is_replaced,
        a_deleted_secret_keeps_the_ca_of_the_served_certificate_published,
        a_secret_with_garbage_is_replaced_and_the_served_certificate_stays_trusted,
        a_ca_that_another_replica_publishes_meanwhile_stays,
        three_replicas_that_start_at_once_use_one_certificate,
        a_ca_bundle_that_lacks_the_ca_is_filled_soon_after_a_rejection,
        a_configuration_that_is_created_again_gets_the_ca,
        a_connection_before_there_is_a_certificate_waits_for_it,
        self_signed_without_an_api_server_is_an_error,
    ]
}

const FLAGS: [&str; 9] = [
    "--self-signed",
    "--service",
    "injector",
    "--namespace",
    "demo",
    "--secret",
    "probelet-tls",
    "--webhook",
    "probelet",
];

fn start(api_server: &FakeApiServer) -> Webhook {
    let flags = api_server.flags();
    let flags = flags.iter().map(String::as_str);
    let args: Vec<&str> = FLAGS.into_iter().chain(flags).collect();
    Webhook::spawn(Authority::new("unused"), Folder::new(), &args)
}

/// Starts a webhook with a certificate of files, which needs the API server only for its version.
fn start_with_files(api_server: &FakeApiServer) -> Webhook {
    let folder = Folder::new();
    let authority = Authority::new("webhook CA");
    let (cert, key) = authority.sign("injector.demo.svc").write(&folder, "tls");
    let flags = api_server.flags();
    let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
    args.extend(["--cert", cert.to_str().expect("text")]);
    args.extend(["--key", key.to_str().expect("text")]);
    Webhook::spawn(authority, folder, &args)
}

/// Checks that a client that trusts the published CA is served.
#[track_caller]
fn assert_serves(webhook: &Webhook, api_server: &FakeApiServer) {
    let config = trusting(&api_server.ca_bundle());
    let mut client = webhook.client_trusting(&config).expect("a handshake");
    client.send(&post(&review_of(&pod("a"))));
    assert_injected(&client.response(), "a");
}

fn member(secret: &Value, name: &str) -> String {
    let text = secret["data"][name].as_str().expect("a member");
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("text")
}

fn a_certificate_is_generated_stored_and_its_ca_published() {
    let api_server = FakeApiServer::start("37");
    let webhook = start(&api_server);
    assert_serves(&webhook, &api_server);
    let state = api_server.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let pem = STANDARD.encode(member(secret, "ca.crt"));
    assert_eq!(
        state.webhook["webhooks"][1]["clientConfig"]["caBundle"],
        pem
    );
    assert!(!member(secret, "ca.crt").contains("KEY"));
    let secret_path = [SECRETS, "/probelet-tls"].concat();
    let expected = [
        "GET /version".into(),
        format!("GET {secret_path}"),
        format!("POST {SECRETS}"),
        format!("GET {WEBHOOK}"),
        format!("PATCH {WEBHOOK}"),
    ];
    assert_eq!(state.requests, expected);
}

fn a_second_replica_uses_the_certificate_of_the_first() {
    let api_server = FakeApiServer::start("37");
    let first = start(&api_server);
    let secret = api_server.state().secret.clone();
    let second = start(&api_server);
    assert_eq!(api_server.state().secret, secret);
    assert_serves(&first, &api_server);
    assert_serves(&second, &api_server);
    let patches = |request: &&String| request.starts_with("PATCH");
    assert_eq!(
        api_server.state().requests.iter().filter(patches).count(),
        1
    );
}

fn a_conflict_uses_the_certificate_of_the_other_replica() {
    let api_server = FakeApiServer::start("37");
    let made = {
        let other = FakeApiServer::start("37");
        let _webhook = start(&other);
        other.state().secret.clone()
    };
    let secret = made.clone();
    let another: Action = Box::new(move |state| state.secret = secret);
    api_server.state().overrides.push_back(Override {
        method: "POST",
        status: 409,
        action: another,
    });
    let webhook = start(&api_server);
    assert_eq!(api_server.state().secret, made);
    assert_serves(&webhook, &api_server);
}

fn a_certificate_near_expiry_is_renewed_and_its_ca_stays_published() {
    let api_server = FakeApiServer::start("37");
    let old = Authority::new("old CA");
    let identity = old.sign_with("injector.demo.svc", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
    });
    let encoded = |text: &str| STANDARD.encode(text);
    api_server.state().secret = Some(json!({
        "kind": "Secret",
        "metadata": {"name": "probelet-tls", "resourceVersion": "7", "labels": {"a": "b"}},
        "data": {
            "tls.crt": encoded(&identity.chain),
            "tls.key": encoded(&identity.key),
            "ca.crt": encoded(&old.pem()),
        },
    }));
    let webhook = start(&api_server);
    assert_serves(&webhook, &api_server);
    let bundle = api_server.ca_bundle();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    let lines = |pem: &str| pem.lines().map(String::from).collect::<Vec<_>>();
    assert!(lines(&bundle).ends_with(&lines(&old.pem())));
    let state = api_server.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_eq!(secret["metadata"]["labels"]["a"], "b");
    assert_ne!(member(secret, "tls.crt"), identity.chain);
}

fn a_ca_bundle_that_does_not_verify_the_certificate_is_replaced() {
    for strange in [Authority::new("another CA").pem(), "garbage".into()] {
        let api_server = FakeApiServer::start("37");
        drop(start(&api_server));
        let secret = api_server.state().secret.take();
        let mut secret = secret.expect("a Secret");
        secret["data"]["ca.crt"] = STANDARD.encode(strange).into();
        api_server.state().secret = Some(secret);
        let webhook = start(&api_server);
        assert_serves(&webhook, &api_server);
    }
}

fn an_error_of_the_api_server_is_logged_once_and_retried() {
    let api_server = FakeApiServer::start("37");
    api_server.fail_twice("POST", 403);
    let webhook = start(&api_server);
    assert_serves(&webhook, &api_server);
    let line =
        webhook.wait_log("level=error msg=\"no self-signed certificate yet, connections wait\"");
    assert!(
        line.contains("returned 403: as the test requests"),
        "{line}"
    );
    assert_eq!(
        webhook.logged("no self-signed certificate yet, connections wait"),
        1
    );
}

fn the_cluster_version_selects_the_kind_of_sidecar() {
    for (minor, key) in [
        ("28+", "/spec/containers/0"),
        ("29", "/spec/initContainers"),
    ] {
        let api_server = FakeApiServer::start(minor);
        let webhook = start(&api_server);
        api_server.wait_for_request("GET /version");
        webhook.wait_log(&format!(
            "msg=\"cluster version detected\" version=1.{} ",
            &minor[..2]
        ));
        let config = trusting(&api_server.ca_bundle());
        let mut client = webhook.client_trusting(&config).expect("a handshake");
        client.send(&post(&review_of(&pod("a"))));
        let patch = response_of(&client.response())["patch"].take();
        let mut added = patch.as_array().expect("a patch").iter();
        let is_sidecar = |operation: &Value| operation["op"] == "add" && operation["path"] == key;
        assert!(added.any(is_sidecar), "{minor}: {patch}");
    }
}

fn an_unknown_version_is_logged_with_a_remedy_and_retried_soon() {
    let api_server = FakeApiServer::start("28");
    api_server.fail_twice("GET", 503);
    let webhook = start_with_files(&api_server);
    let line = webhook.wait_log("level=error msg=\"cluster version unknown\"");
    assert!(line.contains("set --sidecar container"), "{line}");
    assert!(line.contains("GET /version returned 503"), "{line}");
    // Well before the interval for a known version.
    webhook.wait_log("msg=\"cluster version detected\" version=1.28 native_sidecars=false");
    assert_eq!(webhook.logged("cluster version unknown"), 1);
}

/// RFC 8446 section 6.1: without `close_notify` an attacker may have ended the connection.
fn a_response_that_ends_without_close_notify_is_truncated() {
    let api_server = FakeApiServer::start("37");
    api_server.state().is_truncating = true;
    let webhook = start_with_files(&api_server);
    webhook.wait_log("level=error msg=\"cluster version unknown\"");
    assert_eq!(webhook.logged("cluster version detected"), 0);
    api_server.state().is_truncating = false;
    webhook.wait_log("msg=\"cluster version detected\" version=1.37");
}

fn a_certificate_of_another_ca_is_replaced() {
    let api_server = FakeApiServer::start("37");
    let identity = Authority::new("its CA").sign("injector.demo.svc");
    let other = Authority::new("another CA");
    let encoded = |text: &str| STANDARD.encode(text);
    api_server.state().secret = Some(json!({
        "kind": "Secret",
        "metadata": {"name": "probelet-tls", "resourceVersion": "7"},
        "data": {
            "tls.crt": encoded(&identity.chain),
            "tls.key": encoded(&identity.key),
            "ca.crt": encoded(&other.pem()),
        },
    }));
    let webhook = start(&api_server);
    assert_serves(&webhook, &api_server);
    let state = api_server.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_ne!(member(secret, "tls.crt"), identity.chain);
}

/// Connects a client that does not trust the certificate and says so, as the API server does with an empty `caBundle`.
#[track_caller]
fn reject_certificate(webhook: &Webhook) {
    let other = trusting(&Authority::new("another CA").pem());
    assert!(webhook.client_trusting(&other).is_err());
}

fn count_cas(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

fn a_deleted_secret_keeps_the_ca_of_the_served_certificate_published() {
    let api_server = FakeApiServer::start("37");
    let first = start(&api_server);
    api_server.state().secret = None;
    let second = start(&api_server);
    // The first replica has not read the new Secret yet.
    assert_serves(&first, &api_server);
    assert_serves(&second, &api_server);
    api_server.state().secret = None;
    let third = start(&api_server);
    for webhook in [&first, &second, &third] {
        assert_serves(webhook, &api_server);
    }
    assert_eq!(count_cas(&api_server.ca_bundle()), 3);
}

fn a_secret_with_garbage_is_replaced_and_the_served_certificate_stays_trusted() {
    let api_server = FakeApiServer::start("37");
    let webhook = start(&api_server);
    let garbage = STANDARD.encode("garbage");
    let members = json!({"tls.crt": garbage, "tls.key": garbage, "ca.crt": garbage});
    let previous = {
        let mut state = api_server.state();
        let secret = state.secret.as_mut().expect("a Secret");
        std::mem::replace(&mut secret["data"], members)
    };
    let is_reloaded = within(WAIT_LIMIT, || {
        reject_certificate(&webhook);
        assert_serves(&webhook, &api_server);
        webhook.logged("msg=\"certificate reloaded\"") > 0
    });
    assert!(is_reloaded, "{:#?}", webhook.log());
    assert_serves(&webhook, &api_server);
    let bundle = api_server.ca_bundle();
    assert_eq!(count_cas(&bundle), 2, "{bundle}");
    let state = api_server.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_eq!(member(secret, "ca.crt"), bundle);
    assert_ne!(secret["data"]["tls.crt"], previous["tls.crt"]);
}

fn a_ca_that_another_replica_publishes_meanwhile_stays() {
    let api_server = FakeApiServer::start("37");
    let other = Authority::new("another CA").pem();
    let bundle = other.clone();
    let publish: Action = Box::new(move |state| state.set_ca_bundle(&bundle));
    api_server.state().overrides.push_back(Override {
        method: "PATCH",
        status: 422,
        action: publish,
    });
    let webhook = start(&api_server);
    assert_serves(&webhook, &api_server);
    let bundle = api_server.ca_bundle();
    assert!(
        bundle.ends_with(&other) && count_cas(&bundle) == 2,
        "{bundle}"
    );
}

fn three_replicas_that_start_at_once_use_one_certificate() {
    let api_server = FakeApiServer::start("37");
    let webhooks: Vec<Webhook> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| start(&api_server))).collect();
        starting
            .into_iter()
            .map(|replica| replica.join().expect("a replica"))
            .collect()
    });
    for webhook in &webhooks {
        assert_serves(webhook, &api_server);
    }
    assert_eq!(count_cas(&api_server.ca_bundle()), 1);
}

/// Long before the interval of the polls.
fn a_ca_bundle_that_lacks_the_ca_is_filled_soon_after_a_rejection() {
    let api_server = FakeApiServer::start("37");
    let webhook = start(&api_server);
    for bundle in ["", &Authority::new("another CA").pem()] {
        api_server.state().set_ca_bundle(bundle);
        reject_certificate(&webhook);
        let is_filled = within(WAIT_LIMIT, || {
            count_cas(&api_server.ca_bundle()) > count_cas(bundle)
        });
        assert!(is_filled, "{bundle}");
        assert_serves(&webhook, &api_server);
    }
}

fn a_configuration_that_is_created_again_gets_the_ca() {
    let api_server = FakeApiServer::start("37");
    let webhook = start(&api_server);
    let configuration = api_server.state().webhook.take();
    reject_certificate(&webhook);
    webhook
        .wait_log("msg=\"self-signed certificate refresh failed, keeping previous certificate\"");
    {
        let mut state = api_server.state();
        state.webhook = configuration;
        state.set_ca_bundle("");
    }
    let is_filled = within(WAIT_LIMIT, || {
        reject_certificate(&webhook);
        !api_server.ca_bundle().is_empty()
    });
    assert!(is_filled);
    assert_serves(&webhook, &api_server);
}

/// kubelet probes readiness as soon as the container runs.
fn a_connection_before_there_is_a_certificate_waits_for_it() {
    let api_server = FakeApiServer::start("37");
    api_server.fail_twice("POST", 403);
    let flags = api_server.flags();
    let flags = flags.iter().map(String::as_str);
    let args: Vec<&str> = FLAGS.into_iter().chain(flags).collect();
    let webhook = Webhook::spawn_and_wait_for(
        "msg=\"no self-signed certificate yet, connections wait\"",
        Authority::new("unused"),
        Folder::new(),
        &args,
    );
    let tcp = webhook.tcp();
    webhook.wait_log("msg=listening");
    let config = trusting(&api_server.ca_bundle());
    let client = Webhook::client_over(tcp, &config);
    let mut client = client.expect("a handshake");
    client.send(&get("/healthz"));
    assert_eq!(client.response().code(), Some(200));
}

fn self_signed_without_an_api_server_is_an_error() {
    let mut command = command(&injector(), &["serve"]);
    command.args(FLAGS);
    let ended = run_to_end(command);
    assert_eq!(ended.status.code(), Some(1));
    let expected = "--self-signed needs an API server";
    assert!(ended.stderr.contains(expected), "{ended:?}");
}
