//! Memory of a long stream, and of large documents.

use super::{Folder, command, fed, pod, run, service, written};
use crate::support::observe::proc_figure;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use probelet::limits;
use std::io::{BufRead, BufReader, Read, Write};

/// The bound of the peak.
const MOST_KIB: u64 = 32 * 1024;

/// The tolerance for the allocator in a longer run.
const SLACK_KIB: u64 = 1024;

pub fn tests() -> Vec<Trial> {
    trials!["injector::memory":
        memory_does_not_grow_with_the_number_of_documents,
        memory_of_diffs_and_patches_does_not_grow_with_the_stream,
        a_list_of_pods_takes_at_most_12_times_its_bytes,
        a_document_of_many_small_values_is_refused_in_256_mib,
        items_of_a_large_list_are_edited_like_those_of_a_small_one,
        a_list_whose_items_share_an_anchor_is_injected_or_refused_in_256_mib,
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

/// The bound of the peak relative to the bytes of a document.
const MOST_RATIO: u64 = 12;

/// What the program itself takes, in a debug build.
const BASE_BYTES: u64 = 16 << 20;

/// A List in block style: its kind after the items, with this indentation of the dashes.
fn block_list(pods: usize, indentation: usize) -> String {
    let mut list = String::from("apiVersion: v1\nitems:\n");
    for number in 0..pods {
        for (index, line) in pod(&format!("pod-{number}")).lines().enumerate() {
            let dash = if index == 0 { "- " } else { "  " };
            list += &format!("{:indentation$}{dash}{line}\n", "");
        }
    }
    list + "kind: List\nmetadata: {}\n"
}

/// The same in JSON, with or without spaces.
fn json_list(pods: usize, is_compact: bool) -> String {
    let mut items = Vec::new();
    for number in 0..pods {
        items.push(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{number}")},
            "spec": {"containers": [{
                "name": "web", "image": "web", "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
            }]},
        }));
    }
    let list = serde_json::json!({"apiVersion": "v1", "items": items, "kind": "List"});
    match is_compact {
        true => list.to_string(),
        false => serde_json::to_string_pretty(&list).expect("JSON") + "\n",
    }
}

/// The peak of resident memory, in KiB, over a document whose result exceeds the buffer of a pipe.
fn peak_of_document(text: &str, mode: &[&str]) -> u64 {
    let folder = Folder::new();
    folder.write("list.yaml", text);
    let mut child = command(&folder.0, &[&["file", "-f", "list.yaml"], mode].concat())
        .spawn()
        .expect("it starts");
    let mut stderr = child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0]).expect("a result");
    let peak = proc_figure(child.id(), "status", "VmHWM").expect("a peak");
    std::io::copy(&mut stdout, &mut std::io::sink()).expect("a result");
    reader.join().expect("no panic").expect("read");
    assert!(child.wait().expect("our child").success());
    peak
}

fn a_list_of_pods_takes_at_most_12_times_its_bytes() {
    let (block, json) = (block_list(1_500, 2), json_list(1_500, true));
    for (text, mode) in [(&block, &[][..]), (&block, &["--diff"]), (&json, &[])] {
        let peak = peak_of_document(text, mode) * 1024;
        let most = MOST_RATIO * text.len() as u64 + BASE_BYTES;
        assert!(peak <= most, "{mode:?}: {peak} of {most}: {text:.90}");
    }
}

/// Asserts that each pod has as many of something, and one at least.
#[track_caller]
fn assert_same_for_each(pods: usize, count: usize) {
    assert!(count >= pods && count.is_multiple_of(pods), "{count}");
}

fn items_of_a_large_list_are_edited_like_those_of_a_small_one() {
    let folder = Folder::new();
    for list in [
        |pods| block_list(pods, 0),
        |pods| block_list(pods, 2).replace('\n', "\r\n"),
        |pods| json_list(pods, true),
    ] {
        let list: fn(usize) -> String = list;
        let inject = |text: &str, args: &[&str]| {
            let ended = fed(&folder.0, &[&["file", "-f", "-"], args].concat(), text);
            written(&ended).to_owned()
        };
        // A small List is edited as a whole.
        let (small, large) = (list(2), list(1_500));
        let (small_edited, large_edited) = (inject(&small, &[]), inject(&large, &[]));
        let rest = small_edited.find("pod-1").expect("the second pod");
        assert!(
            large_edited.starts_with(&small_edited[..rest]),
            "{small_edited} {large_edited:.2000}"
        );
        let end = small_edited[rest..]
            .strip_prefix("pod-1")
            .expect("the second pod");
        assert!(large_edited.ends_with(end), "{end}");
        assert_same_for_each(
            1_500,
            large_edited.matches("/app-health/web/readyz").count(),
        );
        assert!(inject(&large_edited, &["--uninject"]) == large);
        folder.write("list.yaml", &large);
        let diff = run(&folder.0, &["file", "--diff", "-f", "list.yaml"]);
        if large.contains("- apiVersion") {
            let added = |line: &&str| line.starts_with('+') && line.contains("path: /app-health");
            assert_same_for_each(1_500, written(&diff).lines().filter(added).count());
        }
    }
}

/// The bound of the peak of a document that is read and edited as a whole.
const MOST_EDITED_KIB: u64 = limits::DOCUMENT_MEMORY_BYTES as u64 / 1024;

/// A List that cannot be split.
fn list_with_shared_anchor(pods: usize) -> String {
    let list = block_list(pods, 0);
    let list = list.replacen("- name: web\n", "- name: &name web\n", 1);
    list.replace("- name: web\n", "- name: *name\n")
}

fn a_list_whose_items_share_an_anchor_is_injected_or_refused_in_256_mib() {
    let text = list_with_shared_anchor(2_000);
    let peak = peak_of_document(&text, &[]);
    assert!(peak < MOST_EDITED_KIB, "{peak} KiB of {} bytes", text.len());
    let refused = list_with_shared_anchor(5_000);
    let line = "need more memory than a document may: split it with lines ---, one resource each";
    let peak = peak_of_refused(&refused, line);
    assert!(
        peak < MOST_EDITED_KIB,
        "{peak} KiB of {} bytes",
        refused.len()
    );
}

/// The peak of resident memory, in KiB, over a document that is refused with this line.
fn peak_of_refused(text: &str, expected: &str) -> u64 {
    let folder = Folder::new();
    folder.write("values.yaml", text);
    let mut child = command(&folder.0, &["file", "-f", "values.yaml", "-f", "-"])
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    // Standard input is open, so the injector waits.
    let line = lines.next().expect("a line").expect("text");
    assert!(line.contains(expected), "{line}");
    let peak = proc_figure(child.id(), "status", "VmHWM").expect("a peak");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("our child").code(), Some(1));
    peak
}

fn a_document_of_many_small_values_is_refused_in_256_mib() {
    let text = format!("[{}]", "{k: 1}, ".repeat(1 << 20));
    let peak = peak_of_refused(&text, "split it with lines ---, one resource each");
    assert!(peak < MOST_EDITED_KIB, "{peak}");
}
