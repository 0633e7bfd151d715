//! `probelet-inject serve`: flags and errors.

use super::*;
use crate::inject::Sidecar;
use crate::inject::values::Values;

fn options_of(args: &[&str]) -> Result<Options, String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).into()).collect();
    parse(&args).map_err(|exit| {
        assert_eq!((exit.code, exit.to_stdout), (2, false), "{exit:?}");
        let text = exit.text.strip_prefix("probelet-inject: ");
        text.expect("the program's name first").into()
    })
}

#[test]
fn flags_that_are_not_given_have_defaults() {
    let options = options_of(&["--cert", "c", "--key", "k"]).expect("flags");
    assert_eq!((options.listen.addr, options.listen.port), (None, PORT));
    assert_eq!(
        options.certificate,
        CertSource::Files {
            certificate_path: "c".into(),
            key_path: "k".into()
        }
    );
    assert_eq!(options.flags, Values::default());
    assert_eq!(
        (options.config, options.api_server),
        (None, ApiServer::default())
    );
    assert_eq!(options.shutdown_delay, Duration::from_secs(SHUTDOWN_DELAY));
}

#[test]
fn every_flag_goes_where_it_belongs() {
    let options = options_of(&[
        "--self-signed",
        "--service=s",
        "--namespace=n",
        "--webhook=w",
        "--find-pods",
        "--repair",
        "--addr=::1",
        "--port=9443",
        "--config=/etc/probelet",
        "--sidecar=container",
        "--api-server=https://[::1]:6443",
        "--api-ca=ca",
        "--api-token=token",
        "--client-ca=clients",
        "--log-level=debug",
        "--log-format=json",
        "--shutdown-delay=0",
    ])
    .expect("flags");
    assert_eq!(options.listen.port, 9443);
    assert_eq!(options.client_ca_path.as_deref(), Some("clients"));
    assert!(options.listen.addr.expect("an address").is_loopback());
    let CertSource::SelfSigned(names) = options.certificate else {
        panic!("{:?}", options.certificate);
    };
    assert_eq!(
        (
            &*names.service,
            &*names.secret,
            &*options.webhook_configuration
        ),
        ("s", "probelet-sidecar-injector-tls", "w")
    );
    assert_eq!(names.namespace.as_deref(), Some("n"));
    assert_eq!(options.not_injected_pods, NotInjectedPods::Repair);
    assert_eq!(options.config.as_deref(), Some("/etc/probelet"));
    assert_eq!(options.flags.sidecar, Some(Sidecar::Container));
    let api = options.api_server;
    assert_eq!(api.url.as_deref(), Some("https://[::1]:6443"));
    assert_eq!(
        (api.ca_path.as_deref(), api.token_path.as_deref()),
        (Some("ca"), Some("token"))
    );
    assert_eq!(
        (options.log.level, options.log.format),
        (Level::Debug, Format::Json)
    );
    assert_eq!(options.shutdown_delay, Duration::ZERO);
}

#[test]
fn flags_that_exclude_or_require_each_other_are_named() {
    for (args, expected) in [
        (&[][..], "--cert and --key, or --self-signed, are required"),
        (&["--cert", "c"], "--cert requires --key"),
        (&["--key", "k"], "--key requires --cert"),
        (
            &["--key", "k", "--self-signed"],
            "--self-signed excludes --cert and --key: ",
        ),
        (
            &["--cert", "c", "--key", "k", "--secret", "s"],
            "--secret requires --self-signed: leave it out",
        ),
    ] {
        assert_error(args, expected);
    }
}

fn assert_error(args: &[&str], expected: &str) {
    let error = options_of(args).expect_err("a mistake");
    assert!(error.starts_with(expected), "{args:?}: {error}");
}

#[test]
fn a_wrong_value_or_flag_says_what_to_write() {
    for (args, expected) in [
        (
            &["--self-signed", "--port", "0"][..],
            r#"--port is "0": write a port from 1 to 65535"#,
        ),
        (
            &["--self-signed", "--addr", "host"],
            r#"--addr is "host": write an IP address"#,
        ),
        (
            &["--self-signed", "--log-level", "all"],
            r#"--log-level is "all", but must be one of error, "#,
        ),
        (
            &["--self-signed", "--log-format", "text"],
            r#"--log-format is "text", but must be logfmt or json"#,
        ),
        (
            &["--self-signed", "--shutdown-delay", "1h"],
            r#"--shutdown-delay is "1h", but must be whole seconds up to 3600: "#,
        ),
        (
            &["--self-signed", "--target-ip", "web"],
            r#"--target-ip is "web": write an IP address, or pod"#,
        ),
        (
            &["--self-signed", "--kube-version", "1.28"],
            "unknown flag --kube-version: see ",
        ),
        (
            &["--self-sign"],
            "unknown flag --self-sign: did you mean --self-signed?",
        ),
        (
            &["-f"],
            "unknown flag -f: see `probelet-inject serve --help`",
        ),
        (
            &["-n", "x"],
            "unknown flag -n: see `probelet-inject serve --help`",
        ),
        (
            &["app.yaml"],
            r#""app.yaml" is not a flag: write flags as `--name VALUE` or `--name=VALUE`, see "#,
        ),
    ] {
        assert_error(args, expected);
    }
}
