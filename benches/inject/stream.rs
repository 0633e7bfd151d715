//! Documents through `probelet-inject file -f -`: documents per second, and memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::shared::stats::{Spread, ratios};
use crate::{Figure, Outcome, memory};

/// The result of one run.
struct Run {
    seconds: f64,
    peak_kib: f64,
}

/// A Deployment with three probes and comments, as people write them.
fn deployment(number: usize) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{number}
spec:
  replicas: 2 # for the second node
  selector:
    matchLabels:
      app: web-{number}
  template:
    metadata:
      labels:
        app: web-{number}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        ports:
        - name: http
          containerPort: 8080
        # Alive as long as it answers.
        livenessProbe:
          httpGet:
            path: /live
            port: http
        readinessProbe:
          tcpSocket:
            port: http
        startupProbe:
          httpGet:
            path: /started
            port: 8080
          failureThreshold: 30
---
"
    )
}

/// A document with the same number of lines, of a kind without pods.
fn config_map(number: usize) -> String {
    let head =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: words-{number}\ndata:\n");
    let lines = (0..28).map(|line| format!("  word-{line}: value of line {line} # a comment\n"));
    [head, lines.collect(), "---\n".into()].concat()
}

pub fn figures(quick: bool) -> Outcome<Vec<Figure>> {
    let (rounds, few, many) = if quick {
        (2, 200, 1_000)
    } else {
        (7, 1_000, 10_000)
    };
    let (mut injected, mut passed) = (Vec::new(), Vec::new());
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let small = run(few, deployment)?;
        let large = run(many, deployment)?;
        let other = run(many, config_map)?;
        injected.push(many as f64 / large.seconds);
        passed.push(many as f64 / other.seconds);
        short.push(small.peak_kib);
        long.push(large.peak_kib);
    }
    let spread = |samples: &[f64]| Spread::of(samples).ok_or("no rounds".to_owned());
    Ok(vec![
        Figure::new(
            "Deployments injected from a stream",
            spread(&injected)?,
            "a second",
        ),
        Figure::new(
            "ConfigMaps copied from a stream, relative to that",
            spread(&ratios(&passed, &injected))?,
            "x",
        ),
        Figure::new(
            "peak of memory in a stream of 10,000",
            spread(&long)?,
            "KiB",
        ),
        Figure::new(
            "the same, relative to a stream of 1,000",
            spread(&ratios(&long, &short))?,
            "x",
        )
        .at_most(1.1),
    ])
}

/// Writes documents and reads the output, which starts after the last document has been read.
fn run(documents: usize, document: fn(usize) -> String) -> Outcome<Run> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_probelet-inject"))
        .args(["file", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("probelet-inject: {error}"))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut stdin = stdin.ok_or("no standard input")?;
    let lines = BufReader::new(stderr.ok_or("no standard error")?);
    let reading = std::thread::spawn(move || lines.lines().map_while(Result::ok).count());
    let writing = std::thread::spawn(move || {
        let all = (0..documents).map(document);
        all.map(|text| stdin.write_all(text.as_bytes()))
            .find(Result::is_err)
    });
    let mut stdout = child.stdout.take().ok_or("no standard output")?;
    stdout
        .read_exact(&mut [0])
        .map_err(|error| format!("no result: {error}"))?;
    // It now copies its spool to the output, which does not raise the peak of memory.
    let peak_kib = memory(child.id(), "VmHWM:")?;
    std::io::copy(&mut stdout, &mut std::io::sink()).map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    let seconds = began.elapsed().as_secs_f64();
    let is_written = matches!(writing.join(), Ok(None));
    let lines = reading.join().unwrap_or_default();
    if !status.success() || !is_written {
        return Err(format!(
            "probelet-inject: {status}, {lines} lines of output"
        ));
    }
    Ok(Run { seconds, peak_kib })
}
