//! Every rule of the settings, by the text a person would read.

use super::*;
use crate::config::{Capacity, Forward, Listen};
use crate::telemetry::{Format, Level, LogSettings};

mod checks;
mod forwards;
mod tls;

const PROBER: &str = r#"{"/app-health/web/livez":{"httpGet":{"port":8080},"timeoutSeconds":2}}"#;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Flags as `(name, value)`, the name without dashes.
fn typed(flags: Variables<'_>) -> RawSettings {
    let mut settings = RawSettings::default();
    for &(flag, value) in flags {
        let value = value.to_string();
        let slot = match flag {
            "status-port" => &mut settings.status_port,
            "status-addr" => &mut settings.status_addr,
            "target-ip" => &mut settings.target_ip,
            "source-ip" => &mut settings.source_ip,
            "app-probers" => &mut settings.app_probers,
            "client-cert" => &mut settings.client_cert,
            "client-key" => &mut settings.client_key,
            "app-ca" => &mut settings.app_ca,
            "app-id" => &mut settings.app_id,
            "deadline-margin" => &mut settings.deadline_margin,
            "shutdown-delay" => &mut settings.shutdown_delay,
            "log-level" => &mut settings.log_level,
            "log-format" => &mut settings.log_format,
            "max-probes" => &mut settings.max_probes,
            "max-hooks" => &mut settings.max_hooks,
            "max-reserve" => &mut settings.max_reserve,
            "max-forwards" => &mut settings.max_forwards,
            "forward" => {
                settings.forward.push(value);
                continue;
            }
            _ => panic!("no flag {flag}"),
        };
        *slot = Some(value);
    }
    settings
}

fn config_of(flags: Variables<'_>, variables: Variables<'_>) -> Result<Config, String> {
    let env = |name: &str| {
        let found = variables.iter().find(|variable| variable.0 == name);
        found.map(|variable| OsString::from(variable.1))
    };
    let read_file = |path: &str| match path {
        "/etc/probers.json" => Ok(PROBER.into()),
        "/etc/broken.json" => Ok("{".into()),
        // As much as is read of a longer file.
        "/etc/large.json" => Ok(vec![b' '; limits::PROBERS_JSON_BYTES + 1]),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    Config::from_settings(&typed(flags), env, read_file).map_err(|error| error.to_string())
}

fn config(flags: Variables<'_>) -> Config {
    config_of(flags, &[]).unwrap_or_else(|error| panic!("{flags:?}: {error}"))
}

fn refusal(flags: Variables<'_>) -> String {
    config_of(flags, &[])
        .err()
        .unwrap_or_else(|| panic!("{flags:?} was taken"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let config = config(&[]);
    assert_eq!(
        config.status,
        Listen {
            addr: None,
            port: 15020
        }
    );
    assert_eq!((config.target, config.source), (ip("127.0.0.1"), None));
    assert!(config.probers.is_empty() && config.forwards.is_empty());
    assert_eq!(config.deadline_margin, limits::DEFAULT_DEADLINE_MARGIN);
    assert_eq!(config.shutdown_delay, Duration::ZERO);
    assert_eq!(
        config.log,
        LogSettings {
            level: Level::Info,
            format: Format::Logfmt
        }
    );
    let most = Capacity {
        probes: limits::PROBE_SLOTS,
        hooks: limits::HOOK_SLOTS,
        reserve: limits::RESERVE_SLOTS,
        forward_connections: limits::FORWARD_CONNECTIONS,
    };
    assert_eq!(config.capacity, most);
}

/// One value that is not the default for each setting that has no list.
const EACH: [(&str, &str, &str); 13] = [
    ("status-port", "PROBELET_STATUS_PORT", "15021"),
    ("status-addr", "PROBELET_STATUS_ADDR", "::1"),
    ("target-ip", "PROBELET_TARGET_IP", "10.0.0.5"),
    ("source-ip", "PROBELET_SOURCE_IP", "127.0.0.6"),
    ("app-probers", "PROBELET_APP_PROBERS", PROBER),
    ("deadline-margin", "PROBELET_DEADLINE_MARGIN", "0"),
    ("shutdown-delay", "PROBELET_SHUTDOWN_DELAY", "5"),
    ("log-level", "PROBELET_LOG_LEVEL", "debug"),
    ("log-format", "PROBELET_LOG_FORMAT", "json"),
    ("max-probes", "PROBELET_MAX_PROBES", "1"),
    ("max-hooks", "PROBELET_MAX_HOOKS", "2"),
    ("max-reserve", "PROBELET_MAX_RESERVE", "3"),
    ("max-forwards", "PROBELET_MAX_FORWARDS", "16"),
];

fn assert_each(config: &Config) {
    assert_eq!(
        config.status,
        Listen {
            addr: Some(ip("::1")),
            port: 15021
        }
    );
    assert_eq!(
        (config.target, config.source),
        (ip("10.0.0.5"), Some(ip("127.0.0.6")))
    );
    assert_eq!(config.probers.len(), 1);
    assert_eq!(config.deadline_margin, Duration::ZERO);
    assert_eq!(config.shutdown_delay, Duration::from_secs(5));
    assert_eq!(
        config.log,
        LogSettings {
            level: Level::Debug,
            format: Format::Json
        }
    );
    let capacity = Capacity {
        probes: 1,
        hooks: 2,
        reserve: 3,
        forward_connections: 16,
    };
    assert_eq!(config.capacity, capacity);
}

#[test]
fn each_setting_is_a_flag_and_a_variable() {
    let flags = EACH.map(|(flag, _, value)| (flag, value));
    assert_each(&config(&flags));
    let variables = EACH.map(|(_, variable, value)| (variable, value));
    assert_each(&config_of(&[], &variables).expect("variables"));
}

#[test]
fn a_flag_goes_before_a_variable_and_an_empty_variable_is_none() {
    let port = |flags, variables| config_of(flags, variables).expect("a port").status.port;
    assert_eq!(
        port(&[("status-port", "1")], &[("PROBELET_STATUS_PORT", "x")]),
        1
    );
    assert_eq!(port(&[], &[("PROBELET_STATUS_PORT", "")]), 15020);
    let error = config_of(&[], &[("PROBELET_STATUS_PORT", "x")]).expect_err("no port");
    assert!(
        error.starts_with(r#"PROBELET_STATUS_PORT is "x", but a port"#),
        "{error}"
    );
    assert!(refusal(&[("status-port", "")]).starts_with(r#"--status-port is "", but a port"#));
}

#[test]
fn what_kubernetes_says_of_a_service_of_our_name_is_no_setting() {
    let link = [("PROBELET_STATUS_PORT", "tcp://10.43.12.7:15020")];
    let config = config_of(&[], &link).expect("the default");
    assert_eq!(config.status.port, 15020);
}

#[test]
fn the_target_is_also_the_pods_address() {
    let all = [
        ("PROBELET_TARGET_IP", "10.0.0.1"),
        ("POD_IP", "10.0.0.2"),
        ("INSTANCE_IP", "10.0.0.3"),
    ];
    let target = |flags, variables| config_of(flags, variables).expect("a target").target;
    assert_eq!(target(&[("target-ip", "10.0.0.0")], &all), ip("10.0.0.0"));
    assert_eq!(target(&[], &all), ip("10.0.0.1"));
    assert_eq!(target(&[], &all[1..]), ip("10.0.0.2"));
    assert_eq!(target(&[], &all[2..]), ip("10.0.0.3"));
    assert_eq!(
        target(&[], &[("POD_IP", ""), ("INSTANCE_IP", "::1")]),
        ip("::1")
    );
    assert_eq!(
        config_of(&[], &[("POD_IP", "pod")]).expect_err("no address"),
        r#"POD_IP is "pod", but must be an IP address: write one such as 127.0.0.1 or ::1"#
    );
    // One address, whatever its spelling.
    assert_eq!(
        target(&[("target-ip", "::ffff:10.0.0.4")], &[]),
        ip("10.0.0.4")
    );
}

#[test]
fn probers_come_from_istios_variable_and_from_files() {
    let count = |flags, variables| config_of(flags, variables).expect("probers").probers.len();
    assert_eq!(count(&[], &[("ISTIO_KUBE_APP_PROBERS", PROBER)]), 1);
    assert_eq!(
        count(
            &[("app-probers", "{}")],
            &[("ISTIO_KUBE_APP_PROBERS", PROBER)]
        ),
        0
    );
    assert_eq!(count(&[("app-probers", "@/etc/probers.json")], &[]), 1);
    assert_eq!(
        count(&[], &[("ISTIO_KUBE_APP_PROBERS", "@/etc/probers.json")]),
        1
    );
    assert_eq!(
        refusal(&[("app-probers", "@/etc/lost.json")]),
        r#"--app-probers names the file "/etc/lost.json", which cannot be read: no such file"#
    );
    let broken = "probers are not JSON: line 1, column 2: a key in double quotes is expected";
    assert_eq!(
        refusal(&[("app-probers", "@/etc/broken.json")]),
        format!("/etc/broken.json: {broken}")
    );
    let large = "probers are more than 131072 bytes of JSON, the most that is read: leave out what no container has";
    assert_eq!(
        refusal(&[("app-probers", "@/etc/large.json")]),
        format!("/etc/large.json: {large}")
    );
    assert_eq!(
        refusal(&[("app-probers", "{")]),
        format!("--app-probers: {broken}")
    );
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let env = |name: &str| (name == "POD_IP").then(|| OsString::from_vec(vec![b'1', 0xff]));
    let error = Config::from_settings(&RawSettings::default(), env, |_| Ok(Vec::new()));
    let text = error.expect_err("not UTF-8").to_string();
    assert_eq!(text, "POD_IP is not UTF-8: write it in plain text");
}

/// A flag, values it cannot have, and what is said of them.
const WRONG_VALUES: &[(&str, &[&str], &str)] = &[
    (
        "status-port",
        &["0", "65536", "-1", "+80", "80.0", " 80", "http"],
        "but a port must be a number from 1 to 65535: write one such as 15020",
    ),
    (
        "status-addr",
        &["localhost", "1.2.3", "[::1]", "fe80::1%eth0", "1.2.3.4:80"],
        "but must be an IP address: write one such as 127.0.0.1 or ::1",
    ),
    (
        "target-ip",
        &[
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:224.0.0.1",
        ],
        "which cannot be dialled: write the app's address, such as 127.0.0.1",
    ),
    (
        "source-ip",
        &["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"],
        "which cannot be dialled from: write an address of the pod, such as 127.0.0.6",
    ),
    (
        "status-addr",
        &["224.0.0.1", "ff02::1", "255.255.255.255"],
        "which cannot be listened on: write an address of the pod, or 0.0.0.0 or :: for all",
    ),
    (
        "deadline-margin",
        &[
            "",
            "-1",
            "25ms",
            "0.5",
            "+1",
            "60001",
            "99999999999999999999",
        ],
        "but must be whole milliseconds up to 60000: write a number such as 25",
    ),
    (
        "shutdown-delay",
        &["", "5s", "-1", "3601"],
        "but must be whole seconds up to 3600: write a number such as 5",
    ),
    (
        "log-level",
        &["", "Info", "trace"],
        "but must be one of error, warn, info, debug",
    ),
    (
        "log-format",
        &["text", "JSON"],
        "but must be logfmt or json",
    ),
    (
        "max-probes",
        &["0", "33", "-1", "x", ""],
        "but must be a number from 1 to 32: it can only lower what is built in",
    ),
    (
        "max-hooks",
        &["0", "5"],
        "but must be a number from 1 to 4: it can only lower what is built in",
    ),
    (
        "max-reserve",
        &["0", "5"],
        "but must be a number from 1 to 4: it can only lower what is built in",
    ),
    (
        "max-forwards",
        &["0", "17"],
        "but must be a number from 1 to 16: it can only lower what is built in",
    ),
];

#[test]
fn each_value_that_is_wrong_is_told_with_what_to_write() {
    for &(flag, values, rule) in WRONG_VALUES {
        for value in values {
            assert_eq!(
                refusal(&[(flag, value)]),
                format!("--{flag} is {value:?}, {rule}")
            );
        }
    }
}
