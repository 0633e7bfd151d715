//! The plugin's commands, run with streams in memory.

use super::super::run;
use super::*;

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: web
    image: registry.example/web:1
    readinessProbe:
      httpGet:
        path: /ready
        port: 8080
";

/// The exit code, standard output and standard error of a program of this name.
fn run_as(program: &str, args: &[&str], stdin: &str) -> (u8, String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut io = Io {
        stdin: &mut stdin.as_bytes(),
        stdout: &mut stdout,
        is_terminal: false,
        stderr: &mut stderr,
    };
    let args = [&[program], args].concat();
    let code = run(args.into_iter().map(OsString::from), &mut io);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(stdout), text(stderr))
}

fn run_plugin(args: &[&str], stdin: &str) -> (u8, String, String) {
    run_as("/home/me/.krew/bin/kubectl-probelet", args, stdin)
}

#[test]
fn the_plugin_is_known_by_the_name_of_its_file() {
    let names = ["kubectl-probelet", "/usr/local/bin/kubectl-probelet"];
    assert!(names.iter().all(|name| is_plugin(OsStr::new(name))));
    let others = [
        "probelet-inject",
        "kubectl-probelet-inject",
        "/kubectl-probelet/x",
        "",
    ];
    assert!(!others.iter().any(|name| is_plugin(OsStr::new(name))));
}

#[test]
fn inject_is_that_of_the_program_and_uninject_restores_the_manifest() {
    let (code, injected, _) = run_plugin(&["inject", "-f", "-"], POD);
    assert_eq!(code, 0);
    let file = run_as("probelet-inject", &["file", "-f", "-"], POD);
    assert_eq!((file.0, &file.1), (0, &injected));
    assert_ne!(injected, POD);

    let (code, restored, _) = run_plugin(&["uninject", "-f", "-"], &injected);
    assert_eq!((code, &*restored), (0, POD));
}

#[test]
fn audit_lists_a_pod_without_the_sidecar() {
    let (code, listed, _) = run_plugin(&["audit", "-f", "-"], POD);
    assert_eq!(code, 1);
    assert!(listed.contains("web"), "{listed}");
}

#[cfg(feature = "check")]
#[test]
fn check_probes_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("its address"));
    let (code, result, error) = run_plugin(&["check", &url], "");
    assert_eq!(code, 0, "{result}{error}");
    drop(listener);
    assert_eq!(run_plugin(&["check", &url], "").0, 1);
}

#[test]
fn errors_name_the_command_as_it_is_typed() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "kubectl probelet: no command"),
        (&["injct"], "did you mean `kubectl probelet inject`?"),
        (&["serve"], "kubectl probelet: unknown command"),
        (
            &["inject", "--uninject"],
            "kubectl probelet: unknown flag --uninject",
        ),
    ];
    for (args, text) in cases {
        let (code, _, error) = run_plugin(args, "");
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn the_help_lists_the_commands_of_the_plugin() {
    let (code, help, _) = run_plugin(&["--help"], "");
    assert_eq!(code, 0);
    for command in KUBECTL_PROBELET.commands {
        assert!(help.contains(command.name), "{help}");
    }
    let (_, help, _) = run_plugin(&["uninject", "--help"], "");
    assert!(help.starts_with("kubectl probelet uninject: "), "{help}");
    assert!(!help.contains("--image"), "{help}");
}
