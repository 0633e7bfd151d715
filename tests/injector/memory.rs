//! Memory of a long stream.

use super::{Folder, command, pod, service};
use crate::support::observe::proc_figure;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use std::io::{BufRead, BufReader, Read, Write};

/// The bound of the peak.
const MOST_KIB: u64 = 32 * 1024;

/// The tolerance for the allocator in a longer run.
const SLACK_KIB: u64 = 1024;

pub fn tests() -> Vec<Trial> {
    trials!["injector::memory":
        memory_does_not_grow_with_the_number_of_documents,
        memory_of_diffs_and_patches_does_not_grow_with_the_stream,
    ]
}

/// The peak of resident memory, in KiB, over this number of documents in this mode. After the last line of standard error
/// the injector has read all documents and waits until its output is read.
fn peak_of(documents: usize, mode: &[&str]) -> u64 {
    let folder = Folder::new();
    let mut child = command(&folder.0, &[&["file", "-f", "-"], mode].concat())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || {
        for number in 0..documents {
            let text = match number % 2 {
                0 => pod(&format!("pod-{number}")),
                _ => service(&format!("service-{number}")),
            };
            stdin.write_all(text.as_bytes()).expect("it reads");
            stdin.write_all(b"---\n").expect("it reads");
        }
        stdin.write_all(pod("last").as_bytes()).expect("it reads");
    });
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert!(lines.any(|line| line.expect("text").contains("pod/last ")));
    writer.join().expect("no panic");
    let mut stdout = child.stdout.take().expect("piped");
    // After the first byte of the output, which exceeds the buffer of a pipe.
    stdout.read_exact(&mut [0]).expect("a result");
    let peak = proc_figure(child.id(), "status", "VmHWM").expect("a peak");
    let rest = std::io::copy(&mut stdout, &mut std::io::sink()).expect("a result");
    assert!(rest > documents as u64 * 100, "{rest}");
    assert!(child.wait().expect("our child").success());
    peak
}

fn memory_does_not_grow_with_the_number_of_documents() {
    let most = |documents, mode: &[&str]| {
        let peak = peak_of(documents, mode);
        assert!(peak < MOST_KIB, "{documents} {mode:?}: {peak} KiB");
        peak
    };
    let (few, many) = (most(1_000, &[]), most(10_000, &[]));
    assert!(many < few + SLACK_KIB, "{few} KiB, then {many} KiB");
}

fn memory_of_diffs_and_patches_does_not_grow_with_the_stream() {
    for mode in [&["--diff"][..], &["--output", "patch"]] {
        let (few, many) = (peak_of(500, mode), peak_of(2_500, mode));
        assert!(
            many < few + SLACK_KIB,
            "{mode:?}: {few} KiB, then {many} KiB"
        );
    }
}
