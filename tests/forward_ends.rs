//! How a forwarded connection ends when a side is silent, stuck or gone: neither too late, since its
//! place is wanted, nor too early, since its bytes are.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::passthrough::scene;
use crate::support::http::End;
use crate::support::observe::{assert_descriptors, sockets, until_within};
use crate::support::raw::{read_to_end, reset, state};
use crate::support::trials::trials;
use crate::support::{PATIENCE, within};

use probelet::limits::{FORWARD_HALF_CLOSED_TIME, FORWARD_IDLE_TIME};

/// What is written at once.
static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

pub fn tests() -> Vec<Trial> {
    trials!["forward_ends":
        a_reset_of_one_side_resets_the_other,
        a_half_closed_connection_that_is_silent_gives_its_place_back_soon,
        a_client_that_resets_is_noticed_though_the_app_reads_nothing,
        an_app_that_resets_is_noticed_though_the_client_reads_nothing,
        an_orderly_end_of_both_sides_loses_nothing_that_waits,
    ]
}

fn a_reset_of_one_side_resets_the_other() {
    let scene = scene(&[]);
    let before = scene.agent.descriptors();
    let (client, mut app) = scene.pair();
    reset(client);
    assert_eq!(
        read_to_end(&mut app).end,
        End::Reset,
        "the client's reset reaches the app"
    );
    let (mut client, app) = scene.pair();
    reset(app);
    assert_eq!(
        read_to_end(&mut client).end,
        End::Reset,
        "the app's reset reaches the client"
    );
    assert_descriptors(&scene.agent, before);
}

/// What kubelet's timeout leaves behind when the app hangs: a client that ended, and an app that does
/// not say a word. One whose app still answers goes on meanwhile.
fn a_half_closed_connection_that_is_silent_gives_its_place_back_soon() {
    assert!(FORWARD_HALF_CLOSED_TIME < FORWARD_IDLE_TIME);
    let scene = scene(&[]);
    let (mut client, mut app) = scene.pair();
    let before = scene.agent.descriptors();
    let (timed_out, mut hung) = scene.pair();
    client.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(read_to_end(&mut app).end, End::Fin);
    let since = Instant::now();
    drop(timed_out);
    assert_eq!(read_to_end(&mut hung).end, End::Fin);
    let bound = FORWARD_HALF_CLOSED_TIME + PATIENCE;
    until_within(bound, "the hung app's place is given back", || {
        app.write_all(b"x").expect("the answer goes on");
        client.read_exact(&mut [0]).expect("passed back");
        (scene.agent.descriptors() == before).then_some(())
    });
    let took = since.elapsed();
    assert!(took >= FORWARD_HALF_CLOSED_TIME, "cut off after {took:?}");
    // Its own 30 s are over as well, but for the bytes that moved.
    app.write_all(b"end").expect("the answer goes on");
    client.read_exact(&mut [0; 3]).expect("passed back");
}

fn a_client_that_resets_is_noticed_though_the_app_reads_nothing() {
    let scene = scene(&[]);
    let before = scene.agent.descriptors();
    let (mut client, mut app) = scene.pair();
    fill(&mut client);
    reset(client);
    assert_descriptors(&scene.agent, before);
    assert_eq!(read_to_end(&mut app).end, End::Reset);
}

fn an_app_that_resets_is_noticed_though_the_client_reads_nothing() {
    let scene = scene(&[]);
    let before = scene.agent.descriptors();
    let (mut client, mut app) = scene.pair();
    fill(&mut app);
    reset(app);
    assert_descriptors(&scene.agent, before);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
}

/// To epoll a connection that ended both ways has hung up, whatever still waits on it.
fn an_orderly_end_of_both_sides_loses_nothing_that_waits() {
    let scene = scene(&[]);
    let (mut client, mut app) = scene.pair();
    let sent = fill_the_agent(&mut client);
    client.shutdown(Shutdown::Write).expect("FIN");
    app.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert_eq!(state(&app), End::Open, "the app has all of it to read yet");
    let got = read_to_end(&mut app);
    assert_eq!((got.bytes.len(), got.end), (sent, End::Fin));
}

/// Writes until nothing more is taken, for the other side reads nothing.
fn fill(from: &mut TcpStream) {
    from.set_write_timeout(Some(Duration::from_millis(200)))
        .expect("SO_SNDTIMEO");
    let mut sent = 0;
    let stopped = loop {
        match from.write(&CHUNK) {
            Ok(len) => sent += len,
            Err(e) => break e.kind(),
        }
        assert!(sent < 64 << 20, "64 MiB and nobody reads");
    };
    assert_eq!(stopped, ErrorKind::WouldBlock);
}

/// Writes no more than until something waits for the agent to read it: there is room for a FIN yet.
fn fill_the_agent(from: &mut TcpStream) -> usize {
    let end = from.local_addr().expect("connected");
    let waits = || sockets().iter().any(|s| s.remote == end && s.rx_queue > 0);
    let mut sent = 0;
    while within(Duration::from_millis(200), || !waits()) {
        from.write_all(&CHUNK).expect("there is room");
        sent += CHUNK.len();
        assert!(sent < 64 << 20, "64 MiB and nobody reads");
    }
    sent
}
