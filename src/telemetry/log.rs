//! One line per event on standard error, as logfmt or JSON. Lines have no timestamp: the container
//! runtime adds one, and a board without a battery-backed clock would write a wrong one.

use core::cell::{Cell, RefCell};
use core::fmt::{self, Display, Write};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stderr;

use super::RateLimit;
use crate::text::Quoted;

/// Which log lines are written, and in which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is still written.
    pub level: Level,
    /// The format of a line.
    pub format: Format,
}

/// Severity of a log line, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// probelet cannot continue or cannot serve clients.
    Error,
    /// A prober began to fail; a request could not be served.
    Warn,
    /// Start, stop, a prober's first result and its recoveries.
    Info,
    /// Every probe.
    Debug,
}

impl Level {
    /// The value of `--log-level` and of the field `level`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value key="quoted value"`
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// Bytes reserved in each line for `suppressed`, `dropped` and its end.
const END_BYTES: usize = 64;

/// Writes lines and never blocks: a reader that stalls must not stall probes or reviews.
#[derive(Debug)]
pub struct Logger {
    settings: LogSettings,
    buffers: RefCell<Buffers>,
    /// Lines that standard error did not accept since the last one that it did.
    dropped: Cell<u32>,
}

/// Allocated once. A value is formatted, then quoted into the line.
#[derive(Debug)]
struct Buffers {
    line: Bounded,
    value: Bounded,
}

/// A line under construction. Dropping it writes it.
#[derive(Debug)]
pub struct Line<'l> {
    logger: &'l Logger,
    /// Whether the line is written on drop.
    is_enabled: bool,
    suppressed: u32,
}

impl Logger {
    /// A logger that cuts each value to `value_bytes`.
    pub fn new(settings: LogSettings, value_bytes: usize) -> Logger {
        // A value of control characters alone grows sixfold when it is quoted.
        let line_bytes = 6 * value_bytes + 512;
        Logger {
            settings,
            buffers: RefCell::new(Buffers {
                line: Bounded::new(line_bytes),
                value: Bounded::new(value_bytes),
            }),
            dropped: Cell::new(0),
        }
    }

    /// Begins a line.
    pub fn line(&self, level: Level, message: &str) -> Line<'_> {
        self.begin(level, message, Some(0))
    }

    /// Begins a line that counts against `limit`. Over the limit nothing is written; the next line within it
    /// has the number of those as `suppressed`.
    pub fn limited_line<const LINES: usize>(
        &self,
        limit: &mut RateLimit<LINES>,
        level: Level,
        message: &str,
    ) -> Line<'_> {
        let suppressed = match self.is_enabled(level) {
            true => limit.try_acquire(Instant::now()),
            false => None,
        };
        self.begin(level, message, suppressed)
    }

    /// Whether lines of this level are written.
    pub fn is_enabled(&self, level: Level) -> bool {
        level <= self.settings.level
    }

    /// Begins a line after `suppressed` lines that the rate limit suppressed. `None`: this line is not written.
    fn begin(&self, level: Level, message: &str, suppressed: Option<u32>) -> Line<'_> {
        let mut is_enabled = suppressed.is_some() && self.is_enabled(level);
        if is_enabled && !self.buffers.borrow().line.text.is_empty() {
            // Another line is under construction in the buffer.
            self.count_dropped();
            is_enabled = false;
        }
        let line = Line {
            logger: self,
            is_enabled,
            suppressed: suppressed.unwrap_or_default(),
        };
        line.field("level", level.as_str()).field("msg", message)
    }

    fn put(&self, key: &str, value: &dyn Display, reserve: usize) {
        let mut buffers = self.buffers.borrow_mut();
        buffers.put(self.settings.format, key, value, reserve);
    }

    fn count_dropped(&self) {
        self.dropped.set(self.dropped.get().saturating_add(1));
    }
}

impl Line<'_> {
    /// Adds a field. One that does not fit is omitted, so that the line stays valid.
    pub fn field(self, key: &str, value: impl Display) -> Self {
        if self.is_enabled {
            self.logger.put(key, &value, END_BYTES);
        }
        self
    }

    /// Adds a field if there is a value.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Sets the number of lines suppressed before this one.
    pub fn suppressed(mut self, lines: u32) -> Self {
        self.suppressed = lines;
        self
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.is_enabled {
            return;
        }
        let logger = self.logger;
        for (key, lines) in [
            ("suppressed", self.suppressed),
            ("dropped", logger.dropped.get()),
        ] {
            if lines > 0 {
                logger.put(key, &lines, "}\n".len());
            }
        }
        let line = &mut logger.buffers.borrow_mut().line.text;
        line.push_str(match logger.settings.format {
            Format::Logfmt => "\n",
            Format::Json => "}\n",
        });
        match emit(line.as_bytes()) {
            true => logger.dropped.set(0),
            false => logger.count_dropped(),
        }
        line.clear();
    }
}

impl Buffers {
    /// Adds a field if that leaves `reserve` bytes.
    fn put(&mut self, format: Format, key: &str, value: &dyn Display, reserve: usize) {
        let Buffers { line, value: cut } = self;
        cut.text.clear();
        // A value that does not fit is cut.
        let _ = write!(cut, "{value}");
        let start = line.text.len();
        let written = match format {
            Format::Logfmt => logfmt(line, key, &cut.text),
            Format::Json => json(line, key, &cut.text),
        };
        if written.is_err() || line.text.len() + reserve > line.capacity {
            line.text.truncate(start);
        }
    }
}

fn logfmt(line: &mut Bounded, key: &str, value: &str) -> fmt::Result {
    let separator = if line.text.is_empty() { "" } else { " " };
    let is_bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    match !value.is_empty() && value.chars().all(is_bare) {
        true => write!(line, "{separator}{key}={value}"),
        false => write!(line, "{separator}{key}={}", Quoted(value)),
    }
}

fn json(line: &mut Bounded, key: &str, value: &str) -> fmt::Result {
    let separator = if line.text.is_empty() { '{' } else { ',' };
    // Up to 15 digits any reader's double is exact (RFC 8259 section 6).
    let is_number = matches!(value.len(), 1..16) && value.bytes().all(|b| b.is_ascii_digit());
    match is_number && (value == "0" || !value.starts_with('0')) {
        true => write!(line, "{separator}\"{key}\":{value}"),
        false => write!(line, "{separator}\"{key}\":{}", Quoted(value)),
    }
}

/// Text that never grows beyond its allocation.
#[derive(Debug)]
struct Bounded {
    text: String,
    capacity: usize,
}

impl Bounded {
    fn new(capacity: usize) -> Bounded {
        Bounded {
            text: String::with_capacity(capacity),
            capacity,
        }
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.capacity - self.text.len();
        let (fitting, rest) = text.split_at(text.floor_char_boundary(free));
        self.text.push_str(fitting);
        match rest {
            "" => Ok(()),
            _ => Err(fmt::Error),
        }
    }
}

/// Writes to standard error unless that would block. Returns whether it was written.
fn emit(bytes: &[u8]) -> bool {
    let stderr = stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    // A pipe that is ready accepts PIPE_BUF (4096) bytes in one call.
    let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    is_ready && rustix::io::write(stderr, bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a line of 128-byte values that was not written yet.
    fn line(format: Format, fields: &[(&str, &str)]) -> String {
        let settings = LogSettings {
            level: Level::Info,
            format,
        };
        let logger = Logger::new(settings, 128);
        let mut buffers = logger.buffers.borrow_mut();
        for (key, value) in fields {
            buffers.put(format, key, value, END_BYTES);
        }
        buffers.line.text.clone()
    }

    #[test]
    fn values_are_quoted_where_the_format_demands_it() {
        let fields = [
            ("a", "1"),
            ("b", "01"),
            ("c", ""),
            ("d", "x y"),
            ("e", "x="),
        ];
        assert_eq!(
            line(Format::Logfmt, &fields),
            "a=1 b=01 c=\"\" d=\"x y\" e=\"x=\""
        );
        assert_eq!(
            line(Format::Json, &fields),
            "{\"a\":1,\"b\":\"01\",\"c\":\"\",\"d\":\"x y\",\"e\":\"x=\""
        );
    }

    #[test]
    fn a_value_that_a_terminal_obeys_is_escaped() {
        let fields = [("a", "x\u{202e}\u{9b}"), ("b", "\u{2028}"), ("c", "ö")];
        assert_eq!(
            line(Format::Logfmt, &fields),
            r#"a="x\u202e\u009b" b="\u2028" c="ö""#
        );
        assert_eq!(
            line(Format::Json, &fields),
            r#"{"a":"x\u202e\u009b","b":"\u2028","c":"ö""#
        );
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_boundary() {
        let long = "\u{e9}".repeat(100);
        let text = line(Format::Logfmt, &[("a", &["x", &long].concat())]);
        assert_eq!(text, format!("a=\"x{}\"", "\u{e9}".repeat(63)));
    }

    #[test]
    fn a_field_that_does_not_fit_is_left_out_and_a_short_one_after_it_is_not() {
        let long = "\u{1}".repeat(128);
        let text = line(Format::Json, &[("a", &long), ("b", &long), ("c", "1")]);
        assert!(text.ends_with("\",\"c\":1"), "{text}");
        assert!(!text.contains("\"b\""), "{text}");
        assert!(text.len() <= 6 * 128 + 512 - END_BYTES);
    }

    #[test]
    fn a_line_begun_within_another_is_dropped_and_counted() {
        let settings = LogSettings {
            level: Level::Error,
            format: Format::Json,
        };
        let logger = Logger::new(settings, 128);
        let mut outer = logger.line(Level::Error, "outer");
        let before = logger.buffers.borrow().line.text.clone();
        drop(logger.line(Level::Info, "below the level"));
        assert_eq!(logger.dropped.get(), 0);
        drop(logger.line(Level::Error, "inner"));
        assert_eq!(logger.dropped.get(), 1);
        assert_eq!(logger.buffers.borrow().line.text, before);
        outer.is_enabled = false;
    }
}
