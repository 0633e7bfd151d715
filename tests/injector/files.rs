//! Output to files (`-o`, `--in-place`), and output without writing (`--diff`, `--check`).

use super::{Folder, Runs, assert_refused, fed, pod, run, service, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Trial> {
    trials!["injector::files":
        the_result_is_written_to_a_file,
        the_result_is_written_to_a_special_file,
        a_file_that_cannot_be_written_is_an_error_without_leftovers,
        replaced_files_retain_permissions_and_links,
        an_unchanged_file_is_not_written,
        no_file_is_replaced_if_a_document_fails,
        uninjection_in_place_restores_the_file,
        patch_applies_the_diff,
        the_diff_of_an_unchanged_file_is_empty,
        check_reports_changes_without_writing,
        manifests_of_a_folder_are_read_in_order_of_their_names,
        an_unknown_kind_with_a_pod_template_is_reported_and_unchanged,
        a_kind_of_a_flag_or_the_configmap_is_injected,
        a_kind_that_no_resource_has_is_reported,
        no_kind_is_reported_unless_all_documents_are_read,
    ]
}

fn the_result_is_written_to_a_file() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let plain = folder.run(&["file", "-f", "app.yaml"]);
    let ended = folder.run(&["file", "-f", "app.yaml", "-o", "out.yaml"]);
    assert_eq!(written(&ended), "");
    assert_eq!(folder.read("out.yaml"), plain.stdout);
    assert_eq!(folder.names(), ["app.yaml", "out.yaml"]);
    // The output may be the input file.
    let ended = folder.run(&["file", "-f", "app.yaml", "-o", "app.yaml"]);
    assert_eq!(written(&ended), "");
    assert_eq!(folder.read("app.yaml"), plain.stdout);
}

fn the_result_is_written_to_a_special_file() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let plain = folder.run(&["file", "-f", "app.yaml"]);
    let ended = folder.run(&["file", "-f", "app.yaml", "-o", "/dev/stdout"]);
    assert_eq!(written(&ended), plain.stdout);
}

fn a_file_that_cannot_be_written_is_an_error_without_leftovers() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let ended = folder.run(&["file", "-f", "app.yaml", "-o", "missing/out.yaml"]);
    assert_refused(&ended, 1, &["missing/out.yaml cannot be written"]);
    let ended = folder.run(&["file", "-f", "app.yaml", "-o", "."]);
    assert_refused(&ended, 2, &[". is a directory: write the name of a file"]);
    folder.write("bad.yaml", "a: [\n");
    let ended = folder.run(&["file", "-f", "bad.yaml", "-o", "out.yaml"]);
    assert_refused(&ended, 1, &["nothing is written"]);
    assert_eq!(folder.names(), ["app.yaml", "bad.yaml"]);
}

fn replaced_files_retain_permissions_and_links() {
    let folder = Folder::new();
    folder.write("a.yaml", &pod("a"));
    folder.write("real/b.yaml", &pod("b"));
    symlink("real/b.yaml", folder.0.join("b.yaml")).expect("a link");
    let path = folder.0.join("a.yaml");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("our file");
    let ended = folder.run(&["file", "-f", "a.yaml", "-f", "b.yaml", "--in-place"]);
    assert_eq!(written(&ended), "");
    assert_eq!(
        ended.stderr,
        "a.yaml: pod/a injected: readyz\nb.yaml: pod/b injected: readyz\n"
    );
    for name in ["a.yaml", "real/b.yaml"] {
        assert!(folder.read(name).contains("/app-health/"), "{name}");
    }
    let mode = fs::metadata(&path).expect("our file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    let link = fs::symlink_metadata(folder.0.join("b.yaml")).expect("a link");
    assert!(link.is_symlink());
    assert_eq!(folder.names(), ["a.yaml", "b.yaml", "real"]);
}

fn an_unchanged_file_is_not_written() {
    let folder = Folder::new();
    folder.write("a.yaml", &service("a"));
    folder.write("b.yaml", &pod("b"));
    let mark = |name: &str| {
        let metadata = fs::metadata(folder.0.join(name)).expect("our file");
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    let before = (mark("a.yaml"), mark("b.yaml"));
    let args = ["file", "-f", ".", "--in-place"];
    written(&folder.run(&args));
    let once = (mark("a.yaml"), mark("b.yaml"));
    assert_eq!(once.0, before.0);
    assert_ne!(once.1, before.1);
    // No temporary file is left either.
    let folder_before = mark(".");
    written(&folder.run(&args));
    assert_eq!((mark("a.yaml"), mark("b.yaml")), once);
    assert_eq!(mark("."), folder_before);
}

fn no_file_is_replaced_if_a_document_fails() {
    let folder = Folder::new();
    folder.write("a.yaml", &pod("a"));
    folder.write("b.yaml", &format!("{}---\na: ]\n", pod("b")));
    let ended = folder.run(&["file", "-f", ".", "--in-place"]);
    assert_refused(&ended, 1, &["b.yaml: document 2, line 1"]);
    assert_eq!(folder.read("a.yaml"), pod("a"));
    assert_eq!(folder.names(), ["a.yaml", "b.yaml"]);
}

fn uninjection_in_place_restores_the_file() {
    let folder = Folder::new();
    let services = format!("{}---\n{}", service("b"), service("ü"));
    let text = format!(
        "# one\n{services}---\n{}---\n{services}---\n{}",
        pod("a"),
        pod("c")
    );
    folder.write("a.yaml", &text);
    let plain = folder.run(&["file", "-f", "a.yaml"]);
    written(&folder.run(&["file", "-f", "a.yaml", "--in-place"]));
    assert_eq!(folder.read("a.yaml"), plain.stdout);
    assert_ne!(plain.stdout, text);
    let ended = folder.run(&["file", "-f", "a.yaml", "--in-place", "--uninject"]);
    assert_eq!(written(&ended), "");
    assert_eq!(folder.read("a.yaml"), text);
}

/// `git apply` is stricter than `patch` about the position of a hunk.
fn patch_applies_the_diff() {
    let folder = Folder::new();
    let documents: Vec<String> = (0..12)
        .map(|number| match number % 3 {
            0 => pod(&format!("pod-{number}")),
            _ => service(&format!("service-{number}")),
        })
        .collect();
    folder.write("sub/a.yaml", &documents.join("---\n"));
    folder.write("sub/b.yaml", pod("b").trim_end());
    let args = ["file", "-f", "sub/a.yaml", "-f", "sub/b.yaml"];
    let injected = folder.run(&args);
    let diff = folder.run(&[&args[..], &["--diff"]].concat());
    assert!(written(&diff).starts_with("--- a/sub/a.yaml\n+++ b/sub/a.yaml\n@@ -"));
    assert!(
        diff.stdout
            .contains("\n--- a/sub/b.yaml\n+++ b/sub/b.yaml\n@@ -")
    );
    assert!(diff.stderr.contains("pod/pod-0 would be injected: readyz"));
    assert_eq!(folder.read("sub/a.yaml"), documents.join("---\n"));
    let mut git = Command::new("git");
    git.args(["apply", "-"]).current_dir(&folder.0);
    git.env("GIT_CEILING_DIRECTORIES", std::env::temp_dir());
    let mut git = git.stdin(Stdio::piped()).spawn().expect("git");
    let mut pipe = git.stdin.take().expect("piped");
    pipe.write_all(diff.stdout.as_bytes()).expect("git reads");
    drop(pipe);
    assert!(git.wait().expect("our child").success(), "{}", diff.stdout);
    let both = format!(
        "{}---\n{}",
        folder.read("sub/a.yaml"),
        folder.read("sub/b.yaml")
    );
    assert_eq!(both, injected.stdout);
}

fn the_diff_of_an_unchanged_file_is_empty() {
    let folder = Folder::new();
    let ended = fed(&folder.0, &["file", "-f", "-", "--diff"], &service("a"));
    assert_eq!((written(&ended), &*ended.stderr), ("", ""));
}

fn check_reports_changes_without_writing() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let check = ["file", "-f", "app.yaml", "--check"];
    let ended = folder.run(&check);
    assert_refused(&ended, 1, &[]);
    assert_eq!(ended.stderr, "pod/web would be injected: readyz\n");
    assert_eq!(folder.read("app.yaml"), pod("web"));
    written(&folder.run(&["file", "-f", "app.yaml", "--in-place"]));
    assert_eq!(written(&folder.run(&check)), "");
    let ended = folder.run(&[&check[..], &["--uninject"]].concat());
    assert_refused(&ended, 1, &["pod/web would be uninjected"]);
}

fn manifests_of_a_folder_are_read_in_order_of_their_names() {
    let folder = Folder::new();
    for name in ["b.yml", "a.yaml", "c.json", "d.txt", "sub/e.yaml"] {
        let text = match name.ends_with("json") {
            true => r#"{"kind": "Service"}"#.into(),
            false => service(name),
        };
        folder.write(name, &text);
    }
    let names = |ended: &super::Ended| {
        let lines = written(ended).lines();
        let names = lines.filter_map(|line| line.trim().strip_prefix("name: ").map(String::from));
        names.collect::<Vec<_>>()
    };
    let ended = folder.run(&["file", "-f", "."]);
    assert_eq!(names(&ended), ["a.yaml", "b.yml"]);
    assert!(ended.stdout.ends_with("---\n{\"kind\": \"Service\"}"));
    let ended = folder.run(&["file", "-R", "-f", "."]);
    assert_eq!(names(&ended), ["a.yaml", "b.yml", "sub/e.yaml"]);
    let ended = run(&folder.0.join("sub"), &["file", "-f", ".."]);
    assert_eq!(names(&ended), ["a.yaml", "b.yml"]);
}

const ROLLOUT: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      \
                       containers:\n      - name: web\n        readinessProbe: {httpGet: {port: 80}}\n";

const ROLLOUT_LINE: &str = "rollout/web not injected: Rollout has a pod template at spec.template and is not a known kind: write \
                            --kind-template rollouts.argoproj.io=spec.template\n";

fn an_unknown_kind_with_a_pod_template_is_reported_and_unchanged() {
    let folder = Folder::new();
    let ended = fed(&folder.0, &["file", "-f", "-"], ROLLOUT);
    assert_eq!((written(&ended), &*ended.stderr), (ROLLOUT, ROLLOUT_LINE));
    let ended = fed(&folder.0, &["file", "-f", "-", "--check"], ROLLOUT);
    assert_refused(&ended, 1, &[ROLLOUT_LINE]);
    let exec = ROLLOUT.replace("httpGet: {port: 80}", "exec: {command: [ok]}");
    let ended = fed(&folder.0, &["file", "-f", "-", "--check"], &exec);
    assert_eq!((written(&ended), &*ended.stderr), ("", ROLLOUT_LINE));
    let ended = fed(&folder.0, &["file", "-f", "-", "--uninject"], ROLLOUT);
    assert_eq!((written(&ended), &*ended.stderr), (ROLLOUT, ""));
}

fn a_kind_of_a_flag_or_the_configmap_is_injected() {
    let folder = Folder::new();
    let values = r#"{"probelet": {"kindTemplates": "clonesets.apps.kruise.io=spec.template,rollout.argoproj.io=spec.template"}}"#;
    folder.write("values.json", values);
    let kind = "--kind-template=Rollouts.argoproj.io=spec.template";
    for option in [kind, "--config=values.json"] {
        let ended = fed(&folder.0, &["file", "-f", "-", option], ROLLOUT);
        let injected = written(&ended).to_owned();
        assert!(injected.contains("port: 15020"), "{injected}");
        assert_eq!(ended.stderr, "rollout/web injected: readyz\n");
        let ended = fed(&folder.0, &["file", "-f", "-", "--uninject"], &injected);
        let expected = ROLLOUT_LINE.replace(" not injected", " not uninjected");
        assert_eq!((written(&ended), &*ended.stderr), (&*injected, &*expected));
        let ended = fed(
            &folder.0,
            &["file", "-f", "-", "--uninject", option],
            &injected,
        );
        assert_eq!(written(&ended), ROLLOUT);
    }
    let ended = fed(
        &folder.0,
        &["file", "-f", "-", "--kind-template", "rollouts"],
        ROLLOUT,
    );
    let expected = "--kind-template is \"rollouts\": write RESOURCE.GROUP=PATH, such as rollouts.argoproj.io=spec.template";
    assert_refused(&ended, 2, &[expected]);
}

fn a_kind_that_no_resource_has_is_reported() {
    let folder = Folder::new();
    let advice = "no resource of the input has this kind; correct it, or leave it out\n";
    let of_flag = |kind: &str| format!("warning: --kind-template {kind}: {advice}");
    let misspelt = "--kind-template=rollots.argoproj.io=spec.template";
    let other_group = "--kind-template=rollouts.argo.io=none";
    let both = of_flag("rollots.argoproj.io=spec.template") + &of_flag("rollouts.argo.io=none");
    let list = format!(
        "kind: List\nitems:\n- {}",
        ROLLOUT.trim_end().replace('\n', "\n  ")
    );
    for text in [ROLLOUT, &list] {
        let flags = ["file", "-f", "-", misspelt, other_group];
        let ended = fed(&folder.0, &flags, text);
        let expected = format!("{ROLLOUT_LINE}{both}");
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &*expected));
        let ended = fed(&folder.0, &["audit", "-f", "-", misspelt], text);
        let expected = of_flag("rollots.argoproj.io=spec.template");
        assert_eq!(ended.stderr, expected);
        let right = "--kind-template=rollout.argoproj.io=spec.template";
        let ended = fed(&folder.0, &["file", "-f", "-", right], text);
        assert_eq!(ended.stderr, "rollout/web injected: readyz\n");
    }
    // The ConfigMap is for all manifests.
    let values = r#"{"probelet": {"kindTemplates": "rollots.argoproj.io=spec.template"}}"#;
    folder.write("values.json", values);
    let config = ["file", "-f", "-", "--config=values.json"];
    let ended = fed(&folder.0, &config, &service("web"));
    assert_eq!(ended.stderr, "");
    let ended = fed(&folder.0, &config, ROLLOUT);
    let expected = "warning: probelet.kindTemplates rollots.argoproj.io=spec.template: ";
    assert_eq!(ended.stderr, format!("{ROLLOUT_LINE}{expected}{advice}"));
}

fn no_kind_is_reported_unless_all_documents_are_read() {
    let folder = Folder::new();
    let kind = "--kind-template=rollouts.argoproj.io=spec.template";
    let invalid = format!("{ROLLOUT}  a: ]\n");
    for command in ["file", "audit"] {
        let ended = fed(&folder.0, &[command, "-f", "-", kind], &invalid);
        assert!(ended.stderr.starts_with("stdin: document 1"), "{ended:?}");
        assert!(!ended.stderr.contains("warning"), "{ended:?}");
        let ended = folder.run(&[command, "-f", "missing.yaml", kind]);
        assert!(ended.stderr.contains("missing.yaml"), "{ended:?}");
        assert!(!ended.stderr.contains("warning"), "{ended:?}");
    }
}
