//! The webhook as a process, and requests to it over TLS on persistent connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, process};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Outcome;

const NAME: &str = "injector.probelet-system.svc";

/// Read timeout, which only a webhook that hangs exceeds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A webhook process, which is stopped on drop.
pub struct Webhook {
    child: Child,
    addr: SocketAddr,
    config: Arc<ClientConfig>,
    folder: PathBuf,
}

impl Webhook {
    /// Starts a webhook with a self-signed certificate, and waits until it listens.
    pub fn start() -> Outcome<Webhook> {
        let folder = env::temp_dir().join(format!("probelet-bench-{}", process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let config = certificate(&folder)?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let addr = free.map_err(|error| format!("a free port: {error}"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_probelet-inject"))
            .args([
                "serve",
                "--addr=127.0.0.1",
                "--sidecar=native",
                "--log-level=warn",
            ])
            .arg(format!("--port={}", addr.port()))
            .arg(format!("--cert={}", folder.join("tls.crt").display()))
            .arg(format!("--key={}", folder.join("tls.key").display()))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("probelet-inject serve: {error}"))?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines();
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"));
        });
        let webhook = Webhook {
            child,
            addr,
            config,
            folder,
        };
        webhook.wait_until_listening()?;
        Ok(webhook)
    }

    fn wait_until_listening(&self) -> Outcome<()> {
        for _ in 0..1_000 {
            if TcpStream::connect(self.addr).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("probelet-inject serve does not listen".into())
    }

    /// The ID of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection and completes the handshake.
    pub fn connect(&self) -> Outcome<Connection> {
        self.try_connect()
            .map_err(|error| format!("a connection to the webhook: {error}"))
    }

    fn try_connect(&self) -> std::io::Result<Connection> {
        let tcp = TcpStream::connect(self.addr)?;
        tcp.set_read_timeout(Some(TIMEOUT))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).map_err(std::io::Error::other)?;
        let client = ClientConnection::new(self.config.clone(), name);
        let mut stream = StreamOwned::new(client.map_err(std::io::Error::other)?, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection(BufReader::new(stream)))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Writes a certificate and its key. Returns the settings of a client that trusts it.
fn certificate(folder: &std::path::Path) -> Outcome<Arc<ClientConfig>> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let params = CertificateParams::new([NAME.to_owned()]).map_err(|error| error.to_string())?;
    let certificate = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    write("tls.crt", certificate.pem())?;
    write("tls.key", key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate.der().clone())
        .map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// A persistent connection.
pub struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    /// Sends a request, or a part of one.
    pub fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        let stream = self.0.get_mut();
        let sent = stream.write_all(bytes).and_then(|()| stream.flush());
        sent.map_err(|error| format!("the webhook does not read the request: {error}"))
    }

    /// Reads a response. Returns its body.
    pub fn read_response(&mut self) -> Outcome<Vec<u8>> {
        self.try_read_response()
            .map_err(|error| format!("no response from the webhook: {error}"))
    }

    fn try_read_response(&mut self) -> std::io::Result<Vec<u8>> {
        let (mut line, mut length) = (String::new(), 0);
        self.0.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(std::io::Error::other(line));
        }
        while line.trim_end() != "" {
            line.clear();
            self.0.read_line(&mut line)?;
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }
}
