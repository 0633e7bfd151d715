//! Flags that are refused, and what the others mean.

use super::*;

fn flags(addr: &str) -> ProbeFlags {
    ProbeFlags {
        addr: addr.into(),
        ..ProbeFlags::default()
    }
}

fn exit(flags: ProbeFlags) -> ProbeExit {
    GrpcHealthProbe::from_flags(flags).expect_err("refused")
}

#[test]
fn a_rule_of_the_original_is_stated_in_its_words() {
    let of = |change: fn(&mut ProbeFlags)| {
        let mut flags = flags(":1");
        change(&mut flags);
        let exit = exit(flags);
        assert_eq!(exit.code, 1, "{exit:?}");
        exit.text
    };
    for (text, change) in [
        (
            "error: -addr not specified",
            (|f| f.addr = "".into()) as fn(&mut ProbeFlags),
        ),
        ("error: -connect-timeout must be greater than zero", |f| {
            f.connect_timeout = Some("0".into())
        }),
        ("error: -rpc-timeout must be greater than zero", |f| {
            f.rpc_timeout = Some("-1s".into())
        }),
        ("error: cannot specify -tls with -alts", |f| {
            (f.tls, f.alts) = (true, true)
        }),
        ("error: -alts and -spiffe are mutually incompatible", |f| {
            (f.alts, f.spiffe) = (true, true)
        }),
        ("-tls and -spiffe are mutually incompatible", |f| {
            (f.tls, f.spiffe) = (true, true)
        }),
        (
            "error: specified -tls-no-verify without specifying -tls",
            |f| f.tls_no_verify = true,
        ),
        (
            "error: specified -tls-client-key without specifying -tls-client-cert",
            |f| (f.tls, f.tls_client_key) = (true, "k".into()),
        ),
    ] {
        assert_eq!(of(change), text);
    }
    let text = of(|f| f.rpc_timeout = Some("1".into()));
    assert!(
        text.starts_with("invalid value \"1\" for flag -rpc-timeout: parse error"),
        "{text}"
    );
    let text = of(|f| f.rpc_headers = vec!["x".into()]);
    assert!(
        text.starts_with("invalid value for flag -rpc-header: "),
        "{text}"
    );
}

#[test]
fn credentials_that_are_not_supported_have_the_codes_of_the_original() {
    let alts = exit(ProbeFlags {
        alts: true,
        ..flags(":1")
    });
    assert_eq!(alts.code, 2);
    let spiffe = exit(ProbeFlags {
        spiffe: true,
        ..flags(":1")
    });
    assert_eq!(spiffe.code, 20);
    assert!(alts.text.contains("write -tls") && spiffe.text.contains("write -tls"));
    assert_eq!(exit(flags("localhost")).code, 2);
}

#[test]
fn the_probe_has_the_values_of_the_flags() {
    let probe = GrpcHealthProbe::from_flags(ProbeFlags {
        service: "a/b?c%41 \u{e4}".into(),
        connect_timeout: Some("250ms".into()),
        ..flags(":50051")
    });
    let plan = probe.expect("valid").plan;
    let Action::Grpc { port, service, tls } = &plan.action else {
        panic!("a gRPC call");
    };
    assert_eq!((*port, &**service, *tls), (50051, "a/b?c%41 \u{e4}", false));
    assert_eq!(plan.timeout, Duration::from_millis(1250));
    assert_eq!((&*plan.host, plan.has_port), ("localhost", true));
    assert_eq!(&*plan.user_agent, "grpc_health_probe");
}
