//! A fake API server: `/version`, Secrets of one namespace, one webhook's configuration. It keeps what it is sent,
//! wants the token, and can be told to answer the next request otherwise.

use crate::support::certs::{Authority, Folder};
use crate::support::{WAIT_LIMIT, within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Paths of what there is.
pub const SECRETS: &str = "/api/v1/namespaces/demo/secrets";
pub const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/probelet";

/// What it has.
pub struct State {
    /// `minor` of `/version`.
    pub minor: &'static str,
    /// The Secret, if there is one.
    pub secret: Option<Value>,
    /// The webhook's configuration.
    pub webhook: Value,
    /// What was asked: method and path.
    pub asked: Vec<String>,
    /// Answered, after something was done, instead of what is next asked by this method.
    pub instead: VecDeque<(&'static str, u16, Deed)>,
}

/// Something that is done to what it has.
pub type Deed = Box<dyn FnOnce(&mut State) + Send>;

/// A running one; its thread ends with the test.
pub struct Cluster {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    folder: Folder,
}

impl Cluster {
    /// A new one of this minor version.
    pub fn start(minor: &'static str) -> Cluster {
        let authority = Authority::new("cluster CA");
        let security = authority.sign("127.0.0.1").security(&["http/1.1"], None);
        let security = security.expect("TLS");
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
            webhook: json!({"kind": "MutatingWebhookConfiguration", "webhooks": webhooks}),
            asked: Vec::new(),
            instead: VecDeque::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let addr = listener.local_addr().expect("an address");
        let shared = state.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                // One that breaks the handshake off is nobody's concern.
                let _ = serve(tcp, &security, &shared);
            }
        });
        Cluster {
            addr,
            state,
            folder,
        }
    }

    /// What it has.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flags that lead to it.
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

    /// The CAs that the webhook's configuration has, which must be the same throughout.
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

    /// Waits until something was asked.
    #[track_caller]
    pub fn wait_asked(&self, what: &str) {
        let asked = within(WAIT_LIMIT, || {
            self.state().asked.iter().any(|asked| asked == what)
        });
        assert!(asked, "{what}: {:#?}", self.state().asked);
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
    let (status, answer) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&head, &body, &mut state)
    };
    let answer = answer.to_string();
    // In chunks, as Go writes what is long.
    let (one, two) = answer.split_at(answer.len() / 2);
    let chunks = [one, two, ""].map(|part| format!("{:x}\r\n{part}\r\n", part.len()));
    let head = format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(&[head, chunks.concat()].concat().into_bytes())?;
    stream.flush()
}

fn answer(head: &str, body: &str, state: &mut State) -> (u16, Value) {
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    state.asked.push(format!("{method} {path}"));
    if !head.contains("\r\nAuthorization: Bearer a-token") {
        return (401, json!({"message": "Unauthorized"}));
    }
    if state
        .instead
        .front()
        .is_some_and(|(other, _, _)| *other == method)
        && let Some((_, status, act)) = state.instead.pop_front()
    {
        act(state);
        return (status, json!({"message": "as the test wants it"}));
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
        ("PUT", path) if path == secret_path => {
            let version = |secret: &Value| secret["metadata"]["resourceVersion"].clone();
            match state.secret.as_ref().map(version) == Some(version(&sent)) {
                true => (200, store(state, sent)),
                false => (409, json!({"message": "it has changed"})),
            }
        }
        ("GET", WEBHOOK) => (200, state.webhook.clone()),
        ("PATCH", WEBHOOK) if head.contains("Content-Type: application/json-patch+json") => {
            match patch(&mut state.webhook, &sent) {
                Some(()) => (200, state.webhook.clone()),
                None => (422, json!({"message": "the patch does not fit"})),
            }
        }
        _ => (409, json!({"message": "conflict"})),
    }
}

fn store(state: &mut State, mut secret: Value) -> Value {
    let version = state.asked.len().to_string();
    secret["metadata"]["resourceVersion"] = version.into();
    state.secret = Some(secret.clone());
    secret
}

/// `test` and `add` of members, which is what is needed.
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
