//! Inbound ports with real peers: OpenSSL, curl and grpcio; certificates that are refused; files that rotate under load;
//! floods beside honest clients; memory and descriptors over many connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::Trial;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::agent::{Agent, Setup, is_emulated};
use crate::support::certs::{Authority, Identity};
use crate::support::faults::FINE;
use crate::support::folder::Folder;
use crate::support::observe::{assert_descriptors, until};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::peers::openssl;
use crate::support::peers::python::{self, PYTHON};
use crate::support::ports::{Reserved, reserve};
use crate::support::raw::{connect, connect_from};
use crate::support::trials::trials;
use crate::support::{Need, TLS, WAIT_LIMIT, lock};

pub(crate) const WEB: &str = "spiffe://td/ns/shop/sa/web";
pub(crate) const REQUEST: &[u8] = b"GET /fine HTTP/1.1\r\nHost: server.test\r\n\r\n";

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_peers":
        certificates_that_do_not_fit_are_refused,
        a_chain_of_15_kib_is_served,
        files_rotate_under_load_without_a_failed_connection,
        honest_clients_are_served_beside_a_flood_of_120_addresses,
        honest_clients_are_served_beside_a_flood_of_one_address,
    ];
    // An emulator's memory is not the agent's.
    if !is_emulated() {
        tests.extend(trials!["inbound_peers": memory_and_descriptors_stay_flat]);
    }
    tests.extend(
        trials!["inbound_peers" needs &[Need::Peer("openssl")]; openssl_is_served_over_every_cipher_suite],
    );
    tests.extend(trials!["inbound_peers" needs &[Need::Peer("curl")];
        curl_is_served,
    ]);
    // 64 handshakes take an emulator longer than each of them may take.
    if !is_emulated() {
        tests.extend(trials!["inbound_peers" needs &[Need::Peer("curl")];
            curl_may_open_64_connections_at_once,
        ]);
    }
    tests.extend(
        trials!["inbound_peers" needs &[Need::File(PYTHON)]; grpcio_calls_a_plaintext_server],
    );
    tests
}

/// An HTTP app behind an inbound port.
pub(crate) struct Fixture {
    pub(crate) agent: Agent,
    pub(crate) ca: Authority,
    pub(crate) folder: Folder,
    inbound: Reserved,
    app: PathScriptedApp,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let ca = Authority::new("ca of the mesh");
        let identity = server(&ca);
        Fixture::with(ca, &identity, |setup| setup)
    }

    /// An agent with this identity, and settings that `set` changes.
    pub(crate) fn with(
        ca: Authority,
        identity: &Identity,
        set: impl FnOnce(Setup) -> Setup,
    ) -> Fixture {
        let folder = Folder::new();
        identity.write(&folder, "tls");
        folder.file("ca.pem", &ca.pem());
        let app = PathScriptedApp::start();
        app.on("/fine", vec![Step::Send(FINE.into())]);
        let inbound = reserve();
        let files = ["tls.pem", "tls.key", "ca.pem"];
        let setup = set(setup(&folder, files, &inbound, app.addr(), ""));
        let agent = setup.start().expect("the agent starts");
        Fixture {
            agent,
            ca,
            folder,
            inbound,
            app,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.inbound.port).into()
    }

    /// The number of connections with this result.
    pub(crate) fn counted(&self, result: &str) -> f64 {
        let port = self.inbound.port;
        let name = format!(
            "probelet_inbound_connections_total{{listener=\"{port}\",result=\"{result}\"}}"
        );
        self.agent.metric(&name).unwrap_or(0.0)
    }

    pub(crate) fn until_none_is_open(&self) {
        let name = format!(
            "probelet_inbound_connections{{listener=\"{}\"}}",
            self.inbound.port
        );
        until(&name, || {
            (self.agent.metric(&name) == Some(0.0)).then_some(())
        });
    }
}

/// An agent whose inbound port leads to `target`; `files` are those of the certificate, its key and the CA.
pub(crate) fn start(
    folder: &Folder,
    files: [&str; 3],
    inbound: &Reserved,
    target: SocketAddr,
    options: &str,
) -> Agent {
    let setup = setup(folder, files, inbound, target, options);
    setup.start().expect("the agent starts")
}

/// The settings of that agent.
pub(crate) fn setup(
    folder: &Folder,
    files: [&str; 3],
    inbound: &Reserved,
    target: SocketAddr,
    options: &str,
) -> Setup {
    let [cert, key, ca] = files.map(|name| folder.path().join(name).display().to_string());
    let port = inbound.port;
    Setup::new()
        .arg(format!("--inbound={port}={target},allow-id={WEB}{options}"))
        .arg(format!("--cert={cert}"))
        .arg(format!("--key={key}"))
        .arg(format!("--ca={ca}"))
}

/// The identity of the agent. Clients of rustls verify a DNS name.
pub(crate) fn server(ca: &Authority) -> Identity {
    ca.sign_with("spiffe://td/ns/shop/sa/server", |params| {
        push_name(params, "server.test");
    })
}

pub(crate) fn push_name(params: &mut CertificateParams, name: &str) {
    let name = name.to_owned().try_into().expect("ASCII");
    params.subject_alt_names.push(SanType::DnsName(name));
}

/// The answer to a request over TLS, with the error if there is one.
pub(crate) fn fetch(config: &Arc<ClientConfig>, tcp: TcpStream) -> Result<(), String> {
    tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
    let name = ServerName::try_from("server.test").expect("a name");
    let connection = ClientConnection::new(config.clone(), name).expect("a connection");
    let mut stream = StreamOwned::new(connection, tcp);
    let mut answer = Vec::new();
    let exchanged = stream
        .write_all(REQUEST)
        .and_then(|()| stream.read_to_end(&mut answer));
    match exchanged {
        Ok(_) if answer == FINE.as_bytes() => Ok(()),
        Ok(_) => Err(format!("{answer:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn certificates_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    let with = |name: &str, change: fn(&mut CertificateParams)| fixture.ca.sign_with(name, change);
    let push_uri = |params: &mut CertificateParams| {
        let uri = "spiffe://td/b".to_owned().try_into().expect("ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
    };
    for (case, identity, result) in [
        (
            "expired",
            with(WEB, |params| params.not_after = date_time_ymd(2020, 1, 1)),
            "certificate_expired",
        ),
        (
            "not yet valid",
            with(WEB, |params| params.not_before = date_time_ymd(2090, 1, 1)),
            "bad_certificate",
        ),
        (
            "for servers only",
            with(WEB, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            "bad_certificate",
        ),
        (
            "foreign CA",
            Authority::new("other").sign(WEB),
            "unknown_issuer",
        ),
        // Of the same name, with another key.
        (
            "forged CA",
            Authority::new("ca of the mesh").sign(WEB),
            "bad_certificate",
        ),
        ("two URIs", with(WEB, push_uri), "not_allowed"),
        ("no URI", fixture.ca.sign("web.test"), "not_allowed"),
        (
            "other trust domain",
            fixture.ca.sign("spiffe://td2/ns/shop/sa/web"),
            "not_allowed",
        ),
        (
            "longer path",
            fixture.ca.sign("spiffe://td/ns/shop/sa/web/x"),
            "not_allowed",
        ),
    ] {
        let before = fixture.counted(result);
        let config = fixture.ca.client(Some(&identity));
        assert!(fetch(&config, connect(fixture.addr())).is_err(), "{case}");
        until(case, || {
            (fixture.counted(result) == before + 1.0).then_some(())
        });
    }
    assert_eq!(
        fixture.app.accepted(),
        0,
        "no refused client reaches the app"
    );
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    assert_eq!(fetch(&web, connect(fixture.addr())), Ok(()));
}

fn a_chain_of_15_kib_is_served() {
    let fixture = Fixture::new();
    let long = fixture.ca.sign_with(WEB, |params| {
        (0..290).for_each(|n| push_name(params, &format!("{n:040}.example.org")));
    });
    let der = CertificateDer::from_pem_slice(long.chain.as_bytes()).expect("PEM");
    assert!((15_000..17_000).contains(&der.len()), "{}", der.len());
    let config = fixture.ca.client(Some(&long));
    for _ in 0..3 {
        assert_eq!(fetch(&config, connect(fixture.addr())), Ok(()));
    }
}

/// A volume with the files of a Secret: one rename replaces all of them.
pub(crate) struct Volume {
    pub(crate) folder: Folder,
    count: usize,
}

impl Volume {
    pub(crate) fn new(identity: &Identity, ca: &str) -> Volume {
        let mut volume = Volume {
            folder: Folder::new(),
            count: 0,
        };
        volume.swap(identity, ca);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            let link = volume.folder.path().join(name);
            symlink(format!("..data/{name}"), link).expect("a link");
        }
        volume
    }

    pub(crate) fn swap(&mut self, identity: &Identity, ca: &str) {
        let path = self.folder.path();
        let (old, new) = (format!("..{}", self.count), format!("..{}", self.count + 1));
        self.count += 1;
        std::fs::create_dir(path.join(&new)).expect("a folder");
        let files = [
            ("tls.crt", &*identity.chain),
            ("tls.key", &*identity.key),
            ("ca.crt", ca),
        ];
        for (name, text) in files {
            std::fs::write(path.join(&new).join(name), text).expect("written");
        }
        symlink(&new, path.join("..data_tmp")).expect("a link");
        std::fs::rename(path.join("..data_tmp"), path.join("..data")).expect("swapped");
        let _ = std::fs::remove_dir_all(path.join(old));
    }
}

/// A client that trusts both CAs.
fn client_of(cas: &[&Authority], identity: &Identity) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for ca in cas {
        let der = CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("PEM");
        roots.add(der).expect("a root");
    }
    let chain = CertificateDer::from_pem_slice(identity.chain.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = builder.with_client_auth_cert(vec![chain], key);
    Arc::new(config.expect("a pair"))
}

/// Ends the threads of a scope, also if an assertion fails.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Leaf and key change every 300 ms, and not before each client has connected again. The CA changes as it should: both are in the bundle before the first new leaf.
fn files_rotate_under_load_without_a_failed_connection() {
    const THREADS: usize = 3;
    const LEAVES: usize = 6;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let both = [old.pem(), new.pem()].concat();
    let mut volume = Volume::new(&server(&old), &old.pem());
    let app = PathScriptedApp::start();
    app.on("/fine", vec![Step::Send(FINE.into())]);
    let inbound = reserve();
    let files = ["tls.crt", "tls.key", "ca.crt"];
    let agent = start(&volume.folder, files, &inbound, app.addr(), "");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, inbound.port));
    let of_old = client_of(&[&old, &new], &old.sign(WEB));
    let of_new = client_of(&[&old, &new], &new.sign(WEB));
    let config = Mutex::new(of_old.clone());
    let (is_done, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let fetched: [AtomicUsize; THREADS] = Default::default();
    let reloads = |file: &str| {
        let name =
            format!("probelet_certificate_reloads_total{{file=\"{file}\",result=\"success\"}}");
        agent.metric(&name).unwrap_or(0.0)
    };
    let until_reloaded = |file: &str, before: f64| {
        until(file, || (reloads(file) > before).then_some(()));
    };
    std::thread::scope(|scope| {
        for count in &fetched {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let config = lock(&config).clone();
                    if let Err(error) = fetch(&config, connect(to)) {
                        lock(&failures).push(error);
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = SetOnDrop(&is_done);
        // Each client has begun a connection since then.
        let until_connected = || {
            let counts = fetched
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed));
            until("connections of each client", || {
                let mut both = fetched.iter().zip(counts);
                both.all(|(now, before)| now.load(Ordering::Relaxed) > before + 1)
                    .then_some(())
            });
        };
        let rotate = |volume: &mut Volume, ca: &Authority, bundle: &str| {
            let before = reloads("certificate");
            for _ in 0..LEAVES {
                volume.swap(&server(ca), bundle);
                std::thread::sleep(Duration::from_millis(300));
                until_connected();
            }
            until_reloaded("certificate", before);
        };
        rotate(&mut volume, &old, &old.pem());
        let before = reloads("ca");
        volume.swap(&server(&old), &both);
        until_reloaded("ca", before);
        *lock(&config) = of_new.clone();
        rotate(&mut volume, &new, &both);
        // With its new certificate.
        until_connected();
        let before = reloads("ca");
        volume.swap(&server(&new), &new.pem());
        until_reloaded("ca", before);
        drop(end);
    });
    assert_eq!(*lock(&failures), Vec::<String>::new());
    // A reload may have been that of the last leaf, which replaces all files.
    until("the old CA is gone", || fetch(&of_old, connect(to)).err());
    assert_eq!(fetch(&of_new, connect(to)), Ok(()));
}

fn honest_clients_are_served_beside_a_flood_of_120_addresses() {
    honest_clients_are_served_beside_a_flood(40);
}

fn honest_clients_are_served_beside_a_flood_of_one_address() {
    honest_clients_are_served_beside_a_flood(0);
}

/// Connections that send nothing, garbage or half a ClientHello, some of which stay open: from three times so many
/// addresses, or from one.
fn honest_clients_are_served_beside_a_flood(addresses: usize) {
    let fixture = Fixture::new();
    let descriptors = fixture.agent.descriptors();
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let to = fixture.addr();
    let is_done = AtomicBool::new(false);
    let begun: [AtomicUsize; 3] = Default::default();
    std::thread::scope(|scope| {
        for (part, begun) in begun.iter().enumerate() {
            let is_done = &is_done;
            scope.spawn(move || {
                let mut open = Vec::new();
                for n in (0..4000_usize).take_while(|_| !is_done.load(Ordering::Relaxed)) {
                    let from = match addresses {
                        0 => Ipv4Addr::new(127, 0, 1, 1),
                        _ => Ipv4Addr::new(127, 0, 1 + part as u8, 1 + (n % addresses) as u8),
                    };
                    let Ok(mut tcp) = connect_from(from, to) else {
                        continue;
                    };
                    let bytes: &[u8] = match n % 4 {
                        0 => b"",
                        1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                        2 => b"GET / HTTP/1.1\r\n\r\n",
                        _ => &[0x16; 3000],
                    };
                    // It may be reset by now.
                    let _ = tcp.write_all(bytes);
                    begun.fetch_add(1, Ordering::Relaxed);
                    open.push(tcp);
                    if open.len() > 30 {
                        open.drain(..10);
                    }
                }
            });
        }
        let end = SetOnDrop(&is_done);
        until("the flood", || {
            let mut begun = begun.iter();
            begun
                .all(|begun| begun.load(Ordering::Relaxed) > 40)
                .then_some(())
        });
        let results: Vec<_> = (0..20).map(|_| fetch(&web, connect(to))).collect();
        drop(end);
        assert_eq!(results, vec![Ok(()); 20]);
    });
    fixture.until_none_is_open();
    assert_descriptors(&fixture.agent, descriptors);
    assert!(fixture.agent.get("/healthz").is_ok());
}

fn memory_and_descriptors_stay_flat() {
    let fixture = Fixture::new();
    let descriptors = fixture.agent.descriptors();
    let web = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
    let other = fixture.ca.client(Some(&fixture.ca.sign("spiffe://td/b")));
    let run = |count| {
        for n in 0..count {
            let tcp = connect(fixture.addr());
            match n % 5 {
                0 => drop(tcp),
                1 => assert!(fetch(&other, tcp).is_err()),
                _ => assert_eq!(fetch(&web, tcp), Ok(())),
            }
        }
        fixture.until_none_is_open();
        fixture.agent.memory("Anonymous").expect("a figure")
    };
    let before = run(200);
    let after = run(600);
    assert!(after <= before + 64, "{before} KiB, then {after} KiB");
    assert_descriptors(&fixture.agent, descriptors);
}

/// The output of `openssl s_client` that sends a request.
pub(crate) fn s_client(folder: &Folder, port: u16, words: &str) -> String {
    let mut child = Command::new("openssl")
        .args([
            "s_client", "-ign_eof", "-cert", "web.pem", "-key", "web.key",
        ])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(words.split_whitespace())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(REQUEST).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn openssl_is_served_over_every_cipher_suite() {
    let fixture = Fixture::new();
    let Fixture { folder, ca, .. } = &fixture;
    ca.sign(WEB).write(folder, "web");
    openssl::self_signed(folder.path(), "rsa", "rsa:2048").expect("a certificate");
    let rsa = reserve();
    let files = ["rsa.pem", "rsa.key", "ca.pem"];
    let _rsa_agent = start(folder, files, &rsa, fixture.app.addr(), ",alpn=http/1.1");
    let ecdsa = fixture.inbound.port;
    for (port, suite) in [
        (ecdsa, "TLS_AES_128_GCM_SHA256"),
        (ecdsa, "TLS_AES_256_GCM_SHA384"),
        (ecdsa, "TLS_CHACHA20_POLY1305_SHA256"),
        (rsa.port, "TLS_AES_128_GCM_SHA256"),
        (ecdsa, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (ecdsa, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (ecdsa, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (rsa.port, "ECDHE-RSA-AES128-GCM-SHA256"),
        (rsa.port, "ECDHE-RSA-AES256-GCM-SHA384"),
        (rsa.port, "ECDHE-RSA-CHACHA20-POLY1305"),
    ] {
        let words = match suite.starts_with("TLS_") {
            true => format!("-tls1_3 -ciphersuites {suite} -alpn h2,http/1.1"),
            false => format!("-tls1_2 -cipher {suite} -alpn h2,http/1.1"),
        };
        let output = s_client(folder, port, &words);
        assert!(output.contains(&format!("Cipher is {suite}")), "{output}");
        assert!(output.contains("200 OK"), "{suite}: {output}");
        let alpn = match port == ecdsa {
            true => "No ALPN negotiated",
            false => "ALPN protocol: http/1.1",
        };
        assert!(output.contains(alpn), "{suite}: {output}");
        assert!(!output.contains("Reused"), "{suite}: {output}");
    }
    let output = s_client(folder, rsa.port, "-alpn h2");
    assert!(!output.contains("200 OK"), "no common protocol: {output}");
}

fn curl_is_served() {
    let fixture = Fixture::new();
    fixture.ca.sign(WEB).write(&fixture.folder, "web");
    let port = fixture.inbound.port;
    let curl = |words: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert", "ca.pem"])
            .args(["--resolve", &format!("server.test:{port}:127.0.0.1")])
            .args(words)
            .arg(format!("https://server.test:{port}/fine"))
            .current_dir(fixture.folder.path())
            .output()
            .expect("curl");
        (output.status.success(), output.stdout)
    };
    let pair = ["--cert", "web.pem", "--key", "web.key"];
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        assert_eq!(curl(&[&pair, version].concat()), (true, b"fine".into()));
    }
    assert_eq!(curl(&[]), (false, Vec::new()), "without a certificate");
}

/// As the proxy of an ingress does that has lost its connections: all of them are of one address.
fn curl_may_open_64_connections_at_once() {
    const CONNECTIONS: usize = 64;
    let fixture = Fixture::new();
    fixture.ca.sign(WEB).write(&fixture.folder, "web");
    let port = fixture.inbound.port;
    let mut curl = None;
    // So that all of them are there before the first handshake.
    fixture.agent.while_stopped(|| {
        let child = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert", "ca.pem"])
            .args(["--cert", "web.pem", "--key", "web.key", "--http1.1"])
            .args(["--resolve", &format!("server.test:{port}:127.0.0.1")])
            .args(["--parallel", "--parallel-immediate"])
            .args(["--parallel-max", &CONNECTIONS.to_string()])
            .arg(format!("https://server.test:{port}/fine?[1-{CONNECTIONS}]"))
            .current_dir(fixture.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        curl = Some(child.expect("curl"));
        until("connections", || {
            (established(port) >= CONNECTIONS).then_some(())
        });
    });
    let output = curl.expect("started").wait_with_output().expect("it ends");
    let results = ["served", "limit_reached", "evicted", "handshake_timeout"];
    let results = results.map(|result| fixture.counted(result));
    assert_eq!(results, [CONNECTIONS as f64, 0.0, 0.0, 0.0]);
    assert!(output.status.success());
    assert_eq!(output.stdout, b"fine".repeat(CONNECTIONS));
}

/// The number of connections to this port whose TCP handshake is complete, at the client.
fn established(port: u16) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("it exists");
    let established = format!(" 0100007F:{port:04X} 01 ");
    let lines = sockets.lines().filter(|line| line.contains(&established));
    lines.count()
}

fn grpcio_calls_a_plaintext_server() {
    let (folder, ca) = (Folder::new(), Authority::new("grpc"));
    server(&ca).write(&folder, "app");
    ca.sign(WEB).write(&folder, "web");
    ca.sign("spiffe://td/b").write(&folder, "other");
    folder.file("ca.pem", &ca.pem());
    let app = python::start("grpc_app.py", folder.path()).expect("starts");
    let target = (Ipv4Addr::LOCALHOST, app.port("health")).into();
    let inbound = reserve();
    let files = ["app.pem", "app.key", "ca.pem"];
    let _agent = start(&folder, files, &inbound, target, ",alpn=h2");
    let call = |name: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/grpc_client.py");
        let python = std::env::var(PYTHON).expect("the interpreter");
        let output = Command::new(python)
            .args([script, &inbound.port.to_string(), name])
            .current_dir(folder.path())
            .output()
            .expect("python");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(call("web"), "SERVING 100");
    assert_eq!(call("other"), "UNAVAILABLE");
}
