//! The probe of kubelet: a GET on a new connection.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The default of `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Go's error for bytes that are not HTTP.
const MALFORMED: &str = "net/http: HTTP/1.x transport connection broken: malformed HTTP response";

/// Status and body, or an error if the response is not HTTP.
pub type Answer = std::result::Result<(u16, String), String>;

/// Sends a request like the `httpGet` of a probe.
pub fn get(server: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT);
    let raw = stream.and_then(|stream| {
        stream.set_read_timeout(Some(TIMEOUT))?;
        exchange(stream, server, path)
    });
    answer(raw).map_err(|why| format!("Get \"http://{server}{path}\": {why}"))
}

/// Sends kubelet's request and reads until the server closes.
pub fn exchange(mut stream: impl Read + Write, host: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1.37\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    Ok(raw)
}

/// Parses the response.
pub fn answer(raw: Result<Vec<u8>>) -> Answer {
    let raw = raw.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&raw);
    let code = text.get(9..12).and_then(|code| code.parse().ok());
    match (code, text.split_once("\r\n\r\n")) {
        (Some(code), Some((head, body))) if head.starts_with("HTTP/1.1 ") => {
            Ok((code, body.to_owned()))
        }
        _ if raw.is_empty() => Err("EOF".into()),
        _ => Err(format!("{MALFORMED} \"{}\"", raw.escape_ascii())),
    }
}
