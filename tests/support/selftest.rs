//! The support is tested itself: a fake app that does not misbehave as it says proves nothing.

use super::fake_app::{FakeApp, Step};
use super::faults::{FINE, answer, send};
use super::http::{End, get};
use super::kubelet::{Kubelet, Question};
use super::ports::{deaf, reserve, resetting};
use super::trials::trial;
use super::{Need, Outcome, PATIENCE, needs};
use libtest_mimic::Trial;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The tests.
pub fn tests() -> Vec<Trial> {
    vec![
        trial(
            "support::app_plays_scripts_and_keeps_heads",
            app_plays_scripts,
        ),
        trial("support::app_sees_a_client_leave", app_sees_a_client_leave),
        trial("support::app_ends_when_dropped", app_ends_when_dropped),
        trial(
            "support::reserved_port_refuses_and_can_be_listened_on",
            reserved_port,
        ),
        needs(&[Need::Go], "support::kubelet_judges", kubelet_judges),
    ]
}

fn app_plays_scripts() -> Outcome {
    let app = FakeApp::start();
    app.on("/fine", answer(FINE));
    app.on(
        "/reset",
        vec![
            send("HTTP"),
            Step::Pause(Duration::from_millis(50)),
            Step::Reset,
        ],
    );
    app.on("/flood", vec![Step::Flood(b"abc".to_vec(), 10_000)]);
    let fine = get(app.addr(), "/fine?q", PATIENCE)?;
    assert_eq!(
        (fine.code(), fine.body(), fine.end),
        (Some(200), &b"fine"[..], End::Fin)
    );
    assert!(fine.is_whole());
    assert_eq!(get(app.addr(), "/none", PATIENCE)?.code(), Some(404));
    let reset = get(app.addr(), "/reset", PATIENCE)?;
    assert_eq!((&reset.bytes[..], reset.end), (&b"HTTP"[..], End::Reset));
    assert_eq!(get(app.addr(), "/flood", PATIENCE)?.bytes.len(), 10_000);
    let seen = app.seen_at("/fine");
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0]
            .head
            .starts_with(b"GET /fine?q HTTP/1.1\r\nHost: 127.0.0.1:")
    );
    assert!(app.wait_idle());
    Ok(())
}

fn app_sees_a_client_leave() -> Outcome {
    let app = FakeApp::start();
    app.on("/hold", vec![Step::Hold]);
    let held = get(app.addr(), "/hold", Duration::from_millis(100))?;
    assert_eq!(held.end, End::Open);
    assert!(app.wait_idle());
    assert!(app.seen_at("/hold")[0].left_early);
    Ok(())
}

fn app_ends_when_dropped() -> Outcome {
    let app = FakeApp::start();
    let addr = app.addr();
    drop(app);
    assert!(get(addr, "/", PATIENCE).is_err(), "the port listens on");
    Ok(())
}

fn reserved_port() -> Outcome {
    let reserved = reserve();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, reserved.port));
    assert!(get(addr, "/", PATIENCE).is_err());
    let listener = TcpListener::bind(addr)?;
    assert_eq!(listener.local_addr()?, addr);
    Ok(())
}

fn kubelet_judges() -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = FakeApp::start();
    app.on("/fine", answer(FINE));
    app.on(
        "/cut",
        answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    );
    app.on(
        "/away",
        answer("HTTP/1.1 302 Go\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n"),
    );
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (dead, deaf, resetting) = (reserve(), deaf(), resetting(Duration::from_millis(200)));
    for (question, verdict) in [
        (Question::http(app.addr(), "/fine"), "success"),
        (Question::http(app.addr(), "/none"), "failure-404"),
        (Question::http(app.addr(), "/cut"), "failure-erred"),
        (Question::http(app.addr(), "/away"), "warning"),
        (Question::tcp(local(dead.port)), "failure"),
        (Question::tcp(local(deaf.port)), "failure"),
        (Question::tcp(local(resetting.port)), "success"),
        (Question::http(local(resetting.port), "/"), "failure"),
        (Question::hook(app.addr(), "/none", 1), "success"),
        (Question::hook(local(deaf.port), "/", 1), "unknown-erred"),
    ] {
        assert_eq!(kubelet.ask(&question)?.to_string(), verdict, "{question:?}");
    }
    assert_eq!(
        app.seen_at("/cut").len(),
        3,
        "kubelet tries three times when a body breaks"
    );
    let head = app.seen_at("/fine").remove(0).head;
    let expected = format!(
        "GET /fine HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        app.port()
    );
    assert_eq!(String::from_utf8_lossy(&head), expected);
    Ok(())
}
