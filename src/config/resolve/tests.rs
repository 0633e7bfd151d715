//! The rules of the settings, and the texts of their errors.

use super::*;
use crate::config::{Capacity, Forward, Listen};
use crate::telemetry::{Format, Level, LogSettings};

mod checks;
mod forwards;
#[cfg(feature = "tls")]
mod inbounds;
mod tls;

const PROBER: &str = r#"{"/app-health/web/livez":{"httpGet":{"port":8080},"timeoutSeconds":2}}"#;

/// Pairs of name and text.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn flag_of(name: &str) -> &'static str {
    let mut flags = flags::ALL.into_iter();
    flags
        .find(|flag| flag[2..] == *name)
        .unwrap_or_else(|| panic!("no flag {name}"))
}

/// Flags, named without dashes, and variables of settings that no flag sets.
fn settings(flags: Pairs<'_>, variables: Pairs<'_>) -> RawSettings {
    let setting = |flag: &'static str, origin: &str, value: &str| SettingValue {
        flag,
        origin: origin.into(),
        value: value.into(),
    };
    let mut settings = RawSettings::default();
    for (name, value) in flags {
        let flag = flag_of(name);
        settings.values.push(setting(flag, flag, value));
    }
    for (variable, value) in variables {
        let name = match *variable {
            "POD_IP" | "INSTANCE_IP" => {
                settings.pod_addresses.push((*value).into());
                "target-ip"
            }
            variable => {
                let name = variable.trim_start_matches("PROBELET_");
                &name.to_lowercase().replace('_', "-")
            }
        };
        let flag = flag_of(name);
        if ["--forward", "--inbound", "--ca", "--allow-id"].contains(&flag)
            || settings.find(flag).is_none()
        {
            settings.values.push(setting(flag, variable, value));
        }
    }
    settings
}

fn config_of(flags: Pairs<'_>, variables: Pairs<'_>) -> Result<Config, String> {
    let read_file = |path: &str| match path {
        "/etc/probers.json" => Ok(PROBER.into()),
        "/etc/broken.json" => Ok("{".into()),
        // As much as is read of a longer file.
        "/etc/large.json" => Ok(vec![b' '; limits::PROBERS_JSON_BYTES + 1]),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    };
    let settings = settings(flags, variables);
    Config::from_settings(&settings, &read_file).map_err(|error| error.to_string())
}

fn config(flags: Pairs<'_>) -> Config {
    config_of(flags, &[]).unwrap_or_else(|error| panic!("{flags:?}: {error}"))
}

fn refusal(flags: Pairs<'_>) -> String {
    config_of(flags, &[])
        .err()
        .unwrap_or_else(|| panic!("{flags:?} was accepted"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn without_settings_the_defaults_apply() {
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
        probers: limits::PROBERS,
        forward_connections: limits::FORWARD_CONNECTIONS,
        inbound_connections: limits::INBOUND_CONNECTIONS,
    };
    assert_eq!(config.capacity, most);
}

/// One value that is not the default for each setting that has no list.
const EACH: [(&str, &str, &str); 11] = [
    ("status-port", "PROBELET_STATUS_PORT", "15021"),
    ("status-addr", "PROBELET_STATUS_ADDR", "::1"),
    ("target-ip", "PROBELET_TARGET_IP", "10.0.0.5"),
    ("source-ip", "PROBELET_SOURCE_IP", "127.0.0.6"),
    ("app-probers", "PROBELET_APP_PROBERS", PROBER),
    ("deadline-margin", "PROBELET_DEADLINE_MARGIN", "0"),
    ("shutdown-delay", "PROBELET_SHUTDOWN_DELAY", "5"),
    ("log-level", "PROBELET_LOG_LEVEL", "debug"),
    ("log-format", "PROBELET_LOG_FORMAT", "json"),
    ("max-probers", "PROBELET_MAX_PROBERS", "1"),
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
        probers: 1,
        forward_connections: 16,
        inbound_connections: limits::INBOUND_CONNECTIONS,
    };
    assert_eq!(config.capacity, capacity);
}

#[test]
fn each_setting_is_read_from_any_origin() {
    let flags = EACH.map(|(flag, _, value)| (flag, value));
    assert_each(&config(&flags));
    let variables = EACH.map(|(_, variable, value)| (variable, value));
    assert_each(&config_of(&[], &variables).expect("variables"));
}

#[test]
fn an_error_names_the_origin_of_the_value() {
    let error = config_of(&[], &[("PROBELET_STATUS_PORT", "x")]).expect_err("no port");
    assert!(
        error.starts_with(r#"PROBELET_STATUS_PORT is "x", but a port"#),
        "{error}"
    );
    assert!(refusal(&[("status-port", "")]).starts_with(r#"--status-port is "", but a port"#));
    assert_eq!(
        config_of(&[], &[("POD_IP", "pod")]).expect_err("no address"),
        r#"POD_IP is "pod", but must be an IP address: write one such as 127.0.0.1 or ::1"#
    );
}

#[test]
fn an_ipv4_mapped_target_is_the_ipv4_address() {
    let target = config(&[("target-ip", "::ffff:10.0.0.4")]).target;
    assert_eq!(target, ip("10.0.0.4"));
}

#[test]
fn probers_are_read_from_the_setting_and_from_files() {
    let count = |value| config(&[("app-probers", value)]).probers.len();
    assert_eq!(count(PROBER), 1);
    assert_eq!(count("{}"), 0);
    assert_eq!(count("@/etc/probers.json"), 1);
    assert_eq!(
        refusal(&[("app-probers", "@/etc/lost.json")]),
        r#"--app-probers names the file "/etc/lost.json", which cannot be read: no such file: write the path of a readable file"#
    );
    let broken = "probers are not JSON: line 1, column 2: expected a key in double quotes";
    assert_eq!(
        refusal(&[("app-probers", "@/etc/broken.json")]),
        format!("/etc/broken.json: {broken}")
    );
    let large = "probers are more than 131072 bytes of JSON, the most that is supported: shorten httpHeaders, or remove probers";
    assert_eq!(
        refusal(&[("app-probers", "@/etc/large.json")]),
        format!("/etc/large.json: {large}")
    );
    assert_eq!(
        refusal(&[("app-probers", "{")]),
        format!("--app-probers: {broken}")
    );
}

/// A flag, invalid values, and the end of the error.
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
        "which is not a unicast address: write the app's address, such as 127.0.0.1",
    ),
    (
        "source-ip",
        &["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"],
        "which cannot be a source address: write an address of the pod, such as 127.0.0.6",
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
        "max-probers",
        &["0", "65", "-1", "x", ""],
        "but must be a number from 1 to 64, the built-in limit",
    ),
    (
        "max-forwards",
        &["0", "17"],
        "but must be a number from 1 to 16, the built-in limit",
    ),
];

#[test]
fn the_error_of_each_invalid_value_says_what_to_write() {
    for &(flag, values, rule) in WRONG_VALUES {
        for value in values {
            assert_eq!(
                refusal(&[(flag, value)]),
                format!("--{flag} is {value:?}, {rule}")
            );
        }
    }
}
