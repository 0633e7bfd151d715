//! The text of `--help`, from the table of a command.

use super::table::{Command, Flag, Program, Section};
use core::fmt::Write;

/// Columns of a terminal that the help may fill.
const COLUMNS: usize = 100;

/// The widest column of flags. The help of a longer flag begins on the next line.
const FLAG_COLUMNS: usize = 28;

/// The help of a program. Not inlined: most runs do not print help, and .cargo/layout.ld keeps this module out of memory.
#[inline(never)]
pub(super) fn of_program(program: &Program) -> String {
    let mut text = format!("{}: {}.\n", program.name, program.summary);
    paragraphs(&mut text, program.description);
    let mut before = "\nUsage: ";
    for command in program.commands {
        let first = command.usage.first().unwrap_or(&"");
        line(&mut text, format_args!("{before}{} {first}", command.name));
        before = "       ";
    }
    text.push_str("\nCommands, each with its own --help:\n");
    for command in program.commands {
        let names: Vec<&str> = command.subcommands().collect();
        entry(&mut text, 20, &names.join(", "), command.summary);
    }
    text.push_str("\nFlags:\n");
    entry(&mut text, 20, "-h, --help", "Print this help");
    entry(&mut text, 20, "-V, --version", "Print the version");
    ended(text)
}

/// The help of a command. Not inlined, like [`of_program`].
#[inline(never)]
pub(super) fn of_command(command: &Command) -> String {
    let mut text = format!("{}: {}.\n", command.name, command.summary);
    let mut before = "\nUsage: ";
    for usage in command.usage {
        line(&mut text, format_args!("{before}{} {usage}", command.name));
        before = "       ";
    }
    if let Some(alias) = command.full_alias() {
        paragraphs(&mut text, &[&format!("Alias: {alias}.")]);
    }
    paragraphs(&mut text, command.description);
    if let Some(help) = env_help(command) {
        paragraphs(&mut text, &[&help]);
    }
    for block in command.blocks {
        line(&mut text, format_args!("\n{}:", block.title));
        for each in block.lines {
            line(&mut text, format_args!("  {each}"));
        }
    }
    let widths = command.flags().map(|flag| label(flag).len());
    let fitting = widths.filter(|width| *width <= FLAG_COLUMNS);
    let width = fitting.max().unwrap_or("-h, --help".len()) + 2;
    for Section { title, flags } in command.sections() {
        line(&mut text, format_args!("\n{title}:"));
        for flag in *flags {
            entry(&mut text, width, &label(flag), &full(flag));
        }
    }
    text.push('\n');
    entry(&mut text, width, "-h, --help", "Print this help");
    paragraphs(&mut text, &[command.exit_status]);
    ended(text)
}

/// The paragraph on the environment variables that set flags.
pub(super) fn env_help(command: &Command) -> Option<String> {
    let prefix = command.env_prefix?;
    let flag = command.flags().next()?;
    let variable = command.env_names(flag).into_iter().next()?;
    Some(format!(
        "Each flag can also be set by an environment variable: {prefix} and its name, such as {variable} for {}. \
         A flag takes precedence over a variable, and an empty variable counts as unset.",
        flag.long
    ))
}

/// The names of a flag and of its value.
pub(super) fn label(flag: &Flag) -> String {
    let names = flag.spellings.join(", ");
    match flag.value {
        Some(value) => format!("{names} {value}"),
        None => names,
    }
}

/// The help of a flag, with its default and the aliases of its environment variable.
fn full(flag: &Flag) -> String {
    let mut text = String::from(flag.help);
    if let Some(default) = &flag.default {
        // Writing to a string does not fail, here and below.
        let _ = write!(text, " [{default}]");
    }
    if !flag.env_aliases.is_empty() {
        let _ = write!(text, " (or {})", flag.env_aliases.join(", "));
    }
    text
}

fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    let _ = text.write_fmt(line);
    let trimmed = text.trim_end_matches(' ').len();
    text.truncate(trimmed);
    text.push('\n');
}

fn paragraphs(text: &mut String, paragraphs: &[&str]) {
    for paragraph in paragraphs {
        text.push('\n');
        let at = text.len();
        wrap(text, at, 0, paragraph);
    }
}

/// A label, and its meaning in the column to the right.
fn entry(text: &mut String, width: usize, label: &str, meaning: &str) {
    let start = text.len();
    text.push_str("  ");
    text.push_str(label);
    if label.len() > width - 2 {
        text.push('\n');
        let at = text.len();
        pad(text, width + 2);
        wrap(text, at, width + 2, meaning);
    } else {
        pad(text, width - label.len());
        wrap(text, start, width + 2, meaning);
    }
}

/// Appends words to the line that begins at `start`, and wraps them. Further lines are indented.
fn wrap(text: &mut String, start: usize, indent: usize, words: &str) {
    let mut start = start;
    let mut is_first = true;
    for word in words.split(' ') {
        if !is_first && text.len() - start + 1 + word.len() > COLUMNS {
            text.push('\n');
            start = text.len();
            pad(text, indent);
        } else if !is_first {
            text.push(' ');
        }
        text.push_str(word);
        is_first = false;
    }
    text.push('\n');
}

fn pad(text: &mut String, columns: usize) {
    text.extend(core::iter::repeat_n(' ', columns));
}

fn ended(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text
}
