//! `docs/limits.md`, from the constants and comments of `src/limits.rs`.

use super::generated::Generated;
use core::time::Duration;

const SOURCE: &str = include_str!("../../limits.rs");

pub(super) fn limits() -> Generated {
    let mut text = String::from(
        "<!-- Generated from src/limits.rs. -->\n\n# Limits\n\n\
         Every capacity and timeout, with its reason. The tests run with these values. A flag can lower a capacity; only `--max-inbound` can raise one. \
         The names are those of [`src/limits.rs`](../src/limits.rs).\n",
    );
    text += "\n## Memory of the agent\n\nIt follows from the number of probers and hooks: over plaintext HTTP/1.1 without redirects, the \
             resident memory of the image's build (x86_64) is at most 760 KiB and 72 KiB for each, with every slot, queue \
             entry and pool connection in use: 976 KiB for 3, 5.2 MiB for 64. Redirects with long URLs and HTTP/2 add at most 112 KiB \
             for each slot that has run such a probe, of which there are 16 and three for each prober; the memory of \
             TLS is among the [figures](benchmarks.md#figures-and-bounds). `--max-probers N` refuses a table of more than N.\n";
    let mut constants: Vec<(&str, Value)> = Vec::new();
    let mut reason = String::new();
    for line in SOURCE.lines() {
        if let Some(title) = line.strip_prefix("// ---- ") {
            let title = title.trim_end_matches([' ', '-']);
            text += &format!("\n## {title}\n\n| limit | value | reason |\n|---|---|---|\n");
        } else if let Some(comment) = line.strip_prefix("///") {
            reason += comment;
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let (name, rest) = constant.split_once(':').expect("a type");
            let (_, expression) = rest.split_once('=').expect("a value");
            let value = evaluate(expression.trim().trim_end_matches(';'), &constants);
            let reason = reason_of(&core::mem::take(&mut reason));
            text += &format!("| `{name}` | {} | {reason} |\n", value.display(name));
            constants.push((name, value));
        } else {
            reason.clear();
        }
    }
    Generated {
        path: "docs/limits.md".into(),
        text,
    }
}

/// The text of a documentation comment in a cell: no links of rustdoc.
fn reason_of(comment: &str) -> String {
    let comment = comment.trim().replace("[`", "`").replace("`]", "`");
    comment.replace('|', "\\|")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Number(u64),
    Ratio(u64, u64),
    Time(Duration),
}

impl Value {
    fn display(self, name: &str) -> String {
        match self {
            Self::Number(bytes) if name.contains("BYTES") => with_unit(bytes),
            Self::Number(number) if name.ends_with("_SECONDS") => {
                time_of(Duration::from_secs(number))
            }
            Self::Number(number) if name.ends_with("_MILLIS") => {
                time_of(Duration::from_millis(number))
            }
            Self::Number(number) => grouped(number),
            Self::Ratio(numerator, denominator) => format!("{numerator}/{denominator}"),
            Self::Time(time) => time_of(time),
        }
    }
}

fn with_unit(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        _ if bytes >= MIB && bytes.is_multiple_of(MIB / 2) => match bytes % MIB {
            0 => format!("{} MiB", bytes / MIB),
            _ => format!("{}.5 MiB", bytes / MIB),
        },
        _ if bytes >= 1024 && bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
        _ => format!("{} bytes", grouped(bytes)),
    }
}

fn time_of(time: Duration) -> String {
    let (millis, seconds) = (time.as_millis(), time.as_secs());
    match seconds {
        _ if !millis.is_multiple_of(1000) => format!("{millis} ms"),
        0..120 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(24 * 60 * 60) && seconds > 24 * 60 * 60 => {
            format!("{} days", seconds / (24 * 60 * 60))
        }
        _ if seconds.is_multiple_of(60 * 60) => format!("{} h", seconds / (60 * 60)),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// `10,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The value of an expression as `src/limits.rs` writes them: products, shifts, durations, pairs and earlier constants.
fn evaluate(expression: &str, constants: &[(&str, Value)]) -> Value {
    let number = |text: &str| match evaluate(text, constants) {
        Value::Number(number) => number,
        other => panic!("{text} is {other:?}, not a number"),
    };
    let argument = |function: &str| {
        expression
            .strip_prefix(function)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    if let Some(seconds) = argument("Duration::from_secs") {
        Value::Time(Duration::from_secs(number(seconds)))
    } else if let Some(millis) = argument("Duration::from_millis") {
        Value::Time(Duration::from_millis(number(millis)))
    } else if let Some((numerator, denominator)) =
        argument("").and_then(|pair| pair.split_once(", "))
    {
        Value::Ratio(number(numerator), number(denominator))
    } else if let Some((left, right)) = expression.split_once(" << ") {
        Value::Number(number(left) << number(right))
    } else if let Some((left, right)) = expression.rsplit_once(" * ") {
        Value::Number(number(left) * number(right))
    } else if let Some(&(_, value)) = constants.iter().find(|(name, _)| *name == expression) {
        value
    } else {
        let digits = expression.replace('_', "");
        Value::Number(
            digits.parse().unwrap_or_else(|_| {
                panic!("limits.rs has {expression}, which is none of these forms")
            }),
        )
    }
}

#[test]
fn expressions_have_the_values_that_rust_gives_them() {
    use crate::limits;
    let page = limits().text;
    let has = |name: &str, value: &str| {
        assert!(
            page.contains(&format!("| `{name}` | {value} |")),
            "{name} is not {value}"
        )
    };
    assert_eq!(limits::LARGE_BODY_BYTES_TOTAL, 16 * 1024 * 1024);
    has("LARGE_BODY_BYTES_TOTAL", "16 MiB");
    assert_eq!(limits::OBJECT_BYTES, 1536 * 1024);
    has("OBJECT_BYTES", "1.5 MiB");
    assert_eq!(limits::WEBHOOK_DRAIN_TIMEOUT, Duration::from_secs(10));
    has("WEBHOOK_DRAIN_TIMEOUT", "10 s");
    assert_eq!(limits::CERTIFICATE_VALIDITY.as_secs(), 365 * 24 * 60 * 60);
    has("CERTIFICATE_VALIDITY", "365 days");
    assert_eq!(limits::GRPC_BACKOFF_GROWTH, (8, 5));
    has("GRPC_BACKOFF_GROWTH", "8/5");
    assert_eq!(limits::H2_NON_PROGRESS_FRAMES, 10_000);
    has("H2_NON_PROGRESS_FRAMES", "10,000");
    assert_eq!(time_of(Duration::from_secs(120)), "2 min");
    assert_eq!(time_of(Duration::from_secs(150)), "150 s");
}
