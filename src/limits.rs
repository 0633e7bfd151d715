//! Every capacity and deadline that is visible outside: its value, its unit, and the reason for it.
//!
//! Tests run with these values. A flag can lower a capacity; only `--max-inbound` can raise one.

use core::time::Duration;

// ---- Capacity of the status port: it follows from the number of probers ----

/// Concurrent probes of one prober, each of another client address. kubelet sends one at a time; the second slot is for
/// another client. More would let others multiply the load on the app.
pub const PROBES_PER_PROBER: usize = 2;

/// Requests that wait for a slot of one prober, each of another client address.
pub const WAITING_PER_PROBER: usize = 8;

/// Bytes of a request that can wait: it is stored until its turn. kubelet's requests have some hundred bytes.
pub const WAITING_HEAD_BYTES: usize = 1024;

/// Client addresses that a prober knows, to decide who is next: all that run or wait, and some that paused.
pub const KNOWN_CLIENTS: usize = 16;

/// A client that had no request for this long counts as periodic: kubelet probes at most once a second.
/// Clients that send one request after the other pause for less.
pub const CLIENT_PAUSE: Duration = Duration::from_millis(100);

/// Connections whose request is being read, or whose response is being written, in addition to one for each prober: kubelet
/// may send all probes of a pod at once.
pub const POOL_CONNECTIONS: usize = 16;

/// Connections of the pool, however few descriptors there are.
pub const POOL_CONNECTIONS_MIN: usize = 4;

/// Concurrent connections of each `--forward` listener. Each has its own, so that a full forward takes nothing from
/// another. A full forward evicts a connection for a new one; sixteen leave eight other clients two each.
pub const FORWARD_CONNECTIONS: usize = 16;

/// `--forward` listeners.
pub const FORWARDS: usize = 8;

/// `--allow-from` networks: each new connection is compared with all of them.
pub const ALLOWED_NETWORKS: usize = 64;

/// Bytes per read or write call. All connections share one buffer, which is empty across a wait, so a slow peer of
/// a probe holds no memory. It also bounds the bytes that wait in one direction of a forwarded connection while its
/// reader is slow; those are allocated only then.
pub const SCRATCH_BYTES: usize = 16 * 1024;

// ---- Configuration ----

/// Probers in the table: five for each of a dozen containers, and some to spare.
pub const PROBERS: usize = 64;

/// Bytes of one environment variable, its name, `=` and the NUL at its end included (`linux/binfmts.h`: `MAX_ARG_STRLEN`
/// with pages of 4 KiB).
pub const ENV_STRING_BYTES: usize = 128 * 1024;

/// Bytes of the probers' JSON. The kernel passes at most 128 KiB in one environment variable.
pub const PROBERS_JSON_BYTES: usize = 128 * 1024;

/// Handlers of one prober (`all`): they run one after another within its timeout.
pub const PROBE_HANDLERS: usize = 8;

/// Codes and ranges of `expect.status` of one prober.
pub const EXPECTED_STATUS_ITEMS: usize = 16;

/// Bytes of `expect.body` of one prober: a search for it has its position in one byte.
pub const EXPECTED_BODY_BYTES: usize = 255;

/// Nesting of lists and objects in the probers' JSON, which needs seven.
pub const PROBERS_JSON_DEPTH: u32 = 16;

/// The largest `--shutdown-delay`, in seconds. Pods get 30 s by default (`terminationGracePeriodSeconds`).
pub const SHUTDOWN_DELAY_MAX_SECONDS: u64 = 60 * 60;

/// How often the agent looks, during the shutdown delay, whether the app still listens; also the timeout of the connection.
pub const APP_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The largest `--min-timeout-seconds`. A longer timeout would hide an app that hangs.
pub const MIN_TIMEOUT_MAX_SECONDS: u64 = 300;

/// The largest `--deadline-margin`, in milliseconds. A larger one would use up any probe's timeout, so it is a mistake.
pub const DEADLINE_MARGIN_MAX_MILLIS: u64 = 60 * 1000;

// ---- Request head: from any client that reaches the status port ----

/// Bytes of a request head, first line and blank line included; also the size of a slot's buffer.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Field lines of a request head.
pub const REQUEST_FIELDS: usize = 100;

/// Time for a request head, from the accept. kubelet sends it immediately.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

// ---- Response: from the app ----

/// Bytes of a response head, interim (1xx) responses included: the default of Go's `Transport`, which kubelet
/// uses. The head is read as a stream, so this costs time, never memory.
pub const RESPONSE_HEAD_BYTES: u64 = 10 << 20;

/// Bytes of a body that kubelet reads before it stops and counts the probe as a success
/// (`pkg/probe/http/http.go`: `maxRespBodyLength`).
pub const RESPONSE_BODY_BYTES: u64 = 10 * 1024;

/// Bytes of a redirect's body that Go's client reads before it follows (`net/http/client.go`:
/// `maxBodySlurpSize`).
pub const REDIRECT_BODY_BYTES: u64 = 2 * 1024;

/// Bytes of a stored `Location` value, and of a request-target made from one. A longer one to the same host fails
/// the probe, although kubelet would follow it; one to another host, which kubelet does not follow either, may have
/// any length. Servers commonly stop at 8 KiB.
pub const LOCATION_BYTES: usize = 8 * 1024;

/// Requests of one probe, the first included: nine redirects are followed, the tenth fails
/// (`pkg/probe/http/http.go`: `RedirectChecker`).
pub const REDIRECT_REQUESTS: u8 = 10;

// ---- HTTP/2: from the app ----

/// Non-progress frames of an HTTP/2 connection: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, unknown ones, DATA of
/// padding alone, CONTINUATION, other streams. Each 256 bytes of one count as a further frame. Go reads any number;
/// a server that pings a hook each second for an hour stays below this, and a flood costs no more than a big body.
pub const H2_NON_PROGRESS_FRAMES: u16 = 10_000;

/// Bytes of the flow-control window of the stream, and of the connection: more than is ever read of a body or a
/// gRPC message, so neither window is opened a second time. Go's client opens them at 4 MiB and 1 GiB.
pub const H2_WINDOW_BYTES: u32 = 8 << 20;

/// Bytes of a gRPC message (grpc-go: `defaultClientMaxReceiveMessageSize`). It is read as a stream.
pub const GRPC_MESSAGE_BYTES: u32 = 4 << 20;

/// Retries, on a new connection, of a request that an HTTP/2 app has not processed. Go's client retries until its
/// deadline (`net/http/h2_bundle.go`: `canRetryError`); an app that restarts gracefully needs one retry.
pub const H2_RETRIES: u8 = 1;

// ---- Deadlines ----

/// `timeoutSeconds` of a prober that has none or 0, as the API server defaults it.
pub const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest `timeoutSeconds`; a larger one counts as this. A day is longer than any useful probe period.
pub const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How much sooner than `timeoutSeconds` a response is due: kubelet's clock starts before ours, and the response has
/// to travel back. Overridden by `--deadline-margin`.
pub const DEFAULT_DEADLINE_MARGIN: Duration = Duration::from_millis(25);

/// A probe watches its client from this long after the accept, and ends when the client closes: abandoned probes of a
/// hung app must not hold slots. A request that needs a slot makes it check earlier. Most probes end sooner and pay nothing for it.
/// A hook watches from its start.
pub const WATCH_CLIENT_AFTER: Duration = Duration::from_millis(100);

/// The first backoff after a failed gRPC connection (grpc-go: `backoff.DefaultConfig`, without its jitter of a
/// fifth).
pub const GRPC_BACKOFF: Duration = Duration::from_secs(1);
/// Numerator and denominator of the factor from one backoff to the next: 8/5.
pub const GRPC_BACKOFF_GROWTH: (u32, u32) = (8, 5);
/// The longest backoff.
pub const GRPC_BACKOFF_MAX: Duration = Duration::from_secs(120);

/// `check` starts to connect to the next address of a name this long after the one before (RFC 8305 section 5).
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Retries of a probe to open a socket while the process is out of descriptors or socket memory: an accepted probe
/// should not fail for that.
pub const SOCKET_RETRIES: usize = 10;
/// The wait before each retry.
pub const SOCKET_RETRY_BACKOFF: Duration = Duration::from_millis(20);

/// Connections that the kernel queues until they are accepted.
pub const BACKLOG: i32 = 256;

/// The receive buffer of a connection to the status port or the webhook; the kernel doubles it for its own overhead. A
/// memory cgroup of version 2 counts bytes that are not read yet, 128 KiB to some MiB of a connection by default.
pub const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

/// The pause after an accept that failed because descriptors or memory ran out: long enough not to spin.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Time for the client to receive a response, a page of `/metrics` included.
pub const RESPONSE_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// After an early response (400, 405, 431, a pipelined request) the rest of the client's bytes is read and discarded
/// for this long, so that a reset does not overtake the response (RFC 9112 section 9.6). While requests wait for the prober, only bytes that have
/// arrived are discarded.
pub const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Bytes discarded while lingering.
pub const LINGER_BYTES: usize = 256 * 1024;

/// Time for open connections to end after the listeners have closed.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Poll interval while draining.
pub const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(10);

// ---- Forwards ----

/// A forwarded connection without a byte in either direction for this long is reset; an inbound one ends with
/// `close_notify` and FIN if all bytes were passed on.
pub const FORWARD_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The same once one side has sent EOF. A client that gave up looks like one that has sent its whole request, and the
/// abandoned probes of a hung app must not hold connections for minutes.
pub const FORWARD_HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(30);

/// A forwarded connection that waits for the app is protected from eviction for this long after its client's last byte,
/// and one without a byte in either direction for this long may be evicted for any client. A probe has 1 s by default;
/// one with 10 s is slow.
pub const FORWARD_STALE: Duration = Duration::from_secs(10);

/// Time for the target of a forward or of an inbound port to accept.
pub const FORWARD_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

// ---- Inbound TLS ----

/// Inbound ports.
pub const INBOUNDS: usize = 8;

/// Concurrent connections of all inbound ports, unless `--max-inbound` sets another number.
pub const INBOUND_CONNECTIONS: usize = 64;

/// The largest `--max-inbound`: more connections than the smallest boards have memory for.
pub const INBOUND_CONNECTIONS_MAX: usize = 1024;

/// Handshakes of inbound connections, in addition to established ones. One more waits, or evicts one of an address that has
/// at least as many. So clients without an allowed certificate take no connection from those that have one. Each stores up to 12 KiB
/// of received bytes, and a client's chain that was in them; with [`INBOUND_LONG_HANDSHAKES_BYTES`] all of them store less
/// than 1 MiB.
pub const INBOUND_HANDSHAKES: usize = 32;

/// Time that a client of an inbound port has for a message of its handshake before the handshake may be evicted for a new one
/// of another address with as many: a round trip in a cluster, and a signature. At 32 handshakes this accepts 1,600
/// connections a second of clients that send nothing.
pub const INBOUND_HANDSHAKE_STEP: Duration = Duration::from_millis(20);

/// The same for a new one of its own address: a proxy that has lost its connections opens all of them at once, and answers
/// one after the other. Each handshake of the address that is done restarts this time for its others.
pub const INBOUND_SLOW_HANDSHAKE: Duration = Duration::from_secs(2);

/// Connections of all inbound ports that are accepted and wait until they are admitted for their handshake. So a burst of 96
/// connections of one address is served. Each has up to 32 KiB in the kernel. If there are as many and a network has more
/// than half of them, its address with most loses one, or else a port leaves the next ones in the kernel's queue.
pub const INBOUND_WAITING: usize = 64;

/// Time for the handshake of an inbound connection.
pub const INBOUND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the handshake of an inbound connection: those of a chain of 15 KiB and of the other messages. A message with
/// its records has to fit into the shared buffer of 18 KiB. rustls stores the client's chain while the connection is open: 64
/// connections with chains of 15 KiB take 1 MiB more than the same number with short ones.
pub const INBOUND_HANDSHAKE_BYTES: usize = 32 * 1024;

/// Bytes of all handshakes that receive more than [`HANDSHAKE_BYTES_WITHOUT_PERMIT`], each of which counts as
/// [`INBOUND_HANDSHAKE_BYTES`]. Others wait, those of the address with the fewest first.
pub const INBOUND_LONG_HANDSHAKES_BYTES: usize = 4 * INBOUND_HANDSHAKE_BYTES;

/// Time that a client of a permissive port with `server-first` may take to send its first bytes: after that it is a plaintext
/// client, which waits for the app's. A TLS client sends its ClientHello at once.
pub const INBOUND_SERVER_FIRST_WAIT: Duration = Duration::from_millis(300);

/// An inbound connection without a byte in either direction for this long ends with `close_notify` and FIN when the agent
/// stops; others are reset, so that no client takes a part of a response for all of it.
pub const INBOUND_QUIET_TIME: Duration = Duration::from_secs(1);

/// The send and the receive buffer of each socket of an inbound connection, to the client and to the app. The kernel
/// doubles them for its own overhead.
pub const INBOUND_BUFFER_BYTES: usize = 16 * 1024;

/// The same for a direction of a connection that moves bulk data, and has a permit for it.
pub const INBOUND_BULK_BUFFER_BYTES: usize = 128 * 1024;

/// Directions of connections with larger buffers at a time, which bounds the memory of all buffers.
pub const INBOUND_BULK_PERMITS: usize = 4;

/// Bytes of data that a direction moves within [`INBOUND_BULK_WINDOW`], without a pause, before it counts as bulk data.
pub const INBOUND_BULK_BYTES: usize = 256 * 1024;

/// Time in which [`INBOUND_BULK_BYTES`] move: ordinary buffers are large enough for 32 KiB a second. A direction that has moved
/// fewer by the end of it returns its permit.
pub const INBOUND_BULK_WINDOW: Duration = Duration::from_secs(8);

/// A connection that moves bulk data has ordinary buffers again after this time without a byte.
pub const INBOUND_BULK_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of bulk data that a direction moves before all other tasks run.
pub const INBOUND_BULK_STEP_BYTES: usize = 64 * 1024;

/// Records of a client that are processed before all other tasks run. A read may have 600 of the shortest ones, and a
/// KeyUpdate takes as long as 2 KiB of data. rustls counts only those in a row: it accepts 32 KeyUpdates without data
/// between them, and 32 empty records.
pub const INBOUND_RECORDS: usize = 64;

/// Patterns of `--allow-id`, and of `allow-id=` of an inbound port: each handshake compares the peer's identity with all of them.
pub const ALLOWED_IDS: usize = 64;

/// Bytes of a SPIFFE ID (SPIFFE-ID, section 2.3). A longer one matches no pattern.
pub const SPIFFE_ID_BYTES: usize = 2048;

/// `--ca` files: a CA for each trust domain that this one is federated with.
pub const CA_FILES: usize = 8;

/// Application protocols of an inbound port.
pub const INBOUND_PROTOCOLS: usize = 8;

// ---- TLS to the app ----

/// Bytes that a TLS handshake receives without a permit, and up to one read more. Leaf, intermediates and the app's
/// other messages are seldom longer: 1 KiB with ECDSA, 4 KiB with RSA and an intermediate. Handshakes that hang earlier,
/// in whatever number, hold no permit. A certificate chain of up to this length holds none after the handshake either.
pub const HANDSHAKE_BYTES_WITHOUT_PERMIT: usize = 8 * 1024;

/// Concurrent handshakes that receive more, at most one per port of the app; others wait for a permit within their
/// deadlines. They need the most memory of TLS.
pub const LONG_HANDSHAKES: usize = 8;

/// Intermediates of a certificate chain that are considered, the first ones: the search for a path among more can take
/// seconds. Chains have one to three.
pub const INTERMEDIATES: usize = 5;

/// Bytes of a handshake message, at most, in rustls: the share of a long handshake. It needs up to twice as much, for the
/// chain that is stored and the message that is received. After the handshake a connection with a long chain keeps
/// the chain's bytes of its share until the probe ends.
pub const LONG_HANDSHAKE_BYTES: usize = 64 * 1024;

/// Time that a long handshake has its permit for while others wait. After that its connection is closed, and it starts
/// over and waits again, for four times as long if its app has sent something; a client's handshake at an inbound port
/// fails. The messages after the first [`HANDSHAKE_BYTES_WITHOUT_PERMIT`] have usually been received by then; an RSA signature of 4096 bits takes a small board 100 ms.
pub const LONG_HANDSHAKE_TIME_SLICE: Duration = Duration::from_millis(200);

/// Time for a probe's handshake, its wait for a permit included, as in kubelet (`k8s.io/apimachinery`
/// `pkg/util/net/http.go`: `TLSHandshakeTimeout`). kubelet's clients for hooks and gRPC have no such limit.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes per read call, and of plaintext per write call, of a TLS connection. rustls buffers bytes that it has not
/// processed, so this is memory of each connection; a request head is seldom longer.
pub const TLS_IO_BYTES: usize = 4 * 1024;

/// Bytes of TLS records in a row without application data: session tickets, key updates and empty records cost the
/// app nothing and us a decryption each. No handshake needs as many.
pub const TLS_BYTES_WITHOUT_DATA: usize = 256 * 1024;

/// Records in a row without application data after the handshake (Go `crypto/tls/common.go`: `maxUselessRecords`).
pub const TLS_RECORDS_WITHOUT_DATA: usize = 16;

/// Bytes of a PEM file: certificate, key or CA bundle. The whole bundle of a distribution has 220 KiB.
pub const PEM_BYTES: usize = 256 * 1024;

/// Bytes of the certificate chain of this process, as DER. A longer one is refused, because its handshakes could fail: rustls
/// accepts messages of up to 64 KiB, and an inbound connection stores about as much that is not sent yet.
pub const OWN_CHAIN_BYTES: usize = 60 * 1024;

/// Poll interval of certificate files. kubelet itself needs up to a minute to update a mounted Secret.
pub const PEM_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Seconds from 1970 to the start of 2026, the year of this code. An earlier clock has not been set since the board
/// was switched on.
pub const CLOCK_IS_SET_FROM: u64 = 1_767_225_600;

// ---- Log ----

/// Log lines within any minute of one prober, and of each other source (unknown paths, bad requests). The
/// next line has the number of suppressed ones as `suppressed=N`. An SD card must not wear out.
pub const LOG_LINES_PER_MINUTE: usize = 6;

/// Bytes of a value in a log line of the agent; a longer one is cut. A line has up to 2 KiB.
pub const LOG_VALUE_BYTES: usize = 256;

// ---- The admission webhook ----

/// Bytes of an admission review. etcd stores objects of 1.5 MiB, and the review of an update has two of them.
pub const REVIEW_BYTES: usize = 3 << 20;

/// Bytes of a body or a response that counts as small: pods have some KiB.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Bytes of all small bodies and responses in memory, which large ones never take: a rollout of thousands of pods.
pub const SMALL_BODY_BYTES_TOTAL: usize = 8 << 20;

/// Bytes of all large bodies and responses in memory: five of the largest bodies.
pub const LARGE_BODY_BYTES_TOTAL: usize = 16 << 20;

/// Bytes of memory that a body gets first; a larger one gets as much again when they are used, so that one that does
/// not arrive holds little.
pub const FIRST_BODY_STEP_BYTES: usize = 4 * 1024;

/// Bytes of memory that a body gets at once, at most.
pub const BODY_STEP_BYTES: usize = 256 * 1024;

/// Bytes of a response that are not charged: most responses and the page of metrics.
pub const UNCHARGED_RESPONSE_BYTES: usize = 8 * 1024;

/// A body or response whose client has let the webhook wait for this long in total is evicted while others wait for
/// memory. The API server sends a body at once; its node may be some milliseconds away.
pub const SLOW_BODY: Duration = Duration::from_millis(20);

/// Poll interval for slow bodies while others wait for memory.
pub const SLOW_BODY_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Values in the JSON of a review and in the JSON of its pod's annotations, counted by their separators. A pod has some hundreds; 3 MiB of brackets would
/// become 100 MiB of values and delay the reviews after it.
pub const REVIEW_VALUES: usize = 30_000;

/// Items of an annotation that lists containers, ports or forwards: each is compared with each probe of the pod.
pub const ANNOTATION_ITEMS: usize = 256;

/// Bytes of all annotations of a pod, names and values (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`:
/// `TotalAnnotationSizeLimitB`). The API server rejects a pod with more, also if a webhook has added them.
pub const ANNOTATIONS_BYTES: usize = 256 * 1024;

/// Bytes of an object as JSON. etcd accepts requests of 1.5 MiB (`--max-request-bytes`); protobuf, which the API server
/// stores, is shorter than JSON.
pub const OBJECT_BYTES: usize = 3 << 19;

/// Unknown annotations of a pod that a warning names, with the annotation that was probably meant: each is compared with
/// all known ones.
pub const MISSPELT_NAMES: usize = 20;

/// Bytes of an unknown annotation that is compared with the known ones, which have at most 50.
pub const MISSPELT_NAME_BYTES: usize = 128;

/// Bytes of memory of the parts of a reviewed pod that injection copies up to ten times: probes, hooks, the sidecar of
/// an earlier injection, and the JSON in annotations. A hundred probes with three headers each take 400 KiB.
pub const REVIEW_COPIED_BYTES: usize = 1 << 20;

/// Warnings of a review. The API server sends each as a header field to the user, whose client prints them all.
pub const REVIEW_WARNINGS: usize = 10;

/// Containers of an injected pod, init containers included. The agent's table has 64 probers, and a pod with
/// thousands must not delay the others.
pub const REVIEW_CONTAINERS: usize = 100;

/// Time from a request's first byte to our response: the API server's default `timeoutSeconds` of a webhook. If a
/// request names a shorter one, that one applies.
pub const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a request's head, from its first byte. The API server sends it immediately.
pub const WEBHOOK_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a client lets the webhook wait for a request's body, in total.
pub const WEBHOOK_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without a request for this long is closed. Go's client closes one after 90 s, and should be the side
/// that closes: a request sent to a closing connection has to be sent again.
pub const WEBHOOK_IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Concurrent connections. When there are as many, one is evicted for each new one, of an address that has at least as
/// many as the new one's.
pub const WEBHOOK_CONNECTIONS: usize = 1024;

/// Evicted connections whose sockets are not closed yet.
pub const WEBHOOK_CLOSING_CONNECTIONS: usize = 64;

/// Connections accepted before other tasks run.
pub const WEBHOOK_ACCEPT_BATCH: usize = 32;

/// CPU time of turns, such as signatures and reviews, before other tasks run.
pub const WEBHOOK_TURNS_TIME: Duration = Duration::from_millis(1);

/// Reads and writes of a connection, of up to 4 KiB each, that do not have to wait, before other tasks run.
pub const WEBHOOK_READY_OPERATIONS: u32 = 64;

/// Concurrent TLS handshakes. A client can make rustls buffer 64 KiB of one.
pub const WEBHOOK_HANDSHAKES: usize = 128;

/// A handshake whose client has let the webhook wait for this long, in total, may be evicted while a client of an address
/// with fewer handshakes waits for a permit. The API server needs one round trip in its cluster.
pub const WEBHOOK_HANDSHAKE_STEP: Duration = Duration::from_millis(100);

/// The same, for a client of an address with as many, its own included: the API server may open 200 connections at once
/// (`--max-mutating-requests-inflight`), and does not retry one that is closed.
pub const WEBHOOK_SLOW_HANDSHAKE: Duration = Duration::from_millis(500);

/// Reads of a handshake after which it is slow even if more bytes have arrived. That of the API server needs fewer than ten,
/// with a long chain of client certificates too.
pub const WEBHOOK_HANDSHAKE_READS: u32 = 64;

/// Interval at which a slow handshake is evicted while connections wait for handshake permits.
pub const WEBHOOK_HANDSHAKE_EVICTION_INTERVAL: Duration = Duration::from_millis(10);

/// Bytes of a request head. The API server's has less than 1 KiB and a bearer token, if it has one. Heads are not charged.
pub const WEBHOOK_HEAD_BYTES: usize = 4 * 1024;

/// Bytes of a head, or of a chunked body, read at once: they are not charged.
pub const WEBHOOK_HEAD_READ_BYTES: usize = 4 * 1024;

/// Bytes that rustls buffers of a connection while they cannot be sent: a response is written in pieces.
pub const WEBHOOK_TLS_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes of all chunk lines and trailers of a body, which are discarded. Go's client sends a line for some KiB each,
/// and no trailers.
pub const CHUNK_LINES_BYTES: usize = 16 * 1024;

/// Time for a handshake.
pub const WEBHOOK_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to the webhook that the kernel queues until they are accepted: what Linux allows by default
/// (`net.core.somaxconn`). One that finds the queue full tries again a second later.
pub const WEBHOOK_BACKLOG: i32 = 4096;

/// Bytes discarded after an early response, so that a reset does not overtake it: a body just too large, and more.
pub const WEBHOOK_LINGER_BYTES: usize = 4 << 20;

/// Time for open connections to end after the webhook's listener has closed.
pub const WEBHOOK_DRAIN_TIMEOUT: Duration = REVIEW_TIMEOUT;

/// Bytes of one warning; the API server may cut one that is longer than 256 characters.
pub const WARNING_BYTES: usize = 256;

/// Bytes of all warnings of a review; the API server drops further ones.
pub const WARNINGS_BYTES: usize = 4096;

/// Bytes of the file with the ConfigMap's `values`, which are a few settings.
pub const VALUES_BYTES: usize = 256 * 1024;

/// Poll interval of that file. kubelet needs up to a minute to update it.
pub const VALUES_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Log lines of reviewed pods within any minute: a rollout of all pods of a small cluster.
pub const REVIEW_LOG_LINES_PER_MINUTE: usize = 600;

/// Bytes of a value in a log line of the webhook, such as a warning. A line stays below `PIPE_BUF` (4096), which
/// a pipe accepts in one piece.
pub const WEBHOOK_LOG_VALUE_BYTES: usize = 512;

// ---- The webhook and the API server ----

/// Bytes of a response of the API server: a Secret has at most 1 MiB, which base64 makes 4/3 of.
pub const API_RESPONSE_BYTES: usize = 2 << 20;

/// Time for a request to the API server.
pub const API_TIMEOUT: Duration = Duration::from_secs(10);

/// The first backoff before a request to the API server that the webhook depends on is repeated.
pub const API_BACKOFF: Duration = Duration::from_secs(1);

/// The longest backoff: each is twice the one before.
pub const API_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Attempts to change the Secret or the `caBundle`. Each fails if another replica has changed it first.
pub const SECRET_ATTEMPTS: usize = 5;

/// Poll interval of the Secret and the `caBundle`: `kubectl apply` of the webhook may empty it.
pub const CA_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// The shortest time between two polls, when a client rejects the certificate: the API server does if the `caBundle` lacks
/// its CA, and so may any other client. The API server has received a new CA by the next poll.
pub const CA_POLL_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// CAs in the `caBundle`: those of three replicas that each serve a certificate of their own, and of the certificates that
/// each of them generated since, while the Secret was deleted again and again.
pub const CA_BUNDLE_CERTIFICATES: usize = 8;

/// Poll interval of the cluster's version once it is known.
pub const VERSION_POLL_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Poll interval of the webhook's lists: nodes, namespaces, LimitRanges and ResourceQuotas. A pod that is created meanwhile gets
/// the previous values.
pub const CLUSTER_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// The same of a list that the API server forbids: an administrator must grant the permission.
pub const FORBIDDEN_POLL_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Time that the start of the webhook waits for the first lists, at most: pods start without the sidecar meanwhile.
pub const CLUSTER_START_TIMEOUT: Duration = Duration::from_secs(3);

/// Items of a page of a list, as `kubectl` requests them.
pub const LIST_PAGE_ITEMS: usize = 500;

/// Pages of a list: 100,000 items. Kubernetes supports 150,000 pods in a cluster, and 5,000 nodes.
pub const LIST_PAGES: usize = 200;

/// Time for a page of a list, its items evaluated. The API server closes a request after 60 s.
pub const LIST_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an item of a list: etcd stores objects of 1.5 MiB.
pub const LIST_ITEM_BYTES: usize = 3 << 20;

/// Bytes of a list besides its items: kind, version, and the token of the next page.
pub const LIST_REST_BYTES: usize = 64 * 1024;

/// Bytes of all chunk lines of a page, which are discarded. Go's server writes a line for some KiB each, and a page has some MiB.
pub const LIST_CHUNK_LINES_BYTES: usize = 1 << 20;

/// Bytes of the annotation `probelet.dev/resources` of a namespace.
pub const NAMESPACE_RESOURCES_BYTES: usize = 4 * 1024;

/// Bytes of the annotations of all namespaces, of all LimitRanges, and of the names of all namespaces with a ResourceQuota of a
/// QoS class: those of some thousand namespaces.
pub const NAMESPACE_TABLE_BYTES: usize = 1 << 20;

/// Bytes of a LimitRange, reduced to the bounds of containers and pods. It has some hundred.
pub const LIMIT_RANGE_BYTES: usize = 4 * 1024;

/// Values in the JSON of all LimitRanges, reduced in the same way: each takes up to 300 bytes of memory. One LimitRange has
/// ten to twenty.
pub const LIMIT_RANGE_VALUES: usize = 50_000;

/// Time after which the oldest node no longer decides on the kind of sidecar if it is not Ready: a board may restart
/// slowly.
pub const OLDEST_NODE_HOLD: Duration = Duration::from_secs(60 * 60);

/// Interval of searches for pods that should be injected and are not.
pub const FIND_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Namespaces with pods that are searched.
pub const FIND_NAMESPACES: usize = 10_000;

/// Events of a search. Further pods get one at the next search.
pub const FIND_EVENTS: usize = 200;

/// Pods that the webhook remembers to have an Event, so that it does not create it again at each search.
pub const FIND_REMEMBERED_PODS: usize = 10_000;

/// Time for which it remembers them: the API server deletes an Event after an hour (`--event-ttl`).
pub const FIND_REMEMBERED_TIME: Duration = Duration::from_secs(60 * 60);

/// Bytes of a part of an Event's message. The API server accepts 1,024 of the message.
pub const EVENT_DETAIL_BYTES: usize = 512;

/// Time after the start at which pods may be evicted although there was no review yet: kubelet probes the webhook every 5 s, and
/// the nodes follow with the endpoints of its Service.
pub const REPAIR_START_DELAY: Duration = Duration::from_secs(60);

/// Poll interval for the first review until then.
pub const REPAIR_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two evictions of pods that are not injected: their apps start one by one.
pub const REPAIR_INTERVAL: Duration = Duration::from_secs(10);

/// Time between two attempts to evict, if the first is refused.
pub const REPAIR_ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// Time after a search within which its pods are evicted: their status changes.
pub const REPAIR_EVICTION_TIME: Duration = Duration::from_secs(60);

/// Evictions after a search: a second bound. [`REPAIR_INTERVAL`] and [`REPAIR_EVICTION_TIME`] allow some six.
pub const REPAIR_EVICTIONS: usize = 20;

/// Pods of a search that may be evicted: PodDisruptionBudgets may refuse the eviction of some.
pub const REPAIR_CANDIDATES: usize = 200;

/// Interval of searches while pods are evicted: the next search shows whether new pods are injected.
pub const REPAIR_FIND_INTERVAL: Duration = Duration::from_secs(30);

/// Time after its first eviction within which an owner has a new pod that is injected and ready, or loses no other pod. No other
/// owner loses a pod meanwhile. After a failed trial the next owner's begins after this time, after the next one twice the time.
pub const REPAIR_TRIAL_TIME: Duration = Duration::from_secs(10 * 60);

/// Owners of evicted pods that the webhook remembers. It evicts no pods of further ones.
pub const REPAIR_OWNERS: usize = 1_000;

/// Time for which it remembers them. If new pods of an owner are not injected either, none of its pods is evicted for this
/// long.
pub const REPAIR_OWNER_TIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Owners whose newest injected pod is remembered during a search, to tell the pods that replace evicted ones from older ones. No
/// pods of further ones are evicted.
pub const REPAIR_INJECTED_OWNERS: usize = 10_000;

/// A container that is not ready this long after its start has a probe that fails.
pub const REPAIR_START_TIME: Duration = Duration::from_secs(60);

/// Time between the start of a pod and the condition that its containers are not ready: kubelet writes both at once.
pub const REPAIR_READY_TOLERANCE: Duration = Duration::from_secs(5);

/// A container that was stopped within this time may have a probe that fails: kubelet waits for up to 5 minutes before it restarts one.
pub const REPAIR_RESTART_TIME: Duration = Duration::from_secs(10 * 60);

/// Validity of a certificate of the webhook's own CA: a year, as boards are switched off for months.
pub const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Its validity starts this long before it is issued, for clocks that are slow.
pub const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(24 * 60 * 60);

// ---- Manifests: the injector ----

/// Bytes of one document of a manifest. A List of a whole big namespace has a few MiB; the API server accepts 3 MiB
/// of one object. Parsed into a tree, a document takes thirty times its bytes and more; a List takes far less, as its items
/// are read one after the other.
pub const DOCUMENT_BYTES: usize = 32 << 20;

/// Bytes of memory to read and edit one document, or `DOCUMENT_MEMORY_RATIO` times its bytes if that is more. The limits
/// of values and edits below follow from it.
pub const DOCUMENT_MEMORY_BYTES: usize = 256 << 20;

/// See [`DOCUMENT_MEMORY_BYTES`].
pub const DOCUMENT_MEMORY_RATIO: usize = 12;

/// Estimated bytes of memory of a document's values. An ordinary document of 1.5 MiB, the most that etcd stores by
/// default, has 45 to 75 MiB of values; `[1,1,1]` has 75 times its bytes and `{k: 1}` 150 times.
pub const DOCUMENT_VALUES_BYTES: usize = 100 << 20;

/// The values may have this many times the bytes of the text if that is more than `DOCUMENT_VALUES_BYTES`.
pub const DOCUMENT_VALUES_RATIO: usize = 5;

/// Estimated bytes of the edits of one document, whatever the memory of its values leaves for them: those of one pod fit.
pub const DOCUMENT_EDITS_BYTES_MIN: usize = 8 << 20;

/// Estimated bytes of a value or a key in that memory: its node, its position and its text, as measured.
pub const DOCUMENT_NODE_BYTES: usize = 150;

/// Estimated bytes that a mapping or a sequence adds: a B-tree has space for eleven entries.
pub const DOCUMENT_COLLECTION_BYTES: usize = 750;

/// Estimated bytes of a segment of an edit's pointer: its text, allocated, and its position.
pub const SEGMENT_BYTES: usize = 48;

/// Bytes of a List whose items are read one after the other: as values a List takes thirty times its bytes. A smaller one
/// is read as a whole, so that its items may share anchors.
pub const SPLIT_LIST_BYTES: usize = 256 * 1024;

/// Nested mappings and sequences, with aliases followed. JSON readers commonly stop at 128, and the deepest object of
/// Kubernetes, a CustomResourceDefinition's schema, seldom has 40.
pub const DOCUMENT_NESTING: usize = 100;

/// Values of a document that aliases repeat. A few lines of aliases to aliases expand to billions; real manifests
/// share a probe or a block of labels.
pub const ALIASED_VALUES: usize = 100_000;

/// Bytes of keys and texts in those values. A thousand aliases of one long text repeat it a thousand times, and the
/// API server accepts 3 MiB of one object.
pub const ALIASED_BYTES: usize = 4 << 20;

/// Values in a saved text of an original, counted by commas, brackets and line breaks: anyone can edit the annotation.
/// The originals are scalars and empty collections.
pub const FRAGMENT_VALUES: usize = 1_000;

/// Times that an edit restores saved texts, fewer each time, until all of them parse to their values. Each costs a
/// parse of the document; those that depend on removed anchors are found in one.
pub const RESTORE_ATTEMPTS: usize = 8;

/// Bytes of the file of `--config`; Istio's has 60 KiB, and a ConfigMap at most 1 MiB.
pub const CONFIG_BYTES: usize = 4 << 20;

/// Bytes of an audit's findings until it has read all namespaces: some ten thousands of pods that are not injected.
pub const AUDIT_BYTES: usize = 16 << 20;
