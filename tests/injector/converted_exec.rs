//! Exec probes beside the probers that they become: each command runs as kubelet would run it, and the agent probes the
//! same app with the injected table. Both have the same verdict.

use super::{Folder, fed, written};
use libtest_mimic::Trial;
use probelet::limits;
use probelet::manifest::Document;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::agent::{Agent, Setup};
use crate::support::certs::{Authority, Identity};
#[cfg(feature = "check")]
use crate::support::command::{argv, binary};
use crate::support::path_scripted_app::{PathScriptedApp, Script, Step};
use crate::support::peers::PeerProcess;
use crate::support::peers::python::{self, PYTHON};
use crate::support::ports::{Reserved, full_backlog, reserve, resetting};
use crate::support::raw::probe;
use crate::support::trials::trials;
use crate::support::{Need, TLS};

const LIVEZ: &str = "/app-health/web/livez";
const GRPC: &str = "grpc-health-probe";
/// `timeoutSeconds` of most probes: more than a busy machine needs.
const SECONDS: u64 = 20;

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["injector::converted_exec" needs &[Need::Peer("curl")];
        curl_has_the_verdicts_of_an_http_prober,
        curl_without_fail_accepts_any_status,
        curl_sends_the_headers_of_the_prober,
        curl_has_timeouts_of_whole_seconds,
        curl_and_the_agent_differ_as_documented,
    ];
    tests.extend(
        trials!["injector::converted_exec" needs &[Need::Peer("nc")];
            nc_has_the_verdicts_of_a_tcp_prober,
        ],
    );
    tests.extend(
        trials!["injector::converted_exec" needs &[Need::Peer(GRPC), Need::File(PYTHON)];
            grpc_health_probe_has_the_verdicts_of_a_grpc_prober,
        ],
    );
    let two_families = [
        Need::Root,
        Need::Ipv6,
        Need::Peer("curl"),
        Need::Peer("nc"),
        Need::Peer(GRPC),
    ];
    tests.extend(trials!["injector::converted_exec" needs &two_families;
        localhost_is_tried_in_both_families,
    ]);
    #[cfg(feature = "check")]
    tests.extend(
        trials!["injector::converted_exec" needs &[Need::File(PYTHON)];
            check_has_the_verdicts_of_kubelets_probers,
            check_follows_redirects_to_localhost,
        ],
    );
    if TLS {
        tests.extend(trials!["injector::converted_exec" needs &[Need::Peer("curl"), Need::Peer(GRPC), Need::File(PYTHON)];
            certificates_are_not_verified,
        ]);
    }
    tests
}

/// One command, and whether the app is healthy.
struct Row {
    command: Vec<String>,
    env: Vec<(&'static str, String)>,
    seconds: u64,
    is_healthy: bool,
}

fn row(command: &[&str], is_healthy: bool) -> Row {
    Row {
        command: command.iter().map(|word| String::from(*word)).collect(),
        env: Vec::new(),
        seconds: SECONDS,
        is_healthy,
    }
}

/// A command of words that are separated by spaces.
fn words(command: &str, is_healthy: bool) -> Row {
    row(&command.split(' ').collect::<Vec<_>>(), is_healthy)
}

impl Row {
    fn within(self, seconds: u64) -> Row {
        Row { seconds, ..self }
    }

    fn env(mut self, name: &'static str, value: impl ToString) -> Row {
        self.env.push((name, value.to_string()));
        self
    }

    /// A pod with this exec probe.
    fn pod(&self, status: u16) -> Value {
        let env = self
            .env
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "annotations": {
                "probelet.dev/convert-exec": "true", "probelet.dev/target-ip": "127.0.0.1",
                "status.sidecar.istio.io/port": status.to_string(),
            }},
            "spec": {"containers": [{
                "name": "web", "image": "web:1", "env": env.collect::<Vec<_>>(),
                "livenessProbe": {"exec": {"command": self.command}, "timeoutSeconds": self.seconds},
            }]},
        })
    }

    /// The verdict of the command, which kubelet ends after `timeoutSeconds`.
    fn verdict_of_command(&self, wrapper: &[&str]) -> bool {
        // kubelet replaces the variables, which these commands have as whole names.
        let expand = |word: &String| {
            let expand_one = |word: String, (name, value): &(&str, String)| {
                word.replace(&format!("$({name})"), value)
            };
            self.env.iter().fold(word.clone(), expand_one)
        };
        let mut argv: Vec<String> = wrapper.iter().map(|word| String::from(*word)).collect();
        argv.extend(self.command.iter().map(expand));
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the tool starts");
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let (sender, ended) = std::sync::mpsc::channel();
        let pid = rustix::process::Pid::from_child(&child);
        let waiter = thread::spawn(move || {
            let status = child.wait().expect("it ends");
            // The test may have given up.
            let _ = sender.send(status.success());
        });
        let left = end.saturating_duration_since(Instant::now());
        let verdict = ended.recv_timeout(left).unwrap_or(false);
        // It has ended already, or holds: an app may never respond.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        waiter.join().expect("no panic");
        verdict
    }
}

/// The verdicts of the command and of the agent, and what the agent has seen.
struct Verdicts {
    command: bool,
    agent: bool,
    log: Vec<String>,
}

fn verdicts(row: &Row, wrapper: &[&str]) -> Verdicts {
    let status = reserve();
    let pod = injected(&row.pod(status.port));
    let agent = run(&pod, status);
    let response = probe(&agent, LIVEZ);
    // kubelet's verdict: it fails a response that breaks off.
    let is_whole = |code: u16| [204, 304].contains(&code) || response.is_whole();
    let is_healthy = |code: u16| (200..400).contains(&code) && is_whole(code);
    Verdicts {
        agent: response.code().is_some_and(is_healthy),
        command: row.verdict_of_command(wrapper),
        log: agent.log(),
    }
}

/// Asserts that the command and the agent have the verdict of each row.
fn judge(rows: &[Row]) {
    judge_in(rows, &[]);
}

fn judge_in(rows: &[Row], wrapper: &[&str]) {
    let mut others = Vec::new();
    for row in rows {
        let found = verdicts(row, wrapper);
        if (found.command, found.agent) != (row.is_healthy, row.is_healthy) {
            let verdicts = format!("the command {}, the agent {}", found.command, found.agent);
            others.push(format!("{:?}: {verdicts}: {:?}", row.command, found.log));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

fn injected(pod: &Value) -> Value {
    let folder = Folder::new();
    let ended = fed(&folder.0, &["file", "-f", "-"], &pod.to_string());
    assert!(ended.stderr.contains("injected: livez"), "{}", ended.stderr);
    let document = Document::parse(written(&ended)).expect("JSON");
    document.value().clone()
}

/// The agent with the arguments and the table of the sidecar.
fn run(pod: &Value, status: Reserved) -> Agent {
    let sidecar = &pod["spec"]["initContainers"][0];
    let args = sidecar["args"].as_array().expect("a list");
    let args = args[1..].iter().filter_map(Value::as_str);
    let env = sidecar["env"].as_array().expect("a list");
    let text = |variable: &Value, name| String::from(variable[name].as_str().expect("a text"));
    let setup = args.fold(Setup::new(), |setup, arg| setup.arg(arg));
    let setup = env.iter().fold(setup, |setup, variable| {
        setup.env(&text(variable, "name"), &text(variable, "value"))
    });
    setup.start_configured(status).expect("the agent starts")
}

fn send(text: &str) -> Step {
    Step::Send(text.into())
}

/// Responses of well-behaved and of misbehaving apps. The paths are their names.
fn serve(app: &PathScriptedApp) {
    for status in [
        200, 201, 204, 301, 302, 304, 307, 400, 401, 403, 404, 500, 503, 599,
    ] {
        let head = format!("HTTP/1.1 {status} X\r\nLocation: /200\r\n");
        let body = match status {
            204 | 304 => "\r\n".into(),
            _ => "Content-Length: 4\r\n\r\nbody".to_string(),
        };
        app.on(&format!("/{status}"), vec![send(&(head + &body))]);
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let scripts: [(&str, Script); 24] = [
        ("/close", vec![]),
        ("/reset", vec![Step::Reset]),
        ("/garbage", vec![send("SSH-2.0-OpenSSH_9.2\r\n")]),
        ("/no-status", vec![send("HTTP/1.1 abc\r\n\r\n")]),
        ("/http10", vec![send("HTTP/1.0 200 OK\r\n\r\nbody")]),
        ("/until-close", vec![send("HTTP/1.1 200 OK\r\n\r\nbody")]),
        (
            "/no-reason",
            vec![send("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")],
        ),
        (
            "/interim",
            vec![send(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            )],
        ),
        (
            "/short",
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbody")],
        ),
        (
            "/short-reset",
            vec![
                send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbody"),
                Step::Reset,
            ],
        ),
        (
            "/chunks",
            vec![send(&format!("{chunked}4\r\nbody\r\n0\r\n\r\n"))],
        ),
        (
            "/chunks-cut",
            vec![send(&format!("{chunked}4\r\nbody\r\n"))],
        ),
        (
            "/chunks-broken",
            vec![send(&format!("{chunked}zz\r\nbody\r\n0\r\n\r\n"))],
        ),
        (
            "/nine-kib",
            vec![
                send("HTTP/1.1 200 OK\r\nContent-Length: 9216\r\n\r\n"),
                Step::Flood(vec![b'x'], 9216),
            ],
        ),
        (
            "/slow",
            vec![
                send("HTTP/1.1 200 OK\r\nContent-"),
                Step::Pause(Duration::from_millis(300)),
                send("Length: 0\r\n\r\n"),
            ],
        ),
        (
            "/two-lengths",
            vec![send(
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
            )],
        ),
        (
            "/bad-length",
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nbody")],
        ),
        (
            "/both-framings",
            vec![send(
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            )],
        ),
        (
            "/no-colon",
            vec![send(
                "HTTP/1.1 200 OK\r\nbad line\r\nContent-Length: 4\r\n\r\nbody",
            )],
        ),
        (
            "/line-feeds",
            vec![send("HTTP/1.1 200 OK\nContent-Length: 4\n\nbody")],
        ),
        (
            "/two-spaces",
            vec![send("HTTP/1.1  200 OK\r\nContent-Length: 4\r\n\r\nbody")],
        ),
        (
            "/http2-line",
            vec![send("HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nbody")],
        ),
        (
            "/switch",
            vec![send(
                "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            )],
        ),
        ("/hold", vec![Step::Hold]),
    ];
    for (path, script) in scripts {
        app.on(path, script);
    }
}

/// Paths, and whether `curl -f` succeeds.
const RESPONSES: [(&str, bool); 36] = [
    ("200", true),
    ("201", true),
    ("204", true),
    ("301", true),
    ("302", true),
    ("304", true),
    ("307", true),
    ("400", false),
    ("401", false),
    ("403", false),
    ("404", false),
    ("500", false),
    ("503", false),
    ("close", false),
    ("reset", false),
    ("garbage", false),
    ("no-status", false),
    ("http10", true),
    ("until-close", true),
    ("no-reason", true),
    ("interim", true),
    ("short", false),
    ("short-reset", false),
    ("chunks", true),
    ("chunks-cut", false),
    ("chunks-broken", false),
    ("nine-kib", true),
    ("slow", true),
    ("two-lengths", false),
    ("bad-length", false),
    ("both-framings", true),
    ("no-colon", false),
    ("line-feeds", true),
    ("two-spaces", true),
    ("http2-line", true),
    ("switch", false),
];

fn app() -> PathScriptedApp {
    let app = PathScriptedApp::start();
    serve(&app);
    app
}

fn curl_has_the_verdicts_of_an_http_prober() {
    let app = app();
    let port = app.port();
    let responses = RESPONSES.map(|(path, is_healthy)| {
        let url = format!("http://localhost:{port}/{path}");
        row(&["curl", "-f", &url], is_healthy)
    });
    judge(&responses);
    let reserved = reserve();
    let closed = reserved.port;
    let [shell, failing, down] = ["200", "503", ""].map(|path| match path {
        "" => format!("curl -f http://127.0.0.1:{closed}/"),
        path => format!("curl -fsS 'http://127.0.0.1:$(PORT)/{path}?a=b'"),
    });
    let url = |path: &str| format!("127.0.0.1:{port}/{path}");
    judge(&[
        row(&["sh", "-c", &shell], true).env("PORT", port),
        row(&["/bin/sh", "-c", &format!("{shell} || exit 1")], true).env("PORT", port),
        row(&["sh", "-c", &format!("exec {failing}")], false).env("PORT", port),
        row(&["bash", "-c", &format!("{failing} || exit 1")], false).env("PORT", port),
        row(&["sh", "-c", &down], false),
        row(&["curl", "--fail", &url("200"), "--silent"], true),
        row(&["curl", "--fail-with-body", &url("404")], false),
        row(
            &[
                "curl",
                "-4fsX",
                "GET",
                &format!("http://localhost:{port}/200"),
            ],
            true,
        ),
        row(
            &["curl", "-f", "--http2-prior-knowledge", &url("200")],
            false,
        ),
        words(
            &format!("curl -f --http2-prior-knowledge --http1.1 {}", url("200")),
            true,
        ),
        words(
            &format!("curl -f --http1.1 --http2-prior-knowledge {}", url("200")),
            false,
        ),
    ]);
}

fn curl_without_fail_accepts_any_status() {
    let app = app();
    let rows = [
        ("200", true),
        ("301", true),
        ("404", true),
        ("503", true),
        ("599", true),
        ("close", false),
        ("garbage", false),
        ("short", false),
    ];
    judge(&rows.map(|(path, is_healthy)| {
        let url = format!("http://localhost:{}/{path}", app.port());
        row(&["curl", "-s", &url], is_healthy)
    }));
}

fn curl_sends_the_headers_of_the_prober() {
    let app = PathScriptedApp::start();
    let port = app.port();
    let demand = |path: &str, line: String| {
        let response = send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        app.on(path, vec![Step::Demand(line.leak()), response]);
    };
    demand("/own-host", format!("Host: localhost:{port}"));
    demand("/own-ip", format!("Host: 127.0.0.1:{port}"));
    demand("/host", "Host: app.example".into());
    demand("/header", "X-Probe: yes".into());
    demand("/accept", "Accept: text/plain".into());
    let local = |path: &str| format!("http://localhost:{port}/{path}");
    let ip = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    judge(&[
        row(&["curl", "-f", &local("own-host")], true),
        row(&["curl", "-f", &ip("own-host")], false),
        row(&["curl", "-f", &ip("own-ip")], true),
        row(&["curl", "-f", "-HHost: app.example", &ip("host")], true),
        row(&["curl", "-f", "-H", "X-Probe: yes", &ip("header")], true),
        row(&["curl", "-f", "-H", "X-Probe: no", &ip("header")], false),
        row(
            &["curl", "-f", "-H", "Accept: text/plain", &ip("accept")],
            true,
        ),
        row(&["curl", "-f", &ip("accept")], false),
    ]);
}

fn curl_has_timeouts_of_whole_seconds() {
    let app = app();
    let [hold, slow] =
        ["hold", "slow"].map(|path| format!("http://localhost:{}/{path}", app.port()));
    judge(&[
        row(&["curl", "-f", "-m", "1", &hold], false),
        row(&["curl", "-f", &hold], false).within(1),
        row(&["curl", "-fm19", &slow], true),
    ]);
}

/// The differences that `docs/exec-probes.md` lists.
fn curl_and_the_agent_differ_as_documented() {
    let app = app();
    let length = 2 * limits::RESPONSE_BODY_BYTES;
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let part = Step::Flood(vec![b'x'], length - 1);
    app.on("/large-cut", vec![send(&large), part]);
    app.on("/half-head", vec![send("HTTP/1.1 200 OK\r\nContent-")]);
    app.on(
        "/600",
        vec![send("HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n")],
    );
    for (path, of_curl) in [("large-cut", false), ("half-head", true), ("600", true)] {
        let url = format!("http://localhost:{}/{path}", app.port());
        let found = verdicts(&row(&["curl", "-s", &url], of_curl), &[]);
        assert_eq!((found.command, found.agent), (of_curl, !of_curl), "{path}");
    }
}

fn nc_has_the_verdicts_of_a_tcp_prober() {
    let app = app();
    let reserved = reserve();
    let (port, closed) = (app.port(), reserved.port);
    let reset_at_once = resetting(Duration::from_millis(200));
    let resetting = reset_at_once.port;
    let backlog = full_backlog();
    let full = backlog.port;
    judge(&[
        words(&format!("nc -z 127.0.0.1 {port}"), true),
        words(&format!("nc -zv localhost {port}"), true),
        words(&format!("nc -zn -w 5 127.0.0.1 {port}"), true),
        words(&format!("nc -z 127.0.0.1 {resetting}"), true),
        words(&format!("nc -z 127.0.0.1 {closed}"), false),
        words(&format!("nc -z localhost {closed}"), false),
        words(&format!("nc -zw1 127.0.0.1 {full}"), false),
        words(&format!("nc -z 127.0.0.1 {full}"), false).within(1),
        row(
            &["sh", "-c", &format!("nc -z 127.0.0.1 {port} || exit 1")],
            true,
        ),
        row(
            &["sh", "-c", &format!("exec nc -z 127.0.0.1 {closed}")],
            false,
        ),
    ]);
}

/// Servers of grpcio, for all trials. They end with this process.
struct Servers {
    _folder: Folder,
    process: PeerProcess,
}

impl Servers {
    fn port(server: &str) -> u16 {
        static SERVERS: OnceLock<Servers> = OnceLock::new();
        let servers = SERVERS.get_or_init(|| {
            let (folder, authority) = (Folder::new(), Authority::new("servers"));
            folder.file("ca.pem", &authority.pem());
            authority.sign("127.0.0.1").write(&folder, "app");
            let process = python::start("grpc_app.py", folder.path()).expect("servers");
            Servers {
                _folder: folder,
                process,
            }
        });
        servers.process.port(server)
    }
}

fn grpc_health_probe_has_the_verdicts_of_a_grpc_prober() {
    let [health, bare, failing] = ["health", "bare", "failing"].map(Servers::port);
    let http = app();
    let reserved = reserve();
    let (http, closed) = (http.port(), reserved.port);
    let probe = |args: &str, is_healthy| words(&format!("{GRPC} {args}"), is_healthy);
    judge(&[
        probe(&format!("-addr=:{health}"), true),
        probe(&format!("-addr=localhost:{health}"), true),
        probe(&format!("--addr 127.0.0.1:{health} -service up -v"), true),
        probe(&format!("-addr=:{health} -service=down"), false),
        probe(&format!("-addr=:{health} -service=unknown"), false),
        probe(&format!("-addr=:{health} -service=nobody"), false),
        probe(&format!("-addr=:{bare}"), false),
        probe(&format!("-addr=:{failing} -service=UNAVAILABLE"), false),
        probe(&format!("-addr=:{failing} -service=UNAUTHENTICATED"), false),
        probe(
            &format!("-addr=:{failing} -service=slow -rpc-timeout=1s"),
            false,
        ),
        probe(
            &format!("-addr=:{failing} -service=slow -rpc-timeout 9s"),
            false,
        )
        .within(1),
        probe(&format!("-addr=:{http}"), false),
        probe(&format!("-addr=:{closed} -connect-timeout=1s"), false),
        row(
            &[
                "sh",
                "-c",
                &format!("{GRPC} -addr=:{health} -rpc-timeout=9s || exit 1"),
            ],
            true,
        ),
    ]);
}

/// A pod's `/etc/hosts` names both addresses (`pkg/kubelet/kubelet_pods.go`: `managedHostsFileContent`), that of this machine
/// may not.
fn localhost_is_tried_in_both_families() {
    let folder = Folder::new();
    let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    let hosts = folder.file("hosts", hosts);
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let wrapper = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    // No other test may listen on the same port of 127.0.0.1.
    let of_ip6 = reserve();
    let ip6 = format!("[::1]:{}", of_ip6.port);
    let ip6 = PathScriptedApp::start_on(ip6.parse().expect("an address"));
    serve(&ip6);
    let ip4 = app();
    let (six, four) = (ip6.addr().port(), ip4.port());
    let rows = [
        words(&format!("curl -f http://localhost:{six}/200"), true),
        words(&format!("curl -f http://localhost:{six}/503"), false),
        words(&format!("curl -f http://localhost:{four}/200"), true),
        words(&format!("curl -f http://127.0.0.1:{six}/200"), false),
        words(&format!("curl -4f http://localhost:{six}/200"), false),
        words(&format!("nc -z localhost {six}"), true),
        words(&format!("nc -z localhost {four}"), true),
        words(&format!("nc -z 127.0.0.1 {six}"), false),
        words(
            &format!("{GRPC} -addr=127.0.0.1:{six} -connect-timeout=1s"),
            false,
        ),
        words(&format!("{GRPC} -addr=:{six} -connect-timeout=1s"), false),
    ];
    judge_in(&rows, &wrapper);
}

/// kubelet, and so the agent, takes `localhost` for another host than the pod's address.
#[cfg(feature = "check")]
fn check_follows_redirects_to_localhost() {
    let app = app();
    let to = format!("http://localhost:{}/503", app.port());
    let head = format!("HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    app.on("/elsewhere", vec![send(&head)]);
    let probelet = argv(&binary()).join(" ");
    let url = format!("http://localhost:{}/elsewhere", app.port());
    let command = format!("{probelet} check --timeout 19 {url}");
    let found = verdicts(&words(&command, false), &[]);
    assert_eq!((found.command, found.agent), (false, true));
}

#[cfg(feature = "check")]
fn check_has_the_verdicts_of_kubelets_probers() {
    let probelet = argv(&binary()).join(" ");
    let app = app();
    let reserved = reserve();
    let (port, closed) = (app.port(), reserved.port);
    let health = Servers::port("health");
    let check = |args: &str, is_healthy| words(&format!("{probelet} check {args}"), is_healthy);
    // 200 to 399 are healthy, and redirects are followed.
    judge(&RESPONSES.map(|(path, is_healthy)| {
        check(
            &format!("--timeout 19 http://127.0.0.1:{port}/{path}"),
            is_healthy,
        )
    }));
    judge(&[
        check(&format!("http://localhost:{port}/hold"), false),
        check(&format!("--timeout=19s tcp://localhost:{port}"), true),
        check(&format!("tcp://127.0.0.1:{closed}"), false),
        check(&format!("--timeout=19s grpc://127.0.0.1:{health}/up"), true),
        check(&format!("grpc://localhost:{health}/down"), false),
        words(
            &format!("{probelet} grpc-health-probe -addr=:{health} -service=down"),
            false,
        ),
        words(
            &format!("{probelet} grpc-health-probe -addr=:{health} -rpc-timeout=9s"),
            true,
        ),
    ]);
}

fn certificates_are_not_verified() {
    let app = PathScriptedApp::start_tls(Identity::self_signed().server_tls(&["http/1.1"], None));
    serve(&app);
    let plain = self::app();
    let (secure, plain) = (app.port(), plain.port());
    let [tls, mutual, health] = ["tls", "mutual", "health"].map(Servers::port);
    judge(&[
        words(&format!("curl -fk https://localhost:{secure}/200"), true),
        words(&format!("curl -fk https://127.0.0.1:{secure}/503"), false),
        words(&format!("curl -k https://127.0.0.1:{secure}/503"), true),
        words(&format!("curl -fk https://127.0.0.1:{secure}/301"), true),
        words(&format!("curl -fk https://127.0.0.1:{secure}/short"), false),
        words(&format!("curl -fk https://127.0.0.1:{plain}/200"), false),
        words(&format!("curl -f http://127.0.0.1:{secure}/200"), false),
        words(
            &format!("{GRPC} -addr=localhost:{tls} -tls -tls-no-verify -rpc-timeout=9s"),
            true,
        ),
        words(
            &format!("{GRPC} -addr=:{tls} -tls -tls-no-verify -service=down"),
            false,
        ),
        words(
            &format!("{GRPC} -addr=:{health} -tls -tls-no-verify"),
            false,
        ),
        words(&format!("{GRPC} -addr=:{tls}"), false),
        words(
            &format!("{GRPC} -addr=:{mutual} -tls -tls-no-verify"),
            false,
        ),
    ]);
}
