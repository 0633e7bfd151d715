//! Splitting streams into documents.

use super::*;
use crate::limits;
use std::io::{BufReader, Cursor, Read, repeat};

fn split(text: &str) -> Vec<String> {
    let documents = Stream::new(text.as_bytes()).map(|document| document.unwrap().text);
    documents.collect()
}

#[test]
fn markers_at_the_start_of_a_line_separate_documents() {
    assert_eq!(
        split("# c\n---\na: 1\n--- # d\nb: |\n  ---\n ---\n---x\n---\n"),
        [
            "# c\n---\na: 1\n",
            "--- # d\nb: |\n  ---\n ---\n---x\n",
            "---\n"
        ]
    );
    assert_eq!(
        split("a: 1\n...\n# c\n%YAML 1.1\n---\nb"),
        ["a: 1\n...\n", "# c\n%YAML 1.1\n---\nb"]
    );
    assert_eq!(
        split("---\r\na: 1\r\n---\tb\r\n"),
        ["---\r\na: 1\r\n", "---\tb\r\n"]
    );
    assert_eq!(split("a: \"\n---\n\""), ["a: \"\n", "---\n\""]);
    assert_eq!(
        split("\u{feff}---\na\n---\nb\n"),
        ["\u{feff}---\na\n", "---\nb\n"]
    );
    assert_eq!(split("{\n\"a\": 1\n}\n"), ["{\n\"a\": 1\n}\n"]);
    assert_eq!(split("---\n---\n---"), ["---\n", "---\n", "---"]);
    assert!(split("").is_empty());
}

#[test]
fn a_document_has_the_number_of_preceding_lines() {
    let stream = Stream::new("---\na\n\n---\nb\n".as_bytes());
    let preceding = stream.map(|document| document.unwrap().preceding_lines);
    assert_eq!(preceding.collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn any_buffer_size_yields_the_same_documents() {
    let mut rng = random::Random::new(3);
    let parts = [
        "---", "...", "\n", "\r\n", "a: 1", " ", "#", "%Y", "\t", "\u{e9}", "-", "\u{feff}", "{",
    ];
    for _ in 0..2_000 {
        let text: String = (0..rng.below(30)).map(|_| rng.pick(&parts)).collect();
        let whole = split(&text);
        assert_eq!(whole.concat(), text);
        for size in 1..=text.len().min(9) {
            let reader = BufReader::with_capacity(size, text.as_bytes());
            let split: Vec<_> = Stream::new(reader)
                .map(|document| document.unwrap().text)
                .collect();
            assert_eq!(split, whole, "{text:?} by {size}");
        }
    }
}

#[test]
fn other_encodings_are_rejected_with_the_line() {
    let refusal = |bytes: &[u8]| {
        let mut stream = Stream::new(bytes);
        let error = stream.find_map(Result::err).expect("an error");
        assert!(stream.next().is_none());
        error.to_string()
    };
    let error = refusal(b"a: 1\n---\nb: 1\nc: \xff\n");
    assert!(
        error.starts_with("line 4: ") && error.contains("UTF-8"),
        "{error}"
    );
    for utf16 in [&b"\xff\xfea\0:\0"[..], &b"\xfe\xff\0a\0:"[..]] {
        assert!(refusal(utf16).contains("UTF-16"));
    }
}

#[test]
fn reading_stops_at_the_size_limit() {
    let endless = Cursor::new("a: 1\n---\n").chain(repeat(b'x'));
    let mut stream = Stream::new(BufReader::new(endless));
    assert_eq!(stream.next().unwrap().unwrap().text, "a: 1\n");
    let error = stream.next().unwrap().unwrap_err();
    assert!(matches!(error.kind, StreamErrorKind::TooLarge));
    assert_eq!(error.line, 2);
    assert!(
        error
            .to_string()
            .contains(&format!("{} MiB", limits::DOCUMENT_BYTES >> 20))
    );
}
