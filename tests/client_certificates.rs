//! Apps that require a client certificate, and apps whose server certificate is verified.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use libtest_mimic::Trial;

use crate::support::agent::{Agent, Setup, is_emulated};
use crate::support::certs::{Authority, Identity};
use crate::support::faults::{FINE, answer};
use crate::support::folder::Folder;
use crate::support::observe::{log_lines, logged, until};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::peers::envoy::{ENVOY, Envoy};
use crate::support::peers::folder;
use crate::support::peers::openssl::{self, Server};
use crate::support::peers::python::{self, PYTHON};
use crate::support::peers::secret::Secret;
use crate::support::raw::probe;
use crate::support::table::{Table, agent_with, start};
use crate::support::trials::trials;
use crate::support::{Need, TLS};

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";
const ID: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["client_certificates":
        an_app_that_requires_a_certificate_receives_it,
        an_untrusted_certificate_is_reported_as_refused,
        an_app_with_optional_certificates_is_probed_without_one,
        an_app_with_optional_certificates_is_not_reported_to_require_one,
        a_new_pair_in_the_files_is_loaded,
        a_new_pair_in_a_secret_volume_is_loaded,
        a_broken_new_pair_leaves_the_old_one_in_use,
        an_invalid_pair_is_an_error_before_anything_listens,
        files_that_are_invalid_at_the_start_fail_only_probes_over_tls,
        files_that_come_late_are_loaded,
        the_apps_certificate_must_be_signed_by_the_authority,
        the_apps_certificate_must_have_the_spiffe_id,
        a_certificate_that_is_not_yet_valid_fails,
        an_expired_certificate_fails_even_if_it_is_the_authority,
        without_an_authority_any_app_passes,
    ];
    tests.extend(
        trials!["client_certificates" needs &[Need::Peer("openssl")];
            openssl_that_requires_a_certificate_receives_it,
            openssl_accepts_a_client_certificate_of_x509_v1,
            the_key_of_an_x509_v1_certificate_must_match,
            the_apps_own_certificate_may_be_the_authority,
        ],
    );
    tests.extend(
        trials!["client_certificates" needs &[Need::Root, Need::Peer("setpriv")];
            a_key_that_may_not_be_read_is_an_error_with_its_mode
        ],
    );
    // faketime preloads a library into the agent, which an emulator does not.
    if !is_emulated() {
        tests.extend(
            trials!["client_certificates" needs &[Need::Peer("faketime")];
                an_unset_clock_is_reported
            ],
        );
    }
    tests.extend(
        trials!["client_certificates" needs &[Need::File(ENVOY)]; envoy_that_requires_a_certificate_receives_it],
    );
    tests.extend(trials!["client_certificates" needs &[Need::File(PYTHON)]; grpcio_that_requires_a_certificate_receives_it]);
    tests
}

fn https(path: &str, port: u16) -> Table {
    let get = format!(r#""httpGet":{{"path":"/","port":{port},"scheme":"HTTPS"}}"#);
    Table::new().prober(path, &format!(r#"{get},"timeoutSeconds":10"#))
}

fn flag(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

fn agent(table: &Table, flags: &[String]) -> Agent {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    agent_with(table, &flags)
}

/// Writes a certificate and its key into a folder. Returns the flags that name them.
fn pair(folder: &Folder, identity: &Identity) -> Vec<String> {
    let (chain, key) = identity.write(folder, "client");
    vec![flag("client-cert", &chain), flag("client-key", &key)]
}

fn required() -> String {
    "--require-files=true".into()
}

/// An app that requires a certificate of this authority and returns 200.
fn demanding(clients: &Authority) -> PathScriptedApp {
    let app = PathScriptedApp::start_tls(Identity::self_signed().server_tls(&[], Some(clients)));
    app.set_default(answer(FINE));
    app
}

#[track_caller]
fn assert_fails(agent: &Agent, path: &str, reason: &str) {
    probe(agent, path).assert_is(502);
    logged(agent, &format!("reason={reason} "));
}

fn an_app_that_requires_a_certificate_receives_it() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let app = demanding(&mesh);
    let table = https(LIVEZ, app.port());
    let without = agent(&table, &[]);
    assert_fails(&without, LIVEZ, "client_certificate_required");
    let with = agent(&table, &pair(&folder, &mesh.sign("probelet")));
    probe(&with, LIVEZ).assert_is(200);
}

fn an_untrusted_certificate_is_reported_as_refused() {
    let (mesh, other, folder) = (
        Authority::new("mesh"),
        Authority::new("other"),
        Folder::new(),
    );
    let app = demanding(&mesh);
    let flags = pair(&folder, &other.sign("probelet"));
    let agent = agent(&https(LIVEZ, app.port()), &flags);
    assert_fails(&agent, LIVEZ, "client_certificate_refused");
}

fn an_app_with_optional_certificates_is_probed_without_one() {
    let mesh = Authority::new("mesh");
    let app = PathScriptedApp::start_tls(Identity::self_signed().requesting_client_cert(&mesh));
    app.set_default(answer(FINE));
    let agent = agent(&https(LIVEZ, app.port()), &[]);
    probe(&agent, LIVEZ).assert_is(200);
}

/// In TLS 1.2 the finished handshake shows that the app accepts the client, in TLS 1.3 the session tickets after it.
fn an_app_with_optional_certificates_is_not_reported_to_require_one() {
    use rustls::version::{TLS12, TLS13};
    let mesh = Authority::new("mesh");
    for (version, end, reason) in [
        (&TLS12, Step::HangUp, "closed_early"),
        (&TLS12, Step::Reset, "reset"),
        (&TLS13, Step::HangUp, "closed_early"),
    ] {
        let app = PathScriptedApp::start_tls(
            Identity::self_signed().requesting_client_cert_in(&[version], &mesh),
        );
        app.set_default(vec![end]);
        assert_fails(&agent(&https(LIVEZ, app.port()), &[]), LIVEZ, reason);
        assert_eq!(app.requests().len(), 1, "it took the request");
    }
}

/// Probes until the app, which trusts only the second authority, accepts the new certificate.
#[track_caller]
fn until_taken_up(agent: &Agent) {
    until("the new pair is in use", || {
        (probe(agent, LIVEZ).code() == Some(200)).then_some(())
    });
}

fn a_new_pair_in_the_files_is_loaded() {
    let (old, new, folder) = (Authority::new("old"), Authority::new("new"), Folder::new());
    let app = demanding(&new);
    let flags = pair(&folder, &old.sign("probelet"));
    let agent = agent(&https(LIVEZ, app.port()), &flags);
    assert_fails(&agent, LIVEZ, "client_certificate_refused");
    pair(&folder, &new.sign("probelet"));
    until_taken_up(&agent);
    let line = logged(&agent, "client_certificate");
    assert!(!line.contains("PRIVATE"), "{line}");
}

fn a_new_pair_in_a_secret_volume_is_loaded() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let app = demanding(&new);
    let mut secret = Secret::new(&old.sign("probelet"));
    let (chain, key) = secret.paths();
    let flags = [flag("client-cert", &chain), flag("client-key", &key)];
    let agent = agent(&https(LIVEZ, app.port()), &flags);
    assert_fails(&agent, LIVEZ, "client_certificate_refused");
    secret.swap(&new.sign("probelet"));
    until_taken_up(&agent);
    // A second swap: the agent must poll the new path, not the deleted file.
    secret.swap(&old.sign("probelet"));
    until("the third pair is in use", || {
        (probe(&agent, LIVEZ).code() == Some(502)).then_some(())
    });
}

fn a_broken_new_pair_leaves_the_old_one_in_use() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let app = demanding(&mesh);
    let good = mesh.sign("probelet");
    let agent = agent(&https(LIVEZ, app.port()), &pair(&folder, &good));
    probe(&agent, LIVEZ).assert_is(200);
    let path = folder.path().join("client.key").display().to_string();
    let mut logged_before = 0;
    for broken in ["", "no PEM", &mesh.sign("other").key] {
        folder.file("client.key", broken);
        until("the broken key is noticed", || {
            probe(&agent, LIVEZ).assert_is(200);
            (log_lines(&agent, &path).len() > logged_before).then_some(())
        });
        logged_before = log_lines(&agent, &path).len();
    }
    // Logged once, not for each probe.
    (0..20).for_each(|_| probe(&agent, LIVEZ).assert_is(200));
    assert_eq!(log_lines(&agent, &path).len(), logged_before);
    std::fs::remove_file(folder.path().join("client.key")).expect("removed");
    probe(&agent, LIVEZ).assert_is(200);
}

fn files_that_come_late_are_loaded() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let identity = mesh.sign("probelet");
    let app = PathScriptedApp::start_tls(identity.server_tls(&[], Some(&mesh)));
    app.set_default(answer(FINE));
    let path = |name: &str| folder.path().join(name);
    let flags = [
        flag("client-cert", &path("tls.crt")),
        flag("client-key", &path("tls.key")),
        flag("app-ca", &path("ca.crt")),
    ];
    let agent = agent(&https(LIVEZ, app.port()), &flags);
    let not_loaded = "level=warn msg=\"certificate not loaded, TLS fails\"";
    for (file, name) in [("client_certificate", "tls.crt"), ("app_ca", "ca.crt")] {
        let path = path(name).display().to_string();
        logged(&agent, &format!("{not_loaded} file={file} path={path} "));
    }
    assert_fails(&agent, LIVEZ, "certificate_missing");
    folder.file("tls.crt", &identity.chain);
    logged_after_probes(&agent, &format!("{not_loaded} file=client_key "));
    folder.file("ca.crt", &mesh.pem());
    logged_after_probes(&agent, "level=info msg=\"certificate loaded\" file=app_ca");
    probe(&agent, LIVEZ).assert_is(502);
    folder.file("tls.key", "not written yet");
    logged_after_probes(&agent, "error=\"has no private key");
    folder.file("tls.key", &identity.key);
    logged_after_probes(
        &agent,
        "level=info msg=\"certificate loaded\" file=client_certificate",
    );
    probe(&agent, LIVEZ).assert_is(200);
}

/// Probes until this is logged: the agent polls the files when it connects.
#[track_caller]
fn logged_after_probes(agent: &Agent, part: &str) {
    until(part, || {
        probe(agent, LIVEZ);
        (!log_lines(agent, part).is_empty()).then_some(())
    });
}

fn a_key_that_may_not_be_read_is_an_error_with_its_mode() {
    let folder = Folder::new();
    let (chain, key) = Identity::self_signed().write(&folder, "client");
    std::fs::set_permissions(&key, Permissions::from_mode(0o400)).expect("set");
    chown(&key, Some(1337), None).expect("root");
    let flags = [
        flag("client-cert", &chain),
        flag("client-key", &key),
        required(),
    ];
    // Root without these capabilities may not read it either.
    let setup =
        Setup::new().wrapped_by(&["setpriv", "--bounding-set=-dac_override,-dac_read_search"]);
    let setup = flags.iter().fold(setup, Setup::arg);
    let (code, text) = setup.run_to_end().expect("ends");
    assert_eq!(code, Some(2), "{text}");
    let expected = "which cannot be read: its mode is 0400, its owner is user 1337, and this program runs as user 0: \
                    in a pod, set `defaultMode: 0440` for its volume, and `fsGroup`";
    assert!(text.contains(expected), "{text}");
}

/// A renewal that went wrong, and a reboot: probes in plaintext must not fail for it.
fn files_that_are_invalid_at_the_start_fail_only_probes_over_tls() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let app = demanding(&mesh);
    let plain = PathScriptedApp::start();
    plain.set_default(answer(FINE));
    let good = mesh.sign("probelet");
    let get = format!(r#""httpGet":{{"port":{}}}"#, plain.port());
    let table = https(LIVEZ, app.port()).prober(READYZ, &get);
    let other = mesh.sign("other");
    for (chain, key) in [
        ("garbage", "garbage"),
        (&*good.chain, &*other.key),
        ("", ""),
    ] {
        let flags = [
            flag("client-cert", &folder.file("client.pem", chain)),
            flag("client-key", &folder.file("client.key", key)),
        ];
        let agent = agent(&table, &flags);
        logged(
            &agent,
            "level=warn msg=\"certificate not loaded, TLS fails\"",
        );
        probe(&agent, READYZ).assert_is(200);
        assert_fails(&agent, LIVEZ, "certificate_missing");
        folder.file("client.pem", &good.chain);
        folder.file("client.key", &good.key);
        until_taken_up(&agent);
    }
}

fn an_invalid_pair_is_an_error_before_anything_listens() {
    let folder = Folder::new();
    let identity = Identity::self_signed();
    let (chain, key) = identity.write(&folder, "client");
    let other = folder.file("other.key", &Identity::self_signed().key);
    let garbage = folder.file("garbage.pem", "-----BEGIN CERTIFICATE-----\n?\n");
    let nowhere = folder.path().join("nowhere.pem");
    for flags in [
        vec![flag("client-cert", &chain)],
        vec![flag("client-key", &key)],
        vec![
            flag("client-cert", &nowhere),
            flag("client-key", &key),
            required(),
        ],
        vec![
            flag("client-cert", &garbage),
            flag("client-key", &key),
            required(),
        ],
        vec![
            flag("client-cert", &chain),
            flag("client-key", &other),
            required(),
        ],
        vec![
            flag("client-cert", &key),
            flag("client-key", &chain),
            required(),
        ],
        vec![flag("app-ca", &nowhere), required()],
        vec!["--require-files=1".into()],
        vec![flag("app-ca", &garbage), required()],
        vec![format!("--app-id={ID}")],
    ] {
        let setup = Setup::new();
        let setup = flags.iter().fold(setup, |setup, flag| setup.arg(flag));
        let (code, text) = setup.run_to_end().expect("ends");
        assert_eq!(code, Some(2), "{flags:?}: {text}");
        assert!(!text.contains("listening"), "{text}");
    }
}

/// An app with a certificate that this authority signed for a name or URI.
fn signed_app(authority: &Authority, name: &str) -> PathScriptedApp {
    let app = PathScriptedApp::start_tls(authority.sign(name).server_tls(&[], None));
    app.set_default(answer(FINE));
    app
}

fn the_apps_certificate_must_be_signed_by_the_authority() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let ca = flag("app-ca", &folder.file("ca.pem", &mesh.pem()));
    let fine = signed_app(&mesh, "127.0.0.1");
    let strange = signed_app(&Authority::new("mesh"), "127.0.0.1");
    let mut table = https(LIVEZ, fine.port());
    let get = format!(
        r#""httpGet":{{"port":{},"scheme":"HTTPS"}}"#,
        strange.port()
    );
    table = table.prober(READYZ, &get);
    let agent = agent(&table, &[ca]);
    probe(&agent, LIVEZ).assert_is(200);
    assert_fails(&agent, READYZ, "bad_certificate");
}

fn the_apps_certificate_must_have_the_spiffe_id() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let ca = flag("app-ca", &folder.file("ca.pem", &mesh.pem()));
    let flags = [ca, format!("--app-id={ID}")];
    let fine = signed_app(&mesh, ID);
    probe(&agent(&https(LIVEZ, fine.port()), &flags), LIVEZ).assert_is(200);
    for name in [
        "spiffe://cluster.local/ns/shop/sa/web2",
        "spiffe://cluster.local/ns/shop/sa/we",
        "spiffe://other/ns/shop/sa/web",
        "127.0.0.1",
    ] {
        let other = signed_app(&mesh, name);
        let agent = agent(&https(LIVEZ, other.port()), &flags);
        assert_fails(&agent, LIVEZ, "wrong_identity");
    }
}

fn a_certificate_that_is_not_yet_valid_fails() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let ca = flag("app-ca", &folder.file("ca.pem", &mesh.pem()));
    let coming = mesh.sign_with("127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    });
    let app = PathScriptedApp::start_tls(coming.server_tls(&[], None));
    app.set_default(answer(FINE));
    let agent = agent(&https(LIVEZ, app.port()), &[ca]);
    assert_fails(&agent, LIVEZ, "bad_certificate");
}

/// As with curl.
fn an_expired_certificate_fails_even_if_it_is_the_authority() {
    let folder = Folder::new();
    let expired = Identity::self_signed_with(&rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let ca = flag("app-ca", &folder.file("ca.pem", &expired.chain));
    let app = PathScriptedApp::start_tls(expired.server_tls(&[], None));
    app.set_default(answer(FINE));
    let agent = agent(&https(LIVEZ, app.port()), &[ca]);
    assert_fails(&agent, LIVEZ, "certificate_expired");
}

/// A board without a battery-backed clock boots in 1970, when no certificate is valid yet.
fn an_unset_clock_is_reported() {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let library = |folder: std::fs::DirEntry| folder.path().join("faketime/libfaketime.so.1");
    let library = folders.map(library).find(|path| path.exists());
    let library = library.expect("faketime's library").display().to_string();
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let ca = flag("app-ca", &folder.file("ca.pem", &mesh.pem()));
    let app = signed_app(&mesh, "127.0.0.1");
    let setup = Setup::new()
        .env("LD_PRELOAD", &library)
        .env("FAKETIME", "1970-01-02 00:00:00")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let agent = start(setup, &https(LIVEZ, app.port()), &[&ca]);
    assert_fails(&agent, LIVEZ, "clock_not_set");
}

fn without_an_authority_any_app_passes() {
    let app = signed_app(&Authority::new("mesh"), "elsewhere.example");
    probe(&agent(&https(LIVEZ, app.port()), &[]), LIVEZ).assert_is(200);
}

fn openssl_that_requires_a_certificate_receives_it() {
    let (folder, authority) = folder();
    let file = |name: &str| folder.path().join(name);
    let flags = pair(&folder, &authority.sign("probelet"));
    let strange = Folder::new();
    let others = pair(&strange, &Authority::new("other").sign("probelet"));
    for version in ["tls1_2", "tls1_3"] {
        let ca = file("ca.pem").display().to_string();
        let words = format!("-{version} -Verify 1 -verify_return_error -CAfile {ca}");
        let server = Server::start(&file("app.pem"), &file("app.key"), &words);
        let table = https(LIVEZ, server.as_ref().expect("starts").port);
        probe(&agent(&table, &flags), LIVEZ).assert_is(200);
        assert_fails(&agent(&table, &[]), LIVEZ, "client_certificate_required");
        assert_fails(&agent(&table, &others), LIVEZ, "client_certificate_refused");
    }
}

/// Makes a CA and an X.509 v1 certificate that it signed, as `openssl x509 -req` does without an extension file. Returns
/// the flags that name the certificate and its key.
fn x509_v1_pair(folder: &Folder) -> Vec<String> {
    let run = |words: &str| openssl::run(folder.path(), words).expect("openssl runs");
    let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
    run(&format!(
        "req -x509 -nodes -newkey {ec} -subj /CN=ca -keyout v1-ca.key -out v1-ca.pem"
    ));
    run(&format!(
        "req -new -nodes -newkey {ec} -subj /CN=v1 -keyout v1.key -out v1.csr"
    ));
    run("x509 -req -in v1.csr -CA v1-ca.pem -CAkey v1-ca.key -CAcreateserial -days 30 -out v1.pem");
    let file = |name: &str| folder.path().join(name);
    vec![
        flag("client-cert", &file("v1.pem")),
        flag("client-key", &file("v1.key")),
    ]
}

fn openssl_accepts_a_client_certificate_of_x509_v1() {
    let (folder, _) = folder();
    let flags = x509_v1_pair(&folder);
    let file = |name: &str| folder.path().join(name);
    for version in ["tls1_2", "tls1_3"] {
        let ca = file("v1-ca.pem").display().to_string();
        let words = format!("-{version} -Verify 1 -verify_return_error -CAfile {ca}");
        let server = Server::start(&file("app.pem"), &file("app.key"), &words).expect("starts");
        probe(&agent(&https(LIVEZ, server.port), &flags), LIVEZ).assert_is(200);
    }
}

fn the_key_of_an_x509_v1_certificate_must_match() {
    let folder = Folder::new();
    let [certificate, _] = <[String; 2]>::try_from(x509_v1_pair(&folder)).expect("two flags");
    let other = folder.file("other.key", &Identity::self_signed().key);
    let setup = Setup::new()
        .arg(&certificate)
        .arg(flag("client-key", &other))
        .arg(required());
    let (code, text) = setup.run_to_end().expect("ends");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("has a key that does not match"), "{text}");
}

/// As with curl's `--cacert`: a self-signed certificate with and without CA:TRUE or of X.509 v1, and one whose issuer is
/// not in the file. Another certificate of the same name is not accepted.
fn the_apps_own_certificate_may_be_the_authority() {
    let folder = Folder::new();
    let run = |words: &str| openssl::run(folder.path(), words).expect("openssl runs");
    let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
    for (name, extension) in [
        ("ca", "basicConstraints=critical,CA:TRUE"),
        ("other", "basicConstraints=critical,CA:TRUE"),
        ("leaf", "basicConstraints=critical,CA:FALSE"),
    ] {
        run(&format!(
            "req -x509 -nodes -newkey {ec} -subj /CN=app -addext {extension} -addext subjectAltName=URI:{ID} \
             -keyout {name}.key -out {name}.pem"
        ));
    }
    for name in ["v1", "signed"] {
        run(&format!(
            "req -new -nodes -newkey {ec} -subj /CN=app -keyout {name}.key -out {name}.csr"
        ));
    }
    run("x509 -req -in v1.csr -signkey v1.key -days 30 -out v1.pem");
    folder.file("extensions", "keyUsage=digitalSignature");
    run(
        "x509 -req -in signed.csr -CA other.pem -CAkey other.key -CAcreateserial -extfile extensions -out signed.pem",
    );
    let file = |name: &str| folder.path().join(name);
    let id = format!("--app-id={ID}");
    for name in ["ca", "leaf", "v1", "signed"] {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        let own = flag("app-ca", &certificate);
        let other = flag("app-ca", &file("ca.pem"));
        for version in ["tls1_2", "tls1_3"] {
            let server = Server::start(&certificate, &key, &format!("-{version}"));
            let table = https(LIVEZ, server.as_ref().expect("starts").port);
            probe(&agent(&table, std::slice::from_ref(&own)), LIVEZ).assert_is(200);
            let with_id = agent(&table, &[own.clone(), id.clone()]);
            match name {
                "ca" | "leaf" => probe(&with_id, LIVEZ).assert_is(200),
                _ => assert_fails(&with_id, LIVEZ, "wrong_identity"),
            }
            if name != "ca" {
                assert_fails(
                    &agent(&table, std::slice::from_ref(&other)),
                    LIVEZ,
                    "bad_certificate",
                );
            }
        }
    }
}

fn envoy_that_requires_a_certificate_receives_it() {
    let (mesh, folder) = (Authority::new("mesh"), Folder::new());
    let ca = flag("app-ca", &folder.file("ca.pem", &mesh.pem()));
    let mut flags = pair(
        &folder,
        &mesh.sign("spiffe://cluster.local/ns/shop/sa/probelet"),
    );
    flags.extend([ca, format!("--app-id={ID}")]);
    for alpn in [&["h2"][..], &["http/1.1"], &["h2", "http/1.1"], &[]] {
        let envoy = Envoy::start(&folder, &mesh, alpn).expect("starts");
        let table = https(LIVEZ, envoy.port());
        let broken = r#""httpGet":{"path":"/broken","scheme":"HTTPS","port":"#;
        let table = table.prober(READYZ, &format!("{broken}{}}}", envoy.port()));
        let with = agent(&table, &flags);
        probe(&with, LIVEZ).assert_is(200);
        probe(&with, READYZ).assert_is(500);
        assert_fails(&agent(&table, &[]), LIVEZ, "client_certificate_required");
    }
}

fn grpcio_that_requires_a_certificate_receives_it() {
    let (folder, authority) = folder();
    let app = python::start("grpc_app.py", folder.path()).expect("starts");
    let port = app.port("mutual");
    let members = format!(r#""grpc":{{"port":{port},"mode":"TLS"}},"timeoutSeconds":10"#);
    let table = Table::new().prober(LIVEZ, &members);
    let with = agent(&table, &pair(&folder, &authority.sign("probelet")));
    probe(&with, LIVEZ).assert_is(200);
    assert_fails(&agent(&table, &[]), LIVEZ, "client_certificate_required");
}
