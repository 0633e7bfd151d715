//! Commands, each with its prober or the reason why it has none.

use super::*;
use serde_json::json;

fn converted(command: &[&str]) -> Result<Value, Reason> {
    let env = json!([
        {"name": "PORT", "value": "9090"},
        {"name": "PORT", "value": "8080"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {}}},
        {"name": "NESTED", "value": "$(PORT)"},
    ]);
    convert(command, &env).map(|found| {
        let mut members = Value::Object(found.members);
        if let Some(timeout) = found.timeout {
            members["timeout"] = timeout.into();
        }
        members
    })
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

fn get(path: &str, port: u16, host: &str, healthy: &str) -> Value {
    let target = match host.starts_with("localhost") {
        true => "localhost",
        false => "loopback",
    };
    json!({
        "httpGet": {"path": path, "port": port, "httpHeaders": [{"name": "Host", "value": host}]},
        "target": target, "redirects": "none", "expect": {"status": healthy},
    })
}

#[test]
fn curl_is_an_http_get_that_follows_no_redirect() {
    let fails = || get("/healthz", 8080, "localhost:8080", "100-399");
    for command in [
        "curl -f http://localhost:8080/healthz",
        "curl --fail http://localhost:8080/healthz",
        "curl --fail-with-body http://localhost:8080/healthz",
        "curl -sf http://localhost:8080/healthz",
        "curl -fsS http://localhost:8080/healthz",
        "curl http://localhost:8080/healthz --silent --show-error --fail",
        "/usr/bin/curl -f localhost:8080/healthz",
        "curl -f -X GET http://localhost:8080/healthz",
        "curl -f --request GET http://localhost:8080/healthz",
        "curl -fv HTTP://localhost:$(PORT)/healthz",
        "curl -fgiN http://localhost:08080/healthz",
    ] {
        assert_eq!(converted(&words(command)), Ok(fails()), "{command}");
    }
    for (command, expected) in [
        (
            "curl http://localhost:8080/healthz",
            get("/healthz", 8080, "localhost:8080", "100-599"),
        ),
        ("curl -s 127.0.0.1", get("/", 80, "127.0.0.1", "100-599")),
        (
            "curl -s 127.0.0.1:80?a=b",
            get("/?a=b", 80, "127.0.0.1", "100-599"),
        ),
        (
            "curl -s 127.0.0.1:81/a%2Fb?c=%20",
            get("/a%2Fb?c=%20", 81, "127.0.0.1:81", "100-599"),
        ),
    ] {
        assert_eq!(converted(&words(command)), Ok(expected), "{command}");
    }
    let mut ip4 = fails();
    ip4["target"] = "loopback".into();
    let command = words("curl -4f http://localhost:8080/healthz");
    assert_eq!(converted(&command), Ok(ip4));
    let https = converted(&words("curl -fk https://127.0.0.1/")).expect("a prober");
    assert_eq!(https["httpGet"]["scheme"], "HTTPS");
    assert_eq!(https["httpGet"]["port"], 443);
    let http2 = converted(&words("curl -f --http2-prior-knowledge 127.0.0.1")).expect("a prober");
    assert_eq!(http2["httpGet"]["protocol"], "HTTP2");
    // The last of the versions applies.
    for (flags, is_http2) in [
        ("--http2-prior-knowledge --http1.1", false),
        ("--http1.1 --http2-prior-knowledge", true),
    ] {
        let command = format!("curl -f {flags} 127.0.0.1");
        let found = converted(&words(&command)).expect(flags);
        let is_found = found["httpGet"]["protocol"] == "HTTP2";
        assert_eq!(is_found, is_http2, "{flags}");
    }
    let command = words("curl -fk --http2-prior-knowledge --http1.1 https://127.0.0.1");
    assert!(converted(&command).is_ok());
    for command in [
        "curl -f -m 3 http://127.0.0.1/",
        "curl -sfm3 127.0.0.1",
        "curl -f --max-time 3 127.0.0.1",
    ] {
        assert_eq!(
            converted(&words(command)).expect(command)["timeout"],
            3,
            "{command}"
        );
    }
}

#[test]
fn headers_are_sent_as_the_tool_sends_them() {
    let headers = |command: &[&str]| {
        let mut prober = converted(command).expect("a prober");
        prober["httpGet"]["httpHeaders"].take()
    };
    assert_eq!(
        headers(&[
            "curl",
            "-H",
            "Host: app.example",
            "-HX-A: 1",
            "http://127.0.0.1/"
        ]),
        json!([{"name": "Host", "value": "app.example"}, {"name": "X-A", "value": "1"}])
    );
    assert_eq!(
        headers(&["probelet", "check", "-H", "X-A: 1", "http://localhost:80/"]),
        json!([{"name": "X-A", "value": "1"}, {"name": "Host", "value": "localhost:80"}])
    );
}

#[test]
fn a_shell_with_one_simple_command_is_its_command() {
    let expected = converted(&words("curl -f http://127.0.0.1:8080/a")).expect("a prober");
    for script in [
        "curl -f http://127.0.0.1:8080/a",
        "exec curl -f http://127.0.0.1:8080/a",
        "curl -f http://127.0.0.1:8080/a || exit 1",
        "exec curl -f http://127.0.0.1:8080/a || exit 1",
        " curl  -f 'http://127.0.0.1:8080/a'||exit 1 \n",
        "curl -f \"http://127.0.0.1:$(PORT)/a\"",
    ] {
        for shell in ["sh", "/bin/sh", "bash", "/bin/bash"] {
            let command = [shell, "-c", script];
            assert_eq!(converted(&command), Ok(expected.clone()), "{script}");
        }
    }
    let several = "runs more than one command in a shell";
    let expands = "has text that a shell expands";
    for (script, reason) in [
        ("curl -f http://127.0.0.1:8080/a | grep ok", several),
        ("curl -f http://127.0.0.1:8080/a && true", several),
        ("curl -f http://127.0.0.1:8080/a; true", several),
        ("curl -f http://127.0.0.1:8080/a &", several),
        ("curl -f http://127.0.0.1:8080/a\ntrue", several),
        ("(curl -f http://127.0.0.1:8080/a)", several),
        ("curl -f http://127.0.0.1:8080/a || exit 2", several),
        ("curl -f http://127.0.0.1:8080/a || true", several),
        ("|| exit 1", "has a shell script without a command"),
        (
            "curl -f http://127.0.0.1:8080/a exit 1",
            "runs curl with more than one URL",
        ),
        (
            "curl -f http://127.0.0.1:8080/a '||' exit 1",
            "runs curl with more than one URL",
        ),
        (
            "curl -f http://127.0.0.1:8080/a > /tmp/x",
            "redirects a file in a shell",
        ),
        (
            "curl -f http://127.0.0.1:8080/a 2>&1",
            "redirects a file in a shell",
        ),
        ("curl -f http://127.0.0.1:$PORT/a", expands),
        ("curl -f http://127.0.0.1:${PORT}/a", expands),
        ("curl -f http://127.0.0.1:8080/$(hostname)", expands),
        ("curl -f http://127.0.0.1:8080/`id`", expands),
        ("curl -f \"http://127.0.0.1:8080/$X\"", expands),
        ("curl -f http://127.0.0.1:8080/*", expands),
        ("! curl -f http://127.0.0.1:8080/a", expands),
        ("[ -e /tmp/ready ]", expands),
        (
            "X=1 curl -f http://127.0.0.1:8080/a",
            "sets a variable in a shell",
        ),
        (
            "curl -f 'http://127.0.0.1:8080/a",
            "runs a shell script with an open quote",
        ),
        ("", "has a shell script without a command"),
        ("exec", "has a shell script without a command"),
    ] {
        assert_eq!(
            converted(&["sh", "-c", script]),
            Err(reason.into()),
            "{script}"
        );
    }
    for command in [
        &["sh", "-ec", "curl 127.0.0.1"][..],
        &["sh"],
        &["sh", "-c", "curl 127.0.0.1", "a"],
    ] {
        let reason = "runs a shell with other arguments than -c SCRIPT".into();
        assert_eq!(converted(command), Err(reason), "{command:?}");
    }
}

#[test]
fn nc_grpc_health_probe_and_check_are_converted() {
    let tcp = |target: &str| json!({"tcpSocket": {"port": 5432}, "target": target});
    let tcp_for = |seconds: u64| json!({"tcpSocket": {"port": 5432}, "target": "loopback", "timeout": seconds});
    let grpc = |service: &str, target: &str, seconds: u64| json!({"grpc": {"port": 50051, "service": service}, "target": target, "timeout": seconds});
    let grpc_tls = |seconds: u64| json!({"grpc": {"port": 50051, "service": "", "mode": "TLS"}, "target": "localhost", "timeout": seconds});
    for (command, expected) in [
        ("nc -z 127.0.0.1 5432", tcp("loopback")),
        ("nc -zv localhost 5432", tcp("localhost")),
        ("nc -z4 localhost 5432", tcp("loopback")),
        ("nc -zn 127.0.0.1 5432", tcp("loopback")),
        ("netcat -z localhost 5432", tcp("localhost")),
        ("ncat -z localhost 5432", tcp("localhost")),
        ("nc 127.0.0.1 5432 -z", tcp("loopback")),
        ("nc -z -w2 127.0.0.1 5432", tcp_for(2)),
        ("nc -zw 2 127.0.0.1 5432", tcp_for(2)),
        ("grpc_health_probe -addr=:50051", grpc("", "loopback", 2)),
        (
            "grpc_health_probe -addr localhost:50051",
            grpc("", "localhost", 2),
        ),
        (
            "grpc_health_probe -v -addr=:50051 -service=",
            grpc("", "loopback", 2),
        ),
        (
            "/bin/grpc-health-probe --addr 127.0.0.1:50051 -service a.B -rpc-timeout 3s",
            grpc("a.B", "loopback", 4),
        ),
        (
            "grpc_health_probe --addr=:50051 --connect-timeout=5s --rpc-timeout=5s",
            grpc("", "loopback", 10),
        ),
        (
            "grpc_health_probe -addr=:50051 -tls=false",
            grpc("", "loopback", 2),
        ),
        (
            "grpc_health_probe -addr=localhost:50051 -tls -tls-no-verify",
            grpc_tls(2),
        ),
        (
            "probelet grpc-health-probe -addr=:50051",
            grpc("", "loopback", 2),
        ),
        (
            "probelet check grpc://localhost:50051/a.B",
            grpc("a.B", "localhost", 1),
        ),
        (
            "/tools/probelet check --timeout 2 grpc://127.0.0.1:50051",
            grpc("", "loopback", 2),
        ),
        ("probelet check grpcs://localhost:50051", grpc_tls(1)),
        (
            "probelet check --timeout=2s --quiet tcp://127.0.0.1:5432",
            tcp_for(2),
        ),
        (
            "probelet check http://127.0.0.1:81/a",
            json!({
                "httpGet": {"path": "/a", "port": 81, "httpHeaders": [{"name": "Host", "value": "127.0.0.1:81"}]},
                "target": "loopback", "timeout": 1,
            }),
        ),
        (
            "probelet check https://localhost",
            json!({
                "httpGet": {
                    "path": "/", "port": 443, "httpHeaders": [{"name": "Host", "value": "localhost"}], "scheme": "HTTPS",
                },
                "target": "localhost", "timeout": 1,
            }),
        ),
    ] {
        assert_eq!(converted(&words(command)), Ok(expected), "{command}");
    }
}

#[test]
fn what_has_another_meaning_is_not_converted() {
    let changed = "has a URL that curl or the agent changes before it sends it";
    for (command, reason) in [
        (
            "curl -fL http://localhost/",
            "follows redirects as curl does (-L)",
        ),
        (
            "curl -f --location http://localhost/",
            "follows redirects as curl does (-L)",
        ),
        (
            "curl -f https://localhost/",
            "verifies the certificate of the app: only -k is converted",
        ),
        (
            "curl -f http://db:5432/",
            "probes host \"db\": only localhost and 127.0.0.1 are converted",
        ),
        (
            "curl -f http://[::1]:5432/",
            "probes host \"[::1]\": only localhost and 127.0.0.1 are converted",
        ),
        (
            "curl -f http://me:secret@localhost/",
            "has a URL with a user",
        ),
        (
            "curl -f http://localhost/ -o /dev/null",
            "has the flag \"-o\" of curl",
        ),
        (
            "curl -f -u me:secret http://localhost/",
            "has the flag \"-u\" of curl",
        ),
        ("curl -fI http://localhost/", "has the flag \"-I\" of curl"),
        (
            "curl -f --retry 3 http://localhost/",
            "has the flag \"--retry\" of curl",
        ),
        (
            "curl -f --cacert ca.pem https://localhost/",
            "has the flag \"--cacert\" of curl",
        ),
        (
            "curl -f --unix-socket /a.sock http://localhost/",
            "has the flag \"--unix-socket\" of curl",
        ),
        (
            "curl -f - http://localhost/",
            "runs curl with more than one URL",
        ),
        (
            "curl -f -- http://localhost/",
            "has the flag \"--\" of curl",
        ),
        (
            "curl -f -m 0.5 http://localhost/",
            "has --max-time \"0.5\": only whole seconds are converted",
        ),
        (
            "curl -f -m 0 http://localhost/",
            "has --max-time \"0\": only whole seconds are converted",
        ),
        (
            "curl -f http://localhost/ -m",
            "has -m of curl without a value",
        ),
        (
            "curl -f -XPOST http://localhost/",
            "sends \"POST\": only GET is converted",
        ),
        (
            "curl -f -H @file http://localhost/",
            "has the header \"@file\"",
        ),
        (
            "curl -f -A probe http://localhost/",
            "has the flag \"-A\" of curl",
        ),
        (
            "curl -f -H User-Agent:a http://localhost/",
            "sets User-Agent, of which the agent sends kubelet's",
        ),
        (
            "curl -f -H Accept: http://localhost/",
            "has the header \"Accept\"",
        ),
        (
            "curl -f -H Connection:close localhost",
            "has the header \"Connection\"",
        ),
        (
            "curl -f -H Host:a -H host:b localhost",
            "has more than one header Host",
        ),
        ("curl -f http://localhost/a/../b", changed),
        ("curl -f http://localhost/a/%2E%2e/b", changed),
        ("curl -f http://localhost/{a,b}", changed),
        ("curl -f http://localhost//a", changed),
        ("curl -f http://localhost/#a", changed),
        ("curl -f http://localhost/%zz", changed),
        (
            "curl -f http://localhost/ http://localhost/",
            "runs curl with more than one URL",
        ),
        ("curl -f", "runs curl without a URL"),
        (
            "curl -f file:///etc/passwd",
            "has a URL with the scheme \"file\"",
        ),
        (
            "curl -f --http2-prior-knowledge -k https://localhost",
            "has the flag --http2-prior-knowledge with https",
        ),
        (
            "curl -f http://localhost:$(SECRET)/",
            "has the variable \"SECRET\", whose value the pod does not have",
        ),
        (
            "curl -f http://localhost:$(NESTED)/",
            "has the variable \"NESTED\", whose value has another variable",
        ),
        (
            "curl -f http://localhost:$(NO)/",
            "has port \"$(NO)\", which is no number from 1 to 65535",
        ),
        (
            "curl -f http://localhost:$$(PORT)/",
            "has port \"$(PORT)\", which is no number from 1 to 65535",
        ),
        (
            "curl -f http://localhost:+80/",
            "has port \"+80\", which is no number from 1 to 65535",
        ),
        (
            "wget -q http://localhost/",
            "runs wget, whose meaning differs between GNU and busybox",
        ),
        (
            "nc localhost 80",
            "runs nc without -z, which transfers data",
        ),
        ("nc -zu localhost 80", "has the flag -u of nc"),
        ("nc -zn localhost 80", "runs nc -n with a name, which fails"),
        ("nc -z localhost", "runs nc without one host and one port"),
        (
            "nc -z -w 0.5 localhost 80",
            "has -w \"0.5\": only whole seconds are converted",
        ),
        (
            "nc -z localhost 80-90",
            "has port \"80-90\", which is no number from 1 to 65535",
        ),
        (
            "grpc_health_probe -addr=:1 -tls",
            "verifies the certificate of the app: only -tls-no-verify is converted",
        ),
        (
            "grpc_health_probe -addr=:1 -tls-no-verify",
            "has -tls-no-verify without -tls, which fails",
        ),
        (
            "grpc_health_probe -addr=:1 -rpc-timeout 250ms",
            "has -rpc-timeout \"250ms\": only whole seconds are converted",
        ),
        (
            "grpc_health_probe -addr=unix:///x",
            "probes host \"unix\": only localhost and 127.0.0.1 are converted",
        ),
        (
            "grpc_health_probe -addr=:1 -rpc-timeout 3",
            "has -rpc-timeout \"3\": only whole seconds are converted",
        ),
        ("grpc_health_probe", "runs grpc_health_probe without -addr"),
        (
            "grpc_health_probe -addr=:1 -alts",
            "has the flag \"-alts\" of grpc_health_probe",
        ),
        (
            "grpc_health_probe -addr=:1 -rpc-header=a:b",
            "has the flag \"-rpc-header=a:b\" of grpc_health_probe",
        ),
        // A flag of `probelet grpc-health-probe` alone.
        (
            "grpc_health_probe -addr=:1 -verbose",
            "has the flag \"-verbose\" of grpc_health_probe",
        ),
        (
            "grpc_health_probe -addr=:1 a",
            "has the argument \"a\" of grpc_health_probe",
        ),
        ("probelet check", "runs probelet check without a URL"),
        ("probelet check tcp://localhost", "has a URL without a port"),
        (
            "probelet check --ca ca.pem https://localhost",
            "has the flag \"--ca\" of probelet check",
        ),
        (
            "probelet check --timeout 250ms http://localhost",
            "has --timeout \"250ms\": only whole seconds are converted",
        ),
        (
            "probelet check -H a:b grpc://localhost:1",
            "sends gRPC metadata",
        ),
        (
            "probelet check http+unix:/a.sock",
            "has a URL without a host",
        ),
        (
            "probelet run",
            "runs \"probelet\", which the agent cannot do",
        ),
        ("cat /tmp/ready", "runs \"cat\", which the agent cannot do"),
        (
            "pg_isready -U postgres",
            "runs \"pg_isready\", which the agent cannot do",
        ),
    ] {
        assert_eq!(converted(&words(command)), Err(reason.into()), "{command}");
    }
    for (command, variable, reason) in [
        (
            "curl -f http://localhost/",
            "http_proxy",
            "runs curl, and the container sets http_proxy",
        ),
        (
            "curl -f http://localhost/",
            "HOME",
            "runs curl, and the container sets HOME",
        ),
        (
            "curl -f http://localhost/",
            "XDG_CONFIG_HOME",
            "runs curl, and the container sets XDG_CONFIG_HOME",
        ),
        (
            "probelet check http://localhost/",
            "PROBELET_CHECK_CA",
            "runs probelet check, and the container sets PROBELET_CHECK_CA",
        ),
    ] {
        let env = json!([{"name": variable, "value": "x"}]);
        assert_eq!(convert(&words(command), &env), Err(reason.into()));
    }
    let env = json!([{"name": "BASH_ENV", "value": "/etc/env"}]);
    let script = |shell| convert(&[shell, "-c", "nc -z localhost 1"], &env);
    let reason = "runs bash, and the container sets BASH_ENV";
    assert_eq!(script("/bin/bash"), Err(reason.into()));
    assert!(script("sh").is_ok());
    assert_eq!(converted(&[]), Err("has no command".into()));
}
