//! Usage errors and help.

use super::{Folder, Runs, assert_refused, pod, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;

pub fn tests() -> Vec<Trial> {
    trials!["injector::usage":
        help_and_version_go_to_standard_output,
        usage_errors_say_what_to_write,
    ]
}

fn help_and_version_go_to_standard_output() {
    let folder = Folder::new();
    for (args, expected) in [
        (
            &["--help"][..],
            "Usage: probelet-inject file -f FILE|DIR|- [FLAGS]",
        ),
        (
            &["file", "--help"],
            "Usage: probelet-inject file -f FILE|DIR|- [FLAGS]",
        ),
        (
            &["kube-inject", "-h"],
            "Usage: probelet-inject file -f FILE|DIR|- [FLAGS]",
        ),
        (
            &["audit", "--help"],
            "Usage: probelet-inject audit -f FILE|DIR|- [FLAGS]",
        ),
        (
            &["--version"],
            concat!("probelet-inject ", env!("CARGO_PKG_VERSION"), "\n"),
        ),
    ] {
        let ended = folder.run(args);
        assert!(written(&ended).contains(expected), "{args:?}: {ended:?}");
        assert_eq!(ended.stderr, "");
    }
}

/// Errors in commands, and in flags of any command.
const COMMANDS: &[(&str, &str)] = &[
    ("", "no command: write `probelet-inject file -f app.yaml`"),
    (
        "fil",
        r#"unknown command "fil": did you mean `probelet-inject file`?"#,
    ),
    (
        "run",
        r#"unknown command "run": write one of file, kube-inject, audit, serve"#,
    ),
    (
        "-f app.yaml",
        r#""-f" comes before the command: write `probelet-inject file`"#,
    ),
    (
        "file app.yaml",
        r#""app.yaml" is not a flag: write a file as `-f FILE`"#,
    ),
    ("file -f", "-f needs a value: write `-f VALUE`"),
    (
        "file -f app.yaml --in-plcae",
        "unknown flag --in-plcae: did you mean --in-place?",
    ),
    (
        "file --file app.yaml",
        "unknown flag --file: did you mean --filename?",
    ),
];

/// Errors in inputs.
const INPUTS: &[(&str, &str)] = &[
    (
        "file",
        "no manifest is named: write `-f FILE`, or `-f -` for standard input",
    ),
    ("file -f ", "-f is empty: write the name of a file"),
    (
        "file -f links",
        "links/b.yaml is a dangling symbolic link: fix or remove it",
    ),
    (
        "file -f ap.yaml",
        "there is no file ap.yaml: write the name of an existing one after -f",
    ),
    (
        "file -f empty",
        "the directory empty has no *.yaml, *.yml or *.json file: name another, or add -R to read subdirectories\n",
    ),
    (
        "file -R -f empty",
        "the directory empty has no *.yaml, *.yml or *.json file: name another\n",
    ),
    (
        "file -f app.yaml -f .",
        "./app.yaml is named twice: write it once",
    ),
    ("file -f - -f -", "stdin is named twice: write it once"),
    (
        "file -f https://user:secret@example.org/a.yaml",
        "-f does not fetch URLs: download the manifest first, such as by `curl -sSfL URL`, and pipe it to `-f -`\n",
    ),
    ("audit", "no manifest is named"),
];

/// Errors in outputs.
const RESULTS: &[(&str, &str)] = &[
    (
        "file -f app.yaml -o ",
        "-o is empty: write the name of a file",
    ),
    (
        "file -f app.yaml -o a --in-place",
        "-o and --in-place exclude each other: write one of them",
    ),
    (
        "file -f app.yaml --check --diff",
        "--diff and --check exclude each other",
    ),
    (
        "file -f - --in-place",
        "standard input cannot be edited in place: remove --in-place to write to standard output\n",
    ),
    (
        "file -f /dev/null --in-place",
        "/dev/null is not a regular file: remove --in-place to write to standard output\n",
    ),
    (
        "file -f app.yaml -o yaml",
        "-o is the file to write, as istioctl's: write `--output yaml` for the format",
    ),
    (
        "file -f app.yaml --output out.yaml",
        r#"--output is "out.yaml": write yaml or patch; -o names the file to write"#,
    ),
    (
        "file -f app.yaml --output patch --diff",
        "--output patch goes to standard output or to a file: leave --in-place, --diff and --check out",
    ),
    (
        "file -f app.yaml --injectConfigMapName istio-sidecar-injector",
        "--injectConfigMapName is istioctl's: save the ConfigMap by `kubectl get configmap NAME -o yaml > FILE` \
             and write `--config FILE`",
    ),
    (
        "file -f app.yaml --meshConfigFile=mesh.yaml",
        "--meshConfigFile is istioctl's: remove it, probelet-inject file does not connect to a cluster\n",
    ),
    (
        "file -f app.yaml --status-port 0",
        r#"--status-port is "0": write a port from 1 to 65535"#,
    ),
    (
        "file -f app.yaml --resources 16Mi",
        r#"--resources is "16Mi": write an object such as {"limits":{"memory":"16Mi"}}"#,
    ),
    (
        r#"file -f app.yaml --resources {"limits":{"memory":"16Mib"}}"#,
        r#"--resources: limits.memory is "16Mib": write a quantity such as 16Mi, 100m or 0.5"#,
    ),
    (
        r#"file -f app.yaml --resources={"requests":{"cpu":"1"},"limits":{"cpu":"10m"}}"#,
        r#"--resources: requests.cpu is "1", more than limits.cpu, which is "10m": write a limit that is not lower"#,
    ),
    (
        "file -f app.yaml --kube-version latest",
        r#"--kube-version is "latest": write a version such as 1.29"#,
    ),
    (
        "audit -f app.yaml --output yaml",
        r#"--output is "yaml": write text or json"#,
    ),
];

fn usage_errors_say_what_to_write() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    folder.write("empty/readme.txt", "");
    folder.write("links/a.yaml", &pod("web"));
    let link = folder.0.join("links/b.yaml");
    std::os::unix::fs::symlink("nowhere", link).expect("a link");
    for (typed, expected) in [COMMANDS, INPUTS, RESULTS].concat() {
        let args: Vec<&str> = match typed {
            "" => Vec::new(),
            // A trailing space is an empty argument.
            typed => typed.split(' ').collect(),
        };
        let ended = folder.run(&args);
        assert_refused(&ended, 2, &[&format!("probelet-inject: {expected}")]);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    assert_eq!(folder.names(), ["app.yaml", "empty", "links"]);
}
