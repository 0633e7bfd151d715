//! Lifecycle hooks: kubelet ignores the status, fails on transport errors, and sets no deadline.

use crate::support::agent::{Agent, Setup};
use crate::support::faults::http1::Http1FaultApps;
use crate::support::faults::{Catalogue, FINE, FaultCase, answer, send};
use crate::support::http::{End, request};
use crate::support::kubelet::{Kubelet, ProbeRequest};
use crate::support::lock;
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::{Need, Outcome, WAIT_LIMIT, needs, within};
use libtest_mimic::Trial;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Cases that kubelet's hook client decides at once. All close the connection, because kubelet would reuse an open one for
/// its next hook.
const CASES: &[&str] = &[
    "fine",
    "status-204",
    "status-404",
    "status-500",
    "status-599",
    "status-600",
    "status-099",
    "switching",
    "body-cut",
    "body-reset",
    "body-gzip",
    "body-endless",
    "chunked-bad-size",
    "chunked-fine",
    "http-1.0",
    "interim-103",
    "sloppy-bare-lf",
    "head-of-300-KiB",
    "redirect-302",
    "redirect-9-times",
    "redirect-10-times",
    "redirect-loop",
    "redirect-302-away",
    "redirect-302-no-location",
    "redirect-to-dead-port",
    "redirect-to-bad-escape",
    "redirect-to-ftp",
    "status-1000",
    "closed-at-00",
    "closed-at-20",
    "reset-at-01",
    "refused-garbage",
    "refused-two-lengths",
    "http-refused",
    "http-reset-after-accept",
];

fn path(container: &str) -> String {
    format!("/app-lifecycle/{container}/prestopz")
}

fn start(cases: &[FaultCase]) -> Result<Agent, String> {
    let entry = |case: &FaultCase| format!(r#""{}":{}"#, path(&case.name), case.prober());
    let entries: Vec<String> = cases.iter().map(entry).collect();
    Setup::new()
        .probers(&format!("{{{}}}", entries.join(",")))
        .start()
}

/// Trials that kubelet's verdict of a hook is the same with the agent as without, for each case, over TLS if `alpn` is set.
pub fn agreement_trials(alpn: Option<&'static [&'static str]>) -> Vec<Trial> {
    let shared = Arc::new(OnceLock::new());
    let kind = if alpn.is_some() { "https-hook" } else { "hook" };
    let trial = |name: &str, check: fn(&Hooks, &str) -> Outcome| {
        let shared: Arc<OnceLock<Result<Mutex<Hooks>, String>>> = Arc::clone(&shared);
        let (case, name) = (
            name.to_owned(),
            format!("verdicts::kubelet_agrees::{kind}-{name}"),
        );
        needs(&[Need::Go], &name, move || {
            let hooks = shared.get_or_init(|| Hooks::open(alpn).map(Mutex::new));
            // In sequence, because an agent has only a few hook slots.
            check(&lock(hooks.as_ref().map_err(Clone::clone)?), &case)
        })
    };
    let mut list = Catalogue::listing();
    list.add_http1(alpn, 0);
    let is_listed = |name: &&str| list.cases.iter().any(|case| case.name == **name);
    assert!(CASES.iter().all(is_listed), "not in the catalogue");
    let mut trials: Vec<Trial> = CASES.iter().map(|name| trial(name, Hooks::check)).collect();
    trials.push(trial("leaves_no_descriptors", Hooks::check_descriptors));
    trials
}

/// An app, and an agent with the cases as its hooks.
struct Hooks {
    app: Http1FaultApps,
    cases: Vec<FaultCase>,
    agent: Agent,
    descriptors: usize,
}

impl Hooks {
    fn open(alpn: Option<&[&str]>) -> Result<Self, String> {
        let app = Http1FaultApps::open(alpn);
        let mut cases = app.cases(1);
        app.serve(&cases);
        cases.retain(|case| CASES.contains(&case.name.as_str()));
        let agent = start(&cases)?;
        Ok(Self {
            app,
            cases,
            descriptors: agent.descriptors(),
            agent,
        })
    }

    fn check(&self, name: &str) -> Outcome {
        let kubelet = Kubelet::get()?;
        let case = self.cases.iter().find(|case| case.name == name);
        let case = case.expect("it is in the catalogue");
        let to = (Ipv4Addr::LOCALHOST, case.target.port()).into();
        let mut request = ProbeRequest::hook(to, &case.app_path(), 10);
        if self.app.is_secure {
            request = request.https();
        }
        let direct = kubelet.verdict(&request)?;
        let through = kubelet.verdict(&ProbeRequest::hook(self.agent.addr(), &path(name), 10))?;
        assert_eq!(
            direct.result, through.result,
            "direct {direct:?}, through {through:?}"
        );
        Ok(())
    }

    fn check_descriptors(&self, _: &str) -> Outcome {
        for case in &self.cases {
            let answer = self.agent.get(&path(&case.name))?;
            assert_ne!(answer.end, End::Open, "{}", case.name);
        }
        assert!(
            self.agent.wait_descriptors(self.descriptors),
            "hooks leave descriptors"
        );
        Ok(())
    }
}

/// If an app answers an HTTPS hook in plain HTTP, the hook is sent again in plain HTTP, without the credentials.
pub fn fall_back_to_http() -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = PathScriptedApp::start();
    app.on("/drain", answer(FINE));
    let login = ("Authorization", "Basic dXNlcjp3b3Jk");
    let stop = ("X-Stop", "now");
    let headers = [login, stop].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let field = |(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#);
    let get = format!(
        r#""path":"/drain","port":{},"scheme":"HTTPS","httpHeaders":[{},{}]"#,
        app.port(),
        field(login),
        field(stop)
    );
    let table = format!(r#"{{"{}":{{"httpGet":{{{get}}}}}}}"#, path("web"));
    let agent = Setup::new().probers(&table).start()?;
    let direct = ProbeRequest {
        headers: headers.to_vec(),
        ..ProbeRequest::hook(app.addr(), "/drain", 10).https()
    };
    // kubelet sends the headers of the manifest, which the rewritten hook has as well.
    let through = ProbeRequest {
        headers: headers.to_vec(),
        ..ProbeRequest::hook(agent.addr(), &path("web"), 10)
    };
    for request in [direct, through] {
        app.take_requests();
        let verdict = kubelet.verdict(&request)?;
        assert_eq!(verdict.to_string(), "success", "{verdict:?}");
        let requests = app.requests_for("/drain");
        assert_eq!(requests.len(), 1, "{request:?}");
        let head = String::from_utf8_lossy(&requests[0].head).to_lowercase();
        assert!(head.contains("x-stop: now"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }
    Ok(())
}

/// An app with this script, and an agent with a hook of it; `timeoutSeconds` is 1.
fn with_script(script: Vec<Step>) -> Result<(Http1FaultApps, Agent), String> {
    let app = Http1FaultApps::open(None);
    let case = FaultCase {
        script,
        seconds: 1,
        ..app.case("fine")
    };
    app.serve(std::slice::from_ref(&case));
    let agent = start(&[case])?;
    Ok((app, agent))
}

/// A drain may take several seconds, regardless of `timeoutSeconds`.
pub fn outlasts_its_timeout() -> Outcome {
    let slow = vec![Step::Pause(Duration::from_secs(3)), send(FINE)];
    let (fault_apps, agent) = with_script(slow)?;
    let verdict = Kubelet::get()?.verdict(&ProbeRequest::hook(agent.addr(), &path("fine"), 30))?;
    assert_eq!(verdict.to_string(), "success", "{verdict:?}");
    assert!(!fault_apps.app.requests_for("/fine")[0].is_aborted);
    let verdict = Kubelet::get()?.verdict(&ProbeRequest::hook(agent.addr(), &path("fine"), 1))?;
    assert_eq!(
        verdict.result, "unknown",
        "kubelet was to leave: {verdict:?}"
    );
    assert!(
        fault_apps.app.wait_idle(),
        "the app's connection outlives kubelet's"
    );
    assert!(fault_apps.app.requests_for("/fine")[1].is_aborted);
    Ok(())
}

/// A hook releases its slot and the app's connection when its client closes.
pub fn ends_with_its_client() -> Outcome {
    let (fault_apps, agent) = with_script(vec![Step::Hold])?;
    let descriptors = agent.descriptors();
    let mut client = TcpStream::connect(agent.addr())?;
    client.write_all(&request("127.0.0.1", &path("fine")))?;
    assert!(
        fault_apps.app.wait_for_requests("/fine", 1),
        "the hook does not reach the app"
    );
    drop(client);
    let left = || fault_apps.app.requests_for("/fine")[0].is_aborted;
    assert!(
        within(WAIT_LIMIT, left),
        "the app does not see that the client left"
    );
    assert!(
        agent.wait_descriptors(descriptors),
        "the hook leaves descriptors"
    );
    Ok(())
}
