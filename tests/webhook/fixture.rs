//! The webhook as a process, and a TLS client that shows every byte of a response.

pub use super::requests::{assert_injected, get, head, padded, pod, post, response_of, review_of};
use crate::support::WAIT_LIMIT;
use crate::support::certs::Authority;
use crate::support::cgroup::MemoryCgroup;
use crate::support::command::{argv, injector, wait_exit};
use crate::support::folder::Folder;
use crate::support::http::{End, Response};
use crate::support::lock;
use crate::support::observe::{next_descriptor, proc_figure};
use crate::support::ports::{Reserved, reserve};
use crate::support::prometheus::Page;
use crate::support::within;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// The DNS name in the certificate.
pub const NAME: &str = "injector.demo.svc";

/// The log line after which it serves.
const LISTENING: &str = "msg=listening";

/// A running webhook; killed on drop.
pub struct Webhook {
    child: Child,
    addr: SocketAddr,
    _port: Reserved,
    log: Arc<Mutex<Vec<String>>>,
    /// While it is locked, the log is not read.
    log_reader: Arc<Mutex<()>>,
    /// The CA of its certificate.
    pub authority: Authority,
    /// The directory of its files.
    pub folder: Folder,
    cgroup: Option<MemoryCgroup>,
}

impl Webhook {
    /// Starts a webhook with a certificate of the test and these arguments.
    pub fn start(args: &[&str]) -> Webhook {
        Self::start_in(Folder::new(), args)
    }

    /// Like `start`, with a folder that may contain files.
    pub fn start_in(folder: Folder, args: &[&str]) -> Webhook {
        let authority = Authority::new("webhook CA");
        let (cert, key) = authority.sign(NAME).write(&folder, "tls");
        let files = [
            "--cert",
            cert.to_str().expect("text"),
            "--key",
            key.to_str().expect("text"),
        ];
        let args = [&files[..], &["--sidecar", "native"], args].concat();
        Self::spawn(authority, folder, &args)
    }

    /// Starts a webhook with a certificate of the test and this limit of descriptors.
    pub fn start_with_descriptors(most: u32) -> Webhook {
        let authority = Authority::new("webhook CA");
        let folder = Folder::new();
        let (cert, key) = authority.sign(NAME).write(&folder, "tls");
        let limited = format!("ulimit -n {most} && exec \"$@\"");
        let [cert, key] = [cert, key].map(|path| path.display().to_string());
        let args = ["--cert", &cert, "--key", &key, "--sidecar", "native"];
        let webhook = Self::spawn_by(&["sh", "-c", &limited, "sh"], authority, folder, &args);
        webhook.wait_log(LISTENING);
        webhook
    }

    /// Starts a webhook with a certificate of the test, in a memory cgroup with this limit.
    pub fn start_in_memory_cgroup(limit_bytes: u64) -> Webhook {
        let authority = Authority::new("webhook CA");
        let folder = Folder::new();
        let (cert, key) = authority.sign(NAME).write(&folder, "tls");
        let cgroup = MemoryCgroup::create("webhook", limit_bytes).expect("a cgroup");
        let joined = format!("echo $$ > {} && exec \"$@\"", cgroup.members().display());
        let [cert, key] = [cert, key].map(|path| path.display().to_string());
        let args = ["--cert", &cert, "--key", &key, "--sidecar", "native"];
        let mut webhook = Self::spawn_by(&["sh", "-c", &joined, "sh"], authority, folder, &args);
        webhook.cgroup = Some(cgroup);
        webhook.wait_log(LISTENING);
        webhook
    }

    /// Its memory cgroup, if it was started in one.
    pub fn cgroup(&self) -> Option<&MemoryCgroup> {
        self.cgroup.as_ref()
    }

    /// Starts a webhook with these arguments and waits until it listens.
    pub fn spawn(authority: Authority, folder: Folder, args: &[&str]) -> Webhook {
        Self::spawn_and_wait_for(LISTENING, authority, folder, args)
    }

    /// Starts a webhook with these arguments and waits for a log line.
    pub fn spawn_and_wait_for(
        line: &str,
        authority: Authority,
        folder: Folder,
        args: &[&str],
    ) -> Webhook {
        let webhook = Self::spawn_by(&[], authority, folder, args);
        webhook.wait_log(line);
        webhook
    }

    fn spawn_by(by: &[&str], authority: Authority, folder: Folder, args: &[&str]) -> Webhook {
        let (argv, port) = (argv(&injector()), reserve());
        let by = by.iter().map(|word| (*word).to_owned());
        let argv: Vec<String> = by.chain(argv).collect();
        let port_text = port.port.to_string();
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .args(["serve", "--addr", "127.0.0.1", "--port", &port_text])
            .env_clear()
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = log.clone();
        let log_reader = Arc::new(Mutex::new(()));
        let reader = log_reader.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(reader.lock());
                lock(&lines).push(line);
            }
        });
        Webhook {
            child,
            addr: (Ipv4Addr::LOCALHOST, port.port).into(),
            _port: port,
            log,
            log_reader,
            authority,
            folder,
            cgroup: None,
        }
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    /// Stops reading the log until the guard is dropped.
    pub fn stall_log(&self) -> MutexGuard<'_, ()> {
        lock(&self.log_reader)
    }

    /// Number of log lines that contain this text.
    pub fn logged(&self, part: &str) -> usize {
        self.log().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a log line that contains this text.
    #[track_caller]
    pub fn wait_log(&self, part: &str) -> String {
        let mut found = None;
        within(WAIT_LIMIT, || {
            found = self.log().into_iter().find(|line| line.contains(part));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no {part}: {:#?}", self.log()))
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Opens a TCP connection.
    pub fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.addr).expect("a connection");
        tcp.set_read_timeout(Some(WAIT_LIMIT)).expect("a timeout");
        tcp.set_write_timeout(Some(WAIT_LIMIT)).expect("a timeout");
        tcp.set_nodelay(true).expect("no delay");
        tcp
    }

    /// Connects a client that trusts the authority.
    pub fn client(&self) -> Client {
        self.client_trusting(&trusting(&self.authority.pem()))
            .expect("a handshake")
    }

    /// Connects a client with this configuration.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn client_trusting(&self, config: &Arc<ClientConfig>) -> std::io::Result<Client> {
        Self::client_over(self.tcp(), config)
    }

    /// Runs the handshake of a client with this configuration over a connection.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn client_over(tcp: TcpStream, config: &Arc<ClientConfig>) -> std::io::Result<Client> {
        let name = ServerName::try_from(NAME).expect("a name");
        let connection = ClientConnection::new(config.clone(), name).expect("a client");
        Client::complete(StreamOwned::new(connection, tcp))
    }

    /// Sends one request on a new connection, and returns the response.
    pub fn send(&self, request: &[u8]) -> Response {
        self.try_send(request).expect("a response")
    }

    /// Sends one request on a new connection, and returns the response.
    ///
    /// # Errors
    /// Why the handshake failed, or that the connection ended without a response: a client of TLS 1.3 completes its
    /// handshake before the webhook does.
    pub fn try_send(&self, request: &[u8]) -> std::io::Result<Response> {
        let mut client = self.client_trusting(&trusting(&self.authority.pem()))?;
        client.try_send(request)?;
        let response = client.response();
        match response.code() {
            Some(_) => Ok(response),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The value of a metric. The whole page is checked for Prometheus' format.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let answer = self.send(&get("/metrics"));
        let text = String::from_utf8(answer.body().to_vec()).expect("text");
        let page = Page::parse(&text).expect("a page");
        let name = ["probelet_webhook_", name].concat();
        page.get(&name, labels)
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn wait_metric(&self, name: &str, value: f64) {
        let mut last = 0.0;
        let is_reached = within(WAIT_LIMIT, || {
            last = self.metric(name, &[]);
            (last - value).abs() < 0.5
        });
        assert!(is_reached, "{name} is {last} and not {value}");
    }

    /// A number of `/proc/PID/status`, such as `VmHWM`.
    pub fn status_figure(&self, field: &str) -> u64 {
        proc_figure(self.child.id(), "status", field).expect("a figure")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our child");
    }

    /// Sets a limit of descriptors that allows no more than the open ones. Returns the previous limit.
    pub fn limit_descriptors_to_open_ones(&self) -> Rlimit {
        // The maximum stays, so that the previous limit can be restored.
        let maximum = getrlimit(Resource::Nofile).maximum;
        self.set_descriptor_limit(Rlimit {
            current: Some(next_descriptor(self.child.id())),
            maximum,
        })
    }

    /// Sets the limit of descriptors. Returns the previous one.
    pub fn set_descriptor_limit(&self, limit: Rlimit) -> Rlimit {
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("our child")
    }

    /// Whether it is still running.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it exits.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_exit(&mut self.child).expect("it exits in time")
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Replaces a file by renaming, as tools that renew certificates do.
pub fn replace(folder: &Folder, name: &str, text: &str) {
    let next = folder.file(&format!("{name}.next"), text);
    std::fs::rename(next, folder.path().join(name)).expect("renamed");
}

/// The configuration of a client that trusts these CAs.
pub fn trusting(cas: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(cas.as_bytes()) {
        roots.add(ca.expect("PEM")).expect("a CA");
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.into()
}

/// A client after its handshake.
pub struct Client {
    /// The stream itself.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    /// Bytes received and not returned yet.
    received: Vec<u8>,
}

impl Client {
    /// Completes a handshake.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn complete(
        mut stream: StreamOwned<ClientConnection, TcpStream>,
    ) -> std::io::Result<Client> {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("sent");
    }

    /// Sends bytes on a connection that the webhook may have closed.
    ///
    /// # Errors
    /// The connection's.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Encrypts bytes that the caller writes to the connection later, in the order of the calls.
    pub fn encrypt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let tls = &mut self.stream.conn;
        tls.writer().write_all(bytes).expect("buffered");
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("encrypted");
        }
        records
    }

    /// Reads the next response; an incomplete one if the connection ends.
    pub fn response(&mut self) -> Response {
        let began = Instant::now();
        let mut end = End::Open;
        loop {
            let response = Response {
                bytes: self.received.clone(),
                end,
                took: began.elapsed(),
            };
            let length = response.field("content-length").map(str::parse::<usize>);
            let length = match (response.code(), length) {
                (Some(100), _) => Some(0),
                (_, length) => length.map(|length| length.expect("a number")),
            };
            match length {
                Some(length) if response.body().len() >= length => {
                    let head = response.head().expect("a head").len() + 4;
                    let rest = self.received.split_off(head + length);
                    let bytes = std::mem::replace(&mut self.received, rest);
                    return Response { bytes, ..response };
                }
                _ if end != End::Open => return response,
                _ => end = self.read(),
            }
        }
    }

    fn read(&mut self) -> End {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => End::Fin,
            Ok(len) => {
                self.received.extend_from_slice(&buffer[..len]);
                End::Open
            }
            Err(_) => End::Reset,
        }
    }

    /// Reads the end of the connection, before which nothing may arrive.
    #[track_caller]
    pub fn read_end(&mut self) -> End {
        let end = self.read();
        assert_eq!(String::from_utf8_lossy(&self.received), "");
        end
    }
}
