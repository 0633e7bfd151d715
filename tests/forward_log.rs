//! The log of forwards: failures and recoveries of a target, not every connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use libtest_mimic::Trial;

use crate::passthrough::{ForwardListener, end_of, fixture, forward_to, until_free};
use crate::support::agent::Agent;
use crate::support::http::End;
use crate::support::observe::{log_lines, logged, until};
use crate::support::ports::{reserve, wait_until_refused};
use crate::support::raw::connect;
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

use probelet::limits::LOG_LINES_PER_MINUTE;

pub fn tests() -> Vec<Trial> {
    trials!["forward_log":
        a_target_is_logged_when_its_state_changes,
        each_forward_has_its_own_lines,
        a_full_forward_is_logged_once,
        an_address_that_is_not_local_is_reported,
    ]
}

/// A target. Dropping it closes its port.
fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is ours")
}

/// Connects once while the target listens, and once after it has stopped.
fn connect_then_stop_target(listener: &ForwardListener, port: u16) {
    let app = listen(port);
    let mut client = connect(listener.addr());
    app.accept().expect("dialled");
    // The EOF shows that the agent has seen this connection before the next one.
    assert_eq!(client.read(&mut [0]).expect("EOF"), 0);
    drop(app);
    assert!(wait_until_refused((Ipv4Addr::LOCALHOST, port).into()));
    assert_eq!(end_of(listener, b""), End::Reset);
}

fn messages(agent: &Agent) -> Vec<String> {
    log_lines(agent, "msg=\"forward ")
}

fn a_target_is_logged_when_its_state_changes() {
    let target = reserve();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, target.port));
    let (agent, forward) = forward_to(addr, &Table::new(), &[]);
    connect_then_stop_target(&forward, target.port);
    for _ in 0..10 {
        assert_eq!(end_of(&forward, b""), End::Reset);
    }
    connect_then_stop_target(&forward, target.port);
    until("two failures", || {
        (messages(&agent).len() >= 3).then_some(())
    });
    let lines = messages(&agent);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, what) in lines.iter().zip(["failing", "healthy", "failing"]) {
        let expected = format!(
            "msg=\"forward {what}\" port={} target={addr}",
            forward.0.port
        );
        assert!(line.contains(&expected), "{line}");
        assert_eq!(
            line.contains("reason=connection_refused"),
            what == "failing",
            "{line}"
        );
        assert_eq!(line.contains("level=warn"), what == "failing", "{line}");
        assert!(!line.contains("suppressed="), "{line}");
    }
}

fn each_forward_has_its_own_lines() {
    let targets = [reserve(), reserve()];
    let listeners = [ForwardListener(reserve()), ForwardListener(reserve())];
    let forward = |n: usize| {
        format!(
            "--forward={}=127.0.0.1:{}",
            listeners[n].0.port, targets[n].port
        )
    };
    let agent = agent_with(&Table::new(), &[&forward(0), &forward(1)]);
    for _ in 0..LOG_LINES_PER_MINUTE {
        connect_then_stop_target(&listeners[0], targets[0].port);
    }
    assert_eq!(end_of(&listeners[1], b""), End::Reset);
    let failing = format!("msg=\"forward failing\" port={} ", listeners[1].0.port);
    let line = logged(&agent, &failing);
    assert!(!line.contains("suppressed="), "{line}");
    let lines = messages(&agent);
    assert_eq!(lines.len(), LOG_LINES_PER_MINUTE + 1, "{lines:#?}");
}

fn a_full_forward_is_logged_once() {
    let fixture = fixture(&["--max-forwards", "1"]);
    let (mut client, mut app) = fixture.pair();
    client.write_all(b"x").expect("sent");
    app.read_exact(&mut [0]).expect("passed on");
    for _ in 0..3 {
        assert_eq!(end_of(&fixture.forward, b""), End::Reset);
    }
    drop((client, app));
    until_free(&fixture.agent);
    let _open = fixture.pair();
    logged(&fixture.agent, "msg=\"forward healthy\"");
    let lines = messages(&fixture.agent);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("msg=\"forward connection limit reached\""),
        "{lines:#?}"
    );
}

fn an_address_that_is_not_local_is_reported() {
    // A documentation address (RFC 5737): no host has it.
    let fixture = fixture(&["--source-ip", "192.0.2.1"]);
    assert_eq!(end_of(&fixture.forward, b""), End::Reset);
    let line = logged(&fixture.agent, "msg=\"forward failing\"");
    assert!(line.contains("reason=address_not_available"), "{line}");
}
