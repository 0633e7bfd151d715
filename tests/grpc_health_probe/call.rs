//! What is sent to the server, and the list of flags.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use super::{ORIGINAL, original, ours};
use crate::support::Need;
use crate::support::command::run_to_end;
use crate::support::connection_scripted_app::ConnectionScriptedApp;
use crate::support::faults::grpc::serving;
use crate::support::trials::trials;

pub fn tests() -> Vec<Trial> {
    trials!["grpc_health_probe::call" needs &[Need::Peer(ORIGINAL)];
        an_illegal_header_ends_the_probe_before_the_call,
        the_flags_are_those_of_the_original,
    ]
}

/// The type of an HTTP/2 frame with the head of a call.
const HEADERS: u8 = 1;

fn an_illegal_header_ends_the_probe_before_the_call() {
    for command in [original, ours] {
        let calls = |header: &str, code: i32| {
            let app = ConnectionScriptedApp::start(None, vec![serving()]);
            let addr = format!("-addr=127.0.0.1:{}", app.port());
            let ended = run_to_end(command(&[
                &addr,
                header,
                "-connect-timeout=15s",
                "-rpc-timeout=15s",
            ]));
            assert_eq!(ended.status.code(), Some(code), "{ended:?}");
            let frames = app.frames();
            let heads = frames.iter().filter(|frame| frame.kind == HEADERS);
            heads.count()
        };
        assert_eq!(calls("-rpc-header=a: b", 0), 1);
        assert_eq!(calls("-rpc-header=a b: c", 3), 0);
    }
}

/// The tests of `grpc_health_probe` have a case of each.
fn the_flags_are_those_of_the_original() {
    let flags = |help: String| -> BTreeSet<String> {
        let lines = help
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('-'));
        let names = lines.filter_map(|line| line.split([' ', '\t', ',']).next());
        names.map(String::from).collect()
    };
    let expected = [
        "addr",
        "alts",
        "connect-timeout",
        "gzip",
        "rpc-header",
        "rpc-timeout",
        "service",
        "spiffe",
        "tls",
        "tls-ca-cert",
        "tls-client-cert",
        "tls-client-key",
        "tls-no-verify",
        "tls-server-name",
        "user-agent",
        "v",
        "version",
    ];
    let original = flags(run_to_end(original(&["-h"])).stderr);
    assert!(original.iter().eq(expected), "{original:?}");
    let own = flags(run_to_end(ours(&["-h"])).stderr);
    let missing: Vec<_> = original.difference(&own).collect();
    assert!(missing.is_empty(), "{missing:?} of {own:?}");
}
