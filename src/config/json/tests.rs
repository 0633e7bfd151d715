//! RFC 8259: texts that are accepted and texts that are refused.

use super::*;

fn skip(text: &str) -> Result<(), (SyntaxFault, usize)> {
    let mut reader = Reader::new(text);
    reader.raw_value();
    reader.end();
    match reader.error() {
        None => Ok(()),
        Some(error) => Err((error.fault, error.column)),
    }
}

fn string(text: &str) -> Result<Cow<'_, str>, Error> {
    let mut reader = Reader::new(text);
    assert_eq!(reader.kind(), Kind::String);
    let found = reader.string();
    reader.end();
    match reader.error() {
        None => Ok(found),
        Some(error) => Err(error),
    }
}

#[test]
fn valid_json_is_accepted() {
    for text in [
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "1.5",
        "-1.5e+10",
        "1E-2",
        r#""""#,
        r#"{"a":[1,{"b":null}],"c":"d"}"#,
        "[1 ,2\t,\r\n3]",
        "\"\u{7f}é\u{1f600}\"",
    ] {
        assert_eq!(skip(text), Ok(()), "{text:?}");
    }
}

#[test]
fn invalid_json_is_refused_with_its_position() {
    for (text, fault, column) in [
        ("", SyntaxFault::Value, 1),
        ("\u{feff}{}", SyntaxFault::Value, 1),
        ("nul", SyntaxFault::Value, 1),
        ("True", SyntaxFault::Value, 1),
        ("nullx", SyntaxFault::Trailing, 5),
        ("[1,]", SyntaxFault::Value, 4),
        ("[,1]", SyntaxFault::Value, 2),
        ("[1 2]", SyntaxFault::CommaOrBracket, 4),
        ("[1", SyntaxFault::CommaOrBracket, 3),
        ("[1}", SyntaxFault::CommaOrBracket, 3),
        ("{,}", SyntaxFault::Key, 2),
        (r#"{"a":1,}"#, SyntaxFault::Key, 8),
        ("{a:1}", SyntaxFault::Key, 2),
        ("{'a':1}", SyntaxFault::Key, 2),
        (r#"{"a" 1}"#, SyntaxFault::Colon, 6),
        (r#"{"a":}"#, SyntaxFault::Value, 6),
        (r#"{"a":1"#, SyntaxFault::CommaOrBrace, 7),
        (r#"{"a":1 "b":2}"#, SyntaxFault::CommaOrBrace, 8),
        ("01", SyntaxFault::Number, 1),
        ("-", SyntaxFault::Number, 1),
        ("1.", SyntaxFault::Number, 1),
        ("1e", SyntaxFault::Number, 1),
        ("1e+", SyntaxFault::Number, 1),
        ("-01", SyntaxFault::Number, 1),
        ("+1", SyntaxFault::Value, 1),
        (".5", SyntaxFault::Value, 1),
        ("0x10", SyntaxFault::Trailing, 2),
        ("NaN", SyntaxFault::Value, 1),
        (r#""abc"#, SyntaxFault::OpenString, 5),
        ("\"a\tb\"", SyntaxFault::Control, 3),
        ("\"a\nb\"", SyntaxFault::Control, 3),
        (r#""\x""#, SyntaxFault::Escape, 2),
        (r#""\u12g4""#, SyntaxFault::Escape, 2),
        (r#""\u+123""#, SyntaxFault::Escape, 2),
        (r#""\"#, SyntaxFault::Escape, 2),
        (r#""\u12"#, SyntaxFault::Escape, 2),
        (r#""\ud800""#, SyntaxFault::Escape, 2),
        (r#""\ud800\u0041""#, SyntaxFault::Escape, 2),
        (r#""\udc00""#, SyntaxFault::Escape, 2),
        ("\"\\é\"", SyntaxFault::Escape, 2),
        ("[] []", SyntaxFault::Trailing, 4),
        ("/* */1", SyntaxFault::Value, 1),
    ] {
        assert_eq!(skip(text), Err((fault, column)), "{text:?}");
    }
}

#[test]
fn escapes_are_read() {
    for (text, expected) in [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""a\u0026b\u00e9\u20AC""#, "a&bé€"),
        (r#""\ud83d\ude00!""#, "\u{1f600}!"),
        (r#""\u0000""#, "\0"),
    ] {
        assert_eq!(string(text).as_deref(), Ok(expected));
    }
}

#[test]
fn a_string_without_escapes_is_not_copied() {
    assert!(matches!(string(r#""abc""#), Ok(Cow::Borrowed("abc"))));
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(skip(&nested(16)), Ok(()));
        assert_eq!(
            skip(&nested(17)),
            Err((SyntaxFault::Depth, 16 * open.len() + 1))
        );
        assert!(skip(&open.repeat(100_000)).is_err());
    }
    let side_by_side = format!("[{}1]", "[[]],".repeat(1000));
    assert_eq!(skip(&side_by_side), Ok(()));
}

#[test]
fn lines_are_counted() {
    let mut reader = Reader::new("[\n 1,\n\n  x]");
    reader.raw_value();
    let error = reader.error().expect("x is no value");
    assert_eq!(
        (error.line, error.column, error.fault),
        (4, 3, SyntaxFault::Value)
    );
}

#[test]
fn each_fault_has_its_text() {
    let error = |fault| {
        Error {
            line: 1,
            column: 2,
            fault,
        }
        .to_string()
    };
    for (fault, text) in [
        (SyntaxFault::Value, "expected a value"),
        (SyntaxFault::Key, "expected a key in double quotes"),
        (SyntaxFault::Colon, "expected ':' after the key"),
        (SyntaxFault::CommaOrBrace, "expected ',' or '}'"),
        (SyntaxFault::CommaOrBracket, "expected ',' or ']'"),
        (SyntaxFault::OpenString, "the string is not closed by '\"'"),
        (
            SyntaxFault::Control,
            "a control character in a string must be written as \\u and four hex digits",
        ),
        (
            SyntaxFault::Escape,
            "expected one of \"\\/bfnrt or u and four hex digits after '\\', surrogates in pairs",
        ),
        (
            SyntaxFault::Number,
            "a number must look like 80, with no leading zero, '+' or lone '.'",
        ),
        (SyntaxFault::Depth, "more than 16 nested lists and objects"),
        (SyntaxFault::Trailing, "unexpected text after the value"),
    ] {
        assert_eq!(error(fault), format!("line 1, column 2: {text}"));
    }
}
