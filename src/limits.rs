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

/// The rest after an accept that failed for want of descriptors or memory.
pub const ACCEPT_REST: Duration = Duration::from_millis(50);

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

/// Lines a minute of one prober, and of each other source (unknown paths, bad requests); what is
/// over is counted and told as `suppressed=N` with the next line. An SD card must not wear out.
pub const LOG_LINES_A_MINUTE: usize = 6;
