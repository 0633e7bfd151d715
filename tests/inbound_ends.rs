//! Which inbound connections are evicted, and how those that are open end when the agent stops.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::inbound::{self, Fixture, WEB};
use crate::support::http::End;
use crate::support::netns::{self, Netns};
use crate::support::observe::logged;
use crate::support::ports::reserve;
use crate::support::raw::{connect_from, connect_until_refused, read_to_end};
use crate::support::trials::trials;
use crate::support::{TLS, WAIT_LIMIT};

use probelet::limits::APP_POLL_INTERVAL;

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_ends":
        quiet_connections_get_close_notify_when_the_agent_stops,
        a_quiet_plaintext_connection_gets_eof_when_the_agent_stops,
        only_established_connections_prolong_the_shutdown_delay,
        a_handshake_that_was_answered_outlives_silent_connections_of_many_addresses,
        a_flood_of_one_address_is_reset_and_is_not_a_full_port,
        a_flood_of_one_port_resets_no_client_of_another_one,
    ];
    tests.extend(trials!["inbound_ends" needs netns::NEEDS;
        a_flood_of_an_ipv6_address_resets_no_other_address_of_its_network,
    ]);
    tests
}

fn quiet_connections_get_close_notify_when_the_agent_stops() {
    let mut fixture = Fixture::new("", &["--shutdown-delay=0"]);
    let (mut answered, _answered_app) = fixture.answered();
    // A client of HTTP/2 sends last: it acknowledges what it has received.
    let (mut unanswered, mut unanswered_app) = fixture.pair();
    // The client does not read this response, so a part of it cannot be passed on.
    let (mut cut_off, mut writing_app) = fixture.pair();
    // The client has sent its request, and the app does not respond.
    let (mut half_closed, mut silent_app) = fixture.pair();
    half_closed.conn.send_close_notify();
    half_closed.flush().expect("close_notify is sent");
    assert_eq!(read_to_end(&mut silent_app).end, End::Fin);
    let writing = std::thread::spawn(move || while writing_app.write_all(&[0; 65536]).is_ok() {});
    fixture.agent.signal(Signal::TERM);
    assert_eq!(answered.read(&mut [0]).expect("close_notify"), 0);
    assert_eq!(unanswered.read(&mut [0]).expect("close_notify"), 0);
    assert_eq!(read_to_end(&mut unanswered_app).end, End::Fin);
    assert_eq!(read_to_end(&mut cut_off.sock).end, End::Reset);
    assert_eq!(read_to_end(&mut half_closed.sock).end, End::Reset);
    writing.join().expect("no panic");
    assert!(fixture.agent.wait_exit().expect("it ends").success());
}

fn a_quiet_plaintext_connection_gets_eof_when_the_agent_stops() {
    let mut fixture = Fixture::new(",mode=permissive", &["--shutdown-delay=0"]);
    let mut client = fixture.connect();
    client.write_all(b"hello").expect("connected");
    let mut app = fixture.accept();
    app.read_exact(&mut [0; 5]).expect("the client's data");
    fixture.agent.signal(Signal::TERM);
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert_eq!(read_to_end(&mut app).end, End::Fin);
    assert!(fixture.agent.wait_exit().expect("it ends").success());
}

fn only_established_connections_prolong_the_shutdown_delay() {
    let mut fixture = Fixture::new("", &["--shutdown-delay=3600"]);
    let to = (Ipv4Addr::LOCALHOST, fixture.inbound.port).into();
    let silent = connect_until_refused(to);
    let established = fixture.pair();
    drop(fixture.app);
    fixture.agent.signal(Signal::TERM);
    std::thread::sleep(3 * APP_POLL_INTERVAL);
    assert!(!silent.is_finished(), "it still listens");
    drop(established);
    assert!(fixture.agent.wait_exit().expect("it ends").success());
    silent.join().expect("no panic");
}

fn a_handshake_that_was_answered_outlives_silent_connections_of_many_addresses() {
    let fixture = Fixture::new("", &[]);
    let mut client = fixture.web();
    let (conn, sock) = (&mut client.conn, &mut client.sock);
    conn.write_tls(sock).expect("the ClientHello is sent");
    while !conn.wants_write() {
        conn.read_tls(sock).expect("the agent answers");
        conn.process_new_packets().expect("TLS");
    }
    let to = (Ipv4Addr::LOCALHOST, fixture.inbound.port).into();
    let connect = |n| connect_from(Ipv4Addr::new(127, 0, 0, n), to).expect("a connection");
    let silent: Vec<_> = (2..102).map(connect).collect();
    // 31 remain beside the handshake.
    fixture.until_counted("evicted", 100.0 - 31.0);
    client.write_all(b"hello").expect("TLS is established");
    let mut app = fixture.accept();
    app.read_exact(&mut [0; 5]).expect("the client's data");
    drop(silent);
}

fn a_flood_of_one_address_is_reset_and_is_not_a_full_port() {
    let fixture = Fixture::new("", &[]);
    let to = (Ipv4Addr::LOCALHOST, fixture.inbound.port).into();
    let connect = |_| connect_from(Ipv4Addr::new(127, 0, 0, 2), to).ok();
    let flood: Vec<_> = (0..200).map(connect).collect();
    let line = logged(&fixture.agent, "inbound connection rejected");
    for text in ["client=127.0.0.2", "reason=handshake_limit_reached"] {
        assert!(line.contains(text), "{line}");
    }
    // Another address is served meanwhile.
    drop(fixture.pair());
    fixture.until_counted("served", 1.0);
    assert!(!fixture.agent.log().concat().contains("limit="));
    drop(flood);
}

/// All ports share the handshakes and the connections that wait for theirs.
fn a_flood_of_one_port_resets_no_client_of_another_one() {
    let flooded = reserve();
    let second = format!("--inbound={}=127.0.0.1:9,allow-id=any", flooded.port);
    let fixture = Fixture::new("", &[&second]);
    let to = (Ipv4Addr::LOCALHOST, flooded.port).into();
    let connect = |_| connect_from(Ipv4Addr::new(127, 0, 0, 2), to).ok();
    let flood: Vec<_> = (0..200).map(connect).collect();
    logged(&fixture.agent, "reason=handshake_limit_reached");
    drop(fixture.pair());
    fixture.until_counted("served", 1.0);
    drop(flood);
}

fn a_flood_of_an_ipv6_address_resets_no_other_address_of_its_network() {
    let namespace = Netns::new().expect("root may create a namespace");
    let [flooding, other] = [1, 2].map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    for address in [flooding, other] {
        let add = format!("ip address add {address}/128 dev lo nodad");
        namespace.run(&add).expect("root may add an address");
    }
    namespace.enter(|| {
        let fixture = Fixture::new("", &[]);
        let to = (flooding, fixture.inbound.port).into();
        let flood: Vec<_> = (0..200).map(|_| connect_from(flooding, to).ok()).collect();
        let line = logged(&fixture.agent, "reason=handshake_limit_reached");
        assert!(line.contains("client=fd00::1 "), "{line}");
        let tcp = connect_from(other, to).expect("a connection");
        tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("SO_RCVTIMEO");
        let config = fixture.ca.client(Some(&fixture.ca.sign(WEB)));
        let mut client = inbound::client(config, tcp);
        client.write_all(b"hello").expect("TLS is established");
        fixture.until_counted("served", 1.0);
        drop(flood);
    });
}
