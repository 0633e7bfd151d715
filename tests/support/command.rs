//! probelet as a command that exits by itself: its arguments, its output, its exit code.

use super::{WAIT_LIMIT, within};
use std::collections::HashMap;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use tinyjson::JsonValue;

/// The path of the binary under test.
pub fn binary() -> String {
    std::env::var("PROBELET_TEST_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_probelet").into())
}

/// The path of the injector under test.
#[cfg(feature = "inject")]
pub fn injector() -> String {
    std::env::var("PROBELET_TEST_INJECT_BIN")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_probelet-inject").into())
}

/// The command that starts a binary: itself, or `PROBELET_TEST_RUNNER` and itself.
pub fn argv(binary: &str) -> Vec<String> {
    let runner = std::env::var("PROBELET_TEST_RUNNER").unwrap_or_default();
    let runner = runner.split_whitespace().map(String::from);
    runner.chain([binary.into()]).collect()
}

/// The binary under test with these arguments and no environment.
pub fn probelet(args: &[&str]) -> Command {
    command(&binary(), args)
}

/// This binary with these arguments and no environment.
pub fn command(binary: &str, args: &[&str]) -> Command {
    let argv = argv(binary);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).args(args).env_clear();
    command
}

/// The result of a command that has exited.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command until it exits.
#[track_caller]
pub fn run_to_end(mut command: Command) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    wait_with_output(command.spawn().expect("it starts"))
}

/// Reads the output of a child until it exits. Output that is not piped is empty.
#[track_caller]
pub fn wait_with_output(mut child: Child) -> Ended {
    let (stdout, stderr) = (
        child.stdout.take().map(reader),
        child.stderr.take().map(reader),
    );
    let status = wait_exit(&mut child);
    let text = |reader: Option<JoinHandle<String>>| {
        reader.map_or(String::new(), |reader| reader.join().expect("no panic"))
    };
    Ended {
        status: status.expect("it exits in time"),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8(text).expect("UTF-8")
    })
}

/// Waits for a child to exit, or kills it after `WAIT_LIMIT`.
pub fn wait_exit(child: &mut Child) -> Option<ExitStatus> {
    let mut status = None;
    within(WAIT_LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// `probelet check` with these arguments.
#[track_caller]
pub fn check(args: &[&str]) -> Ended {
    run_to_end(probelet_check(args))
}

/// `probelet check` with the timeout of a busy machine, unless an argument sets another.
fn probelet_check(args: &[&str]) -> Command {
    let mut command = probelet(&["check"]);
    command.args(args).env("PROBELET_CHECK_TIMEOUT", "15");
    command
}

/// The result of `probelet check --json` with these arguments, and its exit code.
#[track_caller]
pub fn check_json(args: &[&str]) -> CheckResult {
    let mut command = probelet_check(&["--json"]);
    command.args(args);
    let ended = run_to_end(command);
    let line = ended.stdout.strip_suffix('\n').unwrap_or_default();
    assert!(!line.contains('\n') && ended.stderr.is_empty(), "{ended:?}");
    let json: JsonValue = line.parse().expect("JSON");
    CheckResult {
        code: ended.status.code(),
        members: json.try_into().expect("an object"),
    }
}

/// The object that `check --json` prints.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// The exit code.
    pub code: Option<i32>,
    members: HashMap<String, JsonValue>,
}

impl CheckResult {
    /// The names of its members, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.members.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A number, unless it is null.
    #[track_caller]
    pub fn number(&self, name: &str) -> Option<f64> {
        match &self.members[name] {
            JsonValue::Null => None,
            JsonValue::Number(number) => Some(*number),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// A text, unless it is null.
    #[track_caller]
    pub fn text(&self, name: &str) -> Option<&str> {
        match &self.members[name] {
            JsonValue::Null => None,
            JsonValue::String(text) => Some(text),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Whether the app is healthy; the exit code must agree.
    #[track_caller]
    pub fn is_healthy(&self) -> bool {
        let JsonValue::Boolean(healthy) = self.members["healthy"] else {
            panic!("healthy is not a boolean");
        };
        assert_eq!(self.code, Some(i32::from(!healthy)), "{self:?}");
        healthy
    }
}
