//! Certificates, keys and the app's identity: which settings need each other, and which values are refused.

use super::*;

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_settings_for_tls() {
    for flag in [
        "client-cert",
        "client-key",
        "app-ca",
        "app-id",
        "inbound",
        "allow-id",
        "cert",
        "key",
        "ca",
        "max-inbound",
    ] {
        let text = refusal(&[(flag, "spiffe://td/web")]);
        let expected = "is for TLS, and this build has none: use one built with the feature `tls`";
        assert_eq!(text, format!("--{flag} {expected}"));
    }
}

#[cfg(feature = "tls")]
mod built {
    use super::*;

    #[test]
    fn a_setting_names_the_one_that_it_requires() {
        for (flag, value, missing) in [
            ("client-cert", "/a", "--client-key"),
            ("client-key", "/a", "--client-cert"),
            ("app-id", "spiffe://td/web", "--app-ca"),
            ("cert", "/a", "--key"),
            ("key", "/a", "--cert"),
            ("ca", "/a", "--cert"),
            ("ca", "td=/a", "--cert"),
            ("allow-id", "any", "--inbound"),
            ("inbound", "8443=8001", "--cert"),
        ] {
            let expected = format!("--{flag} {value} requires {missing}: set both");
            assert_eq!(refusal(&[(flag, value)]), expected);
        }
    }

    #[test]
    fn an_id_is_a_spiffe_id() {
        let expected =
            "but must be a SPIFFE ID: write one such as spiffe://example.org/ns/default/sa/web";
        for id in [
            "web",
            "https://td/web",
            "spiffe://",
            "spiffe:///web",
            "spiffe://TD/web",
            "spiffe://td/",
            "spiffe://td/a//b",
            "spiffe://td/../a",
            "spiffe://td/a?b",
            "spiffe://td:1/a",
        ] {
            let text = refusal(&[("app-ca", "/none"), ("app-id", id)]);
            assert_eq!(text, format!("--app-id is \"{id}\", {expected}"));
        }
        for id in ["spiffe://td", "spiffe://a-b.c_d/Ns/a.b/sa/_-1"] {
            let tls = config(&[("app-ca", "/none"), ("app-id", id)]).tls;
            assert_eq!(tls.app_id.as_deref(), Some(id));
        }
    }

    #[test]
    fn a_file_is_named_with_the_setting_that_names_it() {
        let variables = [
            ("PROBELET_CLIENT_CERT", "/cert.pem"),
            ("PROBELET_CLIENT_KEY", "/key.pem"),
        ];
        let config = config_of(&[("app-ca", "/ca.pem")], &variables).expect("a config");
        let (client, ca) = (config.tls.client, &config.tls.app_ca);
        let client = client.expect("a client certificate");
        assert_eq!(ca.len(), 1);
        let named = [client.cert, client.key, ca[0].clone()];
        let named = named.map(|file| file.to_string());
        assert_eq!(
            named,
            [
                r#"PROBELET_CLIENT_CERT names the file "/cert.pem""#,
                r#"PROBELET_CLIENT_KEY names the file "/key.pem""#,
                r#"--app-ca names the file "/ca.pem""#,
            ]
        );
    }

    #[test]
    fn the_workloads_identity_is_the_default_of_tls_to_the_app() {
        let tls_of = |flags: Pairs<'_>| {
            let identity = [
                ("cert", "/tls.crt"),
                ("key", "/tls.key"),
                ("ca", "a=/a.crt"),
                ("ca", "b=/b.crt"),
            ];
            let tls = config(&[&identity[..], flags].concat()).tls;
            let client = tls.client.expect("a client certificate");
            let app_ca = tls.app_ca.iter().map(|file| file.path.to_string());
            let pair = [client.cert.to_string(), client.key.to_string()];
            (pair, app_ca.collect::<Vec<_>>())
        };
        let pair = [
            r#"--cert names the file "/tls.crt""#.to_owned(),
            r#"--key names the file "/tls.key""#.to_owned(),
        ];
        let id = ("app-id", "spiffe://a/web");
        // The CA of another trust domain may not sign it.
        assert_eq!(tls_of(&[id]), (pair.clone(), vec!["/a.crt".into()]));
        let all = vec!["/a.crt".into(), "/b.crt".into()];
        assert_eq!(tls_of(&[]), (pair.clone(), all));
        let own_ca = [("app-ca", "/app.crt"), id];
        assert_eq!(tls_of(&own_ca), (pair, vec!["/app.crt".into()]));
        let own_pair = [
            ("client-cert", "/client.crt"),
            ("client-key", "/client.key"),
        ];
        let pair = [
            r#"--client-cert names the file "/client.crt""#.to_owned(),
            r#"--client-key names the file "/client.key""#.to_owned(),
        ];
        assert_eq!(
            tls_of(&own_pair),
            (pair, vec!["/a.crt".into(), "/b.crt".into()])
        );
        let own_cert = [
            ("cert", "/a"),
            ("key", "/b"),
            ("client-cert", "/client.crt"),
        ];
        let expected = "--client-cert /client.crt requires --client-key: set both";
        assert_eq!(refusal(&own_cert), expected);
    }
}
