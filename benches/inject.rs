//! Figures of the injector: `cargo bench --features inject --bench inject`, or a short run with `-- --quick`.
//!
//! Streams manifests through `probelet-inject file`, whose memory must not grow with their number, and calls the webhook
//! as the API server does: CPU of an admission relative to that of `GET /healthz` on the same connection, admissions per
//! second, and memory with 1,000 concurrent admissions. Prints a table and writes `target/bench/inject.json`. A missed
//! bound is printed, but is not an error.

#[path = "inject/client.rs"]
mod client;
#[allow(dead_code)] // each bench uses a part
#[path = "shared/mod.rs"]
mod shared;
#[path = "inject/stream.rs"]
mod stream;
#[path = "inject/webhook.rs"]
mod webhook;

use std::process::ExitCode;
use std::{env, fs};

use crate::shared::json::Json;
use crate::shared::stats::{Bound, Spread};
use crate::shared::table;

/// A result whose error is a message for the user of the bench.
type Outcome<T> = Result<T, String>;

/// One row of the table.
struct Figure {
    name: &'static str,
    spread: Spread,
    unit: &'static str,
    bound: Option<Bound>,
}

impl Figure {
    fn new(name: &'static str, spread: Spread, unit: &'static str) -> Self {
        let bound = None;
        Figure {
            name,
            spread,
            unit,
            bound,
        }
    }

    /// A figure with a single sample.
    fn exact(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self::new(name, Spread::exact(value), unit)
    }

    fn at_most(self, bound: f64) -> Self {
        let bound = Some(Bound::AtMost(bound));
        Figure { bound, ..self }
    }

    fn row(&self) -> Vec<String> {
        let verdict = |bound: Bound| bound.verdict(self.spread).text().to_owned();
        let bound = self.bound.map(|bound| match bound {
            Bound::AtMost(most) | Bound::AtLeast(most) => format!("{most}"),
        });
        vec![
            self.name.into(),
            format!("{:.2}", self.spread.median),
            format!("{:.2}..{:.2}", self.spread.q1, self.spread.q3),
            self.unit.into(),
            bound.unwrap_or_default(),
            self.bound.map(verdict).unwrap_or_default(),
        ]
    }

    fn json(&self) -> Json {
        let numbers = [self.spread.q1, self.spread.median, self.spread.q3];
        Json::object([
            ("name", Json::text(self.name)),
            ("unit", Json::text(self.unit)),
            ("quartiles", Json::numbers(&numbers)),
        ])
    }
}

fn main() -> ExitCode {
    match run(env::args().any(|arg| arg == "--quick")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("inject: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(quick: bool) -> Outcome<()> {
    let mut figures = stream::figures(quick)?;
    figures.extend(webhook::figures(quick)?);
    let header = ["figure", "median", "quartiles", "unit", "bound", ""];
    let rows: Vec<_> = figures.iter().map(Figure::row).collect();
    print!("{}", table::render(&header, &[0, 3, 5], &rows));
    let list = Json::List(figures.iter().map(Figure::json).collect());
    let written = fs::create_dir_all("target/bench")
        .and_then(|()| fs::write("target/bench/inject.json", list.to_string()));
    written.map_err(|error| format!("target/bench/inject.json: {error}"))
}

/// A figure of `/proc/PID/status` in KiB.
fn memory(pid: u32, field: &str) -> Outcome<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find(|line| line.starts_with(field));
    let figure = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    figure.ok_or_else(|| format!("{path} has no {field}"))
}

/// CPU time of a process so far, in seconds.
fn cpu(pid: u32) -> Outcome<f64> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse().ok());
    let nanoseconds: f64 = nanoseconds.ok_or_else(|| format!("{path}: {text}"))?;
    Ok(nanoseconds / 1e9)
}
