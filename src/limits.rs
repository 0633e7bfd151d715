//! Every capacity and deadline that shows outside: its value, its unit, and why it is that much.
//!
//! Tests run with these very values. A flag can lower a capacity, never raise it.

use core::time::Duration;

// ---- Slots: how much happens at once ----

/// Probes at once, from accept to the last byte of the answer. A pod rarely has more than a dozen
/// probers and kubelet runs each one at a time, so this leaves room for connections that idle.
pub const PROBE_SLOTS: usize = 32;

/// Lifecycle hooks at once. They may run for minutes, so they must not take the place of a probe.
pub const HOOK_SLOTS: usize = 4;

/// Connections that are read only to be told 503, when every probe slot is probing. An answer sent
/// before the request is read gets lost in a reset, so saying "full" needs a place as well.
pub const RESERVE_SLOTS: usize = 4;

/// Slot tasks and head buffers in all.
pub const SLOTS: usize = PROBE_SLOTS + HOOK_SLOTS + RESERVE_SLOTS;

/// Connections passed through at once, over all `--forward` listeners; while a listener has none, one
/// of them is kept for it, so that one hung app does not fail the probes of all.
pub const FORWARD_SLOTS: usize = 16;

/// `--forward` listeners.
pub const FORWARDS: usize = 8;

/// Bytes read or written at once. One buffer serves every connection: nothing stays in it across a
/// wait, so a slow peer of a probe holds no memory of ours. It bounds, too, what waits in one direction
/// of a forwarded connection when its reader is slow; that is allocated only then.
pub const SCRATCH_BYTES: usize = 16 * 1024;

// ---- Configuration ----

/// Probers in the table: five for each of a dozen containers, and then some.
pub const PROBERS: usize = 64;

/// Bytes of the probers' JSON. The kernel passes at most 128 KiB in one environment variable.
pub const PROBERS_JSON_BYTES: usize = 128 * 1024;

/// Seconds of `--shutdown-delay`: an hour, while pods get 30 s by default.
pub const SHUTDOWN_DELAY_SECONDS: u64 = 60 * 60;

/// Milliseconds of `--deadline-margin`. More takes too much from any probe to be meant.
pub const DEADLINE_MARGIN_MILLIS: u64 = 60 * 1000;

// ---- Request head: from anybody who reaches the status port ----

/// Bytes of a request head, first line and blank line included; also the size of a slot's buffer.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Field lines of a request head.
pub const REQUEST_FIELDS: usize = 100;

/// A request head has this long from the accept. kubelet sends it at once.
pub const REQUEST_HEAD_TIME: Duration = Duration::from_secs(1);

// ---- Response: from the app ----

/// Bytes of a response head, interim (1xx) answers included: Go's `Transport` default, which is
/// what kubelet runs with. The head is read as a stream, so this costs time, never memory.
pub const RESPONSE_HEAD_BYTES: u64 = 10 << 20;

/// Bytes of a body that kubelet reads before it stops and calls the probe a success
/// (`pkg/probe/http/http.go`: `maxRespBodyLength`).
pub const RESPONSE_BODY_BYTES: u64 = 10 * 1024;

/// Bytes of a redirect's body that Go's client reads before it follows (`net/http/client.go`:
/// `maxBodySlurpSize`).
pub const REDIRECT_BODY_BYTES: u64 = 2 * 1024;

/// Bytes of a `Location` value that are kept, and of a request-target made from one. What is longer and
/// leads to the same host is not followed, but fails the probe, where kubelet would go on; to another
/// host, which kubelet does not follow either, it may be of any length. Servers commonly stop at 8 KiB.
pub const LOCATION_BYTES: usize = 8 * 1024;

/// Requests of one probe, the first included: nine redirects are followed, the tenth fails
/// (`pkg/probe/http/http.go`: `RedirectChecker`).
pub const REDIRECT_REQUESTS: u8 = 10;

// ---- HTTP/2: from the app ----

/// Frames of an HTTP/2 connection that bring the answer no further (PING, SETTINGS, WINDOW_UPDATE, PRIORITY,
/// unknown ones, DATA of padding alone, CONTINUATION, other streams), each 256 bytes of one counting as a
/// further frame. Go reads any number; a server that pings a hook each second for an hour stays below this,
/// and a flood costs us no more than a big body.
pub const H2_IDLE_FRAMES: u16 = 10_000;

/// Bytes the app may send on the stream, and as many more on the connection: more than is ever read of a
/// body or a gRPC message, so that neither window is opened a second time. Go's client opens them at 4 MiB and 1 GiB.
pub const H2_WINDOW_BYTES: u32 = 8 << 20;

/// Bytes of a gRPC message (grpc-go: `defaultClientMaxReceiveMessageSize`). It is read as a stream.
pub const GRPC_MESSAGE_BYTES: u32 = 4 << 20;

/// How often a request is sent again, on a new connection, that an HTTP/2 app says it did not look at. Go's
/// client does so until its deadline (`net/http/h2_bundle.go`: `canRetryError`); an app that restarts
/// gracefully needs one more.
pub const HTTP2_RETRIES: u8 = 1;

// ---- Deadlines ----

/// `timeoutSeconds` of a prober that has none or 0, as the API server defaults it.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// `timeoutSeconds` beyond this counts as this: a day, longer than any probe period makes sense.
pub const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How much sooner than `timeoutSeconds` an answer is due: kubelet's clock starts before ours, and
/// its verdict has to travel back. Overridden by `--deadline-margin`.
pub const DEADLINE_MARGIN: Duration = Duration::from_millis(25);

/// A probe that takes longer than this is ended when its client goes away, so that abandoned probes of
/// a hung app hold no places. Most never get there, and so pay nothing for watching.
pub const WATCH_CLIENT_AFTER: Duration = Duration::from_millis(100);

/// The pause after a gRPC connection that did not come about, as grpc-go has it (`backoff.DefaultConfig`;
/// it varies them by a fifth, which nobody counts on).
pub const GRPC_PAUSE: Duration = Duration::from_secs(1);
/// Each pause is so much longer than the one before: 8/5.
pub const GRPC_PAUSE_GROWTH: (u32, u32) = (8, 5);
/// The longest pause.
pub const GRPC_PAUSE_MAX: Duration = Duration::from_secs(120);

/// How often, and how long each time, a probe waits for a descriptor when the process has none left:
/// one that was accepted should not be lost for that.
pub const DESCRIPTOR_TRIES: usize = 10;
/// The wait between two such tries.
pub const DESCRIPTOR_WAIT: Duration = Duration::from_millis(20);

/// Connections that the kernel keeps until they are accepted.
pub const BACKLOG: i32 = 256;

/// The pause after an accept that failed because descriptors or memory ran out: long enough not to spin.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// An answer has this long to be taken by the client, a page of `/metrics` included.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);

/// After an early answer (400, 405, 431, a pipelined request) what the client still sends is read
/// and thrown away for this long, so that the answer is not lost in a reset (RFC 9112 section 9.6).
pub const LINGER_TIME: Duration = Duration::from_millis(500);

/// Bytes thrown away while lingering.
pub const LINGER_BYTES: usize = 256 * 1024;

/// What is in flight when the listeners close has this long to end.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
pub const DRAIN_LOOK: Duration = Duration::from_millis(10);

// ---- Passthrough ----

/// A forwarded connection without a byte in either direction for this long is closed.
pub const FORWARD_IDLE_TIME: Duration = Duration::from_secs(300);

/// The same once one side has ended. A client that gave up waiting looks like one that only has nothing
/// more to say: what a hung app's probers leave behind must not keep the places for minutes.
pub const FORWARD_HALF_CLOSED_TIME: Duration = Duration::from_secs(30);

/// The target of a forward has this long to accept.
pub const FORWARD_CONNECT_TIME: Duration = Duration::from_secs(5);

// ---- TLS to the app ----

/// TLS handshakes at once; others wait their turn within their deadlines. A handshake is where TLS needs
/// memory most: an app may send 64 KiB of certificates. It is where it needs the processor, too, and
/// eight at once keep a small one busy. They are shared out among the app's ports, so that one that hangs
/// does not fail the probes of all.
pub const HANDSHAKES: usize = 8;

/// A probe's handshake has this long once it has begun, as in kubelet (`k8s.io/apimachinery`
/// `pkg/util/net/http.go`: `TLSHandshakeTimeout`), whose clients for hooks and gRPC have no such limit.
pub const TLS_HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Bytes of an app's certificates up to which its handshake's turn ends with the handshake; each slot holds
/// as much as long as it waits for the answer. A leaf and its intermediate seldom have more.
pub const LIGHT_CERTIFICATES: usize = 4 * 1024;

/// Bytes read at once, and plaintext sealed at once, of a TLS connection. rustls keeps what it has not
/// done with, so this is memory of each connection; a request head seldom has more.
pub const TLS_BYTES: usize = 4 * 1024;

/// Bytes of the app's records in a row that bring no data: session tickets, key updates and empty records
/// are free for the app to send and cost us a decryption each. No handshake needs as many.
pub const TLS_FRUITLESS_BYTES: usize = 256 * 1024;

/// Records in a row, after the handshake, that bring no data (Go `crypto/tls/common.go`: `maxUselessRecords`).
pub const TLS_USELESS_RECORDS: usize = 16;

/// Bytes of a PEM file: certificate, key or CA bundle. A distribution's whole bundle has 220 KiB.
pub const PEM_BYTES: usize = 256 * 1024;

/// How often it is looked, at most, whether a certificate has been renewed. kubelet itself takes up to a
/// minute to bring a changed Secret to the pod.
pub const PEM_LOOK: Duration = Duration::from_secs(1);

/// Seconds from 1970 to the start of 2026, the year of this code: a clock that is before that has not been
/// set since the board was switched on.
pub const CLOCK_IS_SET_FROM: u64 = 1_767_225_600;

// ---- Log ----

/// Log lines within any minute of one prober, and of each other source (unknown paths, bad requests). The
/// next line has the number of suppressed ones as `suppressed=N`. An SD card must not wear out.
pub const LOG_LINES_PER_MINUTE: usize = 6;

/// Bytes of a value in a log line of the agent; what is longer is cut. A line has up to 2 KiB.
pub const LOG_VALUE_BYTES: usize = 256;

// ---- The admission webhook ----

/// Bytes of an admission review. etcd takes objects of 1.5 MiB, and a review of an update has two of them.
pub const REVIEW_BYTES: usize = 3 << 20;

/// Bytes of reviews being received, all together; what comes on top waits unread. Pods are of some KiB, so this
/// is thousands of them.
pub const REVIEWS_BYTES: usize = 32 << 20;

/// Values in the JSON of a review, by a count of what separates them. A pod has some hundreds; 3 MiB of brackets
/// would become a hundred MiB of values, and keep the reviews behind it waiting.
pub const REVIEW_VALUES: usize = 30_000;

/// Items of an annotation that lists containers, ports or forwards: each is compared with each probe of the pod.
pub const ANNOTATION_ITEMS: usize = 256;

/// Containers of a pod that is injected, init containers among them. The agent's table has 64 probers, and nobody
/// else's pod is to wait for one that has thousands.
pub const REVIEW_CONTAINERS: usize = 100;

/// A request has this long from its first byte to our answer: the API server's own default (`timeoutSeconds` of a
/// webhook). It says with each how long it waits, and what is less holds instead.
pub const REVIEW_TIME: Duration = Duration::from_secs(10);

/// A request's head has this long from its first byte. The API server sends it at once.
pub const WEBHOOK_HEAD_TIME: Duration = Duration::from_secs(5);

/// A request's body has this long from when there is room for it: whoever keeps room must make use of it.
pub const WEBHOOK_BODY_TIME: Duration = Duration::from_secs(5);

/// A connection without a request for this long is closed. Go's client closes one after 90 s, and should be the
/// one that does: a request sent to a connection that is just closing has to be sent again.
pub const WEBHOOK_IDLE_TIME: Duration = Duration::from_secs(120);

/// Connections at once. When they are all taken, the one whose request's head is unfinished longest makes room,
/// and where there is none, the one that has been idle longest.
pub const WEBHOOK_CONNECTIONS: usize = 1024;

/// Connections at once whose TLS handshake is not done; others wait in the kernel. A client may make us keep
/// 64 KiB of one.
pub const WEBHOOK_HANDSHAKES: usize = 128;

/// Bytes that rustls keeps of a connection while they cannot be sent: an answer is written bit by bit.
pub const WEBHOOK_TLS_BYTES: usize = 64 * 1024;

/// Bytes of chunk lines and trailers of a body, all together, that are passed over. Go's client sends a line for
/// some KiB each, and no trailers.
pub const CHUNK_LINES_BYTES: usize = 16 * 1024;

/// A handshake has this long.
pub const WEBHOOK_HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// A handshake that has taken this long ends when another connection waits for its place.
pub const WEBHOOK_HANDSHAKE_STALE: Duration = Duration::from_secs(1);

/// Connections to the webhook that the kernel keeps until they are accepted.
pub const WEBHOOK_BACKLOG: i32 = 1024;

/// Bytes thrown away after an early answer, so that it is not lost in a reset: a body just too large, and more.
pub const WEBHOOK_LINGER_BYTES: usize = 4 << 20;

/// What is in flight when the webhook's listener closes has this long to end.
pub const WEBHOOK_DRAIN_TIME: Duration = REVIEW_TIME;

/// Bytes of one warning; the API server may cut what is longer than 256 characters.
pub const WARNING_BYTES: usize = 256;

/// Bytes of all warnings of a review; the API server drops those that go over it.
pub const WARNINGS_BYTES: usize = 4096;

/// Bytes of the file with the ConfigMap's `values`. It is a handful of settings.
pub const VALUES_BYTES: usize = 256 * 1024;

/// How often it is looked, at most, whether that file has changed. kubelet takes up to a minute to bring it.
pub const VALUES_LOOK: Duration = Duration::from_secs(1);

/// Log lines of reviewed pods within any minute: a rollout of all that a small cluster has.
pub const REVIEW_LOG_LINES_PER_MINUTE: usize = 600;

/// Bytes of a value in a log line of the webhook, such as a warning. A line stays below `PIPE_BUF` (4096), which
/// a pipe accepts at once.
pub const WEBHOOK_LOG_VALUE_BYTES: usize = 512;

// ---- The webhook and the API server ----

/// Bytes of an answer of the API server: a Secret has at most 1 MiB, which base64 makes 4/3 of.
pub const API_ANSWER_BYTES: usize = 2 << 20;

/// Field lines of its answers. It sends a dozen; what stands before it may add to them.
pub const API_FIELDS: usize = 100;

/// A request to the API server has this long.
pub const API_TIME: Duration = Duration::from_secs(10);

/// The first pause before the API server is asked again for what the webhook cannot be without.
pub const API_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause: each is twice the one before.
pub const API_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often another replica may be quicker to change the Secret before that is an error.
pub const SECRET_TRIES: usize = 5;

/// How often the Secret and the `caBundle` are looked at: `kubectl apply` of the webhook may empty it.
pub const CA_LOOK: Duration = Duration::from_secs(60);

/// How often the cluster is asked for its version once it is known.
pub const VERSION_LOOK: Duration = Duration::from_secs(60 * 60);

/// A certificate of our own is good for this long: a year. Boards are switched off for months.
pub const CERTIFICATE_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// It is valid this long before it is made, for clocks that are behind.
pub const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(24 * 60 * 60);

// ---- Manifests: the injector's side ----

/// Bytes of one document of a manifest. A List with everything of a big namespace has a few MiB; the API
/// server takes 3 MiB of one object. What is read into a tree takes some twenty times its bytes.
pub const DOCUMENT_BYTES: usize = 32 << 20;

/// Mappings and sequences inside one another, aliases followed. JSON readers commonly stop at 128, and the
/// deepest object of Kubernetes, a CustomResourceDefinition's schema, seldom has 40.
pub const DOCUMENT_NESTING: usize = 100;

/// Values of a document that come from following aliases. A few lines of aliases to aliases stand for
/// billions; manifests share a probe or a block of labels.
pub const ALIASED_VALUES: usize = 100_000;

/// Bytes of keys and texts in those values. One long text with a thousand aliases stands for a thousand of it,
/// and the API server takes 3 MiB of one object.
pub const ALIASED_BYTES: usize = 4 << 20;

/// Times that an edit puts kept texts back, fewer each time, until all of them read as their values. Each costs a
/// parse of the document; those that rest on anchors that are gone are found in one.
pub const RESTORE_ATTEMPTS: usize = 8;

/// Bytes of the file of `--config`; Istio's has 60 KiB, and no ConfigMap has over 1 MiB.
pub const CONFIG_BYTES: usize = 4 << 20;

/// Bytes of what an audit keeps until it has seen all namespaces: some ten thousands of pods that are not injected.
pub const AUDIT_BYTES: usize = 16 << 20;
