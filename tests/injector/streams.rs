//! Standard input, pipes and standard output.

use super::{Folder, Runs, command, fed, injector, pod, service, wait_with_output, written};
use crate::support::Need;
use crate::support::trials::trials;
use libtest_mimic::Trial;
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Trial> {
    let mut tests = trials!["injector::streams":
        standard_input_is_read,
        other_kinds_are_copied_byte_for_byte,
        an_empty_input_has_an_empty_output,
        several_files_become_one_stream_of_documents,
        a_named_pipe_is_read_like_a_file,
        a_closed_standard_output_is_not_an_error,
        a_full_standard_output_is_an_error,
        every_failed_document_is_reported_and_nothing_is_written,
        invalid_utf_8_is_an_error_with_its_line,
        text_that_a_terminal_obeys_is_escaped_in_reports,
        patch_output_has_one_line_per_resource,
        a_missing_folder_for_temporary_files_is_an_error,
    ];
    tests.extend(trials!["injector::streams" needs &[Need::Peer("script")];
        a_diff_is_escaped_on_a_terminal_and_exact_in_a_pipe,
    ]);
    tests
}

fn standard_input_is_read() {
    let folder = Folder::new();
    let ended = fed(&folder.0, &["kube-inject", "-f", "-"], &pod("web"));
    let out = written(&ended);
    assert!(out.contains("/app-health/web/readyz"), "{out}");
    assert_eq!(ended.stderr, "pod/web injected: readyz\n");
}

fn other_kinds_are_copied_byte_for_byte() {
    let folder = Folder::new();
    let text = format!(
        "# {0}\n---\n{0}---\r\n{0}...\n# end",
        service("\"a: &b\"  # 'x'")
    );
    let ended = fed(&folder.0, &["file", "-f", "-"], &text);
    assert_eq!((written(&ended), &*ended.stderr), (&*text, ""));
}

fn an_empty_input_has_an_empty_output() {
    let folder = Folder::new();
    for text in ["", "\n", "# nothing"] {
        let ended = fed(&folder.0, &["file", "-f", "-"], text);
        assert_eq!((written(&ended), &*ended.stderr), (text, ""));
    }
}

fn several_files_become_one_stream_of_documents() {
    let folder = Folder::new();
    let (a, b) = (service("a"), service("b"));
    for (first, second, expected) in [
        (a.clone(), b.clone(), format!("{a}---\n{b}")),
        (a.trim_end().into(), b.clone(), format!("{a}---\n{b}")),
        (a.clone(), format!("---\n{b}"), format!("{a}---\n{b}")),
        (
            a.clone(),
            format!("\n# b\n--- # b\n{b}"),
            format!("{a}\n# b\n--- # b\n{b}"),
        ),
        (
            a.clone(),
            format!("%YAML 1.2\n---\n{b}"),
            format!("{a}...\n%YAML 1.2\n---\n{b}"),
        ),
        (a.clone(), format!("\u{feff}{b}"), format!("{a}---\n{b}")),
        (String::new(), b.clone(), b.clone()),
        (a.clone(), String::new(), a.clone()),
        ("{}".into(), "{}".into(), "{}\n---\n{}".into()),
    ] {
        folder.write("a.yaml", &first);
        folder.write("b.yaml", &second);
        let ended = folder.run(&["file", "-f", "a.yaml", "-f", "b.yaml"]);
        assert_eq!(written(&ended), expected);
    }
}

/// As of `kubectl apply -f <(probelet-inject kube-inject -f <(…))`, where the names are `/dev/fd/63` and the like.
fn a_named_pipe_is_read_like_a_file() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let mut bash = Command::new("bash");
    let script = "cat <(\"$1\" kube-inject -f <(cat app.yaml))";
    bash.args(["-c", script, "bash", &super::injector()]);
    bash.current_dir(&folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let piped = wait_with_output(bash.spawn().expect("bash"));
    let plain = folder.run(&["kube-inject", "-f", "app.yaml"]);
    assert_eq!(written(&piped), written(&plain));
    assert_eq!(piped.stderr, "pod/web injected: readyz\n");
}

fn a_closed_standard_output_is_not_an_error() {
    let folder = Folder::new();
    folder.write("app.yaml", &service("a"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(&folder.0, &["file", "-f", "app.yaml"]);
    let ended = wait_with_output(command.stdout(writer).spawn().expect("it starts"));
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(1), ""));
}

fn a_full_standard_output_is_an_error() {
    let folder = Folder::new();
    folder.write("app.yaml", &service("a"));
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let mut command = command(&folder.0, &["file", "-f", "app.yaml"]);
    let ended = wait_with_output(command.stdout(full).spawn().expect("it starts"));
    let expected = "standard output cannot be written: No space left on device";
    super::assert_refused(&ended, 1, &[expected]);
}

fn every_failed_document_is_reported_and_nothing_is_written() {
    let folder = Folder::new();
    let taken = pod("taken").replace("8080", "15020");
    let text = [&*pod("web"), "a: [1\n", &*taken, "b: {2\n", &*pod("db")].join("---\n");
    folder.write("app.yaml", &text);
    folder.write("more.yaml", "- c: ]\n");
    folder.write("fine.yaml", &pod("fine"));
    let ended = folder.run(&["file", "-f", "."]);
    super::assert_refused(
        &ended,
        1,
        &[
            "app.yaml: pod/web injected: readyz\n",
            "app.yaml: document 2, line 1",
            "app.yaml: document 4, line ",
            "app.yaml: pod/db injected: readyz\n",
            "fine.yaml: pod/fine injected: readyz\n",
            "more.yaml: document 1, line ",
            "probelet-inject: nothing is written, as 4 documents failed\n",
        ],
    );
}

fn invalid_utf_8_is_an_error_with_its_line() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("a.yaml"), b"a: b\nc: \xff\n").expect("a file");
    let ended = folder.run(&["file", "-f", "a.yaml"]);
    super::assert_refused(&ended, 1, &["a.yaml: line 2: the input is not UTF-8"]);
}

fn patch_output_has_one_line_per_resource() {
    let folder = Folder::new();
    let indented = |pod: String| {
        let lines = pod.lines().map(|line| format!("  {line}\n"));
        lines.collect::<String>().replacen("  ", "- ", 1)
    };
    let list = format!(
        "kind: List\napiVersion: v1\nitems:\n{}{}",
        indented(pod("a")),
        indented(pod("b"))
    );
    let text = format!("{}---\n{}---\n{list}", service("s"), pod("web"));
    let ended = fed(&folder.0, &["file", "-f", "-", "--output", "patch"], &text);
    let lines: Vec<&str> = written(&ended).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let value = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    // The patch of an item applies to the resource itself: kubectl cannot patch Lists.
    assert_eq!(value(lines[0]), value(lines[1]));
    let operations = value(lines[0]);
    let paths = operations.as_array().expect("a list").iter();
    let mut paths: Vec<_> = paths
        .map(|one| one["path"].as_str().expect("text"))
        .collect();
    paths.sort_unstable();
    assert!(
        paths.contains(&"/spec/containers/0/readinessProbe/httpGet/port"),
        "{paths:?}"
    );
    assert!(paths.contains(&"/spec/initContainers"), "{paths:?}");
}

fn text_that_a_terminal_obeys_is_escaped_in_reports() {
    let folder = Folder::new();
    // The last one begins with a line feed, to forge a line.
    let names = [
        "\u{202e}bew",
        "w\u{9b}2Jb",
        "w\u{2028}b",
        r"\e[2Jb",
        r"a\npod/b",
    ];
    for name in names {
        let text = pod("web").replacen("name: web", &format!("name: \"{name}\""), 1);
        for args in [&["file", "--check", "-f", "-"][..], &["audit", "-f", "-"]] {
            let ended = fed(&folder.0, args, &text);
            let lines = [&*ended.stdout, &ended.stderr].concat();
            assert!(lines.contains("\\u"), "{args:?}: {lines:?}");
            assert_eq!(lines.matches('\n').count(), 1, "{args:?}: {lines:?}");
            let is_plain = |c: char| c == '\n' || matches!(c, ' '..='~');
            assert!(lines.chars().all(is_plain), "{args:?}: {lines:?}");
        }
        let ended = fed(&folder.0, &["audit", "-f", "-", "--output=json"], &text);
        assert!(ended.stdout.is_ascii(), "{:?}", ended.stdout);
    }
    let ended = folder.run(&["file", "-f", "\u{202e}lmay.ppa"]);
    assert!(
        ended.stderr.contains("\\u202elmay.ppa"),
        "{:?}",
        ended.stderr
    );
    assert!(ended.stderr.is_ascii(), "{:?}", ended.stderr);
}

fn a_diff_is_escaped_on_a_terminal_and_exact_in_a_pipe() {
    let folder = Folder::new();
    let text = pod("web").replacen("name: web", "name: web  # \u{202e}\u{2066}", 1);
    std::fs::write(folder.0.join("web.yaml"), &text).expect("a folder for temporary files");
    let ended = folder.run(&["file", "--diff", "-f", "web.yaml"]);
    assert!(written(&ended).contains("# \u{202e}\u{2066}"), "{ended:?}");
    let command = format!("{} file --diff -f web.yaml", injector());
    let shown = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(&folder.0)
        .output()
        .expect("script is installed");
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains(r"# \u202e\u2066"), "{shown:?}");
    assert!(
        shown.contains("+++ b/web.yaml") && shown.is_ascii(),
        "{shown:?}"
    );
}

fn a_missing_folder_for_temporary_files_is_an_error() {
    let folder = Folder::new();
    folder.write("app.yaml", &service("a"));
    let mut command = command(&folder.0, &["file", "-f", "app.yaml"]);
    command.env("TMPDIR", "/nowhere");
    let ended = wait_with_output(command.spawn().expect("it starts"));
    super::assert_refused(&ended, 1, &["a temporary file in /nowhere", "set TMPDIR"]);
}
