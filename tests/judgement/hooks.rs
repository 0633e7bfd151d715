//! Lifecycle hooks: kubelet ignores the status, fails on transport errors, and sets no deadline.

use crate::support::agent::{Agent, Setup};
use crate::support::fake_app::{FakeApp, Step};
use crate::support::http::request;
use crate::support::kubelet::{Kubelet, Question};
use crate::support::menu::{Dish, FINE, Kitchen, answer, send};
use crate::support::{Outcome, PATIENCE, within};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Dishes that kubelet's hook client has an opinion of within a moment. All close the connection:
/// kubelet keeps one that is left open for its next hook.
const DISHES: &[&str] = &[
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

fn start(dishes: &[Dish]) -> Result<Agent, String> {
    let entry = |dish: &Dish| format!(r#""{}":{}"#, path(&dish.name), dish.prober());
    let entries: Vec<String> = dishes.iter().map(entry).collect();
    Setup::new()
        .probers(&format!("{{{}}}", entries.join(",")))
        .start()
}

/// kubelet's verdict on a hook is the same with the agent as without.
pub fn agree() -> Outcome {
    agree_on(&Kitchen::open())
}

/// The same over HTTPS, of an app that would rather speak HTTP/2: a hook offers no ALPN.
pub fn agree_over_tls() -> Outcome {
    agree_on(&Kitchen::secure(&["h2", "http/1.1"]))
}

fn agree_on(kitchen: &Kitchen) -> Outcome {
    let kubelet = Kubelet::get()?;
    let menu = kitchen.menu(1);
    kitchen.serve(&menu);
    let pick = |name: &&str| menu.iter().find(|dish| dish.name == **name).cloned();
    let dishes: Vec<Dish> = DISHES.iter().filter_map(pick).collect();
    assert_eq!(dishes.len(), DISHES.len(), "a dish is not on the menu");
    let agent = start(&dishes)?;
    let descriptors = agent.descriptors();
    let mut wrong = Vec::new();
    for dish in &dishes {
        let to = (Ipv4Addr::LOCALHOST, dish.aim.port()).into();
        let mut question = Question::hook(to, &dish.app_path(), 10);
        if kitchen.is_secure {
            question = question.https();
        }
        let direct = kubelet.ask(&question)?;
        let through = kubelet.ask(&Question::hook(agent.addr(), &path(&dish.name), 10))?;
        if direct.result != through.result {
            wrong.push(format!(
                "{}: direct {direct:?}, through {through:?}",
                dish.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} disagreements:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        agent.wait_descriptors(descriptors),
        "hooks leave descriptors"
    );
    Ok(())
}

/// An app that answers plain HTTP on an HTTPS hook is asked again in plain HTTP, without the login.
pub fn fall_back_to_http() -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = FakeApp::start();
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
    let direct = Question {
        headers: headers.to_vec(),
        ..Question::hook(app.addr(), "/drain", 10).https()
    };
    // kubelet sends what its manifest has; in the rewritten probe that is the same.
    let through = Question {
        headers: headers.to_vec(),
        ..Question::hook(agent.addr(), &path("web"), 10)
    };
    for question in [direct, through] {
        app.take_seen();
        let verdict = kubelet.ask(&question)?;
        assert_eq!(verdict.to_string(), "success", "{verdict:?}");
        let seen = app.seen_at("/drain");
        assert_eq!(seen.len(), 1, "{question:?}");
        let head = String::from_utf8_lossy(&seen[0].head).to_lowercase();
        assert!(head.contains("x-stop: now"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }
    Ok(())
}

/// A kitchen with one slow hook, the dish that asks it, and its agent; `timeoutSeconds` is 1.
fn with_script(script: Vec<Step>) -> Result<(Kitchen, Agent), String> {
    let kitchen = Kitchen::open();
    let menu = kitchen.menu(1);
    let mut dish = menu
        .into_iter()
        .find(|d| d.name == "fine")
        .ok_or("no dish")?;
    dish.script = script;
    kitchen.serve(std::slice::from_ref(&dish));
    let agent = start(&[dish])?;
    Ok((kitchen, agent))
}

/// A drain of several seconds is normal, whatever `timeoutSeconds` says.
pub fn outlasts_its_timeout() -> Outcome {
    let slow = vec![Step::Pause(Duration::from_secs(3)), send(FINE)];
    let (kitchen, agent) = with_script(slow)?;
    let verdict = Kubelet::get()?.ask(&Question::hook(agent.addr(), &path("fine"), 30))?;
    assert_eq!(verdict.to_string(), "success", "{verdict:?}");
    assert!(!kitchen.app.seen_at("/fine")[0].left_early);
    let verdict = Kubelet::get()?.ask(&Question::hook(agent.addr(), &path("fine"), 1))?;
    assert_eq!(
        verdict.result, "unknown",
        "kubelet was to leave: {verdict:?}"
    );
    assert!(
        kitchen.app.wait_idle(),
        "the app's connection outlives kubelet's"
    );
    assert!(kitchen.app.seen_at("/fine")[1].left_early);
    Ok(())
}

/// A hook holds its slot and the app's connection no longer than its client does.
pub fn ends_with_its_client() -> Outcome {
    let (kitchen, agent) = with_script(vec![Step::Hold])?;
    let descriptors = agent.descriptors();
    let mut client = TcpStream::connect(agent.addr())?;
    client.write_all(&request("127.0.0.1", &path("fine")))?;
    assert!(
        kitchen.app.wait_seen("/fine", 1),
        "the hook does not reach the app"
    );
    drop(client);
    let left = || kitchen.app.seen_at("/fine")[0].left_early;
    assert!(
        within(PATIENCE, left),
        "the app does not see that the client left"
    );
    assert!(
        agent.wait_descriptors(descriptors),
        "the hook leaves descriptors"
    );
    Ok(())
}
