//! `/metrics`: every line is valid, and every probe is counted once.

use std::net::{Ipv4Addr, TcpListener};

use libtest_mimic::Trial;

use crate::slots::hold;
use crate::support::agent::Agent;
use crate::support::observe::until;
use crate::support::ports::reserve;
use crate::support::prometheus::Page;
use crate::support::raw::{connect, get, probe, send};
use crate::support::switchable_app::{ReplyMode, SwitchableApp};
use crate::support::table::{Table, agent_with};
use crate::support::trials::trials;
use probelet::limits::PROBES_PER_PROBER;

use crate::log::{LIVEZ, fixture, probe_as};

pub fn tests() -> Vec<Trial> {
    trials!["metrics":
        every_probe_is_counted_by_path_and_code,
        the_first_six_codes_of_a_path_are_exact_and_the_rest_other,
        failures_are_counted_by_reason,
        the_histogram_counts_every_probe,
        the_metrics_parser_is_strict,
        metrics_report_build_memory_and_open_connections,
    ]
}

fn metrics(agent: &Agent) -> Page {
    let page = probe(agent, "/metrics");
    page.assert_ended(200);
    let kind = page.field("content-type").expect("a media type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    Page::parse(str::from_utf8(page.body()).expect("UTF-8")).expect("Prometheus' text format")
}

fn every_probe_is_counted_by_path_and_code() {
    let (app, agent) = fixture(&[]);
    for (status, times) in [(200, 5), (500, 3), (302, 2)] {
        (0..times).for_each(|_| probe_as(&app, &agent, status));
    }
    probe(&agent, "/no").assert_is(404);
    let codes = [("200", 5.0), ("302", 2.0), ("500", 3.0)].map(|(code, n)| (code.to_string(), n));
    let page = metrics(&agent);
    assert_eq!(page.by("probelet_probes_total", "code"), codes.into());
    assert_eq!(
        page.get("probelet_probes_total", &[("path", LIVEZ), ("code", "200")]),
        Some(5.0)
    );
}

fn the_first_six_codes_of_a_path_are_exact_and_the_rest_other() {
    let (app, agent) = fixture(&[]);
    for status in [503, 200, 201, 202, 203, 404, 500, 501, 200, 502, 503, 500] {
        probe_as(&app, &agent, status);
    }
    let codes = metrics(&agent).by("probelet_probes_total", "code");
    let expected = [
        ("503", 2.0),
        ("200", 2.0),
        ("201", 1.0),
        ("202", 1.0),
        ("203", 1.0),
        ("404", 1.0),
        ("other", 4.0),
    ];
    assert_eq!(
        codes,
        expected.map(|(code, n)| (code.to_string(), n)).into()
    );
}

fn failures_are_counted_by_reason() {
    let (app, agent) = fixture(&[]);
    app.set(ReplyMode::Close);
    (0..2).for_each(|_| probe(&agent, LIVEZ).assert_is(502));
    drop(app);
    (0..3).for_each(|_| probe(&agent, LIVEZ).assert_is(502));
    let page = metrics(&agent);
    for (reason, count) in [("closed_early", 2.0), ("connection_refused", 3.0)] {
        let found = page.get("probelet_probe_failures_total", &[("reason", reason)]);
        assert_eq!(found, Some(count), "{reason}");
    }
}

fn the_histogram_counts_every_probe() {
    let (app, agent) = fixture(&[]);
    let probes = 25;
    (0..probes).for_each(|n| probe_as(&app, &agent, 200 + n));
    let page = metrics(&agent);
    let count = page
        .get("probelet_probe_duration_seconds_count", &[])
        .expect("a count");
    let sum = page
        .get("probelet_probe_duration_seconds_sum", &[])
        .expect("a sum");
    assert_eq!(count, f64::from(probes));
    assert!(sum > 0.0 && sum < 20.0 * count, "{sum} s");
    let mut buckets: Vec<_> = page
        .by("probelet_probe_duration_seconds_bucket", "le")
        .into_iter()
        .collect();
    let bound = |le: &str| {
        if le == "+Inf" {
            f64::INFINITY
        } else {
            le.parse().expect("a number")
        }
    };
    buckets.sort_by(|(a, _), (b, _)| bound(a).total_cmp(&bound(b)));
    let (last, all) = buckets.last().expect("buckets");
    assert_eq!((last.as_str(), *all), ("+Inf", count));
    assert!(buckets.len() > 4, "{buckets:?}");
    assert!(
        buckets.windows(2).all(|w| w[0].1 <= w[1].1),
        "never less in a wider one: {buckets:?}"
    );
    assert_eq!(
        page.by("probelet_probes_total", "code")
            .values()
            .sum::<f64>(),
        count
    );
}

fn metrics_report_build_memory_and_open_connections() {
    let app = SwitchableApp::start(ReplyMode::Hold);
    let raw = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let listen = reserve();
    let forward = format!(
        "--forward={}={}",
        listen.port,
        raw.local_addr().expect("bound")
    );
    let agent = agent_with(&Table::new().http(LIVEZ, app.port(), 60), &[&forward]);
    let open = |kind: &str| metrics(&agent).get("probelet_open_connections", &[("kind", kind)]);
    assert_eq!(
        (open("status"), open("forward")),
        (Some(1.0), Some(0.0)),
        "the one of this request"
    );
    // Two probes, and a request that waits for them.
    let held = hold(&agent, &app, LIVEZ, PROBES_PER_PROBER);
    let waiting = send(agent.addr(), &get(LIVEZ));
    let forwarded: Vec<_> = (0..2)
        .map(|_| {
            (
                connect((Ipv4Addr::LOCALHOST, listen.port).into()),
                raw.accept().expect("dialled"),
            )
        })
        .collect();
    assert_eq!((open("status"), open("forward")), (Some(4.0), Some(2.0)));
    app.set(ReplyMode::Status(200));
    drop((held, waiting, forwarded));
    until("all are closed", || {
        (open("status")? == 1.0 && open("forward")? == 0.0).then_some(())
    });
    let page = metrics(&agent);
    assert!(
        page.get("process_resident_memory_bytes", &[])
            .is_some_and(|bytes| bytes > 4096.0)
    );
    assert_eq!(
        page.get(
            "probelet_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        Some(1.0)
    );
}

fn the_metrics_parser_is_strict() {
    let typed = "# HELP a what it is\n# TYPE a counter\n";
    let page =
        Page::parse(&format!("{typed}a{{x=\"1\",y=\"\\\"\\n\"}} 2e-05\na 3\n")).expect("a page");
    assert_eq!(page.get("a", &[("y", "\"\n"), ("x", "1")]), Some(2e-5));
    assert_eq!(page.get("a", &[]), Some(3.0));
    for wrong in [
        "a",
        "a{} x",
        "a{x=1} 2",
        "a{x=\"1} 2",
        "a{x=\"\\d\"} 2",
        "a 1\na 2",
        "b 1",
        " a 1",
        "9a 1",
    ] {
        let text = format!("{typed}{wrong}\n");
        assert!(Page::parse(&text).is_err(), "took {wrong:?}");
    }
}
