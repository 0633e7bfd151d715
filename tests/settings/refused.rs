//! Settings that are rejected before anything is bound: exit code 2, and an error that names the setting.

use libtest_mimic::Trial;

use crate::support::Need;
use crate::support::agent::Setup;
use crate::support::ports::reserve;
use crate::support::table::Table;
use crate::support::trials::trials;

use probelet::limits::{ALLOWED_NETWORKS, FORWARDS, PROBERS};

use super::LIVEZ;

pub(super) fn tests() -> Vec<Trial> {
    let mut tests = trials!["settings":
        usage_errors_say_what_is_wrong_and_exit_2,
        faulty_probers_are_named_and_exit_2,
    ];
    tests.extend(trials!["settings" needs &[Need::Peer("strace")]; a_usage_error_opens_no_socket]);
    tests
}

/// Runs with these arguments, asserts exit code 2, and returns the error text.
#[track_caller]
fn refused(setup: Setup, args: &[&str]) -> String {
    let setup = args.iter().fold(setup, |setup, arg| setup.arg(*arg));
    let (code, text) = setup.run_to_end().expect("ends by itself");
    assert_eq!(code, Some(2), "{args:?}: {text}");
    assert!(!text.contains("msg=listening"), "{args:?}: {text}");
    text
}

/// Arguments, and what the error names.
const FAULTY: &[(&[&str], &str)] = &[
    (&["--status-prot", "1"], "--status-prot"),
    (&["--status-port"], "--status-port"),
    (&["--status-port", "0"], "status-port"),
    (&["--status-port", "65536"], "65536"),
    (&["--status-port=http"], "http"),
    (&["--status-port="], "status-port"),
    (&["--status-addr", "localhost"], "localhost"),
    (&["--target-ip", "10.0.0"], "10.0.0"),
    (&["--source-ip", "::g"], "::g"),
    (&["--status-addr", "224.0.0.1"], "224.0.0.1"),
    (&["--source-ip", "224.0.0.1"], "224.0.0.1"),
    (&["--target-ip", "255.255.255.255"], "255.255.255.255"),
    (&["--log-level", "loud"], "loud"),
    (&["--log-format", "xml"], "xml"),
    (&["--shutdown-delay", "-1"], "-1"),
    (&["--deadline-margin", "soon"], "soon"),
    (&["--max-probers", "0"], "max-probers"),
    (&["--max-probes", "1"], "did you mean --max-probers?"),
    (&["--max-forwards", "1000"], "max-forwards"),
    (&["--allow-from", "10.42.0.0/"], "from 0 to 32"),
    (&["--allow-from", "10.42.0.0/33"], "from 0 to 32"),
    (&["--allow-from", "fd00::/129"], "from 0 to 128"),
    (&["--allow-from", "node-1"], "node-1"),
    (&["--allow-from", ""], "10.42.0.0/24"),
    (
        &["--allow-from", "10.0.0.0/8,10.1.0.0/16"],
        "10.0.0.0/8,10.1",
    ),
    (&["--allow-from", "::ffff:10.0.0.0/95"], "96 or more"),
    (&["--forward", "15032"], "15032"),
    (&["--forward", "15032=8002"], "8002"),
    (&["--forward", "0=127.0.0.1:8002"], "0"),
    (&["--forward", "15032=127.0.0.1:0"], "127.0.0.1:0"),
    (&["--forward", "15032=example.org:80"], "example.org"),
    (
        &["--status-port=15032", "--forward", "15032=127.0.0.1:8002"],
        "15032",
    ),
    (&["--forward", "15032=127.0.0.1:15032"], "15032"),
    (&["--app-probers", "@/does/not/exist"], "/does/not/exist"),
    (&["stray"], "stray"),
];

fn usage_errors_say_what_is_wrong_and_exit_2() {
    let many = "--forward=1=127.0.0.1:2";
    let forwards: Vec<_> = (0..=FORWARDS)
        .map(|n| format!("--forward={}=127.0.0.1:2", 16000 + n))
        .collect();
    let forwards: Vec<_> = forwards.iter().map(String::as_str).collect();
    let networks = vec!["--allow-from=10.42.0.0/24"; ALLOWED_NETWORKS + 1];
    let over = format!("--max-probers={}", PROBERS + 1);
    let many = ["--status-port=15032", many, many];
    let cases: [(&[&str], &str); 4] = [
        (&[&over], "max-probers"),
        (&forwards, "forward"),
        (&networks, "at most 64"),
        (&many, "1"),
    ];
    for (args, word) in FAULTY.iter().chain(&cases) {
        let text = refused(Setup::new(), args);
        assert!(text.contains(word), "{args:?} names {word:?}: {text}");
        assert!(
            text.lines().count() <= 6,
            "{args:?}: as short as an error can be: {text}"
        );
    }
    let text = refused(Setup::new().env("PROBELET_STATUS_PORT", "x"), &[]);
    assert!(text.contains("PROBELET_STATUS_PORT"), "{text}");
    let setup = Setup::new().env("PROBELET_ALLOW_FROM", "10.42.0.0/24,x");
    let text = refused(setup, &[]);
    assert!(text.contains("PROBELET_ALLOW_FROM is \"x\""), "{text}");
    // A forward to the pod IP is a loop, even if another address is probed.
    let loops = ["--target-ip=127.0.0.1", "--forward=25024=10.0.0.5:25024"];
    let text = refused(Setup::new().env("POD_IP", "10.0.0.5"), &loops);
    assert!(text.contains("10.0.0.5:25024"), "{text}");
}

fn faulty_probers_are_named_and_exit_2() {
    let http = r#""httpGet":{"port":8001}"#;
    let table = |path: &str, members: &str| Table::new().prober(path, members).json();
    let many = (0..=PROBERS).fold(Table::new(), |t, n| {
        t.http(&format!("/app-health/c{n}/livez"), 80, 1)
    });
    let cases = [
        ("{", ""),
        ("[]", ""),
        (&table("/app-health/web/live", http), "/app-health/web/live"),
        (&table("/app-health//livez", http), "/app-health//livez"),
        (
            &table("/app-health/a/b/livez", http),
            "/app-health/a/b/livez",
        ),
        (
            &table("/app-health/web/livez?x", http),
            "/app-health/web/livez?x",
        ),
        (
            &table("/app-health/a b/livez", http),
            "/app-health/a b/livez",
        ),
        (&table(LIVEZ, ""), LIVEZ),
        (
            &table(LIVEZ, r#""httpGet":{"port":80},"tcpSocket":{"port":80}"#),
            LIVEZ,
        ),
        (&table(LIVEZ, r#""httpGet":{"port":"http"}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":0}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":65536}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"port":80.5}"#), "port"),
        (&table(LIVEZ, r#""httpGet":{"path":"/x"}"#), "port"),
        (
            &table(LIVEZ, r#""httpGet":{"port":80,"scheme":"FTP"}"#),
            "scheme",
        ),
        (&table(LIVEZ, r#""httpGet":{"port":80,"path":7}"#), "path"),
        (
            &table(LIVEZ, r#""tcpSocket":{"port":80},"timeoutSeconds":"1""#),
            "timeoutSeconds",
        ),
        (&table(LIVEZ, r#""tcpSocket":{"port":15020}"#), "15020"),
        (
            &Table::new().prober(LIVEZ, http).prober(LIVEZ, http).json(),
            LIVEZ,
        ),
        (&many.json(), &PROBERS.to_string()),
    ];
    for (json, word) in cases {
        for setup in [
            Setup::new().probers(json),
            Setup::new().arg("--app-probers").arg(json),
        ] {
            let text = refused(setup, &[]);
            assert!(text.contains(word), "{json} names {word:?}: {text}");
        }
    }
}

fn a_usage_error_opens_no_socket() {
    let trace = std::env::temp_dir().join(format!("probelet-trace-{}", std::process::id()));
    let strace = [
        "strace",
        "-f",
        "-q",
        "-o",
        trace.to_str().expect("UTF-8"),
        "-e",
        "trace=network",
    ];
    // Only the setting that is parsed last is invalid; all sockets of the others could be bound.
    let listen = reserve();
    let port = format!("--status-port={}", listen.port);
    let faulty = Table::new()
        .prober(LIVEZ, r#""tcpSocket":{"port":0}"#)
        .json();
    refused(Setup::new().wrapped_by(&strace).probers(&faulty), &[&port]);
    let calls = std::fs::read_to_string(&trace).expect("strace wrote it");
    std::fs::remove_file(&trace).expect("it was written");
    for call in ["socket(", "bind(", "listen("] {
        assert!(!calls.contains(call), "{calls}");
    }
}
