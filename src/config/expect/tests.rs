use super::*;

#[test]
fn a_list_of_codes_has_codes_and_ranges() {
    let list = StatusList::parse("200-299, 401,503").expect("a list");
    for (status, expected) in [
        (199, false),
        (200, true),
        (299, true),
        (300, false),
        (401, true),
        (402, false),
        (503, true),
    ] {
        assert_eq!(list.contains(status), expected, "{status}");
    }
    let kubelets = StatusList::default();
    assert!(kubelets.contains(200) && kubelets.contains(399));
    assert!(!kubelets.contains(199) && !kubelets.contains(400));
}

#[test]
fn other_texts_are_no_list() {
    for text in [
        "",
        ",",
        "200,",
        "2xx",
        "99",
        "600",
        "0200",
        "299-200",
        "200-",
        "-200",
        "200-299-300",
        "+20",
        "200;201",
        "200 201",
        "20\u{661}",
    ] {
        assert_eq!(StatusList::parse(text), None, "{text:?}");
    }
    let codes = |count| vec!["200"; count].join(",");
    assert!(StatusList::parse(&codes(limits::EXPECTED_STATUS_ITEMS)).is_some());
    assert!(StatusList::parse(&codes(limits::EXPECTED_STATUS_ITEMS + 1)).is_none());
}

fn is_found(text: &str, pieces: &[&[u8]]) -> bool {
    let text = BodyText::new(text).expect("a text");
    let mut search = BodySearch::new(&text);
    for piece in pieces {
        search.feed(piece);
    }
    search.is_found()
}

#[test]
fn a_text_is_found_however_the_body_is_split() {
    let bodies = [
        "aabaabaaab",
        "ok",
        "aaab",
        "xaab",
        "aabaab",
        "",
        "abaab\u{e9}b",
        "\u{e9}",
    ];
    for text in ["aab", "aabaaab", "abab", "ok", "a", "\u{e9}b", "aaaa"] {
        for body in bodies {
            let bytes = body.as_bytes();
            for at in 0..=bytes.len() {
                let (start, end) = bytes.split_at(at);
                let found = is_found(text, &[start, end]);
                assert_eq!(found, body.contains(text), "{text} in {body} at {at}");
            }
            let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(
                is_found(text, &bytes),
                body.contains(text),
                "{text} in {body}"
            );
        }
    }
}

#[test]
fn only_the_bytes_that_kubelet_reads_are_searched() {
    let most = limits::RESPONSE_BODY_BYTES as usize;
    let before = vec![b'x'; most - 2];
    assert!(is_found("ok", &[&before, b"ok"]));
    assert!(!is_found("ok", &[&before, b"xok"]));
    let body = [&before[..], b"xok"].concat();
    assert!(!is_found("ok", &[&body]));
}

#[test]
fn a_text_has_a_limit() {
    assert_eq!(BodyText::new(""), None);
    assert!(BodyText::new(&"x".repeat(limits::EXPECTED_BODY_BYTES)).is_some());
    assert_eq!(
        BodyText::new(&"x".repeat(limits::EXPECTED_BODY_BYTES + 1)),
        None
    );
}
