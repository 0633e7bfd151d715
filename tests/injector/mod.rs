//! `probelet-inject` as a process: input, output, messages and exit codes.

mod admission;
mod audit;
mod config;
mod converted_exec;
mod files;
mod generated;
mod golden;
mod kubelet;
mod large_pods;
mod memory;
mod pods;
mod serve;
mod streams;
mod upgrade;
mod usage;

use crate::support::command::{Ended, injector, wait_with_output};
use crate::support::folder::Folder;
use libtest_mimic::Trial;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Trial> {
    let mut tests = golden::tests();
    tests.extend(admission::tests());
    tests.extend(audit::tests());
    tests.extend(config::tests());
    tests.extend(converted_exec::tests());
    tests.extend(files::tests());
    tests.extend(generated::tests());
    tests.extend(kubelet::tests());
    tests.extend(large_pods::tests());
    tests.extend(memory::tests());
    tests.extend(serve::tests());
    tests.extend(streams::tests());
    tests.extend(upgrade::tests());
    tests.extend(usage::tests());
    tests
}

/// A pod with a readiness probe on port 8080.
fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: web\n    \
         image: registry.example/web:1\n    readinessProbe:\n      httpGet:\n        path: /ready\n        \
         port: 8080\n"
    )
}

/// A document of a kind without pods.
fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n")
}

/// The command of the injector with these arguments in this folder.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = crate::support::command::command(&injector(), args);
    command.current_dir(folder);
    command.env("TMPDIR", std::env::temp_dir());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the injector in a folder with an empty standard input.
#[track_caller]
fn run(folder: &Path, args: &[&str]) -> Ended {
    fed(folder, args, "")
}

/// Runs the injector in a folder with this standard input.
#[track_caller]
fn fed(folder: &Path, args: &[&str], stdin: &str) -> Ended {
    let mut child = command(folder, args).spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("piped");
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || {
        // The injector may exit before it has read everything.
        let _ = pipe.write_all(text.as_bytes());
    });
    let ended = wait_with_output(child);
    writer.join().expect("no panic");
    ended
}

/// Runs the injector in a folder.
trait Runs {
    fn run(&self, args: &[&str]) -> Ended;
}

impl Runs for Folder {
    #[track_caller]
    fn run(&self, args: &[&str]) -> Ended {
        run(&self.0, args)
    }
}

/// Asserts success, and returns standard output.
#[track_caller]
fn written(ended: &Ended) -> &str {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    &ended.stdout
}

/// Asserts the exit code, an empty standard output, and messages on standard error.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32, messages: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    for message in messages {
        assert!(
            ended.stderr.contains(message),
            "{message}: {}",
            ended.stderr
        );
    }
}
