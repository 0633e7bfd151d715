//! `probelet check` and `probelet install`: arguments, errors and help.

use super::*;
use crate::cli::Invocation;
use core::time::Duration;
use std::ffi::OsString;
use std::path::PathBuf;

fn command(args: &[&str]) -> Result<Invocation, Exit> {
    crate::cli::parse(args.iter().map(OsString::from), |_| None)
}

fn plan(args: &[&str]) -> Plan {
    match command(args) {
        Ok(Invocation::Check(plan)) => plan,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn refusal(args: &[&str]) -> String {
    let exit = command(args).expect_err("a usage error");
    assert_eq!((exit.code, exit.to_stdout), (2, false), "{args:?}");
    let text = exit.text.strip_prefix("probelet: ");
    text.expect("the program's name first").into()
}

fn printed_text(args: &[&str]) -> String {
    let exit = command(args).expect_err("help");
    assert_eq!((exit.code, exit.to_stdout), (0, true), "{args:?}");
    exit.text
}

#[test]
fn flags_come_before_and_after_the_url() {
    for args in [
        &[
            "check",
            "--timeout",
            "2.5",
            "--json",
            "http://a/?b=c",
            "-H",
            "x: y",
        ][..],
        &[
            "check",
            "http://a/?b=c",
            "--timeout=2.5",
            "-H=x: y",
            "--json",
        ],
    ] {
        let plan = plan(args);
        assert_eq!(&*plan.url, "http://a/?b=c");
        assert_eq!(plan.timeout, Duration::from_millis(2500));
        assert!(plan.is_json && !plan.is_verbose);
    }
    let flags = ["--verbose", "-H", "a: 1", "-H", "b: 2", "https://a/"];
    let plan = plan(&[&["check"], &flags[..]].concat());
    assert!(plan.is_verbose && !plan.is_json);
    let text = refusal(&["check", "--cert=c", "https://a/"]);
    assert!(text.starts_with("--cert requires --key"));
    let text = refusal(&["check", "--key", "k", "https://a/"]);
    assert!(text.starts_with("--key requires --cert"));
}

/// Arguments, and the error.
const MISTYPED: &[(&[&str], &str)] = &[
    (
        &["check"],
        "URL is missing: write one such as `probelet check http://10.0.0.7:8080/healthz`",
    ),
    (
        &["check", "http://a/", "http://b/"],
        r#""http://b/" is a second URL: write one"#,
    ),
    (
        &["check", "http://a/", "http://user:secret@b/"],
        r#""http://***@b/" is a second URL: write one"#,
    ),
    (
        &["http://user:secret@b/"],
        r#"unknown command "http://***@b/": write `probelet check URL`"#,
    ),
    (
        &["run", "http://user:secret@b/"],
        r#""http://***@b/" is not a flag: write flags as `--name VALUE` or `--name=VALUE`, see `probelet run --help`"#,
    ),
    (
        &["check", "--help=1"],
        "--help takes no value: write `--help`",
    ),
    (&["install", "-h=1"], "-h takes no value: write `-h`"),
    (
        &["check", "--timout", "1"],
        "unknown flag --timout: did you mean --timeout?",
    ),
    (
        &["check", "--jsn", "http://a/"],
        "unknown flag --jsn: did you mean --json?",
    ),
    (
        &["check", "-k", "http://a/"],
        "unknown flag -k: see `probelet check --help`",
    ),
    (
        &["check", "--json=yes"],
        "--json takes no value: write `--json`",
    ),
    (
        &["check", "http://a/", "--timeout"],
        "--timeout needs a value: write `--timeout VALUE` or `--timeout=VALUE`",
    ),
    (
        &["check", "--json", "--json"],
        "--json is given twice: write it once",
    ),
    (
        &["check", "a"],
        r#"the URL is "a", but must begin with http://, https://, tcp://, grpc://, grpcs://, http+unix: or grpc+unix:; write one such as http://10.0.0.7:8080/healthz"#,
    ),
    (
        &["install"],
        "DIR is missing: write a directory such as `probelet install /tools`",
    ),
    (
        &["install", ""],
        "DIR is missing: write a directory such as `probelet install /tools`",
    ),
    (
        &["install", "a", "b"],
        r#""b" is a second directory: write one"#,
    ),
    (
        &["install", "--force", "a"],
        "unknown flag --force: see `probelet install --help`",
    ),
];

#[test]
fn an_error_in_the_arguments_says_what_to_write() {
    for &(args, expected) in MISTYPED {
        assert_eq!(refusal(args), expected);
    }
}

#[test]
fn install_requires_a_directory() {
    let installed = |args: &[&str]| match command(args) {
        Ok(Invocation::Install(Install { directory, name })) => (directory, name),
        other => panic!("{args:?}: {other:?}"),
    };
    let directory = PathBuf::from("/tools");
    let expected = (directory.clone(), "probelet".into());
    assert_eq!(installed(&["install", "/tools"]), expected);
    let expected = (directory, "grpc_health_probe".into());
    assert_eq!(
        installed(&["install", "--as", "grpc_health_probe", "/tools"]),
        expected
    );
    for name in ["", "a/b", "..", ".a"] {
        let text = refusal(&["install", "/tools", &format!("--as={name}")]);
        assert!(text.starts_with(&format!("--as is \"{name}\", ")), "{text}");
    }
}

#[test]
fn the_help_has_each_flag() {
    let help = printed_text(&["check", "--help"]);
    let mut listed: Vec<_> = help
        .lines()
        .filter(|line| line.starts_with("  -"))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|flag| *flag != "-h,")
        .collect();
    listed.sort();
    let mut known: Vec<_> = CHECK.flags().map(|flag| flag.spellings[0]).collect();
    known.sort();
    assert_eq!(listed, known);
}

#[test]
fn the_examples_of_the_help_work_and_it_fits_a_terminal() {
    let help = printed_text(&["check", "http://a/", "-h"]);
    let examples = help
        .lines()
        .filter_map(|line| line.strip_prefix("  probelet "));
    let mut count = 0;
    for example in examples {
        // Only the header is in quotes, and has a blank in it.
        let parts = example.split('\'').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        plan(&words.collect::<Vec<_>>());
        count += 1;
    }
    assert_eq!(count, 2);
    let install = printed_text(&["install", "--help"]);
    for line in help.lines().chain(install.lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// Commands of docs/check.md that no shell runs: a list of JSON strings, or `ExecStart` of systemd.
#[test]
fn the_documented_commands_of_supervisors_are_valid() {
    let page = include_str!("../../../docs/check.md");
    let mut count = 0;
    for line in page.lines() {
        let words: Vec<&str> = match line.split_once("=/usr/local/bin/probelet ") {
            Some((_, words)) => words.split(' ').collect(),
            None if line.contains("\"check\"") => line.split('"').skip(1).step_by(2).collect(),
            None => continue,
        };
        let start = words.iter().position(|word| *word == "check");
        let plan = plan(&words[start.expect("the command")..]);
        assert_eq!(plan.timeout, Duration::from_secs(2), "{line}");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn a_value_may_follow_its_letter() {
    let plan = plan(&["check", "-HX-A:b=c", "-HUser-Agent: me", "http://a/"]);
    assert_eq!(&*plan.user_agent, "me");
    let crate::config::Action::Http(get) = plan.action else {
        panic!("an HTTP probe");
    };
    let lines = get
        .headers
        .iter()
        .map(|h| format!("{}: {}", h.name, h.value));
    assert!(lines.eq(["User-Agent: me", "X-A: b=c"]));
}

#[test]
fn arguments_after_two_dashes_are_no_flags() {
    assert_eq!(
        &*plan(&["check", "--json", "--", "http://a/"]).url,
        "http://a/"
    );
    let text = refusal(&["check", "--", "http://a/", "--json"]);
    assert_eq!(text, "\"--json\" is a second URL: write one");
}

fn with_variables(args: &[&str], variables: &[(&str, &str)]) -> Result<Plan, Exit> {
    let env = |name: &str| {
        let found = variables.iter().find(|variable| variable.0 == name);
        found.map(|variable| OsString::from(variable.1))
    };
    match crate::cli::parse(args.iter().map(OsString::from), env)? {
        Invocation::Check(plan) => Ok(plan),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_flag_is_also_read_from_its_variable() {
    let variables = [
        ("PROBELET_CHECK_URL", "http://a/"),
        ("PROBELET_CHECK_TIMEOUT", "250ms"),
        ("PROBELET_CHECK_JSON", "true"),
        ("PROBELET_CHECK_VERBOSE", "false"),
        ("PROBELET_CHECK_QUIET", ""),
        ("PROBELET_CHECK_HEADER", "x-a: 1\n\nUser-Agent: me\n"),
    ];
    let plan = with_variables(&["check"], &variables).expect("valid");
    assert_eq!(
        (&*plan.url, plan.timeout),
        ("http://a/", Duration::from_millis(250))
    );
    assert!(plan.is_json && !plan.is_verbose && !plan.is_quiet);
    assert_eq!(&*plan.user_agent, "me");
    let args = ["check", "http://b/", "--timeout=1", "-H", "x: y"];
    let plan = with_variables(&args, &variables).expect("valid");
    assert_eq!(
        (&*plan.url, plan.timeout),
        ("http://b/", Duration::from_secs(1))
    );
    assert_eq!(&*plan.user_agent, "kube-probe/1.37");
    let refused = with_variables(&["check"], &[("PROBELET_CHECK_JSON", "yes")]);
    let text = refused.expect_err("a usage error").text;
    assert_eq!(
        text,
        "probelet: PROBELET_CHECK_JSON is \"yes\", but must be true or false"
    );
    for flag in CHECK.flags() {
        let name = &CHECK.env_names(flag)[0];
        let refused = with_variables(&["check"], &[(name, "~")]).expect_err("no URL");
        assert_eq!(refused.code, 2, "{name}");
    }
}
