//! Every rule of the settings, by the text a person would read.

use super::*;

const PROBER: &str = r#"{"/app-health/web/livez":{"httpGet":{"port":8080},"timeoutSeconds":2}}"#;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Flags as `(name, value)`, the name without dashes.
fn typed(flags: Variables<'_>) -> Settings {
    let mut settings = Settings::default();
    for &(flag, value) in flags {
        let value = value.to_string();
        let slot = match flag {
            "status-port" => &mut settings.status_port,
            "status-addr" => &mut settings.status_addr,
            "target-ip" => &mut settings.target_ip,
            "source-ip" => &mut settings.source_ip,
            "app-probers" => &mut settings.app_probers,
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
    assert_eq!(config.deadline_margin, limits::DEADLINE_MARGIN);
    assert_eq!(config.shutdown_delay, Duration::ZERO);
    assert_eq!(
        config.log,
        Log {
            level: Level::Info,
            format: Format::Logfmt
        }
    );
    let most = Capacity {
        probes: limits::PROBE_SLOTS,
        hooks: limits::HOOK_SLOTS,
        reserve: limits::RESERVE_SLOTS,
        forwards: limits::FORWARD_SLOTS,
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
        Log {
            level: Level::Debug,
            format: Format::Json
        }
    );
    let capacity = Capacity {
        probes: 1,
        hooks: 2,
        reserve: 3,
        forwards: 16,
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
    let broken = "probers are not JSON: line 1, column 2: a key in double quotes must stand here";
    assert_eq!(
        refusal(&[("app-probers", "@/etc/broken.json")]),
        format!("/etc/broken.json: {broken}")
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
    let error = Config::from_settings(&Settings::default(), env, |_| Ok(Vec::new()));
    let text = error.expect_err("not UTF-8").to_string();
    assert_eq!(text, "POD_IP is not UTF-8: write it in plain text");
}

#[test]
fn each_value_that_is_wrong_is_told_with_what_to_write() {
    for (flag, values, rule) in [
        (
            "status-port",
            &["0", "65536", "-1", "+80", "80.0", " 80", "http"][..],
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
    ] {
        for value in values {
            assert_eq!(
                refusal(&[(flag, value)]),
                format!("--{flag} is {value:?}, {rule}")
            );
        }
    }
}

#[test]
fn source_and_target_are_of_one_family() {
    assert_eq!(
        refusal(&[("source-ip", "::6")]),
        "--source-ip ::6 cannot dial the default --target-ip 127.0.0.1: \
         write two IPv4 or two IPv6 addresses"
    );
    for (flags, variables, names) in [
        (
            &[("target-ip", "10.0.0.5"), ("source-ip", "::6")][..],
            &[("POD_IP", "fd00::1")][..],
            "--source-ip ::6 cannot dial --target-ip 10.0.0.5",
        ),
        (
            &[("source-ip", "127.0.0.6")],
            &[("POD_IP", "fd00::1")],
            "--source-ip 127.0.0.6 cannot dial POD_IP fd00::1",
        ),
        (
            &[],
            &[("PROBELET_SOURCE_IP", "::6"), ("INSTANCE_IP", "10.0.0.5")],
            "PROBELET_SOURCE_IP ::6 cannot dial INSTANCE_IP 10.0.0.5",
        ),
    ] {
        let error = config_of(flags, variables).expect_err(names);
        assert_eq!(
            error,
            format!("{names}: write two IPv4 or two IPv6 addresses")
        );
    }
    config(&[("source-ip", "::ffff:127.0.0.6")]);
    config(&[("source-ip", "::6"), ("target-ip", "fd00::1")]);
}

#[test]
fn forwards_are_read() {
    let list = |text: &str| {
        config_of(&[], &[("PROBELET_FORWARD", text)])
            .expect(text)
            .forwards
    };
    let one = |addr: Option<&str>, port, target: &str| Forward {
        listen: Listen {
            addr: addr.map(ip),
            port,
        },
        target: target.parse().expect("a target"),
    };
    assert_eq!(
        list("15032=127.0.0.1:8002, 0.0.0.0:15033=[::1]:8002,[::1]:15034=10.0.0.9:1"),
        [
            one(None, 15032, "127.0.0.1:8002"),
            one(Some("0.0.0.0"), 15033, "[::1]:8002"),
            one(Some("::1"), 15034, "10.0.0.9:1"),
        ]
    );
    let flags = [("forward", "1=127.0.0.1:2"), ("forward", "3=127.0.0.1:4")];
    let config = config_of(&flags, &[("PROBELET_FORWARD", "x")]).expect("flags go first");
    assert_eq!(
        config.forwards,
        [one(None, 1, "127.0.0.1:2"), one(None, 3, "127.0.0.1:4")]
    );
}

#[test]
fn each_forward_that_is_wrong_is_told_with_an_example() {
    for (values, rule) in [
        (
            &["15032", "", "15032:127.0.0.1:8002"][..],
            "but must be LISTEN=TARGET: write one such as 15032=127.0.0.1:8002",
        ),
        (
            &[
                "=127.0.0.1:8002",
                "0=127.0.0.1:8002",
                "a=127.0.0.1:8002",
                "::1:80=127.0.0.1:8002",
                "1.2.3.4:0=1.2.3.4:1",
                "1.2.3.4=1.2.3.4:1",
            ],
            "but before '=' must stand PORT, IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: write one such as 0.0.0.0:15032=127.0.0.1:8002",
        ),
        (
            &[
                "15032=",
                "15032=8002",
                "15032=localhost:80",
                "15032=127.0.0.1",
                "15032=127.0.0.1:0",
                "15032=::1:80",
                "15032=127.0.0.1:1=2",
                "15032=[fe80::1%2]:80",
            ],
            "but after '=' must stand IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: write one such as 15032=[::1]:8002",
        ),
        (
            &[
                "15032=0.0.0.0:80",
                "15032=[::]:80",
                "15032=224.0.0.1:80",
                "15032=255.255.255.255:80",
                "15032=[ff02::1]:80",
            ],
            "which cannot be dialled: write the app's address, such as 127.0.0.1",
        ),
        (
            &[
                "224.0.0.1:80=127.0.0.1:1",
                "255.255.255.255:80=127.0.0.1:1",
                "[ff02::1]:80=127.0.0.1:1",
            ],
            "which cannot be listened on: write an address of the pod, or 0.0.0.0 or :: for all",
        ),
    ] {
        for value in values {
            assert_eq!(
                refusal(&[("forward", value)]),
                format!("--forward is {value:?}, {rule}")
            );
        }
    }
    let nine: Vec<String> = (1..=9).map(|port| format!("{port}=127.0.0.1:80")).collect();
    let list = |count| config_of(&[], &[("PROBELET_FORWARD", &nine[..count].join(","))]);
    assert_eq!(list(8).expect("8 forwards").forwards.len(), 8);
    assert_eq!(
        list(9).expect_err("one more"),
        "there are 9 forwards, but at most 8 are served: leave some out"
    );
}

#[test]
fn two_listeners_may_not_share_a_port_unless_their_addresses_differ() {
    assert_eq!(
        refusal(&[("forward", "15020=127.0.0.1:1")]),
        "the status port and --forward 15020=127.0.0.1:1 both listen on port 15020: \
         give each a port or an address of its own"
    );
    let pair = |first: &str, second: &str| {
        let (first, second) = (
            format!("{first}=127.0.0.1:1"),
            format!("{second}=127.0.0.1:1"),
        );
        config_of(&[("forward", &first), ("forward", &second)], &[]).map(drop)
    };
    for (first, second) in [
        ("80", "80"),
        ("80", "1.2.3.4:80"),
        ("1.2.3.4:80", "80"),
        ("0.0.0.0:80", "1.2.3.4:80"),
        ("1.2.3.4:80", "0.0.0.0:80"),
        ("[::]:80", "1.2.3.4:80"),
        ("[::]:80", "[::1]:80"),
        ("0.0.0.0:80", "[::]:80"),
        ("1.2.3.4:80", "[::ffff:1.2.3.4]:80"),
    ] {
        let error = pair(first, second).expect_err("they overlap");
        assert_eq!(
            error,
            format!(
                "--forward {first}=127.0.0.1:1 and --forward {second}=127.0.0.1:1 both listen on \
                 port 80: give each a port or an address of its own"
            )
        );
    }
    for (first, second) in [
        ("1.2.3.4:80", "1.2.3.5:80"),
        ("0.0.0.0:80", "[::1]:80"),
        ("1.2.3.4:80", "[::1]:80"),
        ("80", "81"),
    ] {
        assert_eq!(pair(first, second), Ok(()), "{first} {second}");
    }
}

#[test]
fn a_forward_may_not_lead_back_to_a_listener() {
    assert_eq!(
        refusal(&[("forward", "80=127.0.0.1:15020")]),
        "--forward 80=127.0.0.1:15020 leads to the status port of probelet itself: \
         write the app's own port after '='"
    );
    assert_eq!(
        refusal(&[
            ("forward", "80=127.0.0.1:81"),
            ("forward", "81=127.0.0.1:82")
        ]),
        "--forward 80=127.0.0.1:81 leads to --forward 81=127.0.0.1:82 of probelet itself: \
         write the app's own port after '='"
    );
    for forward in [
        "80=127.0.0.9:80",
        "80=[::1]:80",
        "80=10.0.0.5:80",
        "10.0.0.6:80=10.0.0.6:80",
    ] {
        let error = refusal(&[("target-ip", "10.0.0.5"), ("forward", forward)]);
        assert!(error.contains("of probelet itself"), "{error}");
    }
    for forward in ["127.0.0.2:8001=127.0.0.1:8001", "8001=10.0.0.9:8001"] {
        config(&[("target-ip", "10.0.0.5"), ("forward", forward)]);
    }
}

/// Whatever is known to be the pod's own counts, even where `--target-ip` goes before it.
#[test]
fn a_forward_may_not_lead_back_by_another_address_of_the_pod() {
    for (flags, variables, target) in [
        (&[][..], &[("POD_IP", "10.0.0.5")][..], "10.0.0.5:25024"),
        (&[], &[("INSTANCE_IP", "10.0.0.5")], "10.0.0.5:15020"),
        (
            &[],
            &[("POD_IP", "10.0.0.5"), ("INSTANCE_IP", "fd00::1")],
            "[fd00::1]:25024",
        ),
        (&[], &[("POD_IP", "::ffff:10.0.0.5")], "10.0.0.5:25024"),
        (&[("source-ip", "10.0.0.5")], &[], "10.0.0.5:25024"),
        (&[("status-addr", "10.0.0.5")], &[], "10.0.0.5:25024"),
    ] {
        let forward = format!("25024={target}");
        let local = [("target-ip", "127.0.0.1"), ("forward", &*forward)];
        let error = config_of(&[flags, &local].concat(), variables).expect_err(target);
        assert!(
            error.starts_with(&format!("--forward {forward} leads to ")),
            "{error}"
        );
    }
    // What is no address is not read where --target-ip goes before it.
    let flags = [
        ("target-ip", "127.0.0.1"),
        ("forward", "25024=10.0.0.5:25024"),
    ];
    let taken = config_of(&flags, &[("POD_IP", "pod"), ("INSTANCE_IP", "")]);
    assert_eq!(taken.expect("another host").forwards.len(), 1);
}

#[test]
fn a_prober_may_not_be_aimed_at_a_listener() {
    for (kind, field) in [
        ("httpGet", "httpGet.port"),
        ("tcpSocket", "tcpSocket.port"),
        ("grpc", "grpc.port"),
    ] {
        for port in ["15020", "80"] {
            let json = format!(r#"{{"/app-health/web/livez":{{"{kind}":{{"port":{port}}}}}}}"#);
            let flags = [("app-probers", &*json), ("forward", "80=127.0.0.1:8001")];
            assert_eq!(
                refusal(&flags),
                format!(
                    "--app-probers: prober \"/app-health/web/livez\": {field} is {port}, but probelet \
                     itself listens there: write the port the app listens on"
                )
            );
        }
    }
    // A listener on another address than the app's is none of the prober's.
    config(&[
        ("app-probers", PROBER),
        ("status-port", "8080"),
        ("status-addr", "127.0.0.2"),
    ]);
}

#[test]
fn the_margin_leaves_each_probe_some_time_but_hooks_have_all_of_it() {
    assert_eq!(
        refusal(&[("app-probers", PROBER), ("deadline-margin", "2000")]),
        "--deadline-margin 2000 leaves prober \"/app-health/web/livez\" nothing of its 2 s: \
         write fewer than 2000 milliseconds"
    );
    let flags = [("app-probers", PROBER)];
    let error = config_of(&flags, &[("PROBELET_DEADLINE_MARGIN", "2000")]).expect_err("no time");
    assert!(
        error.starts_with("PROBELET_DEADLINE_MARGIN 2000 leaves prober "),
        "{error}"
    );
    config(&[("app-probers", PROBER), ("deadline-margin", "1999")]);
    let hook = r#"{"/app-lifecycle/web/prestopz":{"httpGet":{"port":8080}}}"#;
    config(&[("app-probers", hook), ("deadline-margin", "2000")]);
}
