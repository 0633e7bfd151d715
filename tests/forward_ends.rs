//! The end of forwarded connections when a side is silent, stuck or gone: early enough to release the slot, late enough to
//! lose no bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::passthrough::fixture;
use crate::support::http::End;
use crate::support::observe::{Socket, assert_descriptors, sockets, until_within};
use crate::support::raw::{read_to_end, reset, state};
use crate::support::trials::trials;
use crate::support::{WAIT_LIMIT, within};

use probelet::limits::{FORWARD_HALF_CLOSED_TIMEOUT, FORWARD_IDLE_TIMEOUT};

/// The size of a write.
static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

pub fn tests() -> Vec<Trial> {
    trials!["forward_ends":
        a_reset_of_one_side_resets_the_other,
        a_silent_half_closed_connection_times_out_sooner,
        a_client_that_resets_is_noticed_though_the_app_reads_nothing,
        an_app_that_resets_is_noticed_though_the_client_reads_nothing,
        a_clean_close_of_both_sides_loses_no_buffered_bytes,
        an_app_that_closes_with_unread_bytes_loses_no_answer,
        an_app_that_ends_early_resets_no_client_that_still_sends,
        an_app_that_resets_after_data_is_no_orderly_end,
    ]
}

fn a_reset_of_one_side_resets_the_other() {
    let fixture = fixture(&[]);
    let before = fixture.agent.descriptors();
    let (client, mut app) = fixture.pair();
    reset(client);
    assert_eq!(
        read_to_end(&mut app).end,
        End::Reset,
        "the client's reset reaches the app"
    );
    let (mut client, app) = fixture.pair();
    reset(app);
    assert_eq!(
        read_to_end(&mut client).end,
        End::Reset,
        "the app's reset reaches the client"
    );
    assert_descriptors(&fixture.agent, before);
}

/// After kubelet's timeout of a hung app, the client has closed and the app stays silent. A connection whose app still
/// sends continues.
fn a_silent_half_closed_connection_times_out_sooner() {
    assert!(FORWARD_HALF_CLOSED_TIMEOUT < FORWARD_IDLE_TIMEOUT);
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    let before = fixture.agent.descriptors();
    let (timed_out, mut hung) = fixture.pair();
    client.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(read_to_end(&mut app).end, End::Fin);
    let since = Instant::now();
    drop(timed_out);
    assert_eq!(read_to_end(&mut hung).end, End::Fin);
    let bound = FORWARD_HALF_CLOSED_TIMEOUT + WAIT_LIMIT;
    until_within(bound, "the hung app's slot is released", || {
        app.write_all(b"x").expect("the answer continues");
        client.read_exact(&mut [0]).expect("passed back");
        (fixture.agent.descriptors() == before).then_some(())
    });
    let took = since.elapsed();
    assert!(
        took >= FORWARD_HALF_CLOSED_TIMEOUT,
        "cut off after {took:?}"
    );
    // Its 30 s are over as well, but bytes have moved meanwhile.
    app.write_all(b"end").expect("the answer continues");
    client.read_exact(&mut [0; 3]).expect("passed back");
}

fn a_client_that_resets_is_noticed_though_the_app_reads_nothing() {
    let fixture = fixture(&[]);
    let before = fixture.agent.descriptors();
    let (mut client, mut app) = fixture.pair();
    fill(&mut client);
    reset(client);
    assert_descriptors(&fixture.agent, before);
    assert_eq!(read_to_end(&mut app).end, End::Reset);
}

fn an_app_that_resets_is_noticed_though_the_client_reads_nothing() {
    let fixture = fixture(&[]);
    let before = fixture.agent.descriptors();
    let (mut client, mut app) = fixture.pair();
    fill(&mut app);
    reset(app);
    assert_descriptors(&fixture.agent, before);
    assert_eq!(read_to_end(&mut client).end, End::Reset);
}

/// epoll reports a hang-up when both directions have ended, even with unread bytes.
fn a_clean_close_of_both_sides_loses_no_buffered_bytes() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    let sent = fill_the_agent(&mut client, fixture.forward.0.port);
    client.shutdown(Shutdown::Write).expect("FIN");
    app.shutdown(Shutdown::Write).expect("FIN");
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert_eq!(state(&app), End::Open, "the app has all of it to read yet");
    let got = read_to_end(&mut app);
    assert_eq!((got.bytes.len(), got.end), (sent, End::Fin));
}

/// A response to a request that is too large: the app reads only its beginning, and closes. Its kernel then sends a reset,
/// which follows the answer.
fn an_app_that_closes_with_unread_bytes_loses_no_answer() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    client.write_all(&CHUNK).expect("connected");
    app.peek(&mut [0]).expect("the client's bytes");
    fixture.agent.while_stopped(|| {
        client.write_all(&CHUNK).expect("buffered");
        app.write_all(b"too large").expect("connected");
        drop(app);
    });
    let answer = read_to_end(&mut client);
    assert_eq!(
        (&answer.bytes[..], answer.end),
        (&b"too large"[..], End::Reset)
    );
}

fn an_app_that_resets_after_data_is_no_orderly_end() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    client.write_all(b"x").expect("connected");
    app.read_exact(&mut [0]).expect("the client's bytes");
    fixture.agent.while_stopped(|| {
        app.write_all(b"a part").expect("connected");
        reset(app);
    });
    let answer = read_to_end(&mut client);
    assert_eq!(
        (&answer.bytes[..], answer.end),
        (&b"a part"[..], End::Reset)
    );
}

fn an_app_that_ends_early_resets_no_client_that_still_sends() {
    let fixture = fixture(&[]);
    let (mut client, mut app) = fixture.pair();
    app.write_all(b"too large").expect("connected");
    app.shutdown(Shutdown::Write).expect("FIN");
    client.read_exact(&mut [0; 9]).expect("the answer");
    client.write_all(b"x").expect("the other direction is open");
    assert_eq!(app.peek(&mut [0]).expect("the client's bytes"), 1);
    drop(app);
    client.write_all(&CHUNK).expect("discarded, not reset");
    client.shutdown(Shutdown::Write).expect("not reset");
    assert_eq!(read_to_end(&mut client).end, End::Fin);
}

/// Writes until the buffers are full, because the other side does not read.
fn fill(from: &mut TcpStream) {
    from.set_write_timeout(Some(Duration::from_millis(200)))
        .expect("SO_SNDTIMEO");
    let mut sent = 0;
    let stopped = loop {
        match from.write(&CHUNK) {
            Ok(len) => sent += len,
            Err(e) => break e.kind(),
        }
        assert!(sent < 64 << 20, "64 MiB and no reader");
    };
    assert_eq!(stopped, ErrorKind::WouldBlock);
}

/// Writes until bytes wait for the agent to read them. The buffer still has space for a FIN.
fn fill_the_agent(from: &mut TcpStream, port: u16) -> usize {
    let end = from.local_addr().expect("connected");
    // Connections to other ports may have the same local address.
    let is_ours = |s: &Socket| s.remote == end && s.local.port() == port;
    let waits = || sockets().iter().any(|s| is_ours(s) && s.rx_queue > 0);
    let mut sent = 0;
    while within(Duration::from_millis(200), || !waits()) {
        from.write_all(&CHUNK).expect("there is room");
        sent += CHUNK.len();
        assert!(sent < 64 << 20, "64 MiB and no reader");
    }
    sent
}
