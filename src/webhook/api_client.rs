//! A client of the API server: one request per connection, with the token of the pod's service account. The files of
//! token and CA are read for each request, as they are rotated.

use super::chunked::ChunkedDecoder;
use super::options::ApiServer;
use super::stream_io::{ReadBuffer, YieldingSocket, timeout_at, write_all};
use crate::limits;
use crate::pem::{self, FileBytes};
use crate::wire::response::{Framing, ParsedResponse, ResponseParser};
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

/// The directory of a pod's service account.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The address of the API server, and the files of our credentials.
#[derive(Debug)]
pub struct ApiClient {
    host: Box<str>,
    port: u16,
    ca_path: Box<str>,
    token_path: Box<str>,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestBody<'b> {
    content_type: &'static str,
    json: &'b Value,
}

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ApiResponse {
    status: u16,
    body: Vec<u8>,
}

/// A response whose body is read in pieces.
pub struct ApiStream {
    stream: ApiConnection,
    buffer: ReadBuffer,
    status: u16,
    body: BodyDecoder,
    /// Bytes of the body that arrived with the head.
    received: Vec<u8>,
}

/// A connection to the API server after its handshake.
type ApiConnection = TlsStream<YieldingSocket<Async<TcpStream>>>;

/// How the end of a body is found.
#[derive(Debug)]
enum BodyDecoder {
    /// So many bytes are left.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

/// Why a request has no response or an unexpected one, or cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(pub Box<str>);

impl core::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'b> RequestBody<'b> {
    /// A whole object.
    pub fn json(json: &'b Value) -> RequestBody<'b> {
        RequestBody {
            content_type: "application/json",
            json,
        }
    }

    /// A JSON Patch (RFC 6902).
    pub fn json_patch(json: &'b Value) -> RequestBody<'b> {
        RequestBody {
            content_type: "application/json-patch+json",
            json,
        }
    }
}

fn error(why: impl Into<Box<str>>) -> ApiError {
    ApiError(why.into())
}

/// The namespace of this pod.
pub fn own_namespace() -> Option<Box<str>> {
    let bytes = pem::read_file(&service_account_file("namespace"), limits::PEM_BYTES).ok()?;
    Some(core::str::from_utf8(&bytes).ok()?.trim().into())
}

/// The path of a MutatingWebhookConfiguration, the value of `--webhook`.
///
/// # Errors
/// The name is malformed.
pub fn webhook_configuration_path(name: &str) -> Result<String, ApiError> {
    check_object_name("--webhook", name)?;
    let configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    Ok(format!("{configurations}/{name}"))
}

/// Checks that the value of a flag is safe in a path: it has only characters of a DNS subdomain name.
///
/// # Errors
/// The name is malformed.
pub fn check_object_name(flag: &str, name: &str) -> Result<(), ApiError> {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    match !name.is_empty() && name.chars().all(is_legal) {
        true => Ok(()),
        false => Err(error(format!(
            "{flag} {name:?} is not the name of an object: write lower-case letters, digits, - and ."
        ))),
    }
}

impl ApiClient {
    /// A client of the given API server, or else of the one in a pod's environment; `None` outside of a cluster.
    ///
    /// # Errors
    /// The given URL is malformed.
    pub fn from_options(
        api: &ApiServer,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<ApiClient>, ApiError> {
        let (host, port) = match &api.url {
            Some(url) => host_and_port(url).ok_or_else(|| {
                error(format!(
                    "--api-server {url} is not a URL of an API server: write a URL such as https://10.0.0.1:6443"
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
            given.unwrap_or_else(|| service_account_file(name))
        };
        Ok(Some(ApiClient {
            host,
            port,
            ca_path: path(&api.ca_path, "ca.crt"),
            token_path: path(&api.token_path, "token"),
        }))
    }

    /// Sends a request. Returns the status code and the JSON of the response, null if it has no body.
    ///
    /// # Errors
    /// No usable token or CA, no connection, no response in time, or a malformed response.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<RequestBody<'_>>,
    ) -> Result<(u16, Value), ApiError> {
        let (config, request) = (self.config()?, self.encode_request(method, path, body)?);
        let deadline = Instant::now() + limits::API_TIMEOUT;
        let seconds = limits::API_TIMEOUT.as_secs();
        timeout_at(deadline, self.exchange(config, &request))
            .await
            .unwrap_or_else(|| Err(error(format!("no response within {seconds} s"))))
            .map_err(|why| self.describe(&why))
    }

    /// Sends a GET request, and returns the response once its head is complete. The caller limits the time.
    ///
    /// # Errors
    /// No usable token or CA, no connection, or a malformed head.
    pub async fn open(&self, path: &str) -> Result<ApiStream, ApiError> {
        let (config, request) = (self.config()?, self.encode_request("GET", path, None)?);
        let opened = async {
            let mut stream = self.connect(config).await?;
            let written = write_all(&mut stream, &request).await;
            written.map_err(|why| error(why.to_string()))?;
            ApiStream::open(stream).await
        };
        opened.await.map_err(|why| self.describe(&why))
    }

    /// Adds the address to an error.
    pub fn describe(&self, ApiError(why): &ApiError) -> ApiError {
        error(format!("the API server at {}: {why}", self.authority()))
    }

    /// `HOST:PORT` for the field `Host` and error texts, an IPv6 address in brackets.
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    async fn exchange(
        &self,
        config: ClientConfig,
        request: &[u8],
    ) -> Result<(u16, Value), ApiError> {
        let mut stream = self.connect(config).await?;
        let failed = |why: std::io::Error| error(why.to_string());
        write_all(&mut stream, request).await.map_err(failed)?;
        let (buffer, mut response) = (ReadBuffer::new(), Vec::new());
        loop {
            let is_end = read_into(&buffer, &mut stream, &mut response).await? == 0;
            if let Some(response) = parse_response(&response, is_end)? {
                return Ok((response.status, response.json()?));
            }
            if is_end {
                return Err(error("the response is truncated"));
            }
        }
    }

    fn encode_request(
        &self,
        method: &str,
        path: &str,
        body: Option<RequestBody<'_>>,
    ) -> Result<Vec<u8>, ApiError> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\
             User-Agent: probelet-inject/{}\r\nConnection: close\r\n",
            self.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        let token = read(&self.token_path)?;
        let token = core::str::from_utf8(&token).unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let path = &self.token_path;
            return Err(error(format!(
                "{path}: has no bearer token: write the path of a service account's token with --api-token FILE"
            )));
        }
        head.extend(["Authorization: Bearer ", token, "\r\n"]);
        let mut text = String::new();
        if let Some(body) = body {
            text = body.json.to_string();
            let (content_type, length) = (body.content_type, text.len());
            head.push_str(&format!(
                "Content-Type: {content_type}\r\nContent-Length: {length}\r\n"
            ));
        }
        head.extend(["\r\n", &text]);
        Ok(head.into_bytes())
    }

    /// Resolving a name blocks the only thread. In a pod the host is an address.
    async fn connect(&self, config: ClientConfig) -> Result<ApiConnection, ApiError> {
        let failed = |why: std::io::Error| error(why.to_string());
        let name = ServerName::try_from(self.host.to_string())
            .map_err(|_| error("its host is neither a name nor an address"))?;
        let addrs = (&*self.host, self.port).to_socket_addrs().map_err(failed)?;
        let mut last_error = error("its name does not resolve");
        for addr in addrs {
            match Async::<TcpStream>::connect(addr).await {
                Ok(socket) => {
                    let connector = TlsConnector::from(Arc::new(config));
                    let socket = YieldingSocket::new(socket);
                    return connector.connect(name, socket).await.map_err(failed);
                }
                Err(why) => last_error = failed(why),
            }
        }
        Err(last_error)
    }

    fn config(&self) -> Result<ClientConfig, ApiError> {
        let path = &self.ca_path;
        let roots = pem::parse_valid_roots(&read(path)?);
        let roots = roots.map_err(|why| error(format!("{path}: {why}")))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| error(why.to_string()))?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}

impl ApiStream {
    async fn open(mut stream: ApiConnection) -> Result<ApiStream, ApiError> {
        let (buffer, mut received) = (ReadBuffer::new(), Vec::new());
        loop {
            if read_into(&buffer, &mut stream, &mut received).await? == 0 {
                return Err(error("the response is truncated"));
            }
            let fed = ResponseParser::new().feed(&received, &mut []);
            let fed = fed.map_err(|_| error("the response is not HTTP/1.1"))?;
            if let ParsedResponse::Complete { used, head } = fed {
                received.drain(..used);
                let body = match head.framing {
                    Framing::None => BodyDecoder::Length(0),
                    Framing::Length(length) => BodyDecoder::Length(length),
                    Framing::Chunked => BodyDecoder::Chunked(ChunkedDecoder::with_lines(
                        limits::LIST_CHUNK_LINES_BYTES,
                    )),
                    Framing::UntilClose => BodyDecoder::UntilClose,
                };
                return Ok(ApiStream {
                    stream,
                    buffer,
                    status: head.status,
                    body,
                    received,
                });
            }
            if received.len() > limits::API_RESPONSE_BYTES {
                return Err(error("the response is too large"));
            }
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces `bytes` by the next bytes of the body: none at its end.
    ///
    /// # Errors
    /// The connection fails or ends too early, or the coding is malformed.
    pub async fn read(&mut self, bytes: &mut Vec<u8>) -> Result<(), ApiError> {
        bytes.clear();
        loop {
            let received = core::mem::take(&mut self.received);
            self.body.decode(&received, bytes)?;
            if !bytes.is_empty() || self.body.is_done() {
                return Ok(());
            }
            let mut received = received;
            received.clear();
            if read_into(&self.buffer, &mut self.stream, &mut received).await? == 0 {
                return match self.body {
                    BodyDecoder::UntilClose => Ok(()),
                    _ => Err(error("the response is truncated")),
                };
            }
            self.received = received;
        }
    }

    /// The rest of the body, for the text of an error.
    ///
    /// # Errors
    /// As [`read`](Self::read); or the body is large or not JSON.
    pub async fn read_json(&mut self) -> Result<Value, ApiError> {
        let (mut body, mut bytes) = (Vec::new(), Vec::new());
        loop {
            self.read(&mut bytes).await?;
            if bytes.is_empty() {
                let status = self.status;
                return ApiResponse { status, body }.json();
            }
            body.extend_from_slice(&bytes);
            if body.len() > limits::LIST_REST_BYTES {
                return Err(error("the response is too large"));
            }
        }
    }
}

impl BodyDecoder {
    /// Whether the body has ended.
    fn is_done(&self) -> bool {
        match self {
            BodyDecoder::Length(left) => *left == 0,
            BodyDecoder::Chunked(decoder) => decoder.is_done(),
            BodyDecoder::UntilClose => false,
        }
    }

    /// Appends the bytes of the body in what was received.
    fn decode(&mut self, received: &[u8], body: &mut Vec<u8>) -> Result<(), ApiError> {
        match self {
            BodyDecoder::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = &received[..received.len().min(length)];
                *left -= taken.len() as u64;
                body.extend_from_slice(taken);
            }
            BodyDecoder::Chunked(decoder) => {
                let fed = decoder.feed(received, body, usize::MAX - 1);
                fed.map_err(|_| error("the response's chunked coding is malformed"))?;
            }
            BodyDecoder::UntilClose => body.extend_from_slice(received),
        }
        Ok(())
    }
}

/// Appends the bytes of one read. Returns their number. An error is a truncation, too: without `close_notify` (RFC 8446
/// section 6.1) it may be an attacker's.
async fn read_into(
    buffer: &ReadBuffer,
    stream: &mut ApiConnection,
    bytes: &mut Vec<u8>,
) -> Result<usize, ApiError> {
    let append = |read: &[u8]| {
        bytes.extend_from_slice(read);
        read.len()
    };
    let read = buffer.read(stream, usize::MAX, append).await;
    read.map_err(|why| error(why.to_string()))
}

fn read(path: &str) -> Result<FileBytes, ApiError> {
    let read = pem::read_file(path, limits::PEM_BYTES);
    read.map_err(|why| error(format!("{path}: {why}")))
}

fn service_account_file(name: &str) -> Box<str> {
    [SERVICE_ACCOUNT_DIR, "/", name].concat().into()
}

/// Host and port of `https://HOST:PORT`.
fn host_and_port(url: &str) -> Option<(Box<str>, u16)> {
    let authority = url.strip_prefix("https://")?.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 443),
    };
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None => host,
    };
    (!host.is_empty() && !host.contains(['/', '@', '?', '#', ' '])).then(|| (host.into(), port))
}

/// The response, once it is complete. Without a length it ends with the connection.
fn parse_response(bytes: &[u8], is_end: bool) -> Result<Option<ApiResponse>, ApiError> {
    if bytes.len() > limits::API_RESPONSE_BYTES {
        return Err(error("the response is too large"));
    }
    let fed = ResponseParser::new().feed(bytes, &mut []);
    let fed = fed.map_err(|_| error("the response is not HTTP/1.1"))?;
    let ParsedResponse::Complete { used, head } = fed else {
        return Ok(None);
    };
    let received = &bytes[used..];
    let body = match head.framing {
        Framing::None => Some(Vec::new()),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            received.get(..length).map(<[u8]>::to_vec)
        }
        Framing::Chunked => {
            let (mut decoded, mut decoder) = (Vec::new(), ChunkedDecoder::new());
            let fed = decoder.feed(received, &mut decoded, limits::API_RESPONSE_BYTES);
            fed.map_err(|_| error("the response's chunked coding is malformed"))?;
            decoder.is_done().then_some(decoded)
        }
        Framing::UntilClose => is_end.then(|| received.to_vec()),
    };
    Ok(body.map(|body| ApiResponse {
        status: head.status,
        body,
    }))
}

impl ApiResponse {
    /// The body as JSON, null if there is none.
    fn json(&self) -> Result<Value, ApiError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|why| {
            let status = self.status;
            error(format!("status {status}, and the body is not JSON: {why}"))
        })
    }
}

/// The error of an unexpected status code, with the message of a Kubernetes `Status`.
pub fn unexpected_status(method: &str, path: &str, status: u16, body: &Value) -> ApiError {
    let why = body["message"].as_str().unwrap_or("no reason given");
    error(format!("{method} {path} returned {status}: {why}"))
}

#[cfg(test)]
mod tests;
