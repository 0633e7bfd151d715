//! One line an event on standard error, as logfmt or JSON. No time: the container runtime stamps each
//! line, and a board without a battery clock would stamp it wrong.

use core::cell::RefCell;
use core::fmt::{self, Display, Write};

use heapless::String;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stderr;

use crate::telemetry::{Format, Level, LogSettings, Quoted};

/// Bytes of a line: a value that is all control characters grows sixfold in quotes, and stands beside
/// short ones. What is longer all the same is cut, with its last byte the line's end still.
const LINE_BYTES: usize = 6 * VALUE_BYTES + 512;

/// Bytes of a value before it is quoted.
const VALUE_BYTES: usize = 256;

/// Writes lines, and never waits for whoever reads them.
pub struct Logger {
    settings: LogSettings,
    line: RefCell<String<LINE_BYTES>>,
}

/// A line under way; it is written when it is dropped.
pub struct Line<'l> {
    logger: &'l Logger,
    on: bool,
}

impl Logger {
    /// A logger for these settings.
    pub fn new(settings: LogSettings) -> Logger {
        Logger {
            settings,
            line: RefCell::new(String::new()),
        }
    }

    /// Begins a line.
    pub fn line(&self, level: Level, message: &str) -> Line<'_> {
        let on = level <= self.settings.level;
        if on {
            let mut line = self.line.borrow_mut();
            line.clear();
            // What does not fit is cut, here and in all that follows: a log line is not worth more.
            let _ = line.push_str(match self.settings.format {
                Format::Logfmt => "",
                Format::Json => "{",
            });
        }
        Line { logger: self, on }
            .field("level", word(level))
            .field("msg", message)
    }
}

impl Line<'_> {
    /// Adds a field.
    pub fn field(self, key: &str, value: impl Display) -> Self {
        if self.on {
            self.put(key, &value);
        }
        self
    }

    fn put(&self, key: &str, value: &dyn Display) {
        let mut text = String::<VALUE_BYTES>::new();
        let _ = write!(Cut(&mut text), "{value}");
        let mut line = self.logger.line.borrow_mut();
        let _ = match self.logger.settings.format {
            Format::Logfmt => logfmt(&mut *line, key, &text),
            Format::Json => json(&mut *line, key, &text),
        };
    }

    /// Adds a field when there is a value.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Adds how many lines went untold, when some did.
    pub fn suppressed(self, lines: u32) -> Self {
        self.maybe("suppressed", (lines > 0).then_some(lines))
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.on {
            return;
        }
        let end = match self.logger.settings.format {
            Format::Logfmt => "\n",
            Format::Json => "}\n",
        };
        let mut line = self.logger.line.borrow_mut();
        while line.push_str(end).is_err() {
            line.pop();
        }
        emit(line.as_bytes());
    }
}

/// Takes as much of a value as fits; a string by itself would refuse one that is too long whole.
struct Cut<'t>(&'t mut String<VALUE_BYTES>);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|c| self.0.push(c).map_err(|_| fmt::Error))
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

fn logfmt(line: &mut impl Write, key: &str, value: &str) -> fmt::Result {
    let separator = if key == "level" { "" } else { " " };
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(bare) {
        return write!(line, "{separator}{key}={value}");
    }
    write!(line, "{separator}{key}={}", Quoted(value))
}

fn json(line: &mut impl Write, key: &str, value: &str) -> fmt::Result {
    let separator = if key == "level" { "" } else { "," };
    let is_number =
        !value.is_empty() && value.len() < 16 && value.bytes().all(|b| b.is_ascii_digit());
    if is_number && (value == "0" || !value.starts_with('0')) {
        return write!(line, "{separator}\"{key}\":{value}");
    }
    write!(line, "{separator}\"{key}\":{}", Quoted(value))
}

/// Writes to standard error unless that would wait: a reader that stalls must not stall the probes.
fn emit(bytes: &[u8]) {
    let stderr = stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec::default())).is_ok_and(|n| n > 0) {
        // A pipe that is ready takes a line of this length whole. What cannot be told has no other way.
        let _ = rustix::io::write(stderr, bytes);
    }
}
