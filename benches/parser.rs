//! Instructions that the parser of request heads executes, relative to httparse: `cargo bench --bench parser`.
//!
//! callgrind counts them, so a busy machine does not matter: the bench runs itself under valgrind, once with many
//! rounds of a case and once with none, and subtracts. Our parser also checks limits, `Host` and framing; httparse only
//! finds the fields. Prints a table and writes `target/bench/parser.json`. Without valgrind it compares times instead.

use std::fmt::Write as _;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::process::Command;
use std::time::Instant;
use std::{env, fs, io};

use probelet::limits::REQUEST_FIELDS;
use probelet::wire::request::RequestParser;

/// Set for the runs under valgrind: parser, case, rounds.
const RUN: &str = "PROBELET_PARSER_BENCH_RUN";

const ROUNDS: u64 = 500;

/// The parsers by name.
type Parser = (&'static str, fn(&[u8]));

const PARSERS: [Parser; 3] = [
    ("ours", ours),
    ("httparse", httparse_uninit),
    ("httparse, fields zeroed", httparse_zeroed),
];

fn main() -> io::Result<()> {
    if let Ok(run) = env::var(RUN) {
        repeat(&run);
        return Ok(());
    }
    let has_valgrind = Command::new("valgrind").arg("--version").output().is_ok();
    let unit = if has_valgrind {
        "instructions"
    } else {
        "nanoseconds"
    };
    if !has_valgrind {
        println!(
            "valgrind is not installed: these are times, of which only the ratios are meaningful"
        );
    }
    let mut rows = Vec::new();
    for (name, head) in cases() {
        let costs = if has_valgrind {
            count(name)?
        } else {
            time(&head)
        };
        rows.push((name, head.len(), costs));
    }
    report(unit, &rows)
}

fn ours(head: &[u8]) {
    let mut parser = RequestParser::new();
    assert!(matches!(
        black_box(parser.parse(black_box(head))),
        Ok(Some(_))
    ));
}

fn httparse_uninit(head: &[u8]) {
    let mut fields = [const { MaybeUninit::uninit() }; REQUEST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(black_box(head), &mut fields);
    assert!(black_box(status).is_ok_and(|status| status.is_complete()));
    black_box(&request);
}

fn httparse_zeroed(head: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; REQUEST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(black_box(head));
    assert!(black_box(status).is_ok_and(|status| status.is_complete()));
    black_box(&request);
}

/// The request head of kubelet 1.37, and larger ones.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    const START: &str = "GET /app-health/web/livez HTTP/1.1\r\nHost: 10.42.0.17:15020\r\n\
        User-Agent: kube-probe/1.37\r\nAccept: */*\r\n";
    const END: &str = "Connection: close\r\n\r\n";
    let around = START.len() + END.len();
    let kubelet = format!("{START}{END}");
    let cookie = "0123456789abcdef".repeat(256);
    let cookie = format!("{START}Cookie: {}\r\n{END}", &cookie[..4096 - around - 10]);
    let mut many = START.to_owned();
    let value = "Mozilla/5.0 (X11; Linux aarch64; rv:128.0)".repeat(4);
    for field in 0..90 {
        write!(many, "X-Custom-Field-{field:02}: {}\r\n", &value[..157])
            .expect("a String takes all");
    }
    let rest = 16 * 1024 - many.len() - END.len() - "X-Rest: \r\n".len();
    write!(many, "X-Rest: {}\r\n{END}", "r".repeat(rest)).expect("a String takes all");
    [
        ("kubelet's head", kubelet),
        ("4 KiB, one cookie", cookie),
        ("16 KiB, 95 fields", many),
    ]
    .map(|(name, head)| (name, head.into_bytes()))
    .into()
}

fn repeat(run: &str) {
    let [parser, case, rounds] = run.split('\n').collect::<Vec<_>>()[..] else {
        panic!("{RUN} is for the bench itself");
    };
    let (_, parse) = PARSERS
        .into_iter()
        .find(|(name, _)| *name == parser)
        .expect("a parser");
    let (_, head) = cases()
        .into_iter()
        .find(|(name, _)| *name == case)
        .expect("a case");
    for _ in 0..rounds.parse::<u64>().expect("a number of rounds") {
        parse(&head);
    }
}

/// Instructions of one round of `case`, by parser.
fn count(case: &str) -> io::Result<[f64; PARSERS.len()]> {
    let mut costs = [0.0; PARSERS.len()];
    for (cost, (parser, _)) in costs.iter_mut().zip(PARSERS) {
        let many = run_counted(parser, case, ROUNDS)?;
        let none = run_counted(parser, case, 0)?;
        *cost = (many - none) as f64 / ROUNDS as f64;
    }
    Ok(costs)
}

fn run_counted(parser: &str, case: &str, rounds: u64) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .env(RUN, format!("{parser}\n{case}\n{rounds}"))
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(io::Error::other(format!("valgrind: {log}"))),
    }
}

/// Median nanoseconds of a round for each parser, with alternating rounds.
fn time(head: &[u8]) -> [f64; PARSERS.len()] {
    let mut times = [const { Vec::new() }; PARSERS.len()];
    for _ in 0..41 {
        for (times, (_, parse)) in times.iter_mut().zip(PARSERS) {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| parse(head));
            times.push(start.elapsed().as_nanos() as f64 / ROUNDS as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn report(unit: &str, rows: &[(&str, usize, [f64; PARSERS.len()])]) -> io::Result<()> {
    println!("{unit} per head, and ours relative to httparse's");
    println!(
        "{:<20} {:>6} {:>8} {:>18} {:>18}",
        "", "bytes", "ours", "httparse", "fields zeroed"
    );
    let mut entries = Vec::new();
    for (name, bytes, [ours, uninit, zeroed]) in rows {
        let ratios = [ours / uninit, ours / zeroed];
        println!(
            "{name:<20} {bytes:>6} {ours:>8.0} {uninit:>10.0} ({:.2}x) {zeroed:>10.0} ({:.2}x)",
            ratios[0], ratios[1]
        );
        entries.push(format!(
            "  {{\"case\": \"{name}\", \"bytes\": {bytes}, \"unit\": \"{unit}\", \"ours\": {ours:.1}, \
             \"httparse\": {uninit:.1}, \"httparse_zeroed\": {zeroed:.1}, \"ratio\": {:.3}, \"ratio_zeroed\": {:.3}}}",
            ratios[0], ratios[1]
        ));
    }
    fs::create_dir_all("target/bench")?;
    fs::write(
        "target/bench/parser.json",
        format!("[\n{}\n]\n", entries.join(",\n")),
    )
}
