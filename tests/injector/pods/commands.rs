//! Commands of exec probes, with the probers that they become when the options convert them.

use serde_json::{Value, json};

/// A command, and what it means.
pub struct Command {
    /// The words, separated by commas.
    words: &'static str,
    /// The prober as JSON, without its timeout; none if the command always stays.
    prober: Option<&'static str>,
    /// The command's own timeout in seconds.
    pub seconds: Option<u64>,
    /// Whether its port is the variable of this name, [`PORT`].
    pub needs_port: bool,
}

/// The value of `env` that the commands use, with a command's port.
pub const PORT: (&str, &str) = ("PORT", "8001");

const fn command(
    words: &'static str,
    prober: Option<&'static str>,
    seconds: Option<u64>,
) -> Command {
    Command {
        words,
        prober,
        seconds,
        needs_port: false,
    }
}

const fn with_port(command: Command) -> Command {
    Command {
        needs_port: true,
        ..command
    }
}

/// The commands.
pub const COMMANDS: [Command; 14] = [
    command("true", None, None),
    command("cat,/tmp/ready", None, None),
    command("wget,-q,-O-,http://localhost:80/", None, None),
    command("curl,-fL,http://localhost:80/", None, None),
    command("curl,-f,https://localhost:8443/", None, None),
    command(
        "curl,-f,http://localhost:8001/foo",
        Some(
            r#"{"httpGet":{"path":"/foo","port":8001,"httpHeaders":[{"name":"Host","value":"localhost:8001"}]},"target":"localhost","redirects":"none","expect":{"status":"100-399"}}"#,
        ),
        None,
    ),
    command(
        "sh,-c,exec curl -s -m 2 '127.0.0.1/a b' || exit 1",
        None,
        None,
    ),
    command(
        "sh,-c,exec curl -s -m 2 '127.0.0.1/a?b' || exit 1",
        Some(
            r#"{"httpGet":{"path":"/a?b","port":80,"httpHeaders":[{"name":"Host","value":"127.0.0.1"}]},"target":"loopback","redirects":"none","expect":{"status":"100-599"}}"#,
        ),
        Some(2),
    ),
    command(
        "curl,-fk,-H,X-A: <1>,https://127.0.0.1:8443",
        Some(
            r#"{"httpGet":{"path":"/","port":8443,"httpHeaders":[{"name":"X-A","value":"<1>"},{"name":"Host","value":"127.0.0.1:8443"}],"scheme":"HTTPS"},"target":"loopback","redirects":"none","expect":{"status":"100-399"}}"#,
        ),
        None,
    ),
    with_port(command(
        "/bin/sh,-c,nc -z localhost $(PORT) || exit 1",
        Some(r#"{"tcpSocket":{"port":8001},"target":"localhost"}"#),
        None,
    )),
    with_port(command(
        "grpc_health_probe,-addr=:$(PORT),-service=orders",
        Some(r#"{"grpc":{"port":8001,"service":"orders"},"target":"loopback"}"#),
        Some(2),
    )),
    command(
        "/bin/grpc_health_probe,-addr=localhost:50051,-tls,-tls-no-verify,-rpc-timeout=4s",
        Some(r#"{"grpc":{"port":50051,"service":"","mode":"TLS"},"target":"localhost"}"#),
        Some(5),
    ),
    command(
        "probelet,check,--timeout=2s,tcp://127.0.0.1:80",
        Some(r#"{"tcpSocket":{"port":80},"target":"loopback"}"#),
        Some(2),
    ),
    command(
        "probelet,check,http://localhost:80/foo",
        Some(
            r#"{"httpGet":{"path":"/foo","port":80,"httpHeaders":[{"name":"Host","value":"localhost:80"}]},"target":"localhost"}"#,
        ),
        Some(1),
    ),
];

impl Command {
    /// The `exec` handler.
    pub fn exec(&self) -> Value {
        json!({"command": self.words.split(',').collect::<Vec<_>>()})
    }

    /// The command of an `exec` handler.
    pub fn of(exec: &Value) -> Option<&'static Command> {
        COMMANDS.iter().find(|command| command.exec() == *exec)
    }

    /// The prober that it becomes in a probe with this `timeoutSeconds`.
    pub fn prober(&self, timeout_seconds: &Value) -> Option<Value> {
        let mut prober: Value = serde_json::from_str(self.prober?).expect("JSON");
        let of_probe = match timeout_seconds.as_u64() {
            None | Some(0) => 1,
            Some(seconds) => seconds,
        };
        let seconds = self.seconds.map_or(of_probe, |own| own.min(of_probe));
        prober["timeoutSeconds"] = seconds.into();
        Some(prober)
    }
}
