//! A fake API server: `/version`, Secrets of one namespace, one webhook configuration, lists, Events and Evictions. It stores
//! what it receives, checks the token, and can override the response to the next request.

use crate::support::certs::Authority;
use crate::support::folder::Folder;
use crate::support::lock;
use crate::support::{WAIT_LIMIT, within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// Paths of its objects.
pub const SECRETS: &str = "/api/v1/namespaces/demo/secrets";
pub const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/probelet";

/// Its objects.
pub struct State {
    /// `minor` of `/version`.
    pub minor: &'static str,
    /// The Secret, if it exists.
    pub secret: Option<Value>,
    /// The webhook's configuration; null if it does not exist.
    pub webhook: Value,
    /// Whether responses have no length, and their connections end without `close_notify`.
    pub is_truncating: bool,
    /// Method and path of each request.
    pub requests: Vec<String>,
    /// Override the response to the next request of their method, except lists, Events and Evictions.
    pub overrides: VecDeque<Override>,
    /// Lists by path. Others are forbidden.
    pub lists: HashMap<String, List>,
    /// Paths and queries of requested lists.
    pub list_requests: Vec<String>,
    /// Bytes of endless items sent so far.
    pub endless_bytes: u64,
    /// Events, and the paths of Evictions.
    pub events: Vec<Value>,
    pub evictions: Vec<String>,
    /// Whether creating Events and Evictions is forbidden.
    pub forbids_creation: bool,
}

/// How a list is answered.
#[derive(Clone)]
pub enum List {
    /// With these items, at most so many on a page.
    Items(Arc<Vec<Value>>, usize),
    /// With this status code.
    Status(u16),
    /// With the start of a list, and nothing more.
    Stall,
    /// With an item that never ends.
    Endless,
}

impl State {
    /// Sets the `caBundle` of all webhooks.
    pub fn set_ca_bundle(&mut self, bundle: &str) {
        let webhooks = self.webhook["webhooks"].as_array_mut();
        for webhook in webhooks.into_iter().flatten() {
            webhook["clientConfig"]["caBundle"] = STANDARD.encode(bundle).into();
        }
        self.change_webhook();
    }

    /// Gives the webhook's configuration a new `resourceVersion`.
    fn change_webhook(&mut self) {
        let version = &mut self.webhook["metadata"]["resourceVersion"];
        let next = version.as_str().expect("a version").len() + 1;
        *version = "1".repeat(next).into();
    }
}

/// A response instead of the ordinary one.
pub struct Override {
    /// The method that it is for.
    pub method: &'static str,
    /// The status code.
    pub status: u16,
    /// Runs before the response is sent.
    pub action: Action,
}

/// A change of the objects.
pub type Action = Box<dyn FnOnce(&mut State) + Send>;

/// A running server; its thread ends with the test.
pub struct FakeApiServer {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    folder: Folder,
}

impl FakeApiServer {
    /// Starts a server of this minor version.
    pub fn start(minor: &'static str) -> FakeApiServer {
        let authority = Authority::new("cluster CA");
        let server_tls = authority.sign("127.0.0.1").server_tls(&["http/1.1"], None);
        let server_tls = server_tls.expect("TLS");
        let folder = Folder::new();
        folder.file("ca.crt", &authority.pem());
        folder.file("token", "a-token\n");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = json!({"service": {"name": "injector", "namespace": "demo"}});
        let webhooks = ["pods.probelet.dev", "more.probelet.dev"]
            .map(|name| json!({"name": name, "clientConfig": client}));
        let state = State {
            minor,
            secret: None,
            webhook: json!({
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "probelet", "resourceVersion": "1"},
                "webhooks": webhooks,
            }),
            is_truncating: false,
            requests: Vec::new(),
            overrides: VecDeque::new(),
            lists: HashMap::new(),
            list_requests: Vec::new(),
            endless_bytes: 0,
            events: Vec::new(),
            evictions: Vec::new(),
            forbids_creation: false,
        };
        let state = Arc::new(Mutex::new(state));
        let addr = listener.local_addr().expect("an address");
        let shared = state.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let (server_tls, shared) = (server_tls.clone(), shared.clone());
                // The webhook retries after a failed connection.
                std::thread::spawn(move || serve(tcp, &server_tls, &shared));
            }
        });
        FakeApiServer {
            addr,
            state,
            folder,
        }
    }

    /// Locks its objects.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Sets a list.
    pub fn set_list(&self, path: &str, list: List) {
        self.state().lists.insert(path.into(), list);
    }

    /// Returns this status to the next two requests of a method.
    pub fn fail_twice(&self, method: &'static str, status: u16) {
        for _ in 0..2 {
            self.state().overrides.push_back(Override {
                method,
                status,
                action: Box::new(|_| ()),
            });
        }
    }

    /// The flags that select it.
    pub fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let server = format!("https://{}", self.addr);
        let (ca, token) = (path("ca.crt"), path("token"));
        [
            "--api-server",
            &server,
            "--api-ca",
            &ca,
            "--api-token",
            &token,
        ]
        .map(String::from)
        .to_vec()
    }

    /// The CA bundle in the webhook's configuration, which must be the same for all its webhooks.
    #[track_caller]
    pub fn ca_bundle(&self) -> String {
        let state = self.state();
        let bundles = state.webhook["webhooks"].as_array().expect("a list");
        let bundles: Vec<_> = bundles
            .iter()
            .map(|w| &w["clientConfig"]["caBundle"])
            .collect();
        assert!(
            bundles.iter().all(|bundle| *bundle == bundles[0]),
            "{bundles:?}"
        );
        let bundle = STANDARD.decode(bundles[0].as_str().expect("a bundle"));
        String::from_utf8(bundle.expect("base64")).expect("text")
    }

    /// Waits for a request.
    #[track_caller]
    pub fn wait_for_request(&self, expected: &str) {
        let is_received = within(WAIT_LIMIT, || {
            let state = self.state();
            state.requests.iter().any(|request| request == expected)
        });
        assert!(is_received, "{expected}: {:#?}", self.state().requests);
    }
}

fn serve(tcp: TcpStream, config: &Arc<ServerConfig>, state: &Mutex<State>) -> std::io::Result<()> {
    tcp.set_read_timeout(Some(WAIT_LIMIT))?;
    let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let (head, body) = loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                break (head.to_owned(), body.to_owned());
            }
        }
    };
    let list = requested_list(&head, &mut lock(state));
    if let Some(list) = list {
        return serve_list(&mut stream, &list, state);
    }
    let ((status, answer), is_truncating) = {
        let mut state = lock(state);
        (answer(&head, &body, &mut state), state.is_truncating)
    };
    let answer = answer.to_string();
    if is_truncating {
        stream.write_all(format!("HTTP/1.1 {status} X\r\n\r\n{answer}").as_bytes())?;
        return stream.flush();
    }
    // In chunks, as Go's server writes a long body.
    let (one, two) = answer.split_at(answer.len() / 2);
    let chunks = [one, two, ""].map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
    let head = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(&[head, chunks.concat()].concat().into_bytes())?;
    stream.flush()
}

/// The list that is requested, and the index of the first item of its page.
fn requested_list(head: &str, state: &mut State) -> Option<(List, usize)> {
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let (path, query) = target.split_once("?limit=500")?;
    state.list_requests.push(target.into());
    let list = state.lists.get(path).cloned();
    let first = query.split_once("&continue=");
    let first = first.map_or(0, |(_, token)| token.parse().expect("our token"));
    Some((list.unwrap_or(List::Status(403)), first))
}

fn serve_list(
    stream: &mut impl Write,
    (list, first): &(List, usize),
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n";
    let start = r#"{"kind":"List","items":[{"a":""#;
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    match list {
        List::Items(items, page) => {
            let end = items.len().min(first + page);
            let next = match end < items.len() {
                true => end.to_string(),
                false => String::new(),
            };
            let list = json!({"kind": "List", "metadata": {"continue": next}, "items": items[*first..end]});
            stream.write_all(head.as_bytes())?;
            // As Go's server: it writes 2 KiB at once.
            for part in list.to_string().as_bytes().chunks(2048) {
                write!(stream, "{:x}\r\n", part.len())?;
                stream.write_all(part)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        List::Status(status) => {
            let body = json!({"message": "as the test requests"}).to_string();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        List::Stall => {
            stream.write_all([head, &chunk(start)].concat().as_bytes())?;
            stream.flush()?;
            std::thread::sleep(WAIT_LIMIT);
        }
        List::Endless => {
            stream.write_all([head, &chunk(start)].concat().as_bytes())?;
            let piece = chunk(&"x".repeat(16 * 1024));
            loop {
                stream.write_all(piece.as_bytes())?;
                lock(state).endless_bytes += piece.len() as u64;
            }
        }
    }
    stream.flush()
}

fn answer(head: &str, body: &str, state: &mut State) -> (u16, Value) {
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    if method == "POST" && path.ends_with("/events") {
        return match state.forbids_creation {
            true => (403, json!({"message": "as the test requests"})),
            false => create_event(body, state),
        };
    }
    if method == "POST" && path.ends_with("/eviction") {
        if state.forbids_creation {
            return (403, json!({"message": "as the test requests"}));
        }
        state.evictions.push(path);
        return (201, json!({"kind": "Status"}));
    }
    state.requests.push(format!("{method} {path}"));
    if !head.contains("\r\nAuthorization: Bearer a-token") {
        return (401, json!({"message": "Unauthorized"}));
    }
    let next = state.overrides.front();
    if next.is_some_and(|next| next.method == method)
        && let Some(Override { status, action, .. }) = state.overrides.pop_front()
    {
        action(state);
        return (status, json!({"message": "as the test requests"}));
    }
    let secret_path = [SECRETS, "/probelet-tls"].concat();
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    match (&*method, &*path) {
        ("GET", "/version") => (200, json!({"major": "1", "minor": state.minor})),
        ("GET", path) if path == secret_path => match &state.secret {
            Some(secret) => (200, secret.clone()),
            None => (404, json!({"message": "not found"})),
        },
        ("POST", SECRETS)
            if state.secret.is_none() && sent["metadata"]["name"] == "probelet-tls" =>
        {
            (201, store(state, sent))
        }
        ("PUT", path) if path == secret_path && state.secret.is_none() => {
            (404, json!({"message": "not found"}))
        }
        ("PUT", path) if path == secret_path => {
            let version = |secret: &Value| secret["metadata"]["resourceVersion"].clone();
            match state.secret.as_ref().map(version) == Some(version(&sent)) {
                true => (200, store(state, sent)),
                false => (409, json!({"message": "the resourceVersion differs"})),
            }
        }
        (_, WEBHOOK) if state.webhook.is_null() => (404, json!({"message": "not found"})),
        ("GET", WEBHOOK) => (200, state.webhook.clone()),
        ("PATCH", WEBHOOK) if head.contains("Content-Type: application/json-patch+json") => {
            match patch(&mut state.webhook, &sent) {
                Some(()) => {
                    state.change_webhook();
                    (200, state.webhook.clone())
                }
                None => (422, json!({"message": "the patch does not fit"})),
            }
        }
        _ => (409, json!({"message": "conflict"})),
    }
}

fn create_event(body: &str, state: &mut State) -> (u16, Value) {
    let event: Value = serde_json::from_str(body).expect("JSON");
    let names: HashSet<&Value> = state
        .events
        .iter()
        .map(|event| &event["metadata"]["name"])
        .collect();
    if names.contains(&event["metadata"]["name"]) {
        return (409, json!({"message": "it exists"}));
    }
    state.events.push(event.clone());
    (201, event)
}

fn store(state: &mut State, mut secret: Value) -> Value {
    let version = state.requests.len().to_string();
    secret["metadata"]["resourceVersion"] = version.into();
    state.secret = Some(secret.clone());
    secret
}

/// Applies `test` and `add` of members, all that the webhook uses.
fn patch(document: &mut Value, patch: &Value) -> Option<()> {
    for operation in patch.as_array()? {
        let path = operation["path"].as_str()?;
        if operation["op"] == "test" {
            (document.pointer(path)? == &operation["value"]).then_some(())?;
        } else {
            let (above, key) = path.rsplit_once('/')?;
            document.pointer_mut(above)?[key] = operation["value"].clone();
        }
    }
    Some(())
}
