//! The API server as a client sees it: one request a connection, with the pod's own token. Files are read at
//! each request, as tokens and CAs are renewed.

use super::Api;
use super::chunked::Chunked;
use super::stream::{Scratch, before, write};
use crate::limits;
use crate::pem::{self, FileBytes};
use async_io::Async;
use core::fmt;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

/// Where a pod finds what its service account has.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API server is, and who we are to it.
#[derive(Debug)]
pub struct Client {
    host: Box<str>,
    port: u16,
    ca_path: Box<str>,
    token_path: Box<str>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(pub Box<str>);

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn error(why: impl Into<Box<str>>) -> ApiError {
    ApiError(why.into())
}

/// The namespace of the pod this runs in.
pub fn own_namespace() -> Option<Box<str>> {
    let bytes = pem::read_file(&account_file("namespace"), limits::PEM_BYTES).ok()?;
    Some(core::str::from_utf8(&bytes).ok()?.trim().into())
}

impl Client {
    /// The API server that was named, or else the one a pod finds by its environment, if there is one.
    ///
    /// # Errors
    /// When what was named is no address.
    pub fn find(
        api: &Api,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Client>, ApiError> {
        let (host, port) = match &api.server {
            Some(url) => address(url).ok_or_else(|| {
                error(format!(
                    "--api-server {url} is no address: write such as https://10.0.0.1:6443"
                ))
            })?,
            None => match (
                env("KUBERNETES_SERVICE_HOST"),
                env("KUBERNETES_SERVICE_PORT"),
            ) {
                (Some(host), port) => {
                    let port = port.and_then(|port| port.parse().ok());
                    (host.into(), port.unwrap_or(443))
                }
                (None, _) => return Ok(None),
            },
        };
        let path = |given: &Option<Box<str>>, name: &str| {
            let given = given.clone();
            given.unwrap_or_else(|| account_file(name))
        };
        Ok(Some(Client {
            host,
            port,
            ca_path: path(&api.ca, "ca.crt"),
            token_path: path(&api.token, "token"),
        }))
    }

    /// Asks, and waits for the answer: status and JSON, which is null where there is none. `body` is what is sent,
    /// and its type.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(u16, Value), ApiError> {
        let deadline = Instant::now() + limits::API_TIME;
        let seconds = limits::API_TIME.as_secs();
        before(deadline, self.ask_now(method, path, body))
            .await
            .unwrap_or_else(|| Err(error(format!("no answer within {seconds} s"))))
            .map_err(|ApiError(why)| error(format!("the API server at {}: {why}", self.place())))
    }

    fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    async fn ask_now(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(u16, Value), ApiError> {
        let mut stream = self.connect().await?;
        let request = self.request(method, path, body)?;
        let failed = |why: std::io::Error| error(why.to_string());
        write(&mut stream, &request).await.map_err(failed)?;
        let (scratch, mut answer) = (Scratch::new(), Vec::new());
        loop {
            let had = answer.len();
            let take = |bytes: &[u8]| answer.extend_from_slice(bytes);
            let read = scratch.read(&mut stream, take).await;
            let is_over = answer.len() == had;
            match received(&answer, is_over)? {
                Some((status, body)) => return Ok((status, parse(&body)?)),
                None if is_over => read.map_err(failed)?,
                None => {}
            }
            if is_over {
                return Err(error("the answer was cut short"));
            }
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
             User-Agent: probelet-inject/{}\r\nConnection: close\r\n",
            self.place(),
            env!("CARGO_PKG_VERSION"),
        );
        let token = read(&self.token_path)?;
        let token = core::str::from_utf8(&token).unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let path = &self.token_path;
            return Err(error(format!(
                "{path}: has no bearer token: write the path of a service account's token"
            )));
        }
        head.extend(["Authorization: Bearer ", token, "\r\n"]);
        let text = body.map_or_else(String::new, |(_, value)| value.to_string());
        if let Some((kind, _)) = body {
            let length = text.len();
            head.push_str(&format!(
                "Content-Type: {kind}\r\nContent-Length: {length}\r\n"
            ));
        }
        head.extend(["\r\n", &text]);
        Ok(head.into_bytes())
    }

    /// A name is looked up by the thread that serves, which waits: in a pod there is an address.
    async fn connect(&self) -> Result<TlsStream<Async<TcpStream>>, ApiError> {
        let failed = |why: std::io::Error| error(why.to_string());
        let config = self.config()?;
        let name = ServerName::try_from(self.host.to_string())
            .map_err(|_| error("its host is no name and no address"))?;
        let addrs = (&*self.host, self.port).to_socket_addrs().map_err(failed)?;
        let mut last = error("its name has no address");
        for addr in addrs {
            match Async::<TcpStream>::connect(addr).await {
                Ok(socket) => {
                    let connector = TlsConnector::from(Arc::new(config));
                    return connector.connect(name, socket).await.map_err(failed);
                }
                Err(why) => last = failed(why),
            }
        }
        Err(last)
    }

    fn config(&self) -> Result<ClientConfig, ApiError> {
        let path = &self.ca_path;
        let roots = pem::parse_any_roots(&read(path)?);
        let roots = roots.map_err(|why| error(format!("{path}: {why}")))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| error(why.to_string()))?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}

fn read(path: &str) -> Result<FileBytes, ApiError> {
    let read = pem::read_file(path, limits::PEM_BYTES);
    read.map_err(|why| error(format!("{path}: {why}")))
}

fn account_file(name: &str) -> Box<str> {
    [ACCOUNT, "/", name].concat().into()
}

/// Host and port of `https://HOST:PORT`.
fn address(url: &str) -> Option<(Box<str>, u16)> {
    let place = url.strip_prefix("https://")?.trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, 443),
    };
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None => host,
    };
    (!host.is_empty() && !host.contains(['/', '@', '?', '#', ' '])).then(|| (host.into(), port))
}

/// The answer, once all of it is there. Without a length it ends with the connection.
fn received(bytes: &[u8], is_over: bool) -> Result<Option<(u16, Vec<u8>)>, ApiError> {
    if bytes.len() > limits::API_RESPONSE_BYTES {
        return Err(error("the answer is too long"));
    }
    let mut fields = [httparse::EMPTY_HEADER; limits::API_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(bytes);
    let Ok(parsed) = parsed else {
        return Err(error("the answer is not HTTP/1.1"));
    };
    let (httparse::Status::Complete(len), Some(status)) = (parsed, head.code) else {
        return Ok(None);
    };
    let body = &bytes[len..];
    let field = |name: &str| {
        let mut fields = head.headers.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(field.value).ok()
    };
    if field("Transfer-Encoding").is_some() {
        let (mut whole, mut chunked) = (Vec::new(), Chunked::new());
        let fed = chunked.feed(body, &mut whole, limits::API_RESPONSE_BYTES);
        fed.map_err(|_| error("the answer's chunks are broken"))?;
        return Ok(chunked.is_done().then_some((status, whole)));
    }
    let is_whole = match field("Content-Length").map(str::parse::<usize>) {
        Some(Ok(length)) => body.len() >= length,
        Some(Err(_)) => return Err(error("the answer's length is no number")),
        None => is_over,
    };
    Ok(is_whole.then(|| (status, body.to_vec())))
}

fn parse(body: &[u8]) -> Result<Value, ApiError> {
    match body.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(body)
            .map_err(|why| error(format!("the answer is not JSON: {why}"))),
    }
}

#[cfg(test)]
mod tests;
