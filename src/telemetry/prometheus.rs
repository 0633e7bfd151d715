//! A page of metrics in Prometheus' text format 0.0.4, written in pieces that fit a fixed buffer.

use core::fmt::{self, Display, Write};

use super::counters::{Histogram, StatusCounter};

/// `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a dyn Display);

/// Writes the lines of a page from a number on, as many as fit. Every line has the same number in each piece.
#[derive(Debug)]
pub struct PageWriter<'b> {
    buffer: Buffer<'b>,
    first_line: usize,
    line: usize,
    is_full: bool,
}

/// What was written of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes written; 0 at the end of the page.
    pub bytes: usize,
    /// Number of the line that the next piece begins with.
    pub next_line: usize,
}

impl<'b> PageWriter<'b> {
    /// A writer of the lines from `first_line` on. `out` holds the longest line.
    pub fn new(out: &'b mut [u8], first_line: usize) -> Self {
        PageWriter {
            buffer: Buffer { out, len: 0 },
            first_line,
            line: 0,
            is_full: false,
        }
    }

    /// Ends the piece.
    pub fn finish(self) -> Piece {
        Piece {
            bytes: self.buffer.len,
            next_line: self.first_line.max(self.line),
        }
    }

    /// Begins a metric family.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(&|buffer| writeln!(buffer, "# HELP {name} {help}"));
        self.line(&|buffer| writeln!(buffer, "# TYPE {name} {kind}"));
    }

    /// Writes a sample of the family.
    pub fn sample(&mut self, name: &str, labels: &[Label<'_>], value: &dyn Display) {
        self.series(name, "", labels, value);
    }

    /// Writes a family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: &dyn Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Writes a sample for each status code that was counted, as the label `code`.
    pub fn status_codes<const CODES: usize>(
        &mut self,
        name: &str,
        label: Option<Label<'_>>,
        counter: &StatusCounter<CODES>,
    ) {
        for (code, n) in &counter.exact {
            self.status_code(name, label, code, *n);
        }
        self.status_code(name, label, &"other", counter.other);
    }

    fn status_code(&mut self, name: &str, label: Option<Label<'_>>, code: &dyn Display, n: u64) {
        match label {
            Some(label) => self.sample_if_counted(name, &[label, ("code", code)], n),
            None => self.sample_if_counted(name, &[("code", code)], n),
        }
    }

    /// Writes a sample of the family unless it is 0. It has its line number even then: if it is counted between two
    /// pieces of a page, no line is repeated or lost.
    pub fn sample_if_counted(&mut self, name: &str, labels: &[Label<'_>], n: u64) {
        match n {
            0 => self.line(&|_| Ok(())),
            n => self.sample(name, labels, &n),
        }
    }

    /// Writes a histogram's family, in seconds.
    pub fn histogram<const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram<BUCKETS>,
    ) {
        self.family(name, Kind::Histogram, help);
        let mut below = 0;
        for (ms, bucket) in histogram.bounds_ms.iter().zip(&histogram.buckets) {
            below += bucket.get();
            let bound = format_args!("{}.{:03}", ms / 1000, ms % 1000);
            self.series(name, "_bucket", &[("le", &bound)], &below);
        }
        let (count, micros) = (histogram.count.get(), histogram.sum_micros.get());
        self.series(name, "_bucket", &[("le", &"+Inf")], &count);
        let sum = format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        self.series(name, "_sum", &[], &sum);
        self.series(name, "_count", &[], &count);
    }

    fn series(&mut self, name: &str, suffix: &str, labels: &[Label<'_>], value: &dyn Display) {
        self.line(&|buffer| {
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

    fn line(&mut self, write: &dyn Fn(&mut Buffer<'b>) -> fmt::Result) {
        if self.is_full {
            return;
        }
        if self.line >= self.first_line {
            let start = self.buffer.len;
            if write(&mut self.buffer).is_err() {
                self.buffer.len = start;
                self.is_full = true;
                return;
            }
        }
        self.line += 1;
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
            page.sample("a", &[("b", &"\"\\\n"), ("c", &1)], &2);
        });
        assert_eq!(text, "a{b=\"\\\"\\\\\\n\",c=\"1\"} 2\n");
    }

    #[test]
    fn the_first_codes_are_counted_one_by_one_and_the_rest_as_other() {
        let mut counter = StatusCounter::<2>::default();
        for status in [200, 500, 200, 404, 403] {
            counter.increment(status);
        }
        let text = page(1024, |page| page.status_codes("a", None, &counter));
        assert_eq!(
            text,
            "a{code=\"200\"} 2\na{code=\"500\"} 1\na{code=\"other\"} 2\n"
        );
    }

    #[test]
    fn buckets_are_cumulative() {
        let histogram = Histogram::new([1, 2500]);
        for micros in [500, 1_000, 1_001, 3_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let write = |page: &mut PageWriter<'_>| page.histogram("a", "help", &histogram);
        let text = page(1024, write);
        assert_eq!(
            text,
            "# HELP a help\n# TYPE a histogram\n\
             a_bucket{le=\"0.001\"} 2\na_bucket{le=\"2.500\"} 3\na_bucket{le=\"+Inf\"} 4\n\
             a_sum 3.002501\na_count 4\n"
        );
        for bytes in 24..100 {
            assert_eq!(page(bytes, write), text, "in pieces of {bytes}");
        }
    }
}
