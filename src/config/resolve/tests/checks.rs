//! Rules between settings.

use super::*;

#[test]
fn source_and_target_are_of_one_family() {
    assert_eq!(
        refusal(&[("source-ip", "::6")]),
        "--source-ip ::6 cannot connect to the default --target-ip 127.0.0.1: \
         write two IPv4 or two IPv6 addresses"
    );
    for (flags, variables, names) in [
        (
            &[("target-ip", "10.0.0.5"), ("source-ip", "::6")][..],
            &[("POD_IP", "fd00::1")][..],
            "--source-ip ::6 cannot connect to --target-ip 10.0.0.5",
        ),
        (
            &[("source-ip", "127.0.0.6")],
            &[("POD_IP", "fd00::1")],
            "--source-ip 127.0.0.6 cannot connect to POD_IP fd00::1",
        ),
        (
            &[],
            &[("PROBELET_SOURCE_IP", "::6"), ("INSTANCE_IP", "10.0.0.5")],
            "PROBELET_SOURCE_IP ::6 cannot connect to INSTANCE_IP 10.0.0.5",
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
fn two_listeners_may_not_share_a_port_unless_their_addresses_differ() {
    assert_eq!(
        refusal(&[("forward", "15020=127.0.0.1:1")]),
        "the status port and --forward 15020=127.0.0.1:1 both listen on port 15020: \
         give each a different port or address"
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
                 port 80: give each a different port or address"
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

/// Every known address of the pod counts, even if `--target-ip` takes precedence.
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
    // An invalid address is ignored if --target-ip takes precedence.
    let flags = [
        ("target-ip", "127.0.0.1"),
        ("forward", "25024=10.0.0.5:25024"),
    ];
    let taken = config_of(&flags, &[("POD_IP", "pod"), ("INSTANCE_IP", "")]);
    assert_eq!(taken.expect("another host").forwards.len(), 1);
}

#[test]
fn a_prober_may_not_have_the_port_of_a_listener() {
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
    // A listener on another address does not conflict with the prober.
    config(&[
        ("app-probers", PROBER),
        ("status-port", "8080"),
        ("status-addr", "127.0.0.2"),
    ]);
}

#[test]
fn the_margin_is_shorter_than_each_timeout_except_those_of_hooks() {
    assert_eq!(
        refusal(&[("app-probers", PROBER), ("deadline-margin", "2000")]),
        "--deadline-margin 2000 is not shorter than the timeout of prober \"/app-health/web/livez\" (2 s): \
         write less than 2000 (milliseconds)"
    );
    let flags = [("app-probers", PROBER)];
    let error = config_of(&flags, &[("PROBELET_DEADLINE_MARGIN", "2000")]).expect_err("no time");
    assert!(
        error.starts_with(
            "PROBELET_DEADLINE_MARGIN 2000 is not shorter than the timeout of prober "
        ),
        "{error}"
    );
    config(&[("app-probers", PROBER), ("deadline-margin", "1999")]);
    let hook = r#"{"/app-lifecycle/web/prestopz":{"httpGet":{"port":8080}}}"#;
    config(&[("app-probers", hook), ("deadline-margin", "2000")]);
}
