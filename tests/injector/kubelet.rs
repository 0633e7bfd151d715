//! End to end without a cluster: `probelet-inject` rewrites a manifest, the agent runs with the resulting arguments and
//! environment, and kubelet's own code runs the rewritten probes. Its verdicts equal those on the app itself, both while
//! the app runs and after it has stopped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Folder, fed, written};
use libtest_mimic::Trial;
use probelet::manifest::Document;
use serde_json::Value;

use crate::support::agent::{Agent, Setup};
use crate::support::certs::Identity;
use crate::support::connection_scripted_app::ConnectionScriptedApp;
use crate::support::faults::grpc::serving;
use crate::support::faults::{FINE, answer};
use crate::support::kubelet::{Kubelet, ProbeRequest};
use crate::support::path_scripted_app::PathScriptedApp;
use crate::support::ports::{Reserved, reserve};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::{Need, Outcome, needs};

/// The tests.
pub fn tests() -> Vec<Trial> {
    vec![needs(
        &[Need::Go],
        "injector::kubelet::rewritten_probes_have_the_verdicts_of_the_app",
        rewritten_probes_have_the_verdicts_of_the_app,
    )]
}

const POD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The apps on the ports of the manifest.
struct Apps {
    web: SwitchableApp,
    strict: PathScriptedApp,
    health: SwitchableApp,
    grpc: ConnectionScriptedApp,
}

impl Apps {
    fn start() -> Self {
        let server_tls = Identity::self_signed().server_tls(&["http/1.1"], None);
        let strict = PathScriptedApp::start_tls(server_tls);
        strict.on("/secure", answer(FINE));
        strict.on("/drain", answer(FINE));
        Self {
            web: SwitchableApp::start(ReplyMode::Status(200)),
            strict,
            health: SwitchableApp::start(ReplyMode::Status(200)),
            grpc: ConnectionScriptedApp::start(None, vec![serving()]),
        }
    }

    fn manifest(&self, status: u16, forward: u16) -> String {
        let [web, strict, health] = [self.web.port(), self.strict.port(), self.health.port()];
        let grpc = self.grpc.port();
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata:
      labels: {{app: web}}
      annotations:
        status.sidecar.istio.io/port: \"{status}\"
        probelet.dev/target-ip: 127.0.0.1
        probelet.dev/forward: \"{health}={forward}\"
    spec:
      containers:
        - name: web
          image: web:1
          ports:
            - {{name: http, containerPort: {web}}}
          livenessProbe:
            httpGet: {{path: /foo, port: http}}
            timeoutSeconds: 5
          readinessProbe:
            tcpSocket: {{port: http}}
            timeoutSeconds: 5
        - name: strict
          image: strict:1
          livenessProbe:
            httpGet:
              scheme: HTTPS
              path: /secure
              port: {strict}
              httpHeaders:
                - {{name: X-Probe, value: \"yes\"}}
            timeoutSeconds: 5
          lifecycle:
            preStop:
              httpGet: {{scheme: HTTPS, path: /drain, port: {strict}}}
        - name: api
          image: api:1
          livenessProbe:
            grpc: {{port: {grpc}, service: orders}}
            timeoutSeconds: 5
        - name: health
          image: health:1
          livenessProbe:
            httpGet: {{path: /live, port: {health}}}
            timeoutSeconds: 5
"
        )
    }
}

/// The injected manifest, as a value.
fn inject(manifest: &str) -> Value {
    let folder = Folder::new();
    let ended = fed(&folder.0, &["file", "-f", "-"], manifest);
    let document = Document::parse(written(&ended)).expect("YAML");
    document.value().clone()
}

/// Starts the agent with the arguments and variables of the sidecar.
fn run(pod: &Value, status: Reserved) -> Result<Agent, String> {
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["name"], "probelet");
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list");
        list.iter().map(|word| text(word).into()).collect()
    };
    let args = words(&sidecar["args"]);
    assert_eq!(args[0], "run");
    let setup = args[1..]
        .iter()
        .fold(Setup::new(), |setup, arg| setup.arg(arg));
    let env = sidecar["env"].as_array().expect("a list");
    let with_env =
        |setup: Setup, pair: &Value| setup.env(text(&pair["name"]), text(&pair["value"]));
    env.iter().fold(setup, with_env).start_configured(status)
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// kubelet's request for an `httpGet` of this pod.
fn request(kind: &'static str, action: &Value, seconds: &Value) -> ProbeRequest {
    let port = action["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    let to = SocketAddr::new(POD, port.expect("a port by its number"));
    let scheme = match action["scheme"].as_str() {
        Some("HTTPS") => "HTTPS",
        _ => "",
    };
    let headers = action["httpHeaders"].as_array().into_iter().flatten();
    let pair = |header: &Value| (text(&header["name"]).into(), text(&header["value"]).into());
    let seconds = seconds
        .as_u64()
        .and_then(|seconds| u32::try_from(seconds).ok());
    ProbeRequest {
        kind,
        scheme,
        headers: headers.map(pair).collect(),
        seconds: seconds.unwrap_or(20),
        ..ProbeRequest::http(to, text(&action["path"]))
    }
}

/// The rewritten probes of the pod: name and request.
fn probe_requests(pod: &Value) -> Vec<(String, ProbeRequest)> {
    let mut all = Vec::new();
    for container in pod["containers"].as_array().expect("a list") {
        let name = text(&container["name"]);
        for probe in ["livenessProbe", "readinessProbe"] {
            let Some(probe_of) = container.get(probe) else {
                continue;
            };
            let request = request("http", &probe_of["httpGet"], &probe_of["timeoutSeconds"]);
            all.push((format!("{name} {probe}"), request));
        }
        if let Some(hook) = container.pointer("/lifecycle/preStop/httpGet") {
            all.push((
                format!("{name} preStop"),
                request("hook", hook, &Value::Null),
            ));
        }
    }
    all
}

fn rewritten_probes_have_the_verdicts_of_the_app() -> Outcome {
    let kubelet = Kubelet::get()?;
    let apps = Apps::start();
    let (status, forward) = (reserve(), reserve());
    let injected = inject(&apps.manifest(status.port, forward.port));
    let pod = &injected["spec"]["template"]["spec"];
    let _agent = run(pod, status)?;
    let probe_requests = probe_requests(pod);
    assert_eq!(probe_requests.len(), 6, "{probe_requests:?}");
    for (name, request) in &probe_requests {
        let verdict = kubelet.verdict(request)?;
        assert_eq!(
            verdict.to_string(),
            "success",
            "{name}: {request:?}: {verdict:?}"
        );
    }
    assert_app_requests(&apps);

    apps.web.set(ReplyMode::Status(503));
    let failing = kubelet.verdict(&probe_requests[0].1)?;
    assert_eq!(failing.to_string(), "failure-503", "{failing:?}");

    drop(apps);
    for (name, request) in &probe_requests {
        let verdict = kubelet.verdict(request)?;
        let expected = match &**name {
            "health livenessProbe" => "failure", // forwarded: the connection is reset
            "strict preStop" => "failure-erred", // a hook fails only if its connection fails
            _ => "failure-502",
        };
        assert_eq!(verdict.to_string(), expected, "{name}: {verdict:?}");
    }
    Ok(())
}

/// Asserts the requests that the apps received.
fn assert_app_requests(apps: &Apps) {
    let requests = apps.strict.requests();
    let head = |path: &str| {
        let request = requests.iter().find(|request| request.path == path);
        String::from_utf8_lossy(&request.expect("a request").head).into_owned()
    };
    assert!(
        head("/secure").contains("\r\nX-Probe: yes\r\n"),
        "{requests:?}"
    );
    assert!(
        head("/drain").starts_with("GET /drain HTTP/1.1\r\n"),
        "{requests:?}"
    );
    assert!(apps.web.requests() >= 1 && apps.health.requests() >= 1);
}
