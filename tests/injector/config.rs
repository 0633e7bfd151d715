//! `--config`: defaults of the ConfigMap, and flags that override them.

use super::{Folder, Runs, assert_refused, pod, written};
use crate::support::trials::trials;
use libtest_mimic::Trial;

pub fn tests() -> Vec<Trial> {
    trials!["injector::config":
        a_configmap_disables_and_enables_rewriting,
        a_configmap_is_found_among_other_documents,
        a_flag_takes_precedence_over_the_configmap,
        an_old_cluster_gets_an_ordinary_sidecar_by_default,
        an_invalid_configmap_is_an_error,
        an_oversized_configmap_is_an_error,
    ]
}

/// The ConfigMap with these values, as it is deployed.
fn configmap(values: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: probelet-injector\ndata:\n  values: '{values}'\n"
    )
}

const ON: &str = r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": true}}"#;

/// With the sed command of the guide.
fn a_configmap_disables_and_enables_rewriting() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let run = |config: &str| {
        folder.write("config.yaml", config);
        folder.run(&["file", "-f", "app.yaml", "--config", "config.yaml"])
    };
    let off = |text: &str| {
        text.replace(
            r#""rewriteAppHTTPProbe": true"#,
            r#""rewriteAppHTTPProbe": false"#,
        )
    };
    for config in [configmap(ON), ON.into()] {
        assert!(written(&run(&config)).contains("/app-health/web/readyz"));
        let ended = run(&off(&config));
        assert_eq!(written(&ended), pod("web"));
        assert!(ended.stderr.starts_with("pod/web skipped: "), "{ended:?}");
    }
}

fn a_configmap_is_found_among_other_documents() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let of = |port: u16| configmap(&format!(r#"{{"probelet": {{"statusPort": {port}}}}}"#));
    let item = of(15111).replace('\n', "\n  ");
    for (config, expected) in [
        (
            format!("kind: Namespace\n---\n{}", of(15110)),
            "port: 15110",
        ),
        (
            format!("kind: List\nitems:\n- {}\n", item.trim_end()),
            "port: 15111",
        ),
    ] {
        folder.write("config.yaml", &config);
        let ended = folder.run(&["file", "-f", "app.yaml", "--config", "config.yaml"]);
        assert!(written(&ended).contains(expected), "{}", ended.stdout);
    }
}

fn a_flag_takes_precedence_over_the_configmap() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    folder.write(
        "config.json",
        r#"{"probelet": {"image": "a:1", "imagePullPolicy": "Never"}}"#,
    );
    let args = ["file", "-f", "app.yaml", "--config", "config.json"];
    let ended = folder.run(&args);
    assert!(
        written(&ended).contains("image: a:1") && ended.stdout.contains("imagePullPolicy: Never")
    );
    let ended = folder.run(&[&args[..], &["--image", "b:2"]].concat());
    assert!(
        written(&ended).contains("image: b:2") && ended.stdout.contains("imagePullPolicy: Never")
    );
}

fn an_old_cluster_gets_an_ordinary_sidecar_by_default() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    folder.write("native.json", r#"{"probelet": {"sidecar": "native"}}"#);
    for (args, is_native) in [
        (&[][..], true),
        (&["--kube-version", "1.29"], true),
        (&["--kube-version", "v1.28.9+k3s1"], false),
        (&["--kube-version", "1.28", "--config", "native.json"], true),
        (&["--kube-version", "1.28", "--sidecar", "native"], true),
        (&["--sidecar", "container"], false),
    ] {
        let ended = folder.run(&[&["file", "-f", "app.yaml"], args].concat());
        let has = written(&ended).contains("initContainers:");
        assert_eq!(has, is_native, "{args:?}: {}", ended.stdout);
    }
}

fn an_oversized_configmap_is_an_error() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    let rest = " ".repeat(4 << 20);
    folder.write("long.json", &format!("{{}}{rest}"));
    folder.write("most.json", &format!("{{}}{}", &rest[2..]));
    let args = ["file", "-f", "app.yaml", "--config"];
    assert_refused(
        &folder.run(&[&args[..], &["long.json"]].concat()),
        2,
        &["--config long.json: the file has more than 4 MiB: write the manifest"],
    );
    written(&folder.run(&[&args[..], &["most.json"]].concat()));
}

fn an_invalid_configmap_is_an_error() {
    let folder = Folder::new();
    folder.write("app.yaml", &pod("web"));
    for (config, expected) in [
        (
            configmap(r#"{"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": "no"}}"#),
            r#"--config config.yaml: sidecarInjectorWebhook.rewriteAppHTTPProbe is "no": write true or false"#,
        ),
        (
            configmap("}"),
            "--config config.yaml: values is not valid JSON at line 1, column 1",
        ),
        (
            "kind: ConfigMap\ndata:\n  config: a\n".into(),
            "--config config.yaml: no ConfigMap in it has data.values: write the manifest",
        ),
        ("a: [".into(), "--config config.yaml: document 1, line 1"),
    ] {
        folder.write("config.yaml", &config);
        let ended = folder.run(&["file", "-f", "app.yaml", "--config", "config.yaml"]);
        assert_refused(&ended, 2, &[expected]);
    }
    let ended = folder.run(&["file", "-f", "app.yaml", "--config", "none.yaml"]);
    assert_refused(&ended, 2, &["--config none.yaml: the file cannot be read"]);
}
