//! Allocations of a probe. The agent runs on a thread of this process, and the allocator counts the allocations of that
//! thread. A process has one allocator, so this is a separate test binary.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};

use libtest_mimic::Arguments;

use support::connection_scripted_app::ConnectionScriptedApp;
use support::faults::{grpc, http2};
use support::observe::until;
use support::ports::{Reserved, reserve};
use support::raw::{exchange, get};
use support::switchable_app::{ReplyMode, SwitchableApp};
use support::table::Table;
use support::trials::trials;

/// The system's allocator, with a count of the allocations of the agent's thread.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);
static SMALLEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this is the agent's thread.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count(allocated: usize, freed: usize) {
    if !COUNTED.get() {
        return;
    }
    LIVE_BYTES.fetch_add(allocated as isize - freed as isize, SeqCst);
    if allocated > 0 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        SMALLEST.fetch_min(allocated, SeqCst);
        LARGEST.fetch_max(allocated, SeqCst);
    }
}

// SAFETY: every call is passed unchanged to the system's allocator; counting uses atomics and a thread-local without a
// destructor, neither of which allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The counts belong to the process, so the tests run in sequence.
    arguments.test_threads = Some(1);
    let trials = trials!["allocations":
        an_http_probe_allocates_only_queue_blocks,
        a_tcp_probe_allocates_only_queue_blocks,
        several_handlers_allocate_only_queue_blocks,
        a_followed_redirect_allocates_only_queue_blocks,
        a_failing_probe_allocates_only_queue_blocks,
        a_hook_allocates_only_queue_blocks,
        a_grpc_probe_allocates_only_queue_blocks,
        an_http2_probe_allocates_only_queue_blocks,
        other_requests_allocate_only_queue_blocks,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";
const STARTUPZ: &str = "/app-health/web/startupz";
const GRPC: &str = "/app-health/grpc/livez";
const SEVERAL: &str = "/app-health/several/livez";
const HTTP2: &str = "/app-health/http2/livez";
const FAILING: &str = "/app-health/gone/livez";
const PRESTOP: &str = "/app-lifecycle/web/prestopz";

/// The agent on its thread, which runs until the process exits, and its app.
struct Fixture {
    status: Reserved,
    _apps: [SwitchableApp; 2],
    _scripted: [ConnectionScriptedApp; 2],
    _refusing: Reserved,
}

impl Fixture {
    fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.status.port).into()
    }
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let (app, target) = (
        SwitchableApp::start(ReplyMode::RedirectTo(0)),
        SwitchableApp::start(ReplyMode::Status(200)),
    );
    app.set(ReplyMode::RedirectTo(target.port()));
    let (status, refusing) = (reserve(), reserve());
    let tcp = format!(r#""tcpSocket":{{"port":{}}}"#, target.port());
    let headers = format!(
        r#""httpGet":{{"port":{},"path":"/x?y","httpHeaders":[{{"name":"Host","value":"a"}},{{"name":"X-Y","value":"z"}}]}}"#,
        target.port()
    );
    let get = format!(r#""httpGet":{{"port":{},"path":"/"}}"#, target.port());
    let several = format!(
        r#""all":[{{{get},"redirects":"none","expect":{{"status":"200-299,401"}}}},{{{tcp},"target":"loopback"}}]"#
    );
    let scripted = [grpc::serving(), http2::serving()];
    let scripted = scripted.map(|play| ConnectionScriptedApp::start(None, vec![play]));
    let [grpc, http2] = &scripted;
    let grpc = format!(r#""grpc":{{"port":{},"service":"up"}}"#, grpc.port());
    let http2 = format!(
        r#""httpGet":{{"port":{},"protocol":"HTTP2"}}"#,
        http2.port()
    );
    let table = Table::new()
        .prober(LIVEZ, &headers)
        .prober(READYZ, &tcp)
        .prober(SEVERAL, &several)
        .prober(GRPC, &grpc)
        .prober(HTTP2, &http2)
        .http(STARTUPZ, app.port(), 5)
        .http(FAILING, refusing.port, 5)
        .http(PRESTOP, target.port(), 5);
    let port = status.port.to_string();
    let args = [
        "run",
        "--log-level",
        "error",
        "--status-port",
        &port,
        "--app-probers",
        &table.json(),
    ];
    let args: Vec<_> = args.map(Into::into).into();
    std::thread::spawn(|| {
        COUNTED.set(true);
        let parsed = probelet::cli::parse(args.into_iter(), |_| None);
        let Ok(probelet::cli::Invocation::Run(config)) = parsed else {
            panic!("not a well-formed run: {parsed:?}");
        };
        probelet::agent::run(config).expect("serves for good");
    });
    let fixture = Fixture {
        status,
        _apps: [app, target],
        _scripted: scripted,
        _refusing: refusing,
    };
    until("the agent listens", || {
        TcpStream::connect(fixture.addr()).ok()
    });
    fixture
});

/// The executor's queue allocates a block for every 31 wake-ups (`concurrent-queue`: `Block`): a pointer to the next block
/// and 31 slots of two words.
const BLOCK_BYTES: usize = size_of::<usize>() * (1 + 2 * 31);

/// The maximum of wake-ups of a probe, from the accept to the release of the slot.
const WAKE_UPS: usize = 6;

/// Probes that are counted, after as many that are not: some buffers grow on demand.
const PROBES: usize = 2_000;
const WARM_UP: usize = 200;

/// Asserts that this request allocates blocks of the executor's queue and nothing else.
fn assert_allocates_nothing(path: &str, status: u16) {
    let probe = |times: usize| {
        (0..times).for_each(|_| exchange(FIXTURE.addr(), &get(path)).assert_ended(status));
    };
    probe(WARM_UP);
    SMALLEST.store(usize::MAX, SeqCst);
    LARGEST.store(0, SeqCst);
    let (allocations, live) = (ALLOCATIONS.load(SeqCst), LIVE_BYTES.load(SeqCst));
    probe(PROBES);
    let allocations = ALLOCATIONS.load(SeqCst) - allocations;
    let grown = LIVE_BYTES.load(SeqCst) - live;
    // The queue is empty between two probes, but the position in its block varies.
    assert!(
        grown <= BLOCK_BYTES as isize,
        "{grown} bytes more after {PROBES} probes"
    );
    assert!(allocations > 0, "the allocator does not count");
    let sizes = (SMALLEST.load(SeqCst), LARGEST.load(SeqCst));
    assert_eq!(
        sizes,
        (BLOCK_BYTES, BLOCK_BYTES),
        "something else than the queue's blocks"
    );
    let blocks = PROBES * WAKE_UPS / 31;
    assert!(
        allocations <= blocks,
        "{allocations} blocks, {blocks} for {WAKE_UPS} wake-ups a probe"
    );
}

fn an_http_probe_allocates_only_queue_blocks() {
    assert_allocates_nothing(LIVEZ, 200);
}

fn a_tcp_probe_allocates_only_queue_blocks() {
    assert_allocates_nothing(READYZ, 200);
}

fn several_handlers_allocate_only_queue_blocks() {
    assert_allocates_nothing(SEVERAL, 200);
}

fn a_followed_redirect_allocates_only_queue_blocks() {
    assert_allocates_nothing(STARTUPZ, 200);
}

fn a_failing_probe_allocates_only_queue_blocks() {
    assert_allocates_nothing(FAILING, 502);
}

fn a_hook_allocates_only_queue_blocks() {
    assert_allocates_nothing(PRESTOP, 200);
}

fn a_grpc_probe_allocates_only_queue_blocks() {
    assert_allocates_nothing(GRPC, 200);
}

fn an_http2_probe_allocates_only_queue_blocks() {
    assert_allocates_nothing(HTTP2, 200);
}

fn other_requests_allocate_only_queue_blocks() {
    for (path, status) in [("/metrics", 200), ("/healthz/ready", 200), ("/no", 404)] {
        assert_allocates_nothing(path, status);
    }
}
