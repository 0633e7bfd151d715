//! Counters in fixed memory, and their page in Prometheus' text format 0.0.4.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use core::time::Duration;

use crate::config::Probers;
use crate::probe::{Failure, Outcome};

/// Status codes counted one by one for each path; what comes after goes under `other`.
const CODES: usize = 6;

/// Upper bounds of the duration histogram, in milliseconds: kubelet's timeouts are whole seconds, an
/// app on the same node answers in a few milliseconds.
const BUCKETS_MS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/// Why a request was not probed for, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing of that name in the table.
    UnknownPath,
    /// Neither GET nor HEAD.
    Method,
    /// The head is not HTTP/1, or the request has a body.
    Malformed,
    /// The head is over its limit of bytes or fields.
    HeadTooLarge,
    /// The head took too long.
    HeadTimeout,
    /// The connection was sent away for a newer one.
    Evicted,
    /// All places were probing.
    Busy,
    /// All places for hooks were taken.
    HookSlotsFull,
    /// The client went away before the app had answered.
    Abandoned,
}

impl Rejection {
    const ALL: [Rejection; 9] = [
        Rejection::UnknownPath,
        Rejection::Method,
        Rejection::Malformed,
        Rejection::HeadTooLarge,
        Rejection::HeadTimeout,
        Rejection::Evicted,
        Rejection::Busy,
        Rejection::HookSlotsFull,
        Rejection::Abandoned,
    ];

    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Rejection::UnknownPath => "unknown_path",
            Rejection::Method => "method",
            Rejection::Malformed => "malformed",
            Rejection::HeadTooLarge => "head_too_large",
            Rejection::HeadTimeout => "head_timeout",
            Rejection::Evicted => "evicted",
            Rejection::Busy => "busy",
            Rejection::HookSlotsFull => "hook_slots_full",
            Rejection::Abandoned => "abandoned",
        }
    }
}

/// Codes of one path.
#[derive(Clone, Copy, Default)]
struct Codes {
    exact: [(u16, u64); CODES],
    other: u64,
}

/// All counters.
pub struct Metrics {
    codes: RefCell<Box<[Codes]>>,
    failures: [Cell<u64>; Failure::ALL.len()],
    bodies_broken: Cell<u64>,
    rejections: [Cell<u64>; Rejection::ALL.len()],
    buckets: [Cell<u64>; BUCKETS_MS.len()],
    probes: Cell<u64>,
    micros: Cell<u64>,
}

/// What is counted elsewhere.
pub struct Gauges {
    /// Connections to the status port.
    pub status: usize,
    /// Connections passed through.
    pub forwards: usize,
    /// Resident memory in bytes, where the kernel tells.
    pub resident: Option<u64>,
}

impl Metrics {
    /// All zero, for a table of `probers`.
    pub fn new(probers: usize) -> Metrics {
        Metrics {
            codes: RefCell::new(vec![Codes::default(); probers].into_boxed_slice()),
            failures: [const { Cell::new(0) }; Failure::ALL.len()],
            bodies_broken: Cell::new(0),
            rejections: Default::default(),
            buckets: Default::default(),
            probes: Cell::new(0),
            micros: Cell::new(0),
        }
    }

    /// Counts a probe of prober number `index`, and how long it took; not of a hook, which takes as
    /// long as the app means it to.
    pub fn probed(&self, index: usize, outcome: Outcome, took: Option<Duration>) {
        self.codes.borrow_mut()[index].add(outcome.status());
        match outcome {
            Outcome::Failed(failure) => add(&self.failures[failure as usize]),
            Outcome::BodyBroken(_) => add(&self.bodies_broken),
            Outcome::WantsTls(_) => add(&self.failures[Failure::TlsPort as usize]),
            Outcome::Answered(_) | Outcome::Connected | Outcome::Serving => {}
        }
        let Some(took) = took else { return };
        let micros = took.as_micros() as u64;
        let bucket = BUCKETS_MS
            .iter()
            .position(|ms| micros <= u64::from(*ms) * 1000);
        bucket
            .into_iter()
            .for_each(|bucket| add(&self.buckets[bucket]));
        add(&self.probes);
        self.micros.set(self.micros.get() + micros);
    }

    /// Counts a request that was not probed for.
    pub fn rejected(&self, rejection: Rejection) {
        add(&self.rejections[rejection as usize]);
    }

    /// Writes the lines of the page from number `from` on into `out`, as many as fit whole. Gives the
    /// bytes written and the number of the line to go on with; no bytes mean that the page is over.
    pub fn render(
        &self,
        probers: &Probers,
        gauges: &Gauges,
        from: usize,
        out: &mut [u8],
    ) -> (usize, usize) {
        let mut page = Page {
            out,
            len: 0,
            skip: from,
            line: 0,
            full: false,
        };
        self.probes(&mut page, probers);
        self.reasons(&mut page);
        self.durations(&mut page);
        gauges.render(&mut page);
        (page.len, page.skip.max(page.line))
    }

    fn probes(&self, page: &mut Page<'_>, probers: &Probers) {
        page.metric(
            "probelet_probes_total",
            "counter",
            "Probes by path and code.",
        );
        for (prober, codes) in probers.iter().zip(self.codes.borrow().iter()) {
            let path = &prober.path;
            // A code that did not come yet has its line number already, so that a page which takes
            // several writes neither repeats nor drops a line when it comes in between.
            let label = |page: &mut Page<'_>, code: &dyn fmt::Display, n: u64| match n {
                0 => page.line(format_args!("")),
                n => page.line(format_args!(
                    "probelet_probes_total{{path=\"{}\",code=\"{code}\"}} {n}\n",
                    Escaped(path)
                )),
            };
            for (code, n) in &codes.exact {
                label(page, code, *n);
            }
            label(page, &"other", codes.other);
        }
    }

    fn reasons(&self, page: &mut Page<'_>) {
        let name = "probelet_probe_failures_total";
        page.metric(name, "counter", "Probes without a whole answer, by reason.");
        for (failure, n) in Failure::ALL.iter().zip(&self.failures) {
            page.reason(name, failure.as_str(), n.get());
        }
        page.reason(name, "body_broken", self.bodies_broken.get());
        let name = "probelet_rejected_total";
        page.metric(
            name,
            "counter",
            "Requests that got no outcome of a probe, by reason.",
        );
        for (rejection, n) in Rejection::ALL.iter().zip(&self.rejections) {
            page.reason(name, rejection.as_str(), n.get());
        }
    }

    fn durations(&self, page: &mut Page<'_>) {
        let name = "probelet_probe_duration_seconds";
        page.metric(name, "histogram", "Time from the accept to the outcome.");
        let mut below = 0;
        for (ms, n) in BUCKETS_MS.iter().zip(&self.buckets) {
            below += n.get();
            let (seconds, millis) = (ms / 1000, ms % 1000);
            page.line(format_args!(
                "{name}_bucket{{le=\"{seconds}.{millis:03}\"}} {below}\n"
            ));
        }
        let (probes, micros) = (self.probes.get(), self.micros.get());
        page.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {probes}\n"));
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        page.line(format_args!("{name}_sum {seconds}.{micros:06}\n"));
        page.line(format_args!("{name}_count {probes}\n"));
    }
}

impl Gauges {
    fn render(&self, page: &mut Page<'_>) {
        let name = "probelet_open_connections";
        page.metric(name, "gauge", "Connections that are open, by kind.");
        page.line(format_args!("{name}{{kind=\"status\"}} {}\n", self.status));
        page.line(format_args!(
            "{name}{{kind=\"forward\"}} {}\n",
            self.forwards
        ));
        if let Some(resident) = self.resident {
            let name = "process_resident_memory_bytes";
            page.metric(name, "gauge", "Resident memory size in bytes.");
            page.line(format_args!("{name} {resident}\n"));
        }
        let name = "probelet_build_info";
        page.metric(name, "gauge", "Always 1; the version is in the label.");
        let version = env!("CARGO_PKG_VERSION");
        page.line(format_args!("{name}{{version=\"{version}\"}} 1\n"));
    }
}

impl Codes {
    fn add(&mut self, code: u16) {
        let known = self.exact.iter_mut().find(|(c, n)| *c == code || *n == 0);
        match known {
            Some(entry) => *entry = (code, entry.1 + 1),
            None => self.other += 1,
        }
    }
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// A page being written from some line on.
struct Page<'b> {
    out: &'b mut [u8],
    len: usize,
    skip: usize,
    line: usize,
    full: bool,
}

impl Page<'_> {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n"));
        self.line(format_args!("# TYPE {name} {kind}\n"));
    }

    fn reason(&mut self, name: &str, reason: &str, n: u64) {
        self.line(format_args!("{name}{{reason=\"{reason}\"}} {n}\n"));
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        if self.full {
            return;
        }
        if self.line >= self.skip {
            let before = self.len;
            if self.write_fmt(text).is_err() {
                self.len = before;
                self.full = true;
                return;
            }
        }
        self.line += 1;
    }
}

impl Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.out.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A label's value: backslash, quote and line feed are escaped, as the text format wants.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' | '"' => write!(f, "\\{c}"),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests;
