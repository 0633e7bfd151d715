//! What the arguments of `check` mean, and every refusal.

use super::*;
use crate::check::synthetic_request::USER_AGENT_BYTES;
use crate::wire::url;

fn args(url: &str) -> RawArgs {
    RawArgs {
        url: url.into(),
        ..RawArgs::default()
    }
}

fn plan(url: &str) -> Plan {
    Plan::from_args(args(url)).unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn refusal(args: RawArgs) -> String {
    let error = Plan::from_args(args).expect_err("a usage error");
    error.to_string()
}

fn http(url: &str, headers: &[&str]) -> (HttpGet, Option<Box<str>>) {
    let headers = headers.iter().copied().map(String::from).collect();
    let args = RawArgs {
        headers,
        ..args(url)
    };
    let plan = Plan::from_args(args).unwrap_or_else(|error| panic!("{url}: {error}"));
    match plan.action {
        Action::Http(get) => (get, user_agent(&plan.request)),
        other => panic!("{url} is {other:?}"),
    }
}

fn user_agent(request: &SyntheticRequest) -> Option<Box<str>> {
    let mut fields = request.head.fields(&request.bytes);
    let (_, value) = fields.find(|(name, _)| *name == b"User-Agent")?;
    Some(String::from_utf8_lossy(value).into())
}

#[test]
fn an_http_url_has_its_default_port() {
    for (url, scheme, host, port, given, target) in [
        ("http://a", Scheme::Http, "a", 80, false, "/"),
        (
            "https://a/b?c=d#e",
            Scheme::Https,
            "a",
            443,
            false,
            "/b?c=d",
        ),
        (
            "HTTP://10.0.0.7:80/",
            Scheme::Http,
            "10.0.0.7",
            80,
            true,
            "/",
        ),
        (
            "http://[::1]:8080/x",
            Scheme::Http,
            "[::1]",
            8080,
            true,
            "/x",
        ),
    ] {
        let plan = plan(url);
        assert_eq!((&*plan.host, plan.has_port), (host, given), "{url}");
        assert_eq!(plan.is_tls(), scheme == Scheme::Https);
        let Action::Http(get) = plan.action else {
            panic!("{url}");
        };
        assert_eq!((get.scheme, get.port), (scheme, port), "{url}");
        assert_eq!(&*get.request_target, target);
        assert_eq!(get.protocol, Protocol::Http1);
    }
}

#[test]
fn tcp_and_grpc_urls_name_port_and_service() {
    for url in ["tcp://a:5432", "tcp://a:5432/", "TCP://a:5432"] {
        assert!(matches!(plan(url).action, Action::Tcp { port: 5432 }));
    }
    for (url, expected, is_tls) in [
        ("grpc://a:9090", "", false),
        ("grpc://[::1]:9090/", "", false),
        (
            "grpcs://a:9090/my.package.Service",
            "my.package.Service",
            true,
        ),
    ] {
        let Action::Grpc { port, service, tls } = plan(url).action else {
            panic!("{url}");
        };
        assert_eq!((port, &*service, tls), (9090, expected, is_tls), "{url}");
    }
}

#[test]
fn a_service_has_any_characters() {
    for (url, expected) in [
        ("grpc://a:1/s/t", "s/t"),
        ("grpc://a:1/s?x#y", "s?x#y"),
        ("grpc://a:1/%41%2f%25", "A/%"),
        ("grpc://a:1/100%", "100%"),
        ("grpcs://[::1]:1/%zz a\u{e4}", "%zz a\u{e4}"),
        ("grpc://a:1//", "/"),
    ] {
        let Action::Grpc { service, .. } = plan(url).action else {
            panic!("{url}");
        };
        assert_eq!(&*service, expected, "{url}");
    }
}

#[test]
fn a_unix_socket_has_a_path_and_a_request() {
    use rustix::net::SocketAddrUnix;
    for (url, socket, target) in [
        ("http+unix:/run/app.sock", "/run/app.sock", "/"),
        (
            "http+unix:/run/app.sock:/healthz?a=b",
            "/run/app.sock",
            "/healthz?a=b",
        ),
        ("HTTP+UNIX:///run/app.sock:/a b", "/run/app.sock", "/a%20b"),
        (
            "http+unix://%2frun%2Fa%3Ab.sock/healthz",
            "/run/a:b.sock",
            "/healthz",
        ),
        ("http+unix://%2frun", "/run", "/"),
    ] {
        let plan = plan(url);
        let DialTarget::Unix(address) = &plan.dial else {
            panic!("{url}");
        };
        assert_eq!(
            *address,
            SocketAddrUnix::new(socket).expect("a path"),
            "{url}"
        );
        let Action::Http(get) = plan.action else {
            panic!("{url}");
        };
        assert_eq!(&*get.request_target, target, "{url}");
        assert_eq!((&*plan.host, plan.has_port), ("localhost", false), "{url}");
    }
    let Action::Grpc { service, tls, .. } = plan("grpc+unix:/run/app.sock:/my.Service/%41").action
    else {
        panic!("a gRPC call");
    };
    assert_eq!((&*service, tls), ("my.Service/A", false));
}

#[test]
fn headers_of_a_grpc_call_are_its_metadata() {
    let args = RawArgs {
        headers: vec!["X-Token: a".into(), "user-agent: me".into(), "te: x".into()],
        ..args("grpc://a:1")
    };
    let plan = Plan::from_args(args).expect("valid");
    assert_eq!(&*plan.user_agent, "me");
    let fields = plan.metadata.iter();
    let fields: Vec<_> = fields.map(|field| (&*field.name, &*field.value)).collect();
    assert_eq!(fields, [("x-token", "a")]);
}

#[test]
fn an_address_needs_no_resolver() {
    let address = |url| plan(url).address();
    assert_eq!(address("tcp://127.0.0.1:1"), Some([127, 0, 0, 1].into()));
    assert_eq!(address("tcp://[::1]:1"), "::1".parse().ok());
    assert_eq!(address("tcp://localhost:1"), None);
}

#[test]
fn headers_are_those_of_a_prober() {
    let headers = [
        "x-b: 1",
        "X-A:2 ",
        "host: example.org",
        "user-agent: me",
        "Te: x",
    ];
    let (get, agent) = http("http://a/", &headers);
    assert_eq!(get.host.as_deref(), Some("example.org"));
    assert_eq!(agent.as_deref(), Some("me"));
    let lines = get
        .headers
        .iter()
        .map(|h| format!("{}: {}", h.name, h.value));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines, ["User-Agent: me", "X-A: 2", "X-B: 1"]);
    assert_eq!(http("http://a/", &[]).1.as_deref(), Some("kube-probe/1.37"));
    assert_eq!(http("http://a/", &["User-Agent:"]).1.as_deref(), Some(""));
}

#[test]
fn a_user_agent_is_at_most_as_long_as_the_agent_accepts() {
    let header = |len: usize| format!("User-Agent: {}", "a".repeat(len));
    let agent = http("http://a/", &[&header(USER_AGENT_BYTES)]).1;
    assert_eq!(agent.map(|agent| agent.len()), Some(USER_AGENT_BYTES));
    let too_long = RawArgs {
        headers: vec![header(USER_AGENT_BYTES + 1)],
        ..args("http://a/")
    };
    let text =
        "-H names the header \"User-Agent\", but its value is too long: write at most 16320 bytes";
    assert_eq!(refusal(too_long), text);
}

#[test]
fn a_path_that_go_rejects_is_requested_like_that_of_a_prober() {
    for (url, target) in [
        ("http://a/%zz", "/%25zz"),
        ("http://a/%zz?b=%d#e", "/%25zz%3Fb=%25d%23e"),
        ("http://a?%zz#%zz", "/%3F%25zz%23%25zz"),
    ] {
        assert_eq!(&*http(url, &[]).0.request_target, target, "{url}");
        let path = url.strip_prefix("http://a").expect("the host");
        assert_eq!(url::request_target(path).as_deref(), Ok(target), "{url}");
    }
}

#[test]
fn a_password_is_not_repeated() {
    let of = |url: &str| refusal(args(url));
    for url in [
        "http://user:secret@a/",
        "http://secret@a/",
        "http://user:se/cret@a/",
        "http://user:se?cret@a:0/",
        "http://user:secret%zz@a/",
        "http://user:sec@ret@a/",
        "ftp://user:secret@a/",
        "user:secret@a:80",
        "http://user:secret@[::1%lo]/",
    ] {
        let text = of(url);
        assert!(!text.contains("cret") && text.contains("***@"), "{text}");
    }
    assert!(of("tcp://a/b@c").starts_with("the URL is \"tcp://***@c\", "));
    let text = refusal(RawArgs {
        timeout: Some("http://user:secret@a/".into()),
        ..args("http://a/")
    });
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_duration_is_in_seconds_or_has_a_unit() {
    for (text, millis) in [
        ("1", 1000),
        ("2.5", 2500),
        ("0.001", 1),
        ("010", 10_000),
        (".5", 500),
        ("1.", 1000),
        ("250ms", 250),
        ("1s", 1000),
        ("1m30s", 90_000),
        ("1.5s", 1500),
    ] {
        assert_eq!(
            parse_duration(text),
            Some(Duration::from_millis(millis)),
            "{text}"
        );
    }
    assert_eq!(parse_duration("0.000000001"), Some(Duration::from_nanos(1)));
    assert_eq!(parse_duration("86400"), Some(limits::PROBE_TIMEOUT_MAX));
    for text in [
        "",
        "0",
        "0.0",
        "0s",
        ".",
        "-1",
        "+1",
        "-1s",
        "1e3",
        "1 s",
        "1x",
        "86400.1",
        "1.2.3",
        "99999999999999999999999",
    ] {
        assert_eq!(parse_duration(text), None, "{text:?}");
    }
    assert_eq!(plan("http://a/").timeout, limits::DEFAULT_PROBE_TIMEOUT);
}

#[test]
fn the_error_of_an_unusable_url_says_what_to_write() {
    let example = "write one such as http://10.0.0.7:8080/healthz";
    let schemes = format!(
        "but must begin with http://, https://, tcp://, grpc://, grpcs://, http+unix: or grpc+unix:; {example}"
    );
    let host = "but its host must be a name, an IPv4 address, or an IPv6 address in brackets, without a zone: \
                write one such as tcp://[::1]:8080";
    let port = "but its port must be a number from 1 to 65535: write one such as 8080";
    let no_port = |example| format!("but has no port: write one such as {example}");
    let service = "but the name of the service must follow a slash: \
                   write one such as grpc://10.0.0.7:9090/my.package.Service";
    let socket =
        "but must have the path of a socket: write one such as http+unix:/run/app.sock:/healthz";
    let tcp = "but a TCP connection has no path: write http:// instead of tcp://, or remove everything after the port";
    for (url, text) in [
        ("", &*schemes),
        ("10.0.0.7:8080", &schemes),
        ("http:/a", &schemes),
        ("http://a b/", &format!("which is not a URL: {example}")),
        ("http://a:b/", &format!("which is not a URL: {example}")),
        ("http://::1/", &format!("which is not a URL: {example}")),
        (
            "ftp://a/",
            "but its scheme must be one of http, https, tcp, grpc, grpcs, http+unix, grpc+unix",
        ),
        ("http:///x", &format!("but has no host: {example}")),
        ("tcp://:80", &format!("but has no host: {example}")),
        ("http://[fe80::1%25eth0]/", host),
        ("http://[fe80::1%eth0]/", host),
        ("grpc://[::1%lo]:80", host),
        ("tcp://::1:80", host),
        ("http://a%25/", host),
        ("http://a:0/", port),
        ("tcp://a:65536", port),
        ("tcp://a", &no_port("tcp://10.0.0.7:8080")),
        ("grpc://a", &no_port("grpc://10.0.0.7:9090")),
        ("grpcs://a/s", &no_port("grpcs://10.0.0.7:9090")),
        ("tcp://a:1/x", tcp),
        ("tcp://a:1?x", tcp),
        ("tcp://a:1/%zz", tcp),
        ("grpc://a:1?x", service),
        ("http+unix:app.sock", socket),
        ("http+unix:", socket),
        ("grpc+unix:///run/app.sock:service", socket),
        ("http+unix://run%zz/x", socket),
    ] {
        let expected = format!("the URL is \"{url}\", {text}");
        assert_eq!(refusal(args(url)), expected);
    }
    assert_eq!(
        refusal(args("http://u:p@a/")),
        "the URL is \"http://***@a/\", but it must not contain a name or password: \
         write -H 'Authorization: Basic ...'"
    );
}

#[test]
fn the_error_of_an_unusable_flag_says_what_to_write() {
    let text = |url: &str, change: &dyn Fn(&mut RawArgs)| {
        let mut args = args(url);
        change(&mut args);
        refusal(args)
    };
    let header = |value: &str| text("http://a/", &|args| args.headers = vec![value.into()]);
    assert_eq!(
        text("http://a/", &|args| args.timeout = Some("soon".into())),
        "--timeout is \"soon\", but must be a duration, more than 0 and at most 86400 seconds: \
         write one such as 2.5 or 250ms"
    );
    assert_eq!(
        header("x"),
        "-H is \"x\", but must be a name and a value: write one such as 'Host: example.org'"
    );
    assert_eq!(
        header("X secret"),
        "-H is \"X\", but must be a name and a value: write one such as 'Host: example.org'"
    );
    assert_eq!(
        header("a b: c"),
        "-H names the header \"a b\", but its name must not contain spaces, quotes or separators: write one such as 'X-Probe: liveness'"
    );
    // A value may be a secret, and one that was read from a file ends its line.
    for value in ["a: secret\r\n", "a: \u{1}secret"] {
        assert_eq!(
            header(value),
            "-H names the header \"A\", but its value has a line break or another control character: \
             write it on one line"
        );
    }
    assert_eq!(
        text("tcp://a:1", &|args| args.headers = vec!["a: b".into()]),
        "-H names the header \"a\", but a TCP connection has no headers: leave it out"
    );
    let metadata = "-H names the header \"A!\", but gRPC metadata has a name of letters, digits, `.`, `_` and `-`, and a \
                    value of printable ASCII";
    let set = |args: &mut RawArgs| args.headers = vec!["a!: b".into()];
    assert_eq!(text("grpc://a:1", &set), metadata);
    for (status, body, expected) in [
        (
            Some("600"),
            None,
            "--expect-status is \"600\", but must be codes and ranges from 100 to 599: ",
        ),
        (
            Some("2xx"),
            Some("ok"),
            "--expect-status is \"2xx\", but must be codes",
        ),
        (
            None,
            Some(""),
            "--expect-body is \"\", but must have from 1 to 255 bytes",
        ),
    ] {
        let text = text("http://a/", &|args| {
            args.expect_status = status.map(Into::into);
            args.expect_body = body.map(Into::into);
        });
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(
        text("grpc://a:1", &|args| args.expect_status =
            Some("200".into())),
        "--expect-status and --expect-body require an http:// or https:// URL"
    );
    assert_eq!(
        text("http://a/", &|args| {
            args.expect_body = Some("ok".into());
            args.method = Some("HEAD".into());
        }),
        "--expect-body requires a response with a body: leave out --method HEAD"
    );
    for (url, source, words) in [
        ("http://a/", "x", "but must be an IP address: "),
        (
            "http://10.0.0.7/",
            "::1",
            "but the host of the URL is an address of the other version",
        ),
        (
            "http+unix:/a",
            "::1",
            "but a UNIX socket has no source address",
        ),
    ] {
        let text = text(url, &|args| args.source_ip = Some(source.into()));
        assert!(
            text.starts_with(&format!("--source-ip is \"{source}\", {words}")),
            "{text}"
        );
    }
    for (url, words) in [
        ("http://a/", "but must be GET, HEAD, OPTIONS or POST"),
        (
            "grpc://a:1",
            "but only http and https requests have a method: leave it out",
        ),
    ] {
        let text = text(url, &|args| args.method = Some("get".into()));
        assert_eq!(text, format!("--method is \"get\", {words}"));
    }
}

#[test]
fn a_client_certificate_requires_its_key_and_a_tls_url() {
    let refused = |url: &str, cert: Option<&str>, key: Option<&str>| {
        refusal(RawArgs {
            cert: cert.map(Into::into),
            key: key.map(Into::into),
            ..args(url)
        })
    };
    for url in ["https://a/", "grpcs://a:1"] {
        assert_eq!(refused(url, Some("c"), None), "--cert requires --key");
        assert_eq!(refused(url, None, Some("k")), "--key requires --cert");
        let unreadable = refused(url, Some("/nowhere/c"), Some("/nowhere/k"));
        let expected = match IS_BUILT {
            true => "--cert names the file \"/nowhere/c\", which cannot be read: ",
            false => "--cert is for TLS, and this build has none",
        };
        assert!(unreadable.starts_with(expected), "{unreadable}");
    }
    let of = |url: &str, change: &dyn Fn(&mut RawArgs)| {
        let mut args = args(url);
        change(&mut args);
        refusal(args)
    };
    type Change = fn(&mut RawArgs);
    let set: [(&str, Change); 3] = [
        ("--ca", |args| args.ca = Some("c".into())),
        ("--server-name", |args| args.server_name = Some("a".into())),
        ("--expect-id", |args| {
            args.expect_id = Some("spiffe://a/b".into())
        }),
    ];
    for (flag, change) in set {
        let text = format!("{flag} requires an https:// or grpcs:// URL");
        assert_eq!(of("grpc://a:1", &change), text);
    }
    assert_eq!(of("https://a/", &set[2].1), "--expect-id requires --ca");
    let text = of("https://a/", &|args| args.expect_id = Some("a/b".into()));
    assert!(
        text.starts_with("--expect-id is \"a/b\", but must be a SPIFFE ID: "),
        "{text}"
    );
    for url in ["http://a/", "tcp://a:1", "grpc://a:1"] {
        let cert = "--cert requires an https:// or grpcs:// URL";
        assert_eq!(refused(url, Some("c"), Some("k")), cert);
        assert_eq!(refused(url, Some("c"), None), cert);
        let key = "--key requires an https:// or grpcs:// URL";
        assert_eq!(refused(url, None, Some("k")), key);
    }
}
