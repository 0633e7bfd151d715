//! Golden files in `golden/NAME/`: the manifest `in.yaml`, optional arguments `args`, the messages `err.txt`, and the output
//! `out.yaml` unless there is none. `PROBELET_TEST_BLESS=1` writes the last two; review them before you commit.

use super::{run, written};
use crate::support::certs::{Authority, Identity};
use crate::support::folder::Folder;
use libtest_mimic::Trial;
use probelet::manifest::{Document, Stream};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

pub fn tests() -> Vec<Trial> {
    let root = root();
    let entries = fs::read_dir(&root).expect("the golden files");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut names: Vec<String> = paths
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.into()))
        .collect();
    names.sort();
    let trial = |name: String| {
        let golden = Golden::new(&name);
        crate::support::trials::trial(format!("injector::golden::{name}"), move || {
            golden.holds();
            Ok(())
        })
    };
    names.into_iter().map(trial).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/injector/golden")
}

/// The address of a pod.
const POD_IP: &str = "10.0.0.7";

struct Golden {
    folder: PathBuf,
    args: Vec<String>,
}

impl Golden {
    fn new(name: &str) -> Self {
        let folder = root().join(name);
        let args = fs::read_to_string(folder.join("args")).unwrap_or_default();
        let args = args.split_whitespace().map(String::from).collect();
        Self { folder, args }
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    /// Runs `file` with the arguments of the case and these.
    fn file(&self, args: &[&str]) -> crate::support::command::Ended {
        let mut all = vec!["file"];
        all.extend(self.args.iter().map(String::as_str));
        all.extend(args);
        run(&self.folder, &all)
    }

    fn holds(&self) {
        let ended = self.file(&["-f", "in.yaml"]);
        if std::env::var_os("PROBELET_TEST_BLESS").is_some() {
            self.bless(ended.status.success(), &ended.stdout, &ended.stderr);
        }
        assert_eq!(Some(&*ended.stderr), self.text("err.txt").as_deref());
        let Some(out) = self.text("out.yaml") else {
            assert_eq!((ended.status.code(), &*ended.stdout), (Some(1), ""));
            return;
        };
        assert!(written(&ended) == out, "{}", ended.stdout);
        let again = self.file(&["-f", "out.yaml"]);
        assert!(written(&again) == out, "twice: {}", again.stdout);
        let back = self.file(&["-f", "out.yaml", "--uninject"]);
        let original = self.text("in.yaml").expect("the input");
        assert!(written(&back) == original, "--uninject: {}", back.stdout);
        self.assert_agent_accepts(&out);
    }

    fn bless(&self, is_written: bool, out: &str, err: &str) {
        let path = self.folder.join("out.yaml");
        match is_written {
            true => fs::write(path, out).expect("a golden file"),
            false => drop(fs::remove_file(path)),
        }
        fs::write(self.folder.join("err.txt"), err).expect("a golden file");
    }

    /// Asserts that `probelet run` accepts the arguments and the environment of each sidecar.
    fn assert_agent_accepts(&self, out: &str) {
        let secrets = Secrets::new();
        for piece in Stream::new(out.as_bytes()) {
            let document = Document::parse(&piece.expect("a document").text).expect("YAML");
            let mut sidecars = Vec::new();
            collect(document.value(), &mut sidecars);
            for sidecar in sidecars {
                let args = args(sidecar, &secrets);
                let taken = probelet::cli::parse(args.iter().map(OsString::from), |name| {
                    env(sidecar, name)
                });
                if let Err(exit) = taken {
                    panic!("{args:?}: {}", exit.text);
                }
            }
        }
    }
}

/// Collects the probelet containers of a document.
fn collect<'a>(value: &'a Value, sidecars: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, sidecars)),
        Value::Object(_) if value["name"] == "probelet" && value["args"].is_array() => {
            sidecars.push(value);
        }
        Value::Object(map) => map.values().for_each(|value| collect(value, sidecars)),
        _ => {}
    }
}

/// The arguments of a sidecar, with paths in a Secret replaced by those of test files, and references to the pod's address
/// expanded as by kubelet.
fn args(sidecar: &Value, secrets: &Secrets) -> Vec<String> {
    let args = sidecar["args"].as_array().expect("arguments");
    args.iter()
        .map(|arg| secrets.replace_path(arg.as_str().expect("text")))
        .map(|arg| arg.replace("$(POD_IP)", POD_IP))
        .collect()
}

/// A variable of a sidecar, or the pod IP for a `fieldRef`.
fn env(sidecar: &Value, name: &str) -> Option<OsString> {
    let env = sidecar["env"].as_array()?;
    let variable = env.iter().find(|variable| variable["name"] == name)?;
    match &variable["valueFrom"]["fieldRef"]["fieldPath"] {
        Value::Null => Some(variable["value"].as_str().expect("text").into()),
        path => {
            assert_eq!(path, "status.podIP");
            Some(POD_IP.into())
        }
    }
}

/// The files of the Secrets of a pod.
struct Secrets(Folder);

impl Secrets {
    fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new("golden"));
        let Identity { chain, key } = authority.sign("spiffe://example.org/probelet");
        for (name, text) in [
            ("tls.crt", &chain),
            ("tls.key", &key),
            ("ca.crt", &authority.pem()),
        ] {
            folder.file(name, text);
        }
        Self(folder)
    }

    /// Replaces the path of an argument by that of the test file of the same name.
    fn replace_path(&self, arg: &str) -> String {
        match arg.split_once("=/") {
            Some((flag, path)) => {
                let name = Path::new(path).file_name().expect("a file");
                format!("{flag}={}", self.0.path().join(name).display())
            }
            None => arg.into(),
        }
    }
}
