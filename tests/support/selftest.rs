//! Tests of the test support: a fake app must misbehave as scripted.

use super::faults::{FINE, answer, send};
use super::http::{End, get, request};
use super::kubelet::{Kubelet, ProbeRequest};
use super::netns::{self, Netns};
use super::path_scripted_app::{PathScriptedApp, Step};
use super::ports::{full_backlog, reserve, resetting, tcp_socket};
use super::raw;
use super::trials::trial;
use super::{Need, Outcome, WAIT_LIMIT, needs};
use libtest_mimic::Trial;
use rustix::net::sockopt::set_socket_reuseaddr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// The tests.
pub fn tests() -> Vec<Trial> {
    vec![
        trial(
            "support::path_scripted_app_runs_scripts_and_records_heads",
            path_scripted_app_runs_scripts,
        ),
        trial(
            "support::path_scripted_app_notices_a_client_that_closes",
            path_scripted_app_notices_a_client_that_closes,
        ),
        trial(
            "support::path_scripted_app_ends_when_dropped",
            path_scripted_app_ends_when_dropped,
        ),
        trial(
            "support::reserved_port_refuses_and_can_be_listened_on",
            reserved_port,
        ),
        trial(
            "support::until_read_ignores_other_connections_of_its_address",
            until_read_ignores_other_connections,
        ),
        needs(
            netns::NEEDS,
            "support::a_panic_in_a_namespace_keeps_its_message",
            panic_in_a_namespace,
        ),
        needs(
            &[Need::Go],
            "support::kubelet_driver_returns_verdicts",
            kubelet_driver_returns_verdicts,
        ),
    ]
}

fn path_scripted_app_runs_scripts() -> Outcome {
    let app = PathScriptedApp::start();
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
    let fine = get(app.addr(), "/fine?q", WAIT_LIMIT)?;
    assert_eq!(
        (fine.code(), fine.body(), fine.end),
        (Some(200), &b"fine"[..], End::Fin)
    );
    assert!(fine.is_whole());
    assert_eq!(get(app.addr(), "/none", WAIT_LIMIT)?.code(), Some(404));
    let reset = get(app.addr(), "/reset", WAIT_LIMIT)?;
    assert_eq!((&reset.bytes[..], reset.end), (&b"HTTP"[..], End::Reset));
    assert_eq!(get(app.addr(), "/flood", WAIT_LIMIT)?.bytes.len(), 10_000);
    let requests = app.requests_for("/fine");
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0]
            .head
            .starts_with(b"GET /fine?q HTTP/1.1\r\nHost: 127.0.0.1:")
    );
    assert!(app.wait_idle());
    Ok(())
}

fn path_scripted_app_notices_a_client_that_closes() -> Outcome {
    let app = PathScriptedApp::start();
    app.on("/hold", vec![Step::Hold]);
    let held = raw::send(app.addr(), &request("127.0.0.1", "/hold"));
    assert!(app.wait_for_requests("/hold", 1));
    drop(held);
    assert!(app.wait_idle());
    assert!(app.requests_for("/hold")[0].is_aborted);
    Ok(())
}

fn path_scripted_app_ends_when_dropped() -> Outcome {
    let app = PathScriptedApp::start();
    app.on("/ended", answer("HTTP/1.1 299 Still here\r\n\r\n"));
    let addr = app.addr();
    drop(app);
    // An app of another trial may already listen on the port.
    let after = get(addr, "/ended", WAIT_LIMIT);
    let is_running = after.is_ok_and(|answer| answer.code() == Some(299));
    assert!(!is_running, "the port is still served");
    Ok(())
}

fn reserved_port() -> Outcome {
    let reserved = reserve();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, reserved.port));
    assert!(get(addr, "/", WAIT_LIMIT).is_err());
    let listener = TcpListener::bind(addr)?;
    assert_eq!(listener.local_addr()?, addr);
    Ok(())
}

/// As the kernel shares a local port among connections to different ports.
fn until_read_ignores_other_connections() -> Outcome {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let [reading, silent] = listeners;
    let (reading, silent) = (reading?, silent?);
    let mut from = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut streams = Vec::new();
    for to in [&silent, &reading] {
        let fd = tcp_socket(from)?;
        set_socket_reuseaddr(&fd, true)?;
        rustix::net::bind(&fd, &from)?;
        rustix::net::connect(&fd, &to.local_addr()?)?;
        let mut stream = TcpStream::from(fd);
        from = stream.local_addr()?;
        stream.write_all(b"x")?;
        streams.push(stream);
    }
    reading.accept()?.0.read_exact(&mut [0])?;
    raw::until_read(&streams[1..]);
    Ok(())
}

fn panic_in_a_namespace() -> Outcome {
    let namespace = Netns::new()?;
    let body = || namespace.enter(|| resume_unwind(Box::new("the message")));
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
    assert_eq!(panic.downcast_ref(), Some(&"the message"));
    Ok(())
}

fn kubelet_driver_returns_verdicts() -> Outcome {
    let kubelet = Kubelet::get()?;
    let app = PathScriptedApp::start();
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
    let (dead, full_backlog, resetting) = (
        reserve(),
        full_backlog(),
        resetting(Duration::from_millis(200)),
    );
    for (request, verdict) in [
        (ProbeRequest::http(app.addr(), "/fine"), "success"),
        (ProbeRequest::http(app.addr(), "/none"), "failure-404"),
        (ProbeRequest::http(app.addr(), "/cut"), "failure-erred"),
        (ProbeRequest::http(app.addr(), "/away"), "warning"),
        (ProbeRequest::tcp(local(dead.port)), "failure"),
        (ProbeRequest::tcp(local(full_backlog.port)), "failure"),
        (ProbeRequest::tcp(local(resetting.port)), "success"),
        (ProbeRequest::http(local(resetting.port), "/"), "failure"),
        (ProbeRequest::hook(app.addr(), "/none", 1), "success"),
        (
            ProbeRequest::hook(local(full_backlog.port), "/", 1),
            "unknown-erred",
        ),
    ] {
        assert_eq!(
            kubelet.verdict(&request)?.to_string(),
            verdict,
            "{request:?}"
        );
    }
    assert_eq!(
        app.requests_for("/cut").len(),
        3,
        "kubelet tries three times when a body breaks"
    );
    let head = app.requests_for("/fine").remove(0).head;
    let expected = format!(
        "GET /fine HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        app.port()
    );
    assert_eq!(String::from_utf8_lossy(&head), expected);
    Ok(())
}
