//! `probelet grpc-health-probe` beside the original: the same flags on the same servers give the same exit code, and
//! messages with the same words.

mod call;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use libtest_mimic::Trial;
use rcgen::SanType;

use crate::support::certs::Authority;
use crate::support::command::{Ended, check_json, command, probelet, run_to_end};
use crate::support::folder::Folder;
use crate::support::needs::on_path;
use crate::support::peers::PeerProcess;
use crate::support::peers::python::{self, PYTHON};
use crate::support::ports::{full_backlog, reserve};
use crate::support::trials::trials;
use crate::support::{Need, TLS};

const ORIGINAL: &str = "grpc-health-probe";

pub fn tests() -> Vec<Trial> {
    let needs = [Need::Peer(ORIGINAL), Need::File(PYTHON)];
    let mut tests = trials!["grpc_health_probe" needs &needs;
        addr,
        service,
        connect_timeout,
        rpc_timeout,
        rpc_header,
        user_agent,
        gzip,
        v,
        version,
        help,
        alts,
        spiffe,
        tls_without_tls,
        arguments_that_are_not_flags,
        a_server_without_health_service,
        a_failed_call,
    ];
    if TLS {
        tests.extend(trials!["grpc_health_probe" needs &needs;
            tls,
            tls_no_verify,
            tls_ca_cert,
            tls_client_cert_and_key,
            tls_server_name,
        ]);
    }
    tests.extend(trials!["grpc_health_probe" needs &[Need::File(PYTHON)];
        check_sends_metadata,
        check_reaches_a_unix_socket,
    ]);
    tests.extend(trials!["grpc_health_probe":
        verbose_is_v,
        a_copy_with_the_name_takes_the_flags,
    ]);
    tests.extend(call::tests());
    tests
}

/// Servers of grpcio, for all trials. They end with this process.
struct Servers {
    folder: Folder,
    process: PeerProcess,
}

impl Servers {
    fn get() -> &'static Servers {
        static SERVERS: OnceLock<Servers> = OnceLock::new();
        SERVERS.get_or_init(|| {
            let (folder, authority) = (Folder::new(), Authority::new("servers"));
            folder.file("ca.pem", &authority.pem());
            folder.file("other-ca.pem", &Authority::new("other").pem());
            let name = "app.example".try_into().expect("ASCII");
            let app = authority.sign_with("127.0.0.1", |params| {
                params.subject_alt_names.push(SanType::DnsName(name));
            });
            app.write(&folder, "app");
            authority.sign("client").write(&folder, "client");
            let process = python::start("grpc_app.py", folder.path()).expect("servers");
            Servers { folder, process }
        })
    }

    /// `-addr` of a server.
    fn addr(&self, server: &str) -> String {
        format!("-addr=127.0.0.1:{}", self.process.port(server))
    }

    /// A flag whose value is a file of the folder.
    fn file(&self, flag: &str, name: &str) -> String {
        format!("{flag}={}", self.folder.path().join(name).display())
    }
}

fn original(args: &[&str]) -> Command {
    let program = on_path(ORIGINAL).expect("the original");
    let mut command = Command::new(program);
    command.args(args).env_clear();
    command
}

fn ours(args: &[&str]) -> Command {
    let mut command = probelet(&["grpc-health-probe"]);
    command.args(args);
    command
}

/// Runs both programs with these arguments. Both exit with this code, and the messages of both have these words.
#[track_caller]
fn both(args: &[&str], code: i32, words: &str) {
    both_with(args, &[], code, words);
}

#[track_caller]
fn both_with(args: &[&str], variables: &[(&str, &Path)], code: i32, words: &str) {
    // Where a server is to respond, the timeouts are those of a busy machine, unless an argument sets another: the last one counts.
    let timeouts: &[&str] = match code {
        0 | 3 | 4 => &["-connect-timeout=15s", "-rpc-timeout=15s"],
        _ => &[],
    };
    let args = [timeouts, args].concat();
    for mut command in [original(&args), ours(&args)] {
        command.envs(variables.iter().copied());
        let program = format!("{command:?}");
        let ended = run_to_end(command);
        assert_eq!(ended.status.code(), Some(code), "{program}: {ended:?}");
        assert!(ended.stderr.contains(words), "{program}: {ended:?}");
    }
}

/// Runs both programs on a server with these further arguments.
#[track_caller]
fn both_on(server: &str, args: &[&str], code: i32, words: &str) {
    let addr = Servers::get().addr(server);
    both(&[&[&*addr], args].concat(), code, words);
}

const SERVING: &str = "status: SERVING\n";

fn addr() {
    let servers = Servers::get();
    let port = servers.process.port("health");
    let socket = servers.folder.path().join("app.sock");
    for addr in [
        format!("-addr=:{port}"),
        format!("--addr=127.0.0.1:{port}"),
        format!("-addr=localhost:{port}"),
        format!("-addr=0.0.0.0:{port}"),
        format!("-addr=passthrough:///127.0.0.1:{port}"),
        format!("-addr=dns:///127.0.0.1:{port}"),
        format!("-addr=unix://{}", socket.display()),
        format!("-addr=unix:{}", socket.display()),
    ] {
        both(&[&addr], 0, SERVING);
    }
    both(&["-addr", &format!(":{port}")], 0, SERVING);
    both(&["-addr=:1", &format!("-addr=:{port}")], 0, SERVING);
    both(&[], 1, "error: -addr not specified");
    both(&["-addr="], 1, "error: -addr not specified");
    both(&["-addr"], 1, "flag needs an argument: -addr");
    let refusing = reserve();
    let closed = format!("-addr=127.0.0.1:{}", refusing.port);
    both(&[&closed], 2, "failed to connect service");
    both(
        &["-addr=unix:///nowhere/app.sock"],
        2,
        "failed to connect service",
    );
    both(&["-addr=localhost"], 2, "failed to connect service");
    for addr in ["-addr=a..b:1", "-addr=dns:///", "-addr=unix://app.sock"] {
        both(&[addr], 2, "failed to connect service");
    }
}

fn service() {
    let unhealthy = |status| format!("service unhealthy (responded with \"{status}\")\n");
    both_on("health", &["-service="], 0, SERVING);
    both_on("health", &["-service=up"], 0, SERVING);
    both_on("health", &["-service", "a/b?c=%41 \u{e4}"], 0, SERVING);
    both_on("health", &["-service=down"], 4, &unhealthy("NOT_SERVING"));
    both_on("health", &["-service=unknown"], 4, &unhealthy("UNKNOWN"));
    let none = &["-service=service-unknown"];
    both_on("health", none, 4, &unhealthy("SERVICE_UNKNOWN"));
    let words = "error: health rpc failed: rpc error: code = NotFound desc = ";
    both_on("health", &["-service=elsewhere"], 3, words);
}

fn connect_timeout() {
    let hung = full_backlog();
    let addr = format!("-addr=127.0.0.1:{}", hung.port);
    let words = "timeout: failed to connect service \"127.0.0.1:";
    both(&[&addr, "-connect-timeout=200ms"], 2, words);
    both(&[&addr, "-connect-timeout=200ms"], 2, "\" within 200ms\n");
    both_on("health", &["-connect-timeout", "1m"], 0, SERVING);
    for (text, words) in [
        ("1", "for flag -connect-timeout: parse error"),
        ("0s", "error: -connect-timeout must be greater than zero"),
        ("-1s", "error: -connect-timeout must be greater than zero"),
    ] {
        both_on("health", &["-connect-timeout", text], 1, words);
    }
}

fn rpc_timeout() {
    let slow = ["-service=slow", "-rpc-timeout=200ms"];
    both_on(
        "failing",
        &slow,
        3,
        "timeout: health rpc did not complete within 200ms\n",
    );
    both_on("health", &["-rpc-timeout=1.5s"], 0, SERVING);
    both_on(
        "health",
        &["-rpc-timeout=x"],
        1,
        "for flag -rpc-timeout: parse error",
    );
    let zero = "error: -rpc-timeout must be greater than zero";
    both_on("health", &["-rpc-timeout=0"], 1, zero);
}

fn rpc_header() {
    let wanted = "-service=x-token: a: b\nx-other: c";
    let header = "-rpc-header=X-Token:  a: b";
    both_on(
        "metadata",
        &[wanted, header, "-rpc-header", "x-other:c"],
        0,
        SERVING,
    );
    both_on("metadata", &[wanted, header], 4, "service unhealthy");
    let binary = ["-service=x-bin: b'a?~", "-rpc-header=x-bin: a?~"];
    both_on("metadata", &binary, 0, SERVING);
    // Reserved names are not sent.
    both_on(
        "metadata",
        &["-rpc-header=te: x", "-rpc-header=grpc-timeout: 1n"],
        0,
        SERVING,
    );
    both_on(
        "metadata",
        &["-rpc-header=secret"],
        1,
        "invalid RPC header, expected 'key: value'",
    );
    both_on(
        "metadata",
        &["-rpc-header=a b: c"],
        3,
        "contains illegal characters",
    );
    both_on(
        "metadata",
        &["-rpc-header=a: \u{e4}"],
        3,
        "non-printable ASCII characters",
    );
    let refusing = reserve();
    let closed = format!("-addr=127.0.0.1:{}", refusing.port);
    both(
        &[&closed, "-rpc-header=a b: c"],
        2,
        "failed to connect service",
    );
}

/// The original sends the version of grpc-go after it.
fn user_agent() {
    let own = ["-service=user-agent: me/1", "-user-agent=me/1"];
    both_on("metadata", &own, 0, SERVING);
    both_on(
        "metadata",
        &["-service=user-agent: grpc_health_probe"],
        0,
        SERVING,
    );
}

fn gzip() {
    both_on("health", &["-gzip"], 0, SERVING);
    both_on("health", &["-gzip=false"], 0, SERVING);
    both_on(
        "health",
        &["-gzip=yes"],
        1,
        "invalid boolean value \"yes\" for -gzip: parse error",
    );
}

fn v() {
    let addr = Servers::get().addr("health");
    let lines = |command| {
        let ended = run_to_end(command);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let words = ["(took ", "connect="];
        let start = |line: &str| {
            let ends = words.iter().filter_map(|word| line.find(word));
            line[..ends.min().unwrap_or(line.len())].to_string()
        };
        ended.stderr.lines().map(start).collect::<Vec<_>>()
    };
    let args = [&*addr, "-v", "-connect-timeout=90s"];
    assert_eq!(lines(ours(&args)), lines(original(&args)));
    let quiet = [&*addr, "-v=false"];
    assert_eq!(lines(ours(&quiet)), lines(original(&quiet)));
}

fn version() {
    both(&["-version"], 0, "");
    both(&["-addr=x", "--version"], 0, "");
    let ended = run_to_end(ours(&["-version"]));
    assert_eq!(ended.stdout, format!("{}\n", env!("CARGO_PKG_VERSION")));
}

fn help() {
    both(&["-h"], 1, "-rpc-timeout");
    both(&["--help"], 1, "-rpc-timeout");
}

fn alts() {
    both_on("health", &["-alts", "-connect-timeout=200ms"], 2, "");
    both_on(
        "health",
        &["-alts", "-tls"],
        1,
        "error: cannot specify -tls with -alts",
    );
    let both_flags = ["-alts", "-spiffe"];
    both_on(
        "health",
        &both_flags,
        1,
        "-alts and -spiffe are mutually incompatible",
    );
    let addr = Servers::get().addr("health");
    let advice = run_to_end(ours(&[&addr, "-alts"])).stderr;
    assert!(advice.contains("write -tls"), "{advice}");
}

fn spiffe() {
    both_on("health", &["-spiffe"], 20, "spiffe");
    both_on(
        "health",
        &["-spiffe", "-tls"],
        1,
        "-tls and -spiffe are mutually incompatible",
    );
    let addr = Servers::get().addr("health");
    let advice = run_to_end(ours(&[&addr, "-spiffe"])).stderr;
    assert!(advice.contains("write -tls"), "{advice}");
}

fn tls_without_tls() {
    for (flag, words) in [
        (
            "-tls-no-verify",
            "specified -tls-no-verify without specifying -tls",
        ),
        (
            "-tls-ca-cert=x",
            "specified -tls-ca-cert without specifying -tls",
        ),
        (
            "-tls-client-cert=x",
            "specified -tls-client-cert without specifying -tls",
        ),
        (
            "-tls-server-name=x",
            "specified -tls-server-name without specifying -tls",
        ),
        (
            "-tls-client-key=x",
            "specified -tls-client-key without specifying -tls-client-cert",
        ),
    ] {
        both_on("health", &[flag], 1, words);
    }
}

fn arguments_that_are_not_flags() {
    both_on("health", &["word", "-tls"], 0, SERVING);
    both_on("health", &["--", "-tls"], 0, SERVING);
    both_on("health", &["-"], 0, SERVING);
    both_on("health", &["-tls", "-tls=false"], 0, SERVING);
    both_on("health", &["-x"], 1, "flag provided but not defined: -x");
    both_on("health", &["---x"], 1, "bad flag syntax: ---x");
}

fn a_server_without_health_service() {
    let words =
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)";
    both_on("bare", &[], 3, words);
}

fn a_failed_call() {
    for (status, name) in [
        ("UNAVAILABLE", "Unavailable"),
        ("UNAUTHENTICATED", "Unauthenticated"),
        ("RESOURCE_EXHAUSTED", "ResourceExhausted"),
        ("CANCELLED", "Canceled"),
    ] {
        let words = format!("error: health rpc failed: rpc error: code = {name} desc = ");
        both_on("failing", &[&format!("-service={status}")], 3, &words);
    }
}

fn tls() {
    let servers = Servers::get();
    let addr = servers.addr("tls");
    let ca = servers.folder.path().join("ca.pem");
    both_with(&[&addr, "-tls"], &[("SSL_CERT_FILE", &ca)], 0, SERVING);
    let other = servers.folder.path().join("other-ca.pem");
    let words = "failed to connect service";
    both_with(&[&addr, "-tls"], &[("SSL_CERT_FILE", &other)], 2, words);
    both(&[&addr, "-tls"], 2, words);
    // TLS where the server has none, and none where it has.
    both_on("health", &["-tls"], 2, words);
    both_on("tls", &[], 2, words);
}

fn tls_no_verify() {
    both_on("tls", &["-tls", "-tls-no-verify"], 0, SERVING);
    let named = ["-tls", "-tls-no-verify", "-tls-server-name=x"];
    both_on(
        "tls",
        &named,
        1,
        "cannot specify -tls-server-name with -tls-no-verify",
    );
}

fn tls_ca_cert() {
    let servers = Servers::get();
    let ca = |name| servers.file("-tls-ca-cert", name);
    both_on("tls", &["-tls", &ca("ca.pem")], 0, SERVING);
    let words = "failed to connect service";
    both_on("tls", &["-tls", &ca("other-ca.pem")], 2, words);
    let words = "failed to initialize tls credentials. error=";
    both_on("tls", &["-tls", &ca("nowhere.pem")], 1, words);
    both_on("tls", &["-tls", &ca("app.key")], 1, words);
    let words = "cannot specify -tls-ca-cert with -tls-no-verify";
    both_on("tls", &["-tls", "-tls-no-verify", &ca("ca.pem")], 1, words);
}

fn tls_client_cert_and_key() {
    let servers = Servers::get();
    let ca = servers.file("-tls-ca-cert", "ca.pem");
    let cert = servers.file("-tls-client-cert", "client.pem");
    let key = servers.file("-tls-client-key", "client.key");
    both_on("mutual", &["-tls", &ca, &cert, &key], 0, SERVING);
    both_on("mutual", &["-tls", &ca], 2, "failed to connect service");
    let words = "specified -tls-client-cert without specifying -tls-client-key";
    both_on("mutual", &["-tls", &ca, &cert], 1, words);
    let words = "specified -tls-client-key without specifying -tls-client-cert";
    both_on("mutual", &["-tls", &ca, &key], 1, words);
    let swapped = servers.file("-tls-client-key", "app.key");
    let words = "failed to initialize tls credentials. error=";
    both_on("mutual", &["-tls", &ca, &cert, &swapped], 1, words);
}

fn tls_server_name() {
    let servers = Servers::get();
    let ca = servers.file("-tls-ca-cert", "ca.pem");
    both_on(
        "tls",
        &["-tls", &ca, "-tls-server-name=app.example"],
        0,
        SERVING,
    );
    let words = "failed to connect service";
    both_on(
        "tls",
        &["-tls", &ca, "-tls-server-name=other.example"],
        2,
        words,
    );
    // Without it, the name is the host of the address.
    let port = servers.process.port("tls");
    both(&[&format!("-addr=localhost:{port}"), "-tls", &ca], 2, words);
}

fn check_sends_metadata() {
    let port = Servers::get().process.port("metadata");
    let url = format!("grpc://127.0.0.1:{port}/x-token: a/b?\nuser-agent: me/1");
    let args = ["-Hx-token: a/b?", "--user-agent=me/1", &url];
    assert!(check_json(&args).is_healthy());
    let result = check_json(&args[1..]);
    assert_eq!(result.text("reason"), Some("grpc_not_serving"));
    let advice = result.text("advice").expect("advice");
    assert!(advice.contains("; the status is NOT_SERVING"), "{advice}");
}

fn check_reaches_a_unix_socket() {
    let socket = Servers::get().folder.path().join("app.sock");
    let url = |service| format!("grpc+unix:{}:{service}", socket.display());
    assert!(check_json(&[&url("/up")]).is_healthy());
    assert!(check_json(&[&url("/a/b?c=%2541 \u{e4}")]).is_healthy());
    assert_eq!(
        check_json(&[&url("/elsewhere")]).text("grpc_code"),
        Some("NOT_FOUND")
    );
}

/// The original has only `-v`.
fn verbose_is_v() {
    let refusing = reserve();
    let addr = format!("-addr=127.0.0.1:{}", refusing.port);
    let ended = run_to_end(ours(&[&addr, "-verbose"]));
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("parsed options:\n"), "{ended:?}");
}

fn a_copy_with_the_name_takes_the_flags() {
    let folder = Folder::new();
    let directory = folder.path().to_str().expect("UTF-8");
    let run = |name: &str, args: &[&str]| -> Ended {
        let copy = folder.path().join(name);
        run_to_end(command(copy.to_str().expect("UTF-8"), args))
    };
    let installed = run_to_end(probelet(&[
        "install",
        "--as",
        "grpc_health_probe",
        directory,
    ]));
    assert_eq!(installed.stdout, format!("{directory}/grpc_health_probe\n"));
    let version = format!("{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("grpc_health_probe", &["-version"]).stdout, version);
    for name in ["grpc-health-probe", "probelet"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink("grpc_health_probe", link).expect("a link");
    }
    assert_eq!(run("grpc-health-probe", &["-version"]).stdout, version);
    assert_eq!(run("probelet", &["-version"]).status.code(), Some(2));
}
