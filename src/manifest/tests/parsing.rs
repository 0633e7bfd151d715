//! Parsing: values, source texts, lines and errors.

use super::*;
use crate::limits;

#[track_caller]
fn parses_to(text: &str, value: Value) {
    assert_eq!(*parsed(text).value(), value, "{text:?}");
}

#[track_caller]
fn error_at(text: &str, line: usize, column: usize) -> String {
    let error = Document::parse(text).err().expect("an error");
    assert_eq!((error.line(), error.column()), (line, column), "{error}");
    error.to_string()
}

#[test]
fn scalars_are_parsed_as_yaml_1_1() {
    for (text, value) in [
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("yEs", json!("yEs")),
        ("~", json!(null)),
        ("", json!(null)),
        ("NULL", json!(null)),
        ("'~'", json!("~")),
        ("\"yes\"", json!("yes")),
        ("0755", json!(493)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("08", json!(8)),
        ("1_000", json!(1000)),
        ("+1", json!(1)),
        ("-0x10", json!(-16)),
        ("1.10", json!(1.1)),
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        (".5", json!(0.5)),
        ("12:30:45", json!("12:30:45")),
        ("2001-01-01", json!("2001-01-01")),
        ("1.2.3", json!("1.2.3")),
        (".inf", json!(".inf")),
        ("1e999", json!("1e999")),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("!!str 5", json!("5")),
        ("!!int \"5\"", json!(5)),
        ("!own 5", json!("5")),
        ("caf\u{e9}", json!("caf\u{e9}")),
    ] {
        parses_to(&format!("k: {text}\n"), json!({ "k": value }));
    }
}

#[test]
fn block_scalar_headers_set_indentation_and_line_breaks() {
    let text = "a: |\n  x\n\n\nb: >-\n  x\n  y\n\nc: |+\n  x\n\nd: |2\n    x\ne: z\n";
    parses_to(
        text,
        json!({"a": "x\n", "b": "x y", "c": "x\n\n", "d": "  x\n", "e": "z"}),
    );
    parses_to("a: |\n  no newline", json!({"a": "no newline"}));
}

#[test]
fn keys_become_json_strings() {
    parses_to(
        "1: a\nyes: b\n'2': c\n",
        json!({"1": "a", "true": "b", "2": "c"}),
    );
    let error = error_at("a: 1\n[x]: 2\n", 2, 1);
    assert!(error.contains("not a string"), "{error}");
    error_at("? {a: b}\n: 2\n", 1, 3);
    error_at("~: 2\n", 1, 1);
    // The parser reports where the content of a block scalar starts.
    error_at("- ? |\n- ", 2, 1);
    error_at("a:\n  ? >-\n    x\n  : y\n", 3, 5);
}

#[test]
fn a_text_of_comments_is_an_empty_document() {
    for text in [
        "",
        "\n",
        "# only\n",
        "---\n",
        "--- # c\n...\n",
        "\u{feff}# x\n",
    ] {
        let document = parsed(text);
        assert_eq!(*document.value(), json!(null), "{text:?}");
        assert_eq!(document.edit::<Edit>(&[]).unwrap(), text);
    }
    assert!(parsed("# only\n").is_empty());
}

#[test]
fn directives_and_document_markers_are_not_part_of_the_value() {
    parses_to("%YAML 1.1\n---\na: 1\n...\n", json!({"a": 1}));
    parses_to("\u{feff}a: 1\n", json!({"a": 1}));
    parses_to("--- {a: 1}\n", json!({"a": 1}));
}

#[test]
fn aliases_are_resolved_and_merge_keys_applied() {
    let text = "a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\nd:\n  <<: [{p: 7}, *x]\n";
    parses_to(
        text,
        json!({
            "a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2}, "c": {"p": 1, "q": 3}, "d": {"p": 7, "q": 2}
        }),
    );
    parses_to("'<<': {p: 1}\n", json!({"<<": {"p": 1}}));
    let error = error_at("a: &x {p: 1}\nb:\n  p: 2\n  <<: *x\n", 4, 3);
    assert!(error.contains("\"p\""), "{error}");
    error_at("<<: 1\n", 1, 5);
    error_at("a: &x [*x]\n", 1, 8);
    error_at("a: *x\n", 1, 4);
}

#[test]
fn a_duplicate_key_is_an_error_with_both_lines() {
    let error = error_at("a: 1\nb:\n  port: 1\n  path: /\n  \"port\": 2\n", 5, 3);
    assert!(error.contains("\"port\""), "{error}");
    assert!(error.contains("line 3"), "{error}");
    error_at("{\"a\": 1, \"a\": 2}", 1, 10);
    let shifted = Document::parse("a: 1\na: 2\n")
        .err()
        .map(|error| error.add_lines(10));
    let shifted = shifted.expect("an error").to_string();
    assert!(
        shifted.starts_with("line 12, ") && shifted.contains("line 11"),
        "{shifted}"
    );
}

#[test]
fn a_helm_template_is_an_error_that_says_to_render_it() {
    for (text, line) in [
        ("a: {{ .Values.a }}\n", 1),
        ("{{- if .x }}\na: 1\n{{- end }}\n", 1),
        ("a: 1\n{{ x }}: 2\n", 2),
        ("a:\n  {{- toYaml .x | nindent 2 }}\n  b: 1\n", 2),
        ("image: {{ .a }}:{{ .b }}\n", 1),
    ] {
        let error = Document::parse(text).err().expect("an error");
        assert_eq!(error.kind, ParseErrorKind::Template, "{text:?}");
        assert_eq!(error.line(), line, "{text:?}");
        assert!(error.to_string().contains("helm template"));
    }
    parses_to(
        "a: \"{{ $labels.pod }}\"\n",
        json!({"a": "{{ $labels.pod }}"}),
    );
    let broken = Document::parse("a: \"{{ $x }}\"\nb: 'x\n").err();
    assert!(matches!(
        broken.map(|error| error.kind),
        Some(ParseErrorKind::Syntax(_))
    ));
}

#[test]
fn invalid_yaml_is_an_error_with_its_position() {
    let error = error_at("a: 1\n\tb: 2\n", 2, 1);
    assert!(error.contains("tab"), "{error}");
    error_at("a: [1, 2\n", 1, 4);
    let error = error_at("{\"a\": 1}\n{\"a\": 2}\n", 2, 1);
    assert!(error.contains("---"), "{error}");
    error_at("a: 1\n---\nb: 1\n", 2, 1);
    error_at("a: !!int x\n", 1, 4);
    for (text, line, column) in [
        ("a: 1\r\nb: 2\rc: 3\r\n", 2, 5),
        ("a: 1\r", 1, 5),
        ("# a\r\r\n- b\r\n", 1, 4),
        ("\"a\rb\"", 1, 3),
        ("&a\r#b\r-\r#-&&\r-", 1, 3),
    ] {
        let error = error_at(text, line, column);
        assert!(error.contains("carriage return"), "{error}");
    }
    parses_to("\"a\\r\"\r\n", json!("a\r"));
}

#[test]
fn text_that_aliases_copy_is_limited() {
    let of = |bytes: usize, times: usize| {
        let aliases = "- *text\n".repeat(times);
        Document::parse(&format!("- &text {}\n{aliases}", "x".repeat(bytes)))
    };
    let most = limits::ALIASED_BYTES;
    assert!(of(most / 4, 4).is_ok());
    let error = of(most / 4 + 1, 4).err();
    assert_eq!(
        error.map(|error| error.kind),
        Some(ParseErrorKind::TooManyAliasedBytes)
    );
    let keys =
        format!("- &map {{{}: 1}}\n", "k".repeat(1000)) + &"- *map\n".repeat(most / 1000 + 1);
    let error = Document::parse(&keys).err();
    assert_eq!(
        error.map(|error| error.kind),
        Some(ParseErrorKind::TooManyAliasedBytes)
    );
    assert!(
        Document::parse(&"x".repeat(2 * most)).is_ok(),
        "no alias copies it"
    );
}

#[test]
fn nesting_and_aliased_values_are_limited() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    parsed(&deep(limits::DOCUMENT_NESTING));
    let error = Document::parse(&deep(limits::DOCUMENT_NESTING + 1)).err();
    assert_eq!(error.map(|error| error.kind), Some(ParseErrorKind::TooDeep));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        laughs += &format!("a{level}: &a{level} [{alias}]\n");
    }
    let error = Document::parse(&laughs).err();
    assert_eq!(
        error.map(|error| error.kind),
        Some(ParseErrorKind::TooManyAliasedValues)
    );
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..=limits::DOCUMENT_NESTING {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let error = Document::parse(&chain).err();
    assert_eq!(error.map(|error| error.kind), Some(ParseErrorKind::TooDeep));
}

#[test]
fn memory_of_values_is_limited() {
    let map = limits::DOCUMENT_COLLECTION_BYTES + 3 * limits::DOCUMENT_NODE_BYTES;
    let most = limits::DOCUMENT_VALUES_BYTES / map;
    let text = format!("- {{k: 1}}\n{}", "- {k: 1}\n".repeat(most));
    let error = Document::parse(&text).err().expect("too many");
    assert_eq!(error.kind, ParseErrorKind::TooManyValues);
    assert!(error.line() + 2 >= most, "{error}");
    assert!(
        error
            .to_string()
            .ends_with("split it with lines ---, one resource each")
    );
}

#[test]
fn values_and_keys_have_source_texts() {
    let text = "spec:\n  \"port\":  0x50 # c\n  none:\n  # c\n  list:\n  - &p a\n  - *p\n  m: {<<: {z: 1}}\n";
    let document = parsed(text);
    let value = |path: &str| document.value_text(&pointer(path)).map(String::from);
    assert_eq!(value("/spec/port").as_deref(), Some("  0x50"));
    assert_eq!(value("/spec/none").as_deref(), Some(""));
    assert_eq!(value("/spec/list/0").as_deref(), Some("a"));
    assert_eq!(value("/spec/list/1").as_deref(), Some("*p"));
    assert_eq!(value("/spec/list").as_deref(), Some("\n  - &p a\n  - *p"));
    assert_eq!(value("/spec/m/z"), None);
    assert_eq!(value("/spec/absent"), None);
    assert_eq!(
        document.key_text(&pointer("/spec/port")).as_deref(),
        Some("\"port\"")
    );
    assert_eq!(document.key_text(&pointer("/spec/list/0")), None);
    assert_eq!(document.line(&pointer("/spec/port")), 2);
}

#[test]
fn a_mapping_is_the_outermost_shared_node_of_its_merged_entries() {
    let text =
        "a: &a {b: {c: 1}, d: {e: 1}}\nm:\n  <<: *a\n  d: {<<: [{f: 1}, {g: 1}], h: 1}\nn: *a\n";
    let document = parsed(text);
    let shared = |path| {
        document
            .outermost_shared(&pointer(path))
            .map(|shared| shared.to_string())
    };
    assert_eq!(shared("/m/b").as_deref(), Some("/m"));
    assert_eq!(shared("/m/b/c").as_deref(), Some("/m"));
    assert_eq!(shared("/m/d/f").as_deref(), Some("/m/d"));
    assert_eq!(shared("/m/d/g").as_deref(), Some("/m/d"));
    for own in ["/m", "/m/d", "/m/d/h", "/a/b/c", "/none", "/m/d/none"] {
        assert_eq!(shared(own), None, "{own}");
    }
    let text = document.value_text(&pointer("/m/d"));
    assert_eq!(text.as_deref(), Some("{<<: [{f: 1}, {g: 1}], h: 1}"));
    assert_eq!(document.value_text(&pointer("/m/d/f")), None);
}

#[test]
fn aliases_and_mappings_with_merge_keys_are_shared_fragments() {
    for text in [
        "*a",
        " # c\n  *a",
        "{<<: *a, b: 1}",
        "\n      <<: *a\n      b: 1",
        "<<: *a\n  b: 1",
        "{<<: [*a, {b: 1}]}",
        "{<<: {b: 1}}",
    ] {
        assert!(is_shared_fragment(text), "{text:?}");
    }
    for text in [
        "",
        "a",
        "'*a'",
        "'<<'",
        "{'<<': 1}",
        "[*a]",
        "{a: *b}",
        "{a: {<<: *b}}",
        "{<<: *a",
    ] {
        assert!(!is_shared_fragment(text), "{text:?}");
    }
}

#[test]
fn the_outermost_shared_node_is_the_outermost_alias() {
    let text = "a: &a {b: 1}\nc: &c {d: *a}\ne: *c\n";
    let document = parsed(text);
    assert_eq!(
        document.outermost_shared(&pointer("/e/d/b")),
        Some(pointer("/e"))
    );
    assert_eq!(
        document.outermost_shared(&pointer("/c/d")),
        Some(pointer("/c/d"))
    );
    assert_eq!(
        document.outermost_shared(&pointer("/c/d/b")),
        Some(pointer("/c/d"))
    );
    assert_eq!(document.outermost_shared(&pointer("/a/b")), None);
}

#[test]
fn a_fragment_without_unresolved_aliases_has_a_value() {
    for (text, value) in [
        ("0x50", json!(80)),
        ("", json!(null)),
        ("  'a'", json!("a")),
        ("{a: 1}", json!({"a": 1})),
        (
            "\n        - 1\n        - a: b\n          c: d",
            json!([1, {"a": "b", "c": "d"}]),
        ),
        ("|\n        x\n        y", json!("x\ny\n")),
        ("a: 1\n        b: 2", json!({"a": 1, "b": 2})),
        ("- a\n  - b", json!(["a", "b"])),
        (" # c\n  x", json!("x")),
    ] {
        assert_eq!(fragment_value(text), Some(value), "{text:?}");
    }
    assert_eq!(fragment_value("*probe"), None);
    assert_eq!(fragment_value("{<<: *probe, a: 1}"), None);
    assert_eq!(fragment_value("a\nb: 1"), None);
}

#[test]
fn the_line_of_a_node_is_that_of_its_key_or_dash() {
    let text = "\u{feff}# c\n---\na: &a\n  b: 1\nc:\n\n- 1\n-\n  d: 2\ne: # c\n  *a\nf:\n  g: 1\n  <<: *a\nh: [1,\n  2]\n";
    let document = parsed(text);
    for (path, line) in [
        ("", 3),
        ("/a", 3),
        ("/a/b", 4),
        ("/c", 5),
        ("/c/0", 7),
        ("/c/1", 8),
        ("/c/1/d", 9),
        ("/e", 10),
        ("/e/b", 10),
        ("/f", 12),
        ("/f/g", 13),
        ("/f/b", 14),
        ("/h/1", 16),
        ("/c/2", 5),
        ("/a/none/deeper", 3),
        ("/f/none", 12),
        ("/none", 3),
    ] {
        assert_eq!(document.line(&pointer(path)), line, "{path}");
    }
    assert_eq!(parsed("\n# c\n").line(&pointer("/a")), 1);
}

/// Values that `sigs.k8s.io/yaml` v1.6.0 returns.
#[test]
fn binary_is_decoded_as_kubectl_decodes_it() {
    for (text, value) in [
        ("L2Zvbw==", "/foo"),
        ("'L2Zvbw=='", "/foo"),
        ("\"L2Zv\\r\\nbw==\"", "/foo"),
        ("|\n  L2Zv\n  bw==", "/foo"),
        ("|\r\n  L2Zv\r\n  bw==\r\n", "/foo"),
        ("L2Zvbx==", "/foo"),
        ("", ""),
        ("''", ""),
        ("MTIzNA==", "1234"),
        ("dHJ1ZQ==", "true"),
        ("PDw=", "<<"),
        ("AA==", "\0"),
        ("77+9", "\u{fffd}"),
    ] {
        parses_to(&format!("k: !!binary {text}\n"), json!({ "k": value }));
    }
    parses_to("!!binary L2Zvbw==: 1\n", json!({"/foo": 1}));
    parses_to("!!binary PDw=: {a: 1}\n", json!({"<<": {"a": 1}}));
    parses_to(
        "a: &x !!binary L2Zvbw==\nb: *x\n",
        json!({"a": "/foo", "b": "/foo"}),
    );
    parses_to(
        "a: !<tag:yaml.org,2002:binary> L2Zvbw==\n",
        json!({"a": "/foo"}),
    );
    parses_to("a: !binary L2Zvbw==\n", json!({"a": "L2Zvbw=="}));
}

#[test]
fn binary_that_readers_decode_differently_is_an_error() {
    for wrong in [
        "\"L2Zv bw==\"",
        "\"L2Zv\\tbw==\"",
        "L2Zvbw",
        "L2Zv\n  bw==",
        ">\n  L2Zv\n  bw==",
        "|\n  L2Zv\n   bw==",
        "_-8=",
        "~",
        "L2Zvbw==L2Zvbw==",
    ] {
        let error = error_at(&format!("a: 1\nk: !!binary {wrong}\n"), 2, 4);
        assert!(error.contains("not base64"), "{error}");
    }
    for wrong in ["/w==", "gIGC", "null", "true"] {
        let error = error_at(&format!("k: !!binary {wrong}\n"), 1, 4);
        assert!(error.contains("not UTF-8"), "{error}");
    }
    error_at("!!binary /w==: 1\n", 1, 1);
    error_at("a: 1\n!!binary YQ==: 2\n", 2, 1);
}

#[test]
fn a_merge_key_may_have_a_tag() {
    parses_to("!!merge <<: {a: 1}\nb: 2\n", json!({"a": 1, "b": 2}));
    parses_to("!!str <<: {a: 1}\n", json!({"<<": {"a": 1}}));
}
