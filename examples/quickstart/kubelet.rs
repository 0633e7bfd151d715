//! kubelet's side: a GET on a connection of its own, and kubelet's rule of what is a failure.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// `timeoutSeconds: 1`, what a probe has by default.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What came back: status and body, or why there is no answer in HTTP.
pub type Answer = std::result::Result<(u16, String), String>;

/// Asks as the `httpGet` of a probe does.
pub fn get(server: SocketAddr, path: &str) -> Answer {
    answer(
        TcpStream::connect_timeout(&server, TIMEOUT).and_then(|stream| {
            stream.set_read_timeout(Some(TIMEOUT))?;
            exchange(stream, server, path)
        }),
    )
}

/// Sends the request as kubelet writes it and reads until the server closes.
pub fn exchange(mut stream: impl Read + Write, host: SocketAddr, path: &str) -> Result<Vec<u8>> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    Ok(raw)
}

/// Takes apart what was read.
pub fn answer(raw: Result<Vec<u8>>) -> Answer {
    let raw = raw.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&raw);
    let code = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    match (code, text.split_once("\r\n\r\n")) {
        (Some(code), Some((_, body))) => Ok((code, body.trim_end().to_owned())),
        _ if raw.is_empty() => Err("EOF".into()),
        _ => Err(format!(
            "malformed HTTP response \"{}\"",
            raw.escape_ascii()
        )),
    }
}

/// kubelet's rule: 200 to 399 is a success.
pub fn is_success(answer: &Answer) -> bool {
    matches!(answer, Ok((200..=399, _)))
}
