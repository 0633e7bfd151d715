//! Settings of inbound ports: no text makes the parsers panic, an error has a text, and a pattern allows only identities of its
//! own trust domain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use probelet::config::{AllowedIds, Config, IdPattern, RawSettings, SettingValue, is_spiffe_id};

fuzz_target!(|input: (&str, &str, &str, &str)| {
    let (inbound, id, ca, uri) = input;
    let settings = [
        ("--inbound", inbound),
        ("--allow-id", id),
        ("--ca", ca),
        ("--cert", "/tls.crt"),
        ("--key", "/tls.key"),
    ];
    let values = settings.map(|(flag, value)| SettingValue {
        flag,
        origin: flag.into(),
        value: value.into(),
    });
    let settings = RawSettings {
        values: values.into(),
        pod_addresses: Vec::new(),
    };
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    match Config::from_settings(&settings, &no_file) {
        Ok(config) => {
            let inbound = &config.inbounds[0];
            assert_ne!(inbound.listen.port, 0);
            assert_ne!(inbound.target.port(), 0);
            assert!(inbound.allow != AllowedIds::Patterns(Box::default()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let Ok(pattern @ IdPattern::Spiffe(_)) = IdPattern::parse(id) else {
        return;
    };
    let allowed = AllowedIds::Patterns([pattern].into());
    let permits = |uris: &[&str]| allowed.permits(uris.iter().copied(), [].into_iter());
    if permits(&[uri]) {
        assert!(is_spiffe_id(uri));
        let authority = |uri: &str| uri.split('/').nth(2).map(str::to_owned);
        assert_eq!(authority(id), authority(uri));
        assert!(!uri.contains(['*', '%', '?', '#']) && !uri.contains("/."));
        assert!(!permits(&[uri, uri]));
    }
    if !id.contains('*') {
        assert_eq!(permits(&[uri]), id == uri);
        assert!(permits(&[id]) || id.len() > 2048);
    }
});
