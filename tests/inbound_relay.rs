//! The relay of inbound ports: ends of connections while the other side still sends, records of every size, and both
//! directions in full use at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use libtest_mimic::Trial;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, StreamOwned};

use crate::inbound::{Client, Fixture};
use crate::support::http::End;
use crate::support::raw::{read_to_end, reset};
use crate::support::ss::socket_info;
use crate::support::trials::trials;
use crate::support::{Need, TLS, WAIT_LIMIT};

const ANSWER: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";

/// The tests.
pub fn tests() -> Vec<Trial> {
    if !TLS {
        return Vec::new();
    }
    let mut tests = trials!["inbound_relay":
        an_app_that_closes_with_unread_bytes_loses_no_answer,
        an_app_that_ends_early_resets_no_client_that_still_sends,
        an_app_that_resets_after_data_is_no_orderly_end,
        records_of_one_byte_all_arrive,
        an_echo_with_slow_sides_never_stalls,
    ];
    tests.extend(
        trials!["inbound_relay" needs &[Need::Peer("ss")]; small_records_of_a_read_are_sent_at_once],
    );
    tests
}

/// The records of this data.
fn records(client: &mut Client, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in data.chunks(16 * 1024) {
        client.conn.writer().write_all(part).expect("buffered");
        while client.conn.wants_write() {
            client.conn.write_tls(&mut bytes).expect("a Vec");
        }
    }
    bytes
}

/// What the client receives until the connection ends: the data, whether `close_notify` followed, and the end.
fn received(client: &mut Client) -> (Vec<u8>, bool, End) {
    let response = read_to_end(&mut client.sock);
    let (mut bytes, mut data, mut is_closed) = (&response.bytes[..], Vec::new(), false);
    while !bytes.is_empty() {
        client.conn.read_tls(&mut bytes).expect("there is room");
        let state = client.conn.process_new_packets().expect("good records");
        is_closed = state.peer_has_closed();
        let old = data.len();
        data.resize(old + state.plaintext_bytes_to_read(), 0);
        let read = client.conn.reader().read_exact(&mut data[old..]);
        read.expect("it is there");
    }
    (data, is_closed, response.end)
}

/// Waits until the app has bytes to read.
fn await_bytes(app: &TcpStream) {
    assert!(app.peek(&mut [0]).expect("the client's data") > 0);
}

/// A response to a request that is too large: the app reads only its beginning, and closes.
fn an_app_that_closes_with_unread_bytes_loses_no_answer() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    let body = records(&mut client, &[b'b'; 128 * 1024]);
    let mut sock = client.sock.try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(move || sock.write_all(&body));
        await_bytes(&app);
        fixture.agent.while_stopped(|| {
            app.write_all(ANSWER).expect("connected");
            drop(app);
        });
        // The reset of the app is passed on after its answer.
        let end = received(&mut client);
        assert_eq!(end, (ANSWER.to_vec(), false, End::Reset));
    });
}

/// The same with an orderly end before: the rest of the request then causes the reset.
fn an_app_that_ends_early_resets_no_client_that_still_sends() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    app.write_all(ANSWER).expect("connected");
    app.shutdown(Shutdown::Write).expect("FIN");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("close_notify");
    assert_eq!(answer, ANSWER);
    client.write_all(b"more").expect("the other direction");
    client.flush().expect("sent");
    await_bytes(&app);
    drop(app);
    let more = records(&mut client, &[b'b'; 64 * 1024]);
    client.sock.write_all(&more).expect("discarded, not reset");
    client.conn.send_close_notify();
    client.flush().expect("discarded, not reset");
    assert_eq!(read_to_end(&mut client.sock).end, End::Fin);
}

fn an_app_that_resets_after_data_is_no_orderly_end() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    fixture.agent.while_stopped(|| {
        app.write_all(b"a part").expect("connected");
        reset(app);
    });
    // Many clients take EOF without close_notify for the end of the data.
    let end = received(&mut client);
    assert_eq!(end, (b"a part".to_vec(), false, End::Reset));
}

/// One read has many more of them than the agent processes at once.
fn records_of_one_byte_all_arrive() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    let data: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
    let bytes: Vec<u8> = data
        .chunks(1)
        .flat_map(|byte| records(&mut client, byte))
        .collect();
    client.sock.write_all(&bytes).expect("the agent reads");
    let mut received = vec![0; data.len()];
    app.read_exact(&mut received).expect("all of them");
    assert_eq!(received, data);
    app.write_all(b"answer").expect("connected");
    client.read_exact(&mut [0; 6]).expect("the app's data");
}

fn small_records_of_a_read_are_sent_at_once() {
    let fixture = Fixture::new("", &[]);
    let (mut client, mut app) = fixture.pair();
    let bytes: Vec<u8> = (0..400).flat_map(|_| records(&mut client, b"x")).collect();
    client.sock.write_all(&bytes).expect("the agent reads");
    app.read_exact(&mut [0; 400]).expect("all of them");
    let port = app.local_addr().expect("connected").port();
    let segments = socket_info(port, "data_segs_in");
    assert!(segments <= 30, "{segments} segments of 400 records");
}

/// Bytes of the echo.
const ECHO_BYTES: usize = 64 << 20;

/// The byte at a position of the echoed data.
fn byte_at(position: usize) -> u8 {
    (position ^ position >> 8 ^ position >> 16) as u8
}

/// Both sides read and write in pieces of changing lengths. For some turns the client only sends, until all buffers are
/// full, or only receives, until they are empty.
fn an_echo_with_slow_sides_never_stalls() {
    let fixture = Fixture::new("", &[]);
    let (client, app) = fixture.pair();
    thread::scope(|scope| {
        scope.spawn(|| echo(app));
        exchange(client);
    });
}

/// Returns what it receives, with a queue of at most 300 KB. It reads nothing while the queue has more.
fn echo(mut app: TcpStream) {
    let mut queue = Vec::new();
    let mut piece = vec![0; 70_000];
    let mut turn = 0_usize;
    let mut echoed = 0;
    while echoed < ECHO_BYTES {
        turn += 1;
        while queue.len() < 300_000 && echoed + queue.len() < ECHO_BYTES {
            let len = piece.len().min(1 + turn * 7919 % 70_000);
            let read = app.read(&mut piece[..len]).expect("the agent goes on");
            assert!(read > 0, "ended after {echoed} bytes");
            queue.extend_from_slice(&piece[..read]);
            if turn.is_multiple_of(3) {
                break;
            }
        }
        let len = queue.len().min(1 + turn * 104_729 % 200_000);
        app.write_all(&queue[..len]).expect("the agent goes on");
        queue.drain(..len);
        echoed += len;
    }
}

/// Sends and checks the echo.
fn exchange(client: Client) {
    let StreamOwned { mut conn, mut sock } = client;
    sock.set_nonblocking(true).expect("O_NONBLOCK");
    let (mut sent, mut received, mut turn) = (0, 0, 0_usize);
    let mut piece = vec![0; 60_000];
    while received < ECHO_BYTES {
        turn += 1;
        // For some turns it only sends, or only receives.
        let sends = turn / 64 % 5 != 0;
        let receives = turn / 64 % 5 != 1;
        let mut moved = false;
        if sends && !conn.wants_write() && sent < ECHO_BYTES {
            let len = (1 + turn * 7919 % 60_000).min(ECHO_BYTES - sent);
            for (place, position) in piece[..len].iter_mut().zip(sent..) {
                *place = byte_at(position);
            }
            sent += conn.writer().write(&piece[..len]).expect("buffered");
        }
        if sends && conn.wants_write() {
            moved |= would_block(conn.write_tls(&mut sock));
        }
        if receives {
            moved |= would_block(conn.read_tls(&mut sock));
            received += check(&mut conn, received, &mut piece);
        }
        // Otherwise the next turn sends.
        if !moved && sent > received {
            wait(&sock, conn.wants_write(), turn);
        }
    }
    assert_eq!((sent, received), (ECHO_BYTES, ECHO_BYTES));
}

/// Whether bytes moved.
fn would_block(result: std::io::Result<usize>) -> bool {
    match result {
        Ok(0) => panic!("the agent has ended the connection"),
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Reads the decrypted data, which are those from `position` on.
fn check(conn: &mut ClientConnection, position: usize, piece: &mut [u8]) -> usize {
    let state = conn.process_new_packets().expect("good records");
    let mut checked = 0;
    while checked < state.plaintext_bytes_to_read() {
        let read = conn.reader().read(piece).expect("it is there");
        for (byte, position) in piece[..read].iter().zip(position + checked..) {
            assert_eq!(*byte, byte_at(position), "at {position}");
        }
        checked += read;
    }
    checked
}

/// Waits for the socket. A stall of the agent fails here.
fn wait(sock: &TcpStream, is_sending: bool, turn: usize) {
    let mut events = PollFlags::IN;
    events.set(PollFlags::OUT, is_sending);
    let mut fds = [PollFd::from_borrowed_fd(sock.as_fd(), events)];
    let limit = Timespec {
        tv_sec: WAIT_LIMIT.as_secs() as i64,
        tv_nsec: 0,
    };
    let ready = poll(&mut fds, Some(&limit)).expect("poll");
    assert!(ready > 0, "stalled at turn {turn}");
}
