//! kubelet's prober code, called through the Go driver of `tests/kubelet`. All tests share one driver, which is built
//! when it is first used.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tinyjson::JsonValue;

use super::lock;

/// The linker flags of a release's version, which is part of the User-Agent.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitMajor=1 \
                            -X k8s.io/component-base/version.gitMinor=37";

/// More than three attempts with the longest timeout of any test.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(60);

/// A probe or hook for kubelet to run.
#[derive(Clone, Debug)]
pub struct ProbeRequest {
    /// `http`, `tcp`, `grpc` or `hook`.
    pub kind: &'static str,
    /// Pod IP and port.
    pub to: SocketAddr,
    /// `scheme` of an `httpGet`: empty, `HTTP` or `HTTPS`.
    pub scheme: &'static str,
    /// `protocol` of an `httpGet`: empty, `HTTP1` or `HTTP2`.
    pub protocol: &'static str,
    /// `mode` of a `grpc` probe: empty, `Plaintext` or `TLS`.
    pub mode: &'static str,
    /// Path of an `httpGet`, `service` of a `grpc` probe.
    pub path: String,
    /// `httpHeaders`.
    pub headers: Vec<(String, String)>,
    /// `timeoutSeconds`.
    pub seconds: u32,
}

impl ProbeRequest {
    /// An `httpGet` with a timeout of 1 s.
    pub fn http(to: SocketAddr, path: &str) -> Self {
        Self {
            kind: "http",
            to,
            scheme: "",
            protocol: "",
            mode: "",
            path: path.into(),
            headers: Vec::new(),
            seconds: 1,
        }
    }

    /// A `tcpSocket` with a timeout of 1 s.
    pub fn tcp(to: SocketAddr) -> Self {
        Self {
            kind: "tcp",
            ..Self::http(to, "")
        }
    }

    /// A `grpc` probe of a service with a timeout of 1 s.
    pub fn grpc(to: SocketAddr, service: &str, mode: &'static str) -> Self {
        Self {
            kind: "grpc",
            mode,
            ..Self::http(to, service)
        }
    }

    /// The same request over HTTPS.
    pub fn https(self) -> Self {
        Self {
            scheme: "HTTPS",
            ..self
        }
    }

    /// An `httpGet` hook with this timeout.
    pub fn hook(to: SocketAddr, path: &str, seconds: u32) -> Self {
        Self {
            kind: "hook",
            seconds,
            ..Self::http(to, path)
        }
    }

    fn line(&self, id: u64) -> String {
        let headers = self.headers.iter().map(|(name, value)| {
            JsonValue::from(vec![
                JsonValue::from(name.clone()),
                JsonValue::from(value.clone()),
            ])
        });
        let text = |text: &str| JsonValue::from(text.to_owned());
        let path_key = if self.kind == "grpc" {
            "service"
        } else {
            "path"
        };
        let request = HashMap::from([
            ("id".to_owned(), JsonValue::from(id as f64)),
            ("kind".to_owned(), text(self.kind)),
            ("to".to_owned(), text(&self.to.to_string())),
            ("scheme".to_owned(), text(self.scheme)),
            ("protocol".to_owned(), text(self.protocol)),
            ("mode".to_owned(), text(self.mode)),
            (path_key.to_owned(), text(&self.path)),
            (
                "headers".to_owned(),
                JsonValue::from(headers.collect::<Vec<_>>()),
            ),
            (
                "seconds".to_owned(),
                JsonValue::from(f64::from(self.seconds)),
            ),
        ]);
        let line = JsonValue::from(request).stringify();
        line.expect("finite numbers") + "\n"
    }
}

/// kubelet's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `success`, `warning`, `failure` or `unknown`.
    pub result: String,
    /// The text of the event, or the body of a success.
    pub text: String,
    /// The error, or empty. kubelet ignores a probe that returns an error in all three attempts.
    pub error: String,
}

impl Verdict {
    /// The status code in the text of a failure.
    pub fn code(&self) -> Option<u16> {
        let (_, code) = self
            .text
            .split_once("HTTP probe failed with statuscode: ")?;
        (self.result == "failure").then(|| code.parse().ok())?
    }
}

/// The result, the status code of a failure, and whether there was an error. The agent must not change them.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.result)?;
        match self.code() {
            Some(code) => write!(f, "-{code}")?,
            None if !self.error.is_empty() => f.write_str("-erred")?,
            None => {}
        }
        Ok(())
    }
}

/// The driver.
#[derive(Debug)]
pub struct Kubelet {
    state: Mutex<State>,
    waiting: Arc<Mutex<HashMap<u64, Sender<Verdict>>>>,
}

#[derive(Debug)]
struct State {
    _child: Child,
    input: ChildStdin,
    next: u64,
}

impl Kubelet {
    /// The one driver of this process.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn get() -> Result<&'static Self, String> {
        static DRIVER: OnceLock<Result<Kubelet, String>> = OnceLock::new();
        DRIVER
            .get_or_init(|| Self::start(&[]))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Starts another driver by a command, such as one that enters a network namespace.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start(wrapper: &[String]) -> Result<Self, String> {
        let binary = match std::env::var_os("PROBELET_KUBELET_DRIVER") {
            Some(path) => PathBuf::from(path),
            None => built()?,
        };
        let mut words = wrapper.iter().map(OsStr::new).chain([binary.as_os_str()]);
        let mut child = Command::new(words.next().expect("the driver at least"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", binary.display()))?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let waiting = Arc::new(Mutex::new(HashMap::new()));
        let receivers = waiting.clone();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .for_each(|line| deliver(&line, &receivers));
        });
        Ok(Self {
            state: Mutex::new(State {
                _child: child,
                input,
                next: 1,
            }),
            waiting,
        })
    }

    /// Sends the request and waits for the verdict.
    ///
    /// # Errors
    /// If the driver does not respond.
    pub fn verdict(&self, request: &ProbeRequest) -> Result<Verdict, String> {
        let (sender, receiver) = channel();
        let mut state = lock(&self.state);
        let id = state.next;
        state.next += 1;
        lock(&self.waiting).insert(id, sender);
        let sent = state.input.write_all(request.line(id).as_bytes());
        drop(state);
        sent.map_err(|e| format!("kubelet's driver is gone: {e}"))?;
        let verdict = receiver.recv_timeout(VERDICT_TIMEOUT);
        verdict.map_err(|e| format!("no verdict for {request:?}: {e}"))
    }
}

fn deliver(line: &str, waiting: &Mutex<HashMap<u64, Sender<Verdict>>>) {
    let Ok(JsonValue::Object(response)) = line.parse() else {
        return;
    };
    let text = |key: &str| match response.get(key) {
        Some(JsonValue::String(s)) => s.clone(),
        _ => String::new(),
    };
    let Some(JsonValue::Number(id)) = response.get("id") else {
        return;
    };
    let verdict = Verdict {
        result: text("result"),
        text: text("text"),
        error: text("error"),
    };
    let receiver = lock(waiting).remove(&(*id as u64));
    if let Some(receiver) = receiver {
        let _ = receiver.send(verdict);
    }
}

/// The driver, built once: a second build would overwrite the running program.
fn built() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build(".", "kubelet-driver")).clone()
}

/// Builds a program of `tests/kubelet` into the target directory. Go's build cache makes a second build fast.
///
/// # Errors
/// Go's output.
pub fn build(package: &str, name: &str) -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubelet");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", LINKER_FLAGS, "-o"])
        .arg(&binary)
        .arg(package)
        .current_dir(sources)
        .output()
        .map_err(|e| format!("go: {e}"))?;
    if output.status.success() {
        return Ok(binary);
    }
    Err(format!(
        "go build: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
