//! `probelet` and `probelet run`: arguments, errors and help.

use super::*;
use crate::cli::table::Flag;
use crate::config::flags;
use crate::limits;
use crate::telemetry::Level;
use std::os::unix::ffi::OsStringExt;

fn parsed(args: &[&str]) -> Result<Config, Exit> {
    match parse(args.iter().map(OsString::from), |_| None)? {
        Invocation::Run(config) => Ok(config),
        #[cfg(feature = "check")]
        Invocation::Check(_) | Invocation::Install(_) | Invocation::GrpcHealthProbe(_) => {
            panic!("{args:?} is no run")
        }
    }
}

fn refusal(args: &[&str]) -> String {
    let exit = parsed(args).expect_err("a usage error");
    assert_eq!((exit.code, exit.to_stdout), (2, false), "{args:?}");
    let text = exit
        .text
        .strip_prefix("probelet: ")
        .expect("the program's name first");
    text.into()
}

fn printed_text(args: &[&str]) -> String {
    let exit = parsed(args).expect_err("help or version");
    assert_eq!((exit.code, exit.to_stdout), (0, true), "{args:?}");
    exit.text
}

#[test]
fn a_value_follows_its_flag_or_an_equals_sign() {
    for args in [
        &[
            "run",
            "--status-port",
            "80",
            "--log-level",
            "warn",
            "--forward",
            "1=127.0.0.1:2",
        ][..],
        &[
            "run",
            "--status-port=80",
            "--log-level=warn",
            "--forward=1=127.0.0.1:2",
        ],
        &[
            "run",
            "--forward=1=127.0.0.1:2",
            "--status-port",
            "80",
            "--log-level=warn",
        ],
    ] {
        let config = parsed(args).expect("flags");
        assert_eq!((config.status.port, config.log.level), (80, Level::Warn));
        assert_eq!(config.forwards.len(), 1);
    }
}

/// An error that names the setting with the value `~`. A file of CA certificates is only read at the start.
fn subject(args: &[&str], env: impl Fn(&str) -> Option<OsString>) -> String {
    match parse(args.iter().map(OsString::from), env) {
        Err(exit) => exit.text.trim_start_matches("probelet: ").into(),
        Ok(Invocation::Run(config)) => config.tls.app_ca[0].to_string(),
        #[cfg(feature = "check")]
        Ok(other) => panic!("{other:?}"),
    }
}

#[test]
fn every_flag_is_accepted_and_forward_more_than_once() {
    for Flag { long, .. } in run::COMMAND.flags() {
        let text = subject(&["run", &format!("{long}=~")], |_| None);
        assert!(text.starts_with(long), "{long}: {text}");
    }
    let args = [
        "run",
        "--forward",
        "1=127.0.0.1:2",
        "--forward=3=127.0.0.1:4",
    ];
    assert_eq!(parsed(&args).expect("two forwards").forwards.len(), 2);
}

#[test]
fn the_table_has_the_flags_that_configuration_finds_settings_by() {
    let mut table: Vec<_> = run::COMMAND.flags().map(|flag| flag.long).collect();
    let mut found_by = flags::ALL.to_vec();
    table.sort_unstable();
    found_by.sort_unstable();
    assert_eq!(table, found_by);
}

/// A variable of the table that configuration does not read would show here.
#[test]
fn each_flag_is_also_read_from_the_variables_of_its_table() {
    for flag in run::COMMAND.flags() {
        let own = flag.long.trim_start_matches('-').to_uppercase();
        let own = format!("PROBELET_{}", own.replace('-', "_"));
        for variable in flag.env_aliases.iter().copied().chain([&*own]) {
            let env = |name: &str| (name == variable).then(|| OsString::from("~"));
            let text = subject(&["run"], env);
            assert!(text.starts_with(variable), "{variable}: {text}");
        }
    }
}

fn config_of(args: &[&str], variables: &[(&str, &str)]) -> Config {
    let env = |name: &str| {
        let found = variables.iter().find(|variable| variable.0 == name);
        found.map(|variable| OsString::from(variable.1))
    };
    let args = ["run"].iter().chain(args).map(OsString::from);
    match parse(args, env) {
        Ok(Invocation::Run(config)) => config,
        #[cfg(feature = "check")]
        Ok(other) => panic!("{other:?}"),
        Err(exit) => panic!("{}", exit.text),
    }
}

#[test]
fn a_flag_takes_precedence_over_a_variable_and_an_empty_variable_is_ignored() {
    let port = |args, variables| config_of(args, variables).status.port;
    let variable = [("PROBELET_STATUS_PORT", "x")];
    assert_eq!(port(&["--status-port=1"], &variable), 1);
    assert_eq!(port(&[], &[("PROBELET_STATUS_PORT", "")]), 15020);
    let prober = r#"{"/app-health/web/livez":{"httpGet":{"port":8080}}}"#;
    let probers = |args| {
        config_of(args, &[("ISTIO_KUBE_APP_PROBERS", prober)])
            .probers
            .len()
    };
    assert_eq!(probers(&[]), 1);
    assert_eq!(probers(&["--app-probers={}"]), 0);
}

#[test]
fn the_variable_of_a_service_named_probelet_status_is_ignored() {
    for protocol in ["tcp", "udp", "sctp"] {
        let link = format!("{protocol}://10.43.12.7:15021");
        let link = [("PROBELET_STATUS_PORT", link.as_str())];
        assert_eq!(config_of(&[], &link).status.port, 15020, "{protocol}");
    }
}

#[test]
fn the_target_is_also_the_pods_address() {
    let all = [
        ("PROBELET_TARGET_IP", "10.0.0.1"),
        ("POD_IP", "10.0.0.2"),
        ("INSTANCE_IP", "10.0.0.3"),
    ];
    let target = |args, variables| config_of(args, variables).target.to_string();
    assert_eq!(target(&["--target-ip=10.0.0.0"], &all), "10.0.0.0");
    assert_eq!(target(&[], &all), "10.0.0.1");
    assert_eq!(target(&[], &all[1..]), "10.0.0.2");
    assert_eq!(target(&[], &all[2..]), "10.0.0.3");
    let empty = [("POD_IP", ""), ("INSTANCE_IP", "::1")];
    assert_eq!(target(&[], &empty), "::1");
}

#[test]
fn the_pods_address_is_known_where_a_flag_sets_the_target() {
    let args = ["run", "--target-ip=127.0.0.1", "--forward=1=10.0.0.5:1"];
    for variable in ["POD_IP", "INSTANCE_IP"] {
        let env = |name: &str| (name == variable).then(|| OsString::from("10.0.0.5"));
        let text = subject(&args, env);
        assert!(
            text.starts_with("--forward 1=10.0.0.5:1 leads to "),
            "{text}"
        );
    }
}

#[test]
fn a_variable_has_several_forwards_with_commas_between() {
    let variable = [("PROBELET_FORWARD", "1=127.0.0.1:2, 3=127.0.0.1:4")];
    let ports = |args| -> Vec<u16> {
        let forwards = config_of(args, &variable).forwards;
        forwards.iter().map(|forward| forward.listen.port).collect()
    };
    assert_eq!(ports(&[]), [1, 3]);
    let flags = ["--forward=5=127.0.0.1:6", "--forward=7=127.0.0.1:8"];
    assert_eq!(ports(&flags), [5, 7]);
}

/// A value of --inbound has commas.
#[test]
#[cfg(feature = "tls")]
fn a_variable_has_several_inbound_ports_with_spaces_between() {
    let variables = [
        ("PROBELET_INBOUND", "1=2,alpn=h2 \n 3=4"),
        ("PROBELET_ALLOW_ID", "spiffe://td/a, spiffe://other/b"),
        ("PROBELET_CERT", "/tls.crt"),
        ("PROBELET_KEY", "/tls.key"),
        ("PROBELET_CA", "td=/a, other=/b"),
    ];
    let config = config_of(&[], &variables);
    let ports = config.inbounds.iter().map(|inbound| inbound.listen.port);
    assert!(ports.eq([1, 3]));
    let identity = config.tls.identity.expect("an identity");
    assert_eq!(identity.ca.len(), 2);
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    let env = |name: &str| (name == "POD_IP").then(|| OsString::from_vec(vec![b'1', 0xff]));
    let text = subject(&["run"], env);
    assert_eq!(text, "POD_IP is not UTF-8: encode it as UTF-8");
}

#[test]
fn a_value_may_begin_with_a_dash() {
    for args in [
        &["run", "--log-level=-h"][..],
        &["run", "--log-level", "-x"],
    ] {
        assert!(refusal(args).starts_with("--log-level is \"-"), "{args:?}");
    }
    assert!(refusal(&["run", "--log-level", "--help"]).starts_with("--log-level is \"--help\""));
}

#[test]
fn an_error_in_the_arguments_says_what_to_write() {
    for (args, expected) in [
        (
            &[][..],
            "no command: write `probelet run` or `probelet check URL`, or `probelet --help`",
        ),
        (
            &["start"],
            r#"unknown command "start": write one of run, check, install, grpc-health-probe"#,
        ),
        (
            &["chek", "http://a/"],
            r#"unknown command "chek": did you mean `probelet check`?"#,
        ),
        (
            &["http://a/"],
            r#"unknown command "http://a/": write `probelet check URL`"#,
        ),
        (
            &["--status-port=1", "run"],
            r#""--status-port=1" comes before the command: write `probelet run` and then the flags"#,
        ),
        (
            &["run", "--status-prt", "1"],
            "unknown flag --status-prt: did you mean --status-port?",
        ),
        (
            &["run", "-status-port=1"],
            "unknown flag -status-port: did you mean --status-port?",
        ),
        (
            &["run", "--verbose"],
            "unknown flag --verbose: see `probelet run --help`",
        ),
        (
            &["run", "15020"],
            r#""15020" is not a flag: write flags as `--name VALUE` or `--name=VALUE`, see `probelet run --help`"#,
        ),
        (
            &["run", "--status-port"],
            "--status-port needs a value: write `--status-port VALUE` or `--status-port=VALUE`",
        ),
        (
            &["run", "--status-port=0"],
            r#"--status-port is "0", but a port must be a number from 1 to 65535: write one such as 15020"#,
        ),
    ] {
        assert_eq!(refusal(args), expected);
    }
    // The name of a flag is no value, whatever is the matter with it.
    for next in ["--log-level", "--log-level=info", "--status-port"] {
        let text = refusal(&["run", "--status-port", next, "info"]);
        assert!(text.starts_with("--status-port needs a value: "), "{text}");
    }
    let twice = refusal(&["run", "--status-port=1", "--status-port=2"]);
    assert_eq!(twice, "--status-port is given twice: write it once");
}

#[test]
fn an_argument_that_is_not_utf_8_is_an_error() {
    let args = [OsString::from("run"), OsString::from_vec(vec![b'-', 0xff])];
    let exit = parse(args.into_iter(), |_| None).expect_err("not UTF-8");
    assert_eq!(
        exit.text,
        r#"probelet: the argument "-\xff" is not UTF-8: encode it as UTF-8"#
    );
    assert_eq!(exit.code, 2);
}

#[test]
fn help_and_version_go_to_stdout_with_exit_code_0() {
    assert_eq!(
        printed_text(&["--version"]),
        format!("probelet {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(printed_text(&["--help"]).contains("Usage: probelet run"));
    assert_eq!(
        printed_text(&["run", "--help"]),
        printed_text(&["run", "--status-port=x", "-h"])
    );
}

#[test]
fn the_help_has_each_flag_with_its_default_and_fits_a_terminal() {
    let help = printed_text(&["run", "--help"]);
    for Flag { long, .. } in run::COMMAND.flags() {
        assert_eq!(help.matches(&format!("\n  {long} ")).count(), 1, "{long}");
    }
    for default in [
        "[15020]",
        "[127.0.0.1]",
        "[25]",
        "[0]",
        "[info]",
        "[logfmt]",
        "[64]",
        "[16]",
    ] {
        assert!(help.contains(default), "{default}");
    }
    for variable in [
        "PROBELET_STATUS_PORT",
        "PROBELET_FORWARD",
        "ISTIO_KUBE_APP_PROBERS",
        "POD_IP",
        "INSTANCE_IP",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
    for line in help.lines().chain(printed_text(&["--help"]).lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn the_example_of_the_help_works() {
    let help = printed_text(&["run", "--help"]);
    let line = help
        .lines()
        .find(|line| line.contains("run --app-probers"))
        .expect("an example");
    let json = line.split('\'').nth(1).expect("JSON in quotes");
    assert_eq!(
        parsed(&["run", "--app-probers", json])
            .expect("the example")
            .probers
            .len(),
        1
    );
}

#[test]
fn a_file_of_probers_is_read_and_an_endless_one_is_rejected() {
    let text = refusal(&["run", "--app-probers=@/dev/zero"]);
    assert_eq!(
        text,
        "/dev/zero: probers are more than 131072 bytes of JSON, the most that is supported: \
         shorten httpHeaders, or remove probers"
    );
    let text = refusal(&["run", "--app-probers=@/nowhere/probers.json"]);
    assert!(
        text.starts_with(
            r#"--app-probers names the file "/nowhere/probers.json", which cannot be read: "#
        ),
        "{text}"
    );
}

/// The file is cut where it is too long, which may be within a character.
#[test]
fn a_file_that_is_too_long_or_not_utf_8_is_an_error() {
    let error_of = |name: &str, bytes: &[u8]| {
        let path = std::env::temp_dir().join(format!("probelet-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("a file");
        let text = refusal(&["run", &format!("--app-probers=@{}", path.display())]);
        std::fs::remove_file(&path).expect("the file");
        let rest = text.strip_prefix(&*path.to_string_lossy());
        rest.unwrap_or_else(|| panic!("{text:?} names no file"))
            .to_string()
    };
    let long = "é".repeat(limits::PROBERS_JSON_BYTES);
    let text = error_of("long.json", long.as_bytes());
    assert!(
        text.starts_with(": probers are more than 131072 bytes of JSON"),
        "{text}"
    );
    let text = error_of("latin-1.json", b"{\"\xe9\":1}");
    assert_eq!(text, " is not UTF-8: encode it as UTF-8");
}
