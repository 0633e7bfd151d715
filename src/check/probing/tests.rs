//! The choice among the addresses of a name. All are within 127.0.0.0/8.

use super::*;
use crate::check::RawArgs;
use core::net::SocketAddr;
use core::time::Duration;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::net::TcpListener;
use std::os::fd::OwnedFd;

const FIRST: [u8; 4] = [127, 0, 0, 2];
const SECOND: [u8; 4] = [127, 0, 0, 3];

fn listener(ip: [u8; 4]) -> (TcpListener, u16) {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// A listener whose backlog is full: it neither accepts nor refuses connections.
fn full_backlog(at: SocketAddr) -> Vec<OwnedFd> {
    let socket = |flags| {
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket")
    };
    let listener = socket(SocketFlags::CLOEXEC);
    bind(&listener, &at).expect("the port is free at this address too");
    listen(&listener, 0).expect("listens");
    let mut all = vec![listener];
    for _ in 0..4 {
        let filling = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let _ = connect(&filling, &at);
        all.push(filling);
    }
    all
}

fn probed(port: u16, timeout: &str, addresses: &[[u8; 4]]) -> (Outcome, Rc<Watch>) {
    let plan = Plan::from_args(RawArgs {
        url: format!("tcp://app.example:{port}"),
        timeout: Some(timeout.into()),
        ..RawArgs::default()
    });
    let plan = Rc::new(plan.expect("well-formed"));
    let watch = Rc::new(Watch::new(&plan));
    let deadline = watch.start() + plan.timeout;
    let addresses = addresses.iter().map(|ip| IpAddr::from(*ip)).collect();
    let outcome = probe(plan, watch.clone(), deadline, addresses);
    (outcome.expect("epoll works"), watch)
}

#[test]
fn an_address_that_refuses_is_skipped() {
    let (_listener, port) = listener(SECOND);
    let (outcome, watch) = probed(port, "10", &[FIRST, SECOND]);
    assert_eq!(outcome, Outcome::Connected);
    assert_eq!(watch.address(), Some((SECOND, port).into()));
}

#[test]
fn the_first_address_that_connects_is_probed() {
    let (_listener, port) = listener(FIRST);
    let (outcome, watch) = probed(port, "10", &[FIRST, SECOND]);
    assert_eq!(outcome, Outcome::Connected);
    assert_eq!(watch.address(), Some((FIRST, port).into()));
}

#[test]
fn an_address_that_does_not_respond_delays_the_next_by_250_ms() {
    let (_listener, port) = listener(SECOND);
    let _backlog = full_backlog((FIRST, port).into());
    let (outcome, watch) = probed(port, "60", &[FIRST, SECOND]);
    assert_eq!(outcome, Outcome::Connected);
    assert_eq!(watch.address(), Some((SECOND, port).into()));
    let connected = watch.time(Phase::Connected).expect("it connected");
    assert!(connected >= Duration::from_millis(250), "{connected:?}");
    // Far less than a share of the timeout.
    assert!(connected < Duration::from_secs(20), "{connected:?}");
}

#[test]
fn if_no_address_connects_the_failure_is_that_of_the_last() {
    let (listener, port) = listener(SECOND);
    drop(listener);
    let (outcome, watch) = probed(port, "10", &[FIRST, SECOND]);
    assert_eq!(outcome, Outcome::Failed(Failure::ConnectionRefused));
    assert_eq!(watch.address(), Some((SECOND, port).into()));
    assert!(!watch.has_connected());
}
