//! A page of metrics in Prometheus' text format 0.0.4, written in pieces that fit a fixed buffer.

use core::fmt::{self, Display, Write};

use super::counters::{Histogram, StatusCounter};

/// `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a dyn Display);

/// Writes as many lines of a page as fit, from line `first_line` on. A line has its number in every piece, so that the
/// next piece continues where this one ends.
#[derive(Debug)]
pub struct PageWriter<'b> {
    buffer: Buffer<'b>,
    first_line: usize,
    next_line: usize,
    is_full: bool,
}

/// The result of writing one piece of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes written; 0 at the end of the page.
    pub bytes: usize,
    /// Number of the line that the next piece begins with.
    pub next_line: usize,
}

impl<'b> PageWriter<'b> {
    /// Creates a writer of the lines from `first_line` on. `out` must hold the longest line.
    pub fn new(out: &'b mut [u8], first_line: usize) -> Self {
        PageWriter {
            buffer: Buffer { out, len: 0 },
            first_line,
            next_line: 0,
            is_full: false,
        }
    }

    /// Ends the piece.
    pub fn finish(self) -> Piece {
        Piece {
            bytes: self.buffer.len,
            next_line: self.first_line.max(self.next_line),
        }
    }

    /// Writes the head of a metric family.
    pub fn write_family(&mut self, name: &str, metric_type: MetricType, help: &str) {
        let metric_type = match metric_type {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        self.write_line(&|buffer| writeln!(buffer, "# HELP {name} {help}"));
        self.write_line(&|buffer| writeln!(buffer, "# TYPE {name} {metric_type}"));
    }

    /// Writes a sample of the current family.
    pub fn write_sample(&mut self, name: &str, labels: &[Label<'_>], value: &dyn Display) {
        self.write_series(name, "", labels, value);
    }

    /// Writes a family of one sample without labels.
    pub fn write_single(
        &mut self,
        name: &str,
        metric_type: MetricType,
        help: &str,
        value: &dyn Display,
    ) {
        self.write_family(name, metric_type, help);
        self.write_sample(name, &[], value);
    }

    /// Writes a sample for each status code that was counted, as the label `code`.
    pub fn write_status_codes<const CODES: usize>(
        &mut self,
        name: &str,
        label: Option<Label<'_>>,
        counter: &StatusCounter<CODES>,
    ) {
        for (code, n) in &counter.exact {
            self.write_status_code(name, label, code, *n);
        }
        self.write_status_code(name, label, &"other", counter.other);
    }

    fn write_status_code(
        &mut self,
        name: &str,
        label: Option<Label<'_>>,
        code: &dyn Display,
        n: u64,
    ) {
        match label {
            Some(label) => self.write_sample_if_counted(name, &[label, ("code", code)], n),
            None => self.write_sample_if_counted(name, &[("code", code)], n),
        }
    }

    /// Writes a sample of the family unless it is 0. It has its line number even then: if it is counted between two
    /// pieces of a page, no line is repeated or lost.
    pub fn write_sample_if_counted(&mut self, name: &str, labels: &[Label<'_>], n: u64) {
        match n {
            0 => self.write_line(&|_| Ok(())),
            n => self.write_sample(name, labels, &n),
        }
    }

    /// Writes a histogram's family, in seconds.
    pub fn write_histogram<const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram<BUCKETS>,
    ) {
        self.write_family(name, MetricType::Histogram, help);
        let mut cumulative = 0;
        for (ms, bucket) in histogram.bounds_ms.iter().zip(&histogram.buckets) {
            cumulative += bucket.get();
            let bound = Seconds(*ms);
            self.write_series(name, "_bucket", &[("le", &bound)], &cumulative);
        }
        let (count, micros) = (histogram.count.get(), histogram.sum_micros.get());
        self.write_series(name, "_bucket", &[("le", &"+Inf")], &count);
        let sum = format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        self.write_series(name, "_sum", &[], &sum);
        self.write_series(name, "_count", &[], &count);
    }

    fn write_series(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[Label<'_>],
        value: &dyn Display,
    ) {
        self.write_line(&|buffer| {
            write!(buffer, "{name}{suffix}")?;
            let mut separator = '{';
            for (label, value) in labels {
                write!(buffer, "{separator}{label}=\"")?;
                write!(LabelValue(buffer), "{value}")?;
                buffer.write_char('"')?;
                separator = ',';
            }
            let end = if labels.is_empty() { "" } else { "}" };
            writeln!(buffer, "{end} {value}")
        });
    }

    fn write_line(&mut self, write: &dyn Fn(&mut Buffer<'b>) -> fmt::Result) {
        if self.is_full {
            return;
        }
        if self.next_line >= self.first_line {
            let start = self.buffer.len;
            if write(&mut self.buffer).is_err() {
                self.buffer.len = start;
                self.is_full = true;
                return;
            }
        }
        self.next_line += 1;
    }
}

#[derive(Debug)]
struct Buffer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl Write for Buffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let free = self.out.get_mut(self.len..end).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Escapes backslash, quote and line feed, as the text format demands of a label's value.
struct LabelValue<'w, 'b>(&'w mut Buffer<'b>);

impl Write for LabelValue<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '\\' => self.0.write_str("\\\\"),
            '"' => self.0.write_str("\\\""),
            '\n' => self.0.write_str("\\n"),
            c => self.0.write_char(c),
        })
    }
}

/// Milliseconds as seconds without trailing zeros, as Prometheus' client libraries write `le`.
struct Seconds(u32);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        match (ms % 10, ms % 100, ms) {
            (_, _, 0) => write!(f, "{s}"),
            (_, 0, _) => write!(f, "{s}.{}", ms / 100),
            (0, _, _) => write!(f, "{s}.{:02}", ms / 10),
            _ => write!(f, "{s}.{ms:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    /// The page that `write` makes, in pieces of so many bytes.
    fn page(bytes: usize, write: impl Fn(&mut PageWriter<'_>)) -> String {
        let (mut text, mut line, mut out) = (Vec::new(), 0, vec![0; bytes]);
        loop {
            let mut page = PageWriter::new(&mut out, line);
            write(&mut page);
            let piece = page.finish();
            if piece.bytes == 0 {
                return String::from_utf8(text).expect("text");
            }
            text.extend_from_slice(&out[..piece.bytes]);
            line = piece.next_line;
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let text = page(1024, |page| {
            page.write_sample("a", &[("b", &"\"\\\n"), ("c", &1)], &2);
        });
        assert_eq!(text, "a{b=\"\\\"\\\\\\n\",c=\"1\"} 2\n");
    }

    #[test]
    fn the_first_codes_are_counted_one_by_one_and_the_rest_as_other() {
        let mut counter = StatusCounter::<2>::default();
        for status in [200, 500, 200, 404, 403] {
            counter.increment(status);
        }
        let text = page(1024, |page| page.write_status_codes("a", None, &counter));
        assert_eq!(
            text,
            "a{code=\"200\"} 2\na{code=\"500\"} 1\na{code=\"other\"} 2\n"
        );
    }

    #[test]
    fn bounds_have_no_trailing_zeros() {
        let texts = [1, 50, 100, 1_050, 2_500, 10_000].map(|ms| Seconds(ms).to_string());
        assert_eq!(texts, ["0.001", "0.05", "0.1", "1.05", "2.5", "10"]);
    }

    #[test]
    fn buckets_are_cumulative() {
        let histogram = Histogram::new([1, 2500]);
        for micros in [500, 1_000, 1_001, 3_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let write = |page: &mut PageWriter<'_>| page.write_histogram("a", "help", &histogram);
        let text = page(1024, write);
        assert_eq!(
            text,
            "# HELP a help\n# TYPE a histogram\n\
             a_bucket{le=\"0.001\"} 2\na_bucket{le=\"2.5\"} 3\na_bucket{le=\"+Inf\"} 4\n\
             a_sum 3.002501\na_count 4\n"
        );
        for bytes in 24..100 {
            assert_eq!(page(bytes, write), text, "in pieces of {bytes}");
        }
    }
}
