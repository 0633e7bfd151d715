//! gRPC probes of the agent: refused connects, statuses, and their log.

use libtest_mimic::Trial;

use crate::support::TLS;
use crate::support::agent::Agent;
use crate::support::certs::Identity;
use crate::support::connection_scripted_app::{Action, ConnectionScriptedApp, send as send_bytes};
use crate::support::faults::grpc::{failing, serving};
use crate::support::faults::{FINE, answer};
use crate::support::frames::{END_STREAM, head, headers, settings};
use crate::support::observe::{logged, until};
use crate::support::path_scripted_app::{PathScriptedApp, Step};
use crate::support::ports::reserve;
use crate::support::raw::{get, probe, read_to_end, send};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;

const LIVEZ: &str = "/app-health/web/livez";
const READYZ: &str = "/app-health/web/readyz";

/// The tests.
pub fn tests() -> Vec<Trial> {
    trials!["grpc_probes":
        a_refused_dial_is_retried_before_the_deadline,
        a_refused_dial_without_time_for_another_fails_at_once,
        the_status_of_a_failed_call_is_logged,
        the_call_is_the_one_kubelet_makes,
        an_app_that_floods_before_the_call_does_not_delay_others,
    ]
}

fn agent(port: u16, seconds: u32) -> Agent {
    let members = format!(r#""grpc":{{"port":{port},"service":"up"}},"timeoutSeconds":{seconds}"#);
    agent_with(&Table::new().prober(LIVEZ, &members), &[])
}

fn a_refused_dial_is_retried_before_the_deadline() {
    let reserved = reserve();
    let agent = agent(reserved.port, 30);
    let mut client = send(agent.addr(), &get(LIVEZ));
    // With the test's own connection these are two: the probe is in flight, so its connect was refused.
    until("the probe is under way", || {
        let open = agent.metric(r#"probelet_open_connections{kind="status"}"#)?;
        (open >= 2.0).then_some(())
    });
    let app = ConnectionScriptedApp::start_on(reserved.port, None, vec![serving()]);
    read_to_end(&mut client).assert_is(200);
    assert_eq!(app.accepted(), 1);
}

fn a_refused_dial_without_time_for_another_fails_at_once() {
    let reserved = reserve();
    let agent = agent(reserved.port, 1);
    probe(&agent, LIVEZ).assert_is(502);
    logged(&agent, "reason=connection_refused ");
}

fn the_status_of_a_failed_call_is_logged() {
    for (status, code, label) in [
        ("14", "UNAVAILABLE", "UNAVAILABLE"),
        ("5", "NOT_FOUND", "NOT_FOUND"),
        ("99", "99", "other"),
    ] {
        let app = ConnectionScriptedApp::start(None, vec![failing(status)]);
        let agent = agent(app.port(), 10);
        probe(&agent, LIVEZ).assert_is(502);
        logged(&agent, &format!("reason=grpc_error grpc_code={code} "));
        let series = format!(r#"probelet_grpc_errors_total{{grpc_code="{label}"}}"#);
        assert_eq!(agent.metric(&series), Some(1.0));
        let sum = r#"probelet_probe_failures_total{reason="grpc_error"}"#;
        assert_eq!(agent.metric(sum), Some(1.0));
    }
}

/// One HEADERS frame, then one DATA frame with the message, which ends the stream.
fn the_call_is_the_one_kubelet_makes() {
    use crate::support::frames::{DATA, END_HEADERS, HEADERS};
    let app = ConnectionScriptedApp::start(None, vec![serving()]);
    probe(&agent(app.port(), 10), LIVEZ).assert_is(200);
    let frames = app.frames();
    let of = |kind| frames.iter().filter(move |frame| frame.kind == kind);
    let heads: Vec<_> = of(HEADERS).collect();
    assert_eq!(heads.len(), 1, "{frames:?}");
    assert_eq!(heads[0].flags & END_STREAM, 0);
    assert_eq!(heads[0].flags & END_HEADERS, END_HEADERS);
    let data: Vec<u8> = of(DATA).flat_map(|frame| frame.payload.clone()).collect();
    assert_eq!(data, b"\0\0\0\0\x04\x0a\x02up");
    let ends = of(DATA)
        .next_back()
        .is_some_and(|f| f.flags & END_STREAM != 0);
    assert!(ends, "{frames:?}");
    assert!(frames.iter().all(|frame| matches!(frame.stream, 0 | 1)));
}

/// A response before the call is ignored, and an endless flood is not read until the deadline.
fn an_app_that_floods_before_the_call_does_not_delay_others() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const CALLS: usize = 4;
    let fields = [("content-type", "application/grpc"), ("grpc-status", "0")];
    let early = headers(END_STREAM, &head("200", &fields));
    let fine = PathScriptedApp::start();
    fine.set_default(answer(FINE));
    for (early, mode) in [(&early[..], ""), (&[], ""), (&early, r#","mode":"TLS""#)] {
        if !TLS && !mode.is_empty() {
            continue;
        }
        let first = [&settings(&[(MAX_CONCURRENT_STREAMS, 0)])[..], early].concat();
        // More bytes than the agent reads at once, so that it always finds bytes to read.
        let flood = Action::Step(Step::Flood(vec![0; 1 << 20], u64::MAX));
        let server_tls = Identity::self_signed().server_tls(&["h2"], None);
        let server_tls = server_tls.filter(|_| !mode.is_empty());
        let app = ConnectionScriptedApp::start(server_tls, vec![vec![send_bytes(first), flood]]);
        let members = format!(
            r#""grpc":{{"port":{}{mode}}},"timeoutSeconds":2"#,
            app.port()
        );
        let path = |number| format!("/app-health/flood{number}/livez");
        let mut table = Table::new().http(READYZ, fine.port(), 2);
        for number in 0..CALLS {
            table = table.prober(&path(number), &members);
        }
        let agent = agent_with(&table, &[]);
        let send = |number| send(agent.addr(), &get(&path(number)));
        let mut clients: Vec<_> = (0..CALLS).map(send).collect();
        until("the calls are tried", || {
            (app.accepted() >= CALLS).then_some(())
        });
        probe(&agent, READYZ).assert_is(200);
        for client in &mut clients {
            let code = read_to_end(client).code();
            assert!(matches!(code, Some(502 | 504)), "{code:?}");
        }
        assert!(app.accepted() > CALLS, "none was cut off and tried again");
    }
}
