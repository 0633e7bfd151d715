//! Forwards: their syntax and their errors.

use super::*;

#[test]
fn forwards_are_read() {
    let one = |addr: Option<&str>, port, target: &str| Forward {
        listen: Listen {
            addr: addr.map(ip),
            port,
        },
        target: target.parse().expect("a target"),
    };
    assert_eq!(
        config(&[
            ("forward", "15032=127.0.0.1:8002"),
            ("forward", "0.0.0.0:15033=[::1]:8002"),
            ("forward", "[::1]:15034=10.0.0.9:1"),
        ])
        .forwards,
        [
            one(None, 15032, "127.0.0.1:8002"),
            one(Some("0.0.0.0"), 15033, "[::1]:8002"),
            one(Some("::1"), 15034, "10.0.0.9:1"),
        ]
    );
}

const WRONG_FORWARDS: &[(&[&str], &str)] = &[
    (
        &["15032", "", "15032:127.0.0.1:8002"],
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
        "but the part before '=' must be PORT, IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: write one such as 0.0.0.0:15032=127.0.0.1:8002",
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
        "but the part after '=' must be IPV4:PORT or [IPV6]:PORT, ports from 1 to 65535: write one such as 15032=[::1]:8002",
    ),
    (
        &[
            "15032=0.0.0.0:80",
            "15032=[::]:80",
            "15032=224.0.0.1:80",
            "15032=255.255.255.255:80",
            "15032=[ff02::1]:80",
        ],
        "which is not a unicast address: write the app's address, such as 127.0.0.1",
    ),
    (
        &[
            "224.0.0.1:80=127.0.0.1:1",
            "255.255.255.255:80=127.0.0.1:1",
            "[ff02::1]:80=127.0.0.1:1",
        ],
        "which cannot be listened on: write an address of the pod, or 0.0.0.0 or :: for all",
    ),
];

#[test]
fn the_error_of_each_invalid_forward_has_an_example() {
    for &(values, rule) in WRONG_FORWARDS {
        for value in values {
            assert_eq!(
                refusal(&[("forward", value)]),
                format!("--forward is {value:?}, {rule}")
            );
        }
    }
    let nine: Vec<String> = (1..=9).map(|port| format!("{port}=127.0.0.1:80")).collect();
    let nine: Vec<_> = nine
        .iter()
        .map(|value| ("PROBELET_FORWARD", &**value))
        .collect();
    let list = |count| config_of(&[], &nine[..count]);
    assert_eq!(list(8).expect("8 forwards").forwards.len(), 8);
    assert_eq!(
        list(9).expect_err("one more"),
        "PROBELET_FORWARD has 9 values, but at most 8 are supported: remove some"
    );
}
