//! A shell that runs one simple command (POSIX.1-2017, Shell Command Language, 2.9.1): words with quotes, without anything
//! that the shell would expand or redirect.

use super::conversion::{Reason, variable_names};
use serde_json::Value;

const SHELLS: [&str; 6] = [
    "sh",
    "/bin/sh",
    "bash",
    "/bin/bash",
    "/usr/bin/sh",
    "/usr/bin/bash",
];

/// The variable with a file that bash runs before a script.
const BASH_ENV: &str = "BASH_ENV";

/// A token of a script.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    /// `||`
    Or,
}

/// The words of a command; those of the script if it is a shell with `-c`. `env` is `env` of the container.
pub(super) fn simple_command(words: Vec<String>, env: &Value) -> Result<Vec<String>, Reason> {
    match &words[..] {
        [shell, ..]
            if SHELLS.contains(&&**shell)
                && shell.ends_with("bash")
                && variable_names(env).any(|name| name == BASH_ENV) =>
        {
            Err(format!("runs bash, and the container sets {BASH_ENV}").into())
        }
        [shell, flag, script] if SHELLS.contains(&&**shell) && flag == "-c" => {
            command_of(split(script)?)
        }
        [shell, ..] if SHELLS.contains(&&**shell) => {
            Err("runs a shell with other arguments than -c SCRIPT".into())
        }
        _ => Ok(words),
    }
}

/// The words of `[exec] COMMAND [|| exit 1]`.
fn command_of(mut tokens: Vec<Token>) -> Result<Vec<String>, Reason> {
    let exit = ["exit", "1"].map(|word| Token::Word(word.into()));
    let has_exit = tokens.ends_with(&exit);
    let before = tokens.len().saturating_sub(exit.len() + 1);
    if has_exit && tokens.get(before) == Some(&Token::Or) {
        tokens.truncate(before);
    }
    let words = tokens.into_iter().map(|token| match token {
        Token::Word(word) => Ok(word),
        Token::Or => Err(several_commands()),
    });
    let mut words = words.collect::<Result<Vec<_>, _>>()?;
    if words.first().is_some_and(|word| word == "exec") {
        words.remove(0);
    }
    match words.first() {
        Some(first) if first.contains('=') => Err("sets a variable in a shell".into()),
        Some(_) => Ok(words),
        None => Err("has a shell script without a command".into()),
    }
}

fn split(script: &str) -> Result<Vec<Token>, Reason> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = script.trim_matches([' ', '\t', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => tokens.extend(word.take().map(Token::Word)),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('$' | '`' | '\\' | '!') if c == '"' => return Err(expands()),
                        Some(inner) => word.push(inner),
                        None => return Err("runs a shell script with an open quote".into()),
                    }
                }
            }
            '|' if chars.next_if_eq(&'|').is_some() => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Or);
            }
            '$' | '`' | '\\' | '*' | '?' | '[' | ']' | '{' | '}' | '~' | '!' | '#' => {
                return Err(expands());
            }
            '|' | '&' | ';' | '(' | ')' | '\n' => return Err(several_commands()),
            '<' | '>' => return Err("redirects a file in a shell".into()),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

fn expands() -> Reason {
    "has text that a shell expands".into()
}

fn several_commands() -> Reason {
    "runs more than one command in a shell".into()
}
