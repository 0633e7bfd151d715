//! The page in pieces of any size, and the counters of each outcome.

use super::*;
use crate::probe::Outcome;
use core::time::Duration;

const TABLE: &str = r#"{"/app-health/a/livez":{"httpGet":{"port":1}},
    "/app-health/b/livez":{"tcpSocket":{"port":2}}}"#;
const GAUGES: Gauges = Gauges {
    status_connections: 3,
    forward_connections: 4,
    #[cfg(feature = "tls")]
    not_after: Vec::new(),
    resident_bytes: Some(5),
};

fn page(metrics: &Metrics, bytes: usize) -> String {
    let probers = Probers::parse(TABLE).expect("a table");
    let (mut text, mut line, mut out) = (Vec::new(), 0, vec![0; bytes]);
    loop {
        let piece = write_piece(metrics, &probers, &GAUGES, line, &mut out);
        if piece.bytes == 0 {
            return String::from_utf8(text).expect("text");
        }
        text.extend_from_slice(&out[..piece.bytes]);
        line = piece.next_line;
    }
}

#[test]
fn a_page_is_the_same_in_pieces_of_any_size() {
    let metrics = Metrics::new(2);
    metrics.count_probe(0, Outcome::Answered(200), Some(Duration::from_micros(1500)));
    let whole = page(&metrics, 16 * 1024);
    assert!(whole.contains("probelet_probe_duration_seconds_sum 0.001500\n"));
    let longest = whole.lines().map(str::len).max().expect("lines") + 1;
    for bytes in longest..longest + 300 {
        assert_eq!(page(&metrics, bytes), whole, "in pieces of {bytes}");
    }
}

#[test]
fn the_first_six_codes_of_a_path_are_exact_and_the_rest_other() {
    let metrics = Metrics::new(2);
    for code in [200, 500, 501, 502, 503, 504, 404, 403, 200] {
        metrics.count_probe(1, Outcome::Answered(code), None);
    }
    let page = page(&metrics, 16 * 1024);
    let count = |code: &str| {
        let start =
            format!("probelet_probes_total{{path=\"/app-health/b/livez\",code=\"{code}\"}} ");
        page.lines()
            .find_map(|line| line.strip_prefix(&start))
            .map(str::to_owned)
    };
    assert_eq!(count("200").as_deref(), Some("2"));
    assert_eq!(count("504").as_deref(), Some("1"));
    assert_eq!(count("404"), None);
    assert_eq!(count("other").as_deref(), Some("2"));
}

#[test]
fn each_reason_has_a_counter_of_its_own_label() {
    let metrics = Metrics::new(2);
    for (n, failure) in Failure::ALL.iter().copied().enumerate() {
        (0..=n).for_each(|_| metrics.count_probe(0, Outcome::Failed(failure), None));
    }
    for (n, rejection) in Rejection::ALL.into_iter().enumerate() {
        (0..=n).for_each(|_| metrics.count_rejection(rejection));
    }
    let page = page(&metrics, 16 * 1024);
    for (n, failure) in Failure::ALL.iter().copied().enumerate() {
        let line = format!(
            "failures_total{{reason=\"{}\"}} {}\n",
            failure.as_str(),
            n + 1
        );
        assert!(page.contains(&line), "{line}");
    }
    for (n, rejection) in Rejection::ALL.into_iter().enumerate() {
        let line = format!(
            "rejected_total{{reason=\"{}\"}} {}\n",
            rejection.as_str(),
            n + 1
        );
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn grpc_errors_are_counted_by_code_once_there_are_any() {
    let metrics = Metrics::new(2);
    assert!(!page(&metrics, 16 * 1024).contains("grpc_code"));
    for code in [14, 14, 5, 17, u32::MAX] {
        metrics.count_probe(0, Outcome::GrpcError(GrpcCode(code)), None);
    }
    let page = page(&metrics, 16 * 1024);
    let lines = page.lines().filter(|line| line.contains("grpc_code"));
    let start = "probelet_grpc_errors_total{grpc_code=";
    let expected = ["\"NOT_FOUND\"} 1", "\"UNAVAILABLE\"} 2", "\"other\"} 2"];
    let expected = expected.map(|end| format!("{start}{end}"));
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    assert!(page.contains("probelet_probe_failures_total{reason=\"grpc_error\"} 5\n"));
}
