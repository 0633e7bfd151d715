//! The app behind the terminators, in its own process: a thread for each connection, which executes the client's commands
//! of a letter and a length. It also answers probes.

use std::io::{Error, Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// First argument of the app's process; its second one is the port.
pub const APP: &str = "--as-app";

/// Returns the command itself.
pub const ECHO: u8 = b'e';
/// Sends the length in bytes and waits for the next command.
pub const FETCH: u8 = b'f';
/// Reads the length in bytes and returns one byte.
pub const UPLOAD: u8 = b'u';
/// Sends without an end and reads nothing.
pub const STUFF: u8 = b's';
/// The first letter of a probe.
const PROBE: u8 = b'G';

/// A command's bytes: the letter and the length in little-endian.
pub const COMMAND_LEN: usize = 9;

/// A command.
pub fn command(letter: u8, length: u64) -> [u8; COMMAND_LEN] {
    let mut bytes = [letter; COMMAND_LEN];
    bytes[1..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Runs the app if the arguments select it. Returns only if they do not, or with an error.
pub fn run(arguments: &[String]) -> Option<Error> {
    let [role, port] = arguments else { return None };
    if role != APP {
        return None;
    }
    let port = port.parse().unwrap_or(0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(serve)
        .err()
}

fn serve(listener: TcpListener) -> Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        let connection = thread::Builder::new().stack_size(256 * 1024);
        // The client's end may vanish at any point.
        connection.spawn(move || drop(converse(stream)))?;
    }
    Ok(())
}

fn converse(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![b'x'; 64 * 1024];
    loop {
        let mut command = [0; COMMAND_LEN];
        stream.read_exact(&mut command)?;
        let [letter, length @ ..] = command;
        let length = u64::from_le_bytes(length);
        match letter {
            ECHO => stream.write_all(&command)?,
            FETCH => send(&mut stream, &buffer, length)?,
            UPLOAD => {
                receive(&mut stream, &mut buffer, length)?;
                stream.write_all(b".")?;
            }
            STUFF => return send(&mut stream, &buffer, u64::MAX),
            PROBE => return answer_probe(&mut stream, &mut buffer),
            _ => return Ok(()),
        }
    }
}

fn send(stream: &mut TcpStream, bytes: &[u8], length: u64) -> Result<()> {
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        stream.write_all(&bytes[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, buffer: &mut [u8], length: u64) -> Result<()> {
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match stream.read(&mut buffer[..count])? {
            0 => return Ok(()),
            count => left -= count as u64,
        }
    }
    Ok(())
}

fn answer_probe(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let mut length = 0;
    while !buffer[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[length..])? {
            0 => return Ok(()),
            count => length += count,
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}
