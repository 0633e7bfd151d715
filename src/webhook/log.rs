//! One line an event on standard error, as logfmt or JSON, in the shape of the agent's; without a time, which
//! the container runtime adds.

use crate::limits;
use crate::telemetry::{Format, Level, LogSettings, Quoted};
use core::cell::{Cell, RefCell};
use core::fmt::{Display, Write as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stderr;
use std::time::{Duration, Instant};

/// Characters of a value.
const VALUE_CHARS: usize = 512;

/// Bytes of a line: as many as a pipe that is ready takes whole (`PIPE_BUF`). A field that goes over it is left out.
const LINE_BYTES: usize = 4096;

/// Bytes of a line that are kept for its end.
const END_BYTES: usize = 64;

/// Writes lines, and never waits for whoever reads them: reviews are answered by the same thread.
#[derive(Debug)]
pub struct Logger {
    settings: LogSettings,
    /// Lines since the last one that was written that nobody took.
    lost: Cell<u64>,
}

/// A line under way; it is written when it is dropped.
#[derive(Debug)]
pub struct Line<'l> {
    logger: &'l Logger,
    /// Nothing where the level is not written.
    text: Option<String>,
}

impl Logger {
    /// A logger for these settings.
    pub fn new(settings: LogSettings) -> Logger {
        let lost = Cell::default();
        Logger { settings, lost }
    }

    /// Whether lines of this level are written.
    pub fn writes(&self, level: Level) -> bool {
        level <= self.settings.level
    }

    /// Begins a line.
    pub fn line(&self, level: Level, message: &str) -> Line<'_> {
        let line = Line {
            logger: self,
            text: self.writes(level).then(String::new),
        };
        let word = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        line.field("level", word).field("msg", message)
    }
}

impl Line<'_> {
    /// Adds a field.
    pub fn field(mut self, key: &str, value: impl Display) -> Self {
        if let Some(text) = &mut self.text {
            let had = text.len();
            put(text, self.logger.settings.format, key, &value.to_string());
            if text.len() > LINE_BYTES - END_BYTES {
                text.truncate(had);
            }
        }
        self
    }

    /// Adds how many lines went untold, when some did.
    pub fn suppressed(self, lines: u64) -> Self {
        match lines {
            0 => self,
            lines => self.field("suppressed", lines),
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let Some(text) = &mut self.text else {
            return;
        };
        let (format, lost) = (self.logger.settings.format, &self.logger.lost);
        if lost.get() > 0 {
            put(text, format, "lost", &lost.get().to_string());
        }
        text.push_str(match format {
            Format::Logfmt => "\n",
            Format::Json => "}\n",
        });
        lost.set(match emit(text.as_bytes()) {
            true => 0,
            false => lost.get() + 1,
        });
    }
}

fn put(text: &mut String, format: Format, key: &str, value: &str) {
    let value: String = value.chars().take(VALUE_CHARS).collect();
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    let is_number = matches!(value.len(), 1..16) && value.bytes().all(|b| b.is_ascii_digit());
    let is_first = text.is_empty();
    // A string takes whatever is written to it.
    let _ = match format {
        Format::Logfmt => {
            let separator = if is_first { "" } else { " " };
            match !value.is_empty() && value.chars().all(bare) {
                true => write!(text, "{separator}{key}={value}"),
                false => write!(text, "{separator}{key}={}", Quoted(&value)),
            }
        }
        Format::Json => {
            let separator = if is_first { '{' } else { ',' };
            match is_number && (value == "0" || !value.starts_with('0')) {
                true => write!(text, "{separator}\"{key}\":{value}"),
                false => write!(text, "{separator}\"{key}\":{}", Quoted(&value)),
            }
        }
    };
}

/// Writes to standard error unless that would wait; whether it is written. As the agent does it, which counts nothing.
fn emit(bytes: &[u8]) -> bool {
    let stderr = stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    is_ready && rustix::io::write(stderr, bytes).is_ok()
}

/// So many lines a minute; what is over is counted, and told with the next one.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    state: RefCell<(Instant, usize, u64)>,
}

impl Pace {
    /// A pace of so many lines a minute.
    pub fn new(most: usize) -> Pace {
        Pace {
            most,
            state: RefCell::new((Instant::now(), 0, 0)),
        }
    }

    /// Whether a line may be written now, and how many were not before it.
    pub fn allows(&self, now: Instant) -> Option<u64> {
        let (begun, told, untold) = &mut *self.state.borrow_mut();
        if now.duration_since(*begun) >= Duration::from_secs(60) {
            (*begun, *told) = (now, 0);
        }
        if *told == self.most {
            *untold += 1;
            return None;
        }
        *told += 1;
        Some(core::mem::take(untold))
    }
}

impl Default for Pace {
    /// That of what anybody can bring about.
    fn default() -> Pace {
        Pace::new(limits::LOG_LINES_A_MINUTE)
    }
}
