//! `serve`: its flags take effect, and its exit code.

use super::{Folder, Runs, assert_refused, command, wait_with_output};
use crate::support::certs::Identity;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};

pub fn tests() -> Vec<Trial> {
    trials!["injector::serve":
        serve_runs_until_sigterm,
        errors_at_startup_are_reported,
        a_port_in_use_is_an_error_that_names_the_flag,
    ]
}

fn folder() -> Folder {
    let folder = Folder::new();
    let identity = Identity::self_signed();
    folder.write("tls.crt", &identity.chain);
    folder.write("tls.key", &identity.key);
    folder
}

const CERTIFICATE: [&str; 5] = ["serve", "--cert", "tls.crt", "--key", "tls.key"];

fn serve_runs_until_sigterm() {
    let folder = folder();
    let reserved = crate::support::ports::reserve();
    let port = reserved.port.to_string();
    let args = [
        "--addr=127.0.0.1",
        "--port",
        &port,
        "--shutdown-delay=0",
        "--log-format=json",
    ];
    let mut command = command(&folder.0, &[&CERTIFICATE[..], &args].concat());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let listening = format!("127.0.0.1:{port}");
    assert!(lines.any(|line| {
        let line = line.expect("text");
        line.starts_with('{') && line.contains("\"listening\"") && line.contains(&listening)
    }));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("our child");
    drop(lines);
    assert_eq!(wait_with_output(child).status.code(), Some(0));
}

fn errors_at_startup_are_reported() {
    let folder = folder();
    folder.write("values", "{");
    let listens = ["--addr=127.0.0.1", "--port=1"];
    let run = |args: &[&str]| folder.run(&[&CERTIFICATE[..], &listens, args].concat());
    assert_refused(
        &run(&["--config", "values"]),
        1,
        &["probelet-inject: ", "values is not valid JSON"],
    );
    folder.write("tls.crt", "");
    assert_refused(&run(&[]), 1, &["probelet-inject: ", "tls.crt"]);
    assert_refused(
        &folder.run(&["serve"]),
        2,
        &["--cert and --key, or --self-signed, are required"],
    );
}

fn a_port_in_use_is_an_error_that_names_the_flag() {
    let folder = folder();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let listen = ["--addr=127.0.0.1", "--port", &port];
    assert_refused(
        &folder.run(&[&CERTIFICATE[..], &listen].concat()),
        1,
        &["probelet-inject: --port: 127.0.0.1:", "in use"],
    );
}
