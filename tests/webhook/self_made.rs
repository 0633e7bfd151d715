//! A certificate of the webhook's own, shared in a Secret, and what the cluster's version decides.

use super::cluster::{Cluster, Deed, SECRETS, WEBHOOK};
use super::stand::{Webhook, assert_injected, pod, post, review_of, reviewed, trusting};
use crate::support::certs::{Authority, Folder};
use crate::support::command::{command, ended, injector};
use crate::support::trials::trials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use rcgen::date_time_ymd;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    trials!["webhook_self_made":
        a_certificate_is_made_shared_and_made_known,
        a_second_replica_takes_what_the_first_has_made,
        whoever_is_late_takes_what_is_there,
        a_certificate_near_its_end_is_renewed_and_its_ca_stays_known,
        a_ca_that_did_not_sign_the_certificate_is_replaced,
        what_the_api_server_refuses_is_told_and_tried_again,
        an_old_cluster_gets_ordinary_containers,
        an_unknown_version_is_told_with_what_to_do_and_asked_for_soon,
        a_certificate_that_another_ca_signed_is_replaced,
        without_an_api_server_there_is_nothing_to_share_by,
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

fn start(cluster: &Cluster) -> Webhook {
    let flags = cluster.flags();
    let flags = flags.iter().map(String::as_str);
    let args: Vec<&str> = FLAGS.into_iter().chain(flags).collect();
    Webhook::spawn(Authority::new("unused"), Folder::new(), &args)
}

/// Whether a client that knows what the API server knows is served.
#[track_caller]
fn assert_serves(webhook: &Webhook, cluster: &Cluster) {
    let config = trusting(&cluster.ca_bundle());
    let mut line = webhook.line_by(&config).expect("a handshake");
    line.send(&post(&review_of(&pod("a"))));
    assert_injected(&line.answer(), "a");
}

fn member(secret: &Value, name: &str) -> String {
    let text = secret["data"][name].as_str().expect("a member");
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("text")
}

fn a_certificate_is_made_shared_and_made_known() {
    let cluster = Cluster::start("37");
    let webhook = start(&cluster);
    assert_serves(&webhook, &cluster);
    let state = cluster.state();
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
    assert_eq!(state.asked, expected);
}

fn a_second_replica_takes_what_the_first_has_made() {
    let cluster = Cluster::start("37");
    let first = start(&cluster);
    let secret = cluster.state().secret.clone();
    let second = start(&cluster);
    assert_eq!(cluster.state().secret, secret);
    assert_serves(&first, &cluster);
    assert_serves(&second, &cluster);
    let patches = |asked: &&String| asked.starts_with("PATCH");
    assert_eq!(cluster.state().asked.iter().filter(patches).count(), 1);
}

fn whoever_is_late_takes_what_is_there() {
    let cluster = Cluster::start("37");
    let made = {
        let other = Cluster::start("37");
        let _webhook = start(&other);
        other.state().secret.clone()
    };
    let secret = made.clone();
    let another: Deed = Box::new(move |state| state.secret = secret);
    cluster.state().instead.push_back(("POST", 409, another));
    let webhook = start(&cluster);
    assert_eq!(cluster.state().secret, made);
    assert_serves(&webhook, &cluster);
}

fn a_certificate_near_its_end_is_renewed_and_its_ca_stays_known() {
    let cluster = Cluster::start("37");
    let old = Authority::new("old CA");
    let identity = old.sign_with("injector.demo.svc", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
    });
    let encoded = |text: &str| STANDARD.encode(text);
    cluster.state().secret = Some(json!({
        "kind": "Secret",
        "metadata": {"name": "probelet-tls", "resourceVersion": "7", "labels": {"a": "b"}},
        "data": {
            "tls.crt": encoded(&identity.chain),
            "tls.key": encoded(&identity.key),
            "ca.crt": encoded(&old.pem()),
        },
    }));
    let webhook = start(&cluster);
    assert_serves(&webhook, &cluster);
    let bundle = cluster.ca_bundle();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    let lines = |pem: &str| pem.lines().map(String::from).collect::<Vec<_>>();
    assert!(lines(&bundle).ends_with(&lines(&old.pem())));
    let state = cluster.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_eq!(secret["metadata"]["labels"]["a"], "b");
    assert_ne!(member(secret, "tls.crt"), identity.chain);
}

fn a_ca_that_did_not_sign_the_certificate_is_replaced() {
    for strange in [Authority::new("another CA").pem(), "garbage".into()] {
        let cluster = Cluster::start("37");
        drop(start(&cluster));
        let secret = cluster.state().secret.take();
        let mut secret = secret.expect("a Secret");
        secret["data"]["ca.crt"] = STANDARD.encode(strange).into();
        cluster.state().secret = Some(secret);
        let webhook = start(&cluster);
        assert_serves(&webhook, &cluster);
    }
}

fn what_the_api_server_refuses_is_told_and_tried_again() {
    let cluster = Cluster::start("37");
    for _ in 0..2 {
        let nothing: Deed = Box::new(|_| ());
        cluster.state().instead.push_back(("POST", 403, nothing));
    }
    let webhook = start(&cluster);
    assert_serves(&webhook, &cluster);
    let line = webhook.wait_log("msg=\"certificate sync failed\"");
    assert!(
        line.contains("returned 403: as the test wants it"),
        "{line}"
    );
    assert_eq!(webhook.logged("certificate sync failed"), 1);
}

fn an_old_cluster_gets_ordinary_containers() {
    for (minor, key) in [
        ("28+", "/spec/containers/0"),
        ("29", "/spec/initContainers"),
    ] {
        let cluster = Cluster::start(minor);
        let webhook = start(&cluster);
        cluster.wait_asked("GET /version");
        webhook.wait_log(&format!(
            "msg=\"cluster version detected\" version=1.{} ",
            &minor[..2]
        ));
        let config = trusting(&cluster.ca_bundle());
        let mut line = webhook.line_by(&config).expect("a handshake");
        line.send(&post(&review_of(&pod("a"))));
        let patch = reviewed(&line.answer())["patch"].take();
        let mut added = patch.as_array().expect("a patch").iter();
        let is_sidecar = |operation: &Value| operation["op"] == "add" && operation["path"] == key;
        assert!(added.any(is_sidecar), "{minor}: {patch}");
    }
}

fn an_unknown_version_is_told_with_what_to_do_and_asked_for_soon() {
    let cluster = Cluster::start("28");
    for _ in 0..2 {
        let nothing: Deed = Box::new(|_| ());
        cluster.state().instead.push_back(("GET", 503, nothing));
    }
    let folder = Folder::new();
    let authority = Authority::new("webhook CA");
    let (cert, key) = authority.sign("injector.demo.svc").write(&folder, "tls");
    let flags = cluster.flags();
    let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
    args.extend(["--cert", cert.to_str().expect("text")]);
    args.extend(["--key", key.to_str().expect("text")]);
    let webhook = Webhook::spawn(authority, folder, &args);
    let line = webhook.wait_log("level=error msg=\"cluster version unknown\"");
    assert!(line.contains("set --sidecar container"), "{line}");
    assert!(line.contains("GET /version returned 503"), "{line}");
    // Well before the next look at the certificate.
    webhook.wait_log("msg=\"cluster version detected\" version=1.28 native_sidecars=false");
    assert_eq!(webhook.logged("cluster version unknown"), 1);
}

fn a_certificate_that_another_ca_signed_is_replaced() {
    let cluster = Cluster::start("37");
    let identity = Authority::new("its CA").sign("injector.demo.svc");
    let other = Authority::new("another CA");
    let encoded = |text: &str| STANDARD.encode(text);
    cluster.state().secret = Some(json!({
        "kind": "Secret",
        "metadata": {"name": "probelet-tls", "resourceVersion": "7"},
        "data": {
            "tls.crt": encoded(&identity.chain),
            "tls.key": encoded(&identity.key),
            "ca.crt": encoded(&other.pem()),
        },
    }));
    let webhook = start(&cluster);
    assert_serves(&webhook, &cluster);
    let state = cluster.state();
    let secret = state.secret.as_ref().expect("a Secret");
    assert_ne!(member(secret, "tls.crt"), identity.chain);
}

fn without_an_api_server_there_is_nothing_to_share_by() {
    let mut command = command(&injector(), &["serve"]);
    command.args(FLAGS);
    let ended = ended(command);
    assert_eq!(ended.status.code(), Some(1));
    let told = "--self-signed needs an API server";
    assert!(ended.stderr.contains(told), "{ended:?}");
}
