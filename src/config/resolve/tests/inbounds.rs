//! Inbound ports: their syntax, their identity, and the peers that they allow.

use super::*;
use crate::config::{AllowedIds, IdPattern, Inbound, InboundMode};
use crate::text::Quoted;

const IDENTITY: [(&str, &str); 2] = [("cert", "/tls.crt"), ("key", "/tls.key")];

/// The configuration with an identity, a CA and these flags.
fn with_identity(flags: Pairs<'_>) -> Result<Config, String> {
    let ca = [("ca", "/ca.crt")];
    config_of(&[&IDENTITY[..], &ca, flags].concat(), &[])
}

fn inbounds(flags: Pairs<'_>) -> Vec<Inbound> {
    match with_identity(flags) {
        Ok(config) => config.inbounds,
        Err(error) => panic!("{flags:?}: {error}"),
    }
}

fn error_of(flags: Pairs<'_>) -> String {
    match with_identity(flags) {
        Ok(config) => panic!("{flags:?}: {:?}", config.inbounds),
        Err(error) => error,
    }
}

fn patterns(texts: &[&str]) -> AllowedIds {
    let patterns = texts.iter();
    let patterns = patterns.map(|text| IdPattern::parse(text).expect("a pattern"));
    AllowedIds::Patterns(patterns.collect())
}

fn inbound(addr: Option<&str>, port: u16, target: &str) -> Inbound {
    Inbound {
        listen: Listen {
            addr: addr.map(ip),
            port,
        },
        target: target.parse().expect("a target"),
        allow: patterns(&["spiffe://td/a"]),
        alpn: Box::default(),
        mode: InboundMode::Strict,
    }
}

#[test]
fn inbound_ports_are_read() {
    let read = inbounds(&[
        ("inbound", "8443=8001"),
        ("inbound", "127.0.0.2:8444=127.0.0.1:8002"),
        ("inbound", "[10.0.0.5]:8003=127.0.0.1:8003"),
        ("inbound", "[fd00::5]:8004=[::1]:8004"),
        ("inbound", "[::]:8005=[fd00::6]:8006,unsafe-target"),
        ("allow-id", "spiffe://td/a"),
    ]);
    assert_eq!(
        read,
        [
            inbound(None, 8443, "127.0.0.1:8001"),
            inbound(Some("127.0.0.2"), 8444, "127.0.0.1:8002"),
            inbound(Some("10.0.0.5"), 8003, "127.0.0.1:8003"),
            inbound(Some("fd00::5"), 8004, "[::1]:8004"),
            inbound(Some("::"), 8005, "[fd00::6]:8006"),
        ]
    );
}

#[test]
fn options_follow_after_commas() {
    let value = "8443=8001,alpn=h2,mode=permissive,allow-id=spiffe://td/b,server-first,alpn=http/1.1,allow-id=dns:c";
    let expected = Inbound {
        allow: patterns(&["spiffe://td/b", "dns:c"]),
        alpn: ["h2".into(), "http/1.1".into()].into(),
        mode: InboundMode::Permissive { server_first: true },
        ..inbound(None, 8443, "127.0.0.1:8001")
    };
    assert_eq!(inbounds(&[("inbound", value)]), [expected]);
    let strict = [("inbound", "8443=8001,mode=strict,allow-id=any")];
    let expected = Inbound {
        allow: AllowedIds::Any,
        ..inbound(None, 8443, "127.0.0.1:8001")
    };
    assert_eq!(inbounds(&strict), [expected]);
}

#[test]
fn a_listener_has_its_own_identities_or_those_of_all() {
    let read = inbounds(&[
        ("inbound", "1=8001,allow-id=spiffe://td/b"),
        ("inbound", "2=8001"),
        ("allow-id", "spiffe://td/a"),
        ("allow-id", "spiffe://td/c/*"),
    ]);
    let allowed = read.into_iter().map(|inbound| inbound.allow);
    let expected = [
        patterns(&["spiffe://td/b"]),
        patterns(&["spiffe://td/a", "spiffe://td/c/*"]),
    ];
    assert!(allowed.eq(expected));
}

#[test]
fn the_capacity_of_inbound_ports_can_be_raised() {
    for count in ["1", "64", "1024"] {
        let capacity = config(&[("max-inbound", count)]).capacity;
        assert_eq!(capacity.inbound_connections.to_string(), count);
    }
    for count in ["0", "1025", "64 "] {
        let expected = "but must be a number from 1 to 1024, the built-in limit";
        let expected = format!("--max-inbound is {count:?}, {expected}");
        assert_eq!(refusal(&[("max-inbound", count)]), expected);
    }
}

const WRONG_INBOUNDS: &[(&[&str], &str)] = &[
    (
        &["", "8443", "8443:127.0.0.1:8001", "8443,alpn=h2"],
        "but must be LISTEN=TARGET, and options after commas: write one such as 8443=127.0.0.1:8001",
    ),
    (
        &[
            "=8001",
            "0=8001",
            "https=8001",
            "fd00::5:8001=8001",
            "[10.0.0.5=8001",
            "10.0.0.5=8001",
            "[]:1=8001",
        ],
        "but the part before '=' must be PORT or [IP]:PORT, ports from 1 to 65535: write one such as \
         [10.42.0.7]:8001=127.0.0.1:8001",
    ),
    (
        &[
            "8443=",
            "8443=0",
            "8443=web",
            "8443=localhost:8001",
            "8443=127.0.0.1",
            "8443=::1:8001",
            "8443=8001=1",
            "8443=8001 ",
        ],
        "but the part after '=' must be PORT or [IP]:PORT, ports from 1 to 65535: write one such as \
         8443=127.0.0.1:8001",
    ),
    (
        &["8443=0.0.0.0:8001", "8443=224.0.0.1:8001"],
        "which is not a unicast address: write the app's address, such as 127.0.0.1",
    ),
    (
        &["224.0.0.1:8443=8001"],
        "which cannot be listened on: write an address of the pod, or 0.0.0.0 or :: for all",
    ),
    (
        &[
            "8443=8001,",
            "8443=8001,h2",
            "8443=8001,alpn",
            "8443=8001, alpn=h2",
            "8443=8001,allow-id",
            "8443=8001,unsafe-target=true",
            "8443=8001,server-first=true",
        ],
        "but the options after ',' are allow-id=PATTERN, alpn=PROTOCOL, mode=strict, mode=permissive, server-first and \
         unsafe-target: write one such as 8443=8001,alpn=h2",
    ),
    (
        &["8443=8001,mode", "8443=8001,mode=", "8443=8001,mode=off"],
        "but mode= must be strict or permissive: write mode=strict, or leave it out",
    ),
    (
        &[
            "8443=8001,alpn=",
            "8443=8001,alpn=h2 http/1.1",
            "8443=8001,alpn=\u{e9}",
        ],
        "but alpn= must be the name of one application protocol: write one such as alpn=h2, and alpn=http/1.1 after \
         it",
    ),
    (
        &[
            "8443=8001,server-first",
            "8443=8001,server-first,mode=strict",
        ],
        "but server-first is for plaintext clients: write mode=permissive too, or leave it out",
    ),
    (
        &["8443=8001,alpn=1,alpn=2,alpn=3,alpn=4,alpn=5,alpn=6,alpn=7,alpn=8,alpn=9"],
        "but at most 64 allow-id= and 8 alpn= are supported: remove some",
    ),
    (
        &["8443=8001,allow-id=web"],
        "but an allowed identity must be a SPIFFE ID, dns:NAME or any: write one such as \
         spiffe://example.org/ns/default/sa/web",
    ),
];

#[test]
fn the_error_of_each_invalid_inbound_port_has_an_example() {
    for &(values, rule) in WRONG_INBOUNDS {
        for value in values {
            let text = error_of(&[("allow-id", "any"), ("inbound", value)]);
            assert_eq!(text, format!("--inbound is {}, {rule}", Quoted(value)));
        }
    }
    let nine: Vec<String> = (1..=9).map(|port| format!("{port}=80")).collect();
    let nine: Vec<_> = nine.iter().map(|value| ("inbound", &**value)).collect();
    let allow = [("allow-id", "any")];
    assert_eq!(inbounds(&[&nine[..8], &allow].concat()).len(), 8);
    assert_eq!(
        error_of(&[&nine[..], &allow].concat()),
        "--inbound has 9 values, but at most 8 are supported: remove some"
    );
}

#[test]
fn the_error_of_each_invalid_identity_has_an_example() {
    for (pattern, rule) in [
        (
            "spiffe://*.example.org/web",
            "but the trust domain of a SPIFFE ID must be 1 to 255 of a-z, 0-9, '.', '-' and '_', without a port or \
             '*': write one such as spiffe://example.org/ns/default/sa/web",
        ),
        (
            "spiffe://example.org",
            "but the path of a SPIFFE ID must be segments of letters, digits, '.', '-' and '_': write one such as \
             spiffe://example.org/ns/default/sa/web",
        ),
        (
            "spiffe://example.org/web-*",
            "but '*' must be a whole segment, and '**' the last one: write one such as \
             spiffe://example.org/ns/*/sa/web or spiffe://example.org/ns/default/**",
        ),
        (
            "dns:*.example.org",
            "but the part after 'dns:' must be a DNS name without '*': write one such as dns:web.example.org",
        ),
    ] {
        let text = error_of(&[("inbound", "8443=8001"), ("allow-id", pattern)]);
        assert_eq!(text, format!("--allow-id is {pattern:?}, {rule}"));
    }
}

#[test]
fn an_inbound_port_requires_a_ca_and_identities() {
    let port = ("inbound", "8443=8001");
    let id = ("allow-id", "any");
    let [cert, key] = IDENTITY;
    assert_eq!(
        refusal(&[port, id, cert, key]),
        "--inbound 8443=8001 requires --ca: set both"
    );
    assert_eq!(
        error_of(&[port]),
        "--inbound 8443=8001 allows no peer: set --allow-id, such as spiffe://example.org/ns/default/sa/web, or any \
         for every certificate of --ca"
    );
    assert_eq!(
        error_of(&[port, id, ("allow-id", "dns:a")]),
        "--inbound 8443=8001 allows any identity and also certain ones: remove `any`, or the others"
    );
}

#[test]
fn one_ca_signs_the_identities_of_one_trust_domain() {
    let port = ("inbound", "8443=8001");
    let (a, b) = (("allow-id", "spiffe://a/x"), ("allow-id", "spiffe://b/x"));
    let with_cas = |cas: Pairs<'_>, flags: Pairs<'_>| {
        config_of(&[&IDENTITY[..], cas, &[port], flags].concat(), &[]).map(drop)
    };
    let (free, ca_of_a, ca_of_b) = (("ca", "/ca"), ("ca", "a=/a"), ("ca", "b=/b"));
    let name = ("allow-id", "dns:name");
    for (cas, flags) in [
        (&[free][..], &[a, ("allow-id", "spiffe://a/y/**"), name][..]),
        (&[free, ("ca", "/ca2")], &[a]),
        (&[ca_of_a, ca_of_b], &[a, b]),
        (&[ca_of_a, ca_of_b], &[("allow-id", "any")]),
        (&[ca_of_a, ("ca", "a=/new")], &[a, name]),
    ] {
        assert_eq!(with_cas(cas, flags), Ok(()), "{cas:?} {flags:?}");
    }
    for (cas, flags, expected) in [
        (
            &[free][..],
            &[a, b][..],
            "--inbound 8443=8001 allows identities of two trust domains, a and b, and each --ca could sign both: write --ca \
             a=FILE and --ca b=FILE",
        ),
        (
            &[ca_of_a],
            &[a, b],
            "--inbound 8443=8001 allows identities of b, which no --ca may sign: add --ca b=FILE",
        ),
        (
            &[ca_of_a, ca_of_b],
            &[a, name],
            "--inbound 8443=8001 allows a DNS name, which each --ca could sign, as a name has no trust domain: allow \
             SPIFFE IDs, or set one --ca",
        ),
        (
            &[ca_of_a, free],
            &[a],
            "--ca /ca has no trust domain, but another --ca has one: write DOMAIN=FILE for each",
        ),
        (
            &[("ca", "A=/ca")],
            &[a],
            "--ca is \"A=/ca\", but the part before '=' must be a trust domain, of a-z, 0-9, '.', '-' and '_': write \
             one such as example.org=/etc/tls/ca.crt",
        ),
    ] {
        let error = with_cas(cas, flags).expect_err("a rule");
        assert_eq!(error, expected);
    }
    let path = with_identity(&[("ca", "/etc/a=b.pem")]).expect("a path");
    let identity = path.tls.identity.expect("an identity");
    assert_eq!(
        identity.ca[1].file.to_string(),
        r#"--ca names the file "/etc/a=b.pem""#
    );
    assert_eq!(identity.ca[1].domain, None);
}

#[test]
fn plaintext_leaves_the_pod_only_where_it_is_allowed() {
    let port = |value| [("inbound", value), ("allow-id", "any")];
    let outside = "8443=10.0.0.5:8001";
    assert_eq!(
        error_of(&port(outside)),
        format!(
            "--inbound {outside} leads to another host, over plaintext: write 127.0.0.1 or the pod's address after '=', or add \
             ,unsafe-target"
        )
    );
    for own in ["target-ip", "source-ip", "status-addr"] {
        let mut flags = port(outside).to_vec();
        flags.push((own, "10.0.0.5"));
        if own == "source-ip" {
            flags.push(("target-ip", "10.0.0.5"));
        }
        assert_eq!(inbounds(&flags).len(), 1, "{own}");
    }
    assert_eq!(inbounds(&port("[10.0.0.5]:1=10.0.0.5:8001")).len(), 1);
    let flags = [&IDENTITY[..], &[("ca", "/ca")], &port(outside)].concat();
    let config = config_of(&flags, &[("POD_IP", "10.0.0.5")]).expect("the pod's address");
    assert_eq!(config.inbounds.len(), 1);
}

#[test]
fn an_inbound_port_leads_to_no_listener_of_probelet() {
    let leads_to = |value: &str, listener: &str| {
        format!(
            "--inbound {value} leads to {listener} of probelet itself: write the app's own port after '=', or listen on \
             the pod's address alone, such as [10.42.0.7]:8001=127.0.0.1:8001"
        )
    };
    let any = ("allow-id", "any");
    for (value, listener) in [
        ("8001=8001", "--inbound 8001=8001"),
        ("8443=15020", "the status port"),
        ("8443=9000", "--forward 9000=127.0.0.1:1"),
    ] {
        let forward = ("forward", "9000=127.0.0.1:1");
        let text = error_of(&[forward, ("inbound", value), any]);
        assert_eq!(text, leads_to(value, listener));
    }
    let own_address = ("inbound", "[10.0.0.5]:8001=127.0.0.1:8001");
    assert_eq!(inbounds(&[own_address, any]).len(), 1);
    assert_eq!(
        error_of(&[("inbound", "15020=1"), any]),
        "the status port and --inbound 15020=1 both listen on port 15020: give each a different port or address"
    );
    assert_eq!(
        error_of(&[("forward", "1=127.0.0.1:8443"), ("inbound", "8443=1"), any]),
        "--forward 1=127.0.0.1:8443 leads to --inbound 8443=1 of probelet itself: write the app's own port after '='"
    );
}

#[test]
fn a_prober_of_loopback_reaches_the_app_behind_an_inbound_port() {
    let json = |port: u16, target: &str| {
        format!(r#"{{"/app-health/web/livez":{{"tcpSocket":{{"port":{port}}}{target}}}}}"#)
    };
    let loopback = r#","target":"loopback""#;
    let probed = |inbound, port| {
        let json = json(port, loopback);
        let pod = [
            ("target-ip", "10.0.0.5"),
            ("inbound", inbound),
            ("allow-id", "any"),
            ("app-probers", &*json),
        ];
        let config = with_identity(&pod).expect("a prober");
        config.probers.get(0).handlers[0]
            .target(config.target)
            .to_string()
    };
    for (inbound, port, app) in [
        ("[10.0.0.5]:8001=8001", 8001, "127.0.0.1:8001"),
        ("[10.0.0.5]:8001=[::1]:8001", 8001, "[::1]:8001"),
        ("[10.0.0.5]:8001=127.0.0.9:8001", 8001, "127.0.0.9:8001"),
        ("[10.0.0.5]:8001=10.0.0.5:8002", 8002, "127.0.0.1:8002"),
        ("8443=[::1]:8002", 8001, "127.0.0.1:8001"),
    ] {
        assert_eq!(probed(inbound, port), app, "{inbound}");
    }
    let refused = |inbound, port, target| {
        let json = json(port, target);
        error_of(&[
            ("target-ip", "10.0.0.5"),
            ("inbound", inbound),
            ("allow-id", "any"),
            ("app-probers", &*json),
        ])
    };
    for (inbound, port, target, app) in [
        ("[10.0.0.5]:8001=8001", 8001, "", 8001),
        ("8443=8001", 8443, "", 8001),
        ("8443=8001", 8443, loopback, 8001),
    ] {
        assert_eq!(
            refused(inbound, port, target),
            format!(
                "--app-probers: prober \"/app-health/web/livez\": tcpSocket.port is {port}, but probelet itself accepts \
                 mutual TLS there: write {app}, the app's port, and \"target\":\"loopback\" beside it"
            )
        );
    }
    assert_eq!(
        refused("8443=10.0.0.5:8001", 8443, ""),
        "--app-probers: prober \"/app-health/web/livez\": tcpSocket.port is 8443, but probelet itself listens there: write \
         the port the app listens on"
    );
}
