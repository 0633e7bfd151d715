//! `probelet-inject` as a process: input, output, messages and exit codes.

mod admission;
mod audit;
mod config;
mod files;
mod generated;
mod golden;
mod kubelet;
mod memory;
mod pods;
mod serve;
mod streams;
mod usage;

use crate::support::command::{Ended, injector};
use crate::support::folder::Folder;
use crate::support::{WAIT_LIMIT, within};
use libtest_mimic::Trial;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

pub fn tests() -> Vec<Trial> {
    let mut tests = golden::tests();
    tests.extend(admission::tests());
    tests.extend(audit::tests());
    tests.extend(config::tests());
    tests.extend(files::tests());
    tests.extend(generated::tests());
    tests.extend(kubelet::tests());
    tests.extend(memory::tests());
    tests.extend(serve::tests());
    tests.extend(streams::tests());
    tests.extend(usage::tests());
    tests
}

/// A pod with a readiness probe of port 8080.
fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: web\n    \
         image: registry.example/web:1\n    readinessProbe:\n      httpGet:\n        path: /ready\n        \
         port: 8080\n"
    )
}

/// A document of a kind that has no pods.
fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n")
}

/// The injector with these arguments, in this folder.
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

/// Runs it in a folder with an empty standard input.
#[track_caller]
fn run(folder: &Path, args: &[&str]) -> Ended {
    fed(folder, args, "")
}

/// Runs it in a folder with a text on standard input.
#[track_caller]
fn fed(folder: &Path, args: &[&str], stdin: &str) -> Ended {
    let mut child = command(folder, args).spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("piped");
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = pipe.write_all(text.as_bytes());
    });
    let ended = wait_with_output(child);
    writer.join().expect("no panic");
    ended
}

/// Waits until it ends.
#[track_caller]
fn wait_with_output(mut child: Child) -> Ended {
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let mut status = None;
    let has_ended = within(WAIT_LIMIT, || {
        status = child.try_wait().expect("our child");
        status.is_some()
    });
    if !has_ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |reader: Option<JoinHandle<Vec<u8>>>| {
        let bytes = reader.map(|reader| reader.join().expect("no panic"));
        String::from_utf8(bytes.unwrap_or_default()).expect("UTF-8")
    };
    Ended {
        status: status.expect("it ends"),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
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
