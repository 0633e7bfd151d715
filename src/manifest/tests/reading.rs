//! What a text stands for, and which texts are refused.

use super::*;
use crate::limits;

#[track_caller]
fn stands_for(text: &str, value: Value) {
    assert_eq!(*parsed(text).value(), value, "{text:?}");
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize) -> String {
    let error = Document::parse(text).err().expect("an error");
    assert_eq!((error.line(), error.column()), (line, column), "{error}");
    error.to_string()
}

#[test]
fn scalars_are_those_of_yaml_1_1() {
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
        stands_for(&format!("k: {text}\n"), json!({ "k": value }));
    }
}

#[test]
fn block_scalars_keep_what_their_heads_say() {
    let text = "a: |\n  x\n\n\nb: >-\n  x\n  y\n\nc: |+\n  x\n\nd: |2\n    x\ne: z\n";
    stands_for(
        text,
        json!({"a": "x\n", "b": "x y", "c": "x\n\n", "d": "  x\n", "e": "z"}),
    );
    stands_for("a: |\n  no newline", json!({"a": "no newline"}));
}

#[test]
fn keys_are_text_in_json() {
    stands_for(
        "1: a\nyes: b\n'2': c\n",
        json!({"1": "a", "true": "b", "2": "c"}),
    );
    let refusal = refused("a: 1\n[x]: 2\n", 2, 1);
    assert!(refusal.contains("no text"), "{refusal}");
    refused("? {a: b}\n: 2\n", 1, 3);
    refused("~: 2\n", 1, 1);
}

#[test]
fn comments_alone_are_no_value() {
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
        assert_eq!(document.edit(&[]).unwrap(), text);
    }
    assert!(parsed("# only\n").is_empty());
}

#[test]
fn directives_marks_and_ends_are_read_over() {
    stands_for("%YAML 1.1\n---\na: 1\n...\n", json!({"a": 1}));
    stands_for("\u{feff}a: 1\n", json!({"a": 1}));
    stands_for("--- {a: 1}\n", json!({"a": 1}));
}

#[test]
fn aliases_are_followed_and_merges_done() {
    let text = "a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\nd:\n  <<: [{p: 7}, *x]\n";
    stands_for(
        text,
        json!({
            "a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2}, "c": {"p": 1, "q": 3}, "d": {"p": 7, "q": 2}
        }),
    );
    stands_for("'<<': {p: 1}\n", json!({"<<": {"p": 1}}));
    let refusal = refused("a: &x {p: 1}\nb:\n  p: 2\n  <<: *x\n", 4, 3);
    assert!(refusal.contains("\"p\""), "{refusal}");
    refused("<<: 1\n", 1, 5);
    refused("a: &x [*x]\n", 1, 8);
    refused("a: *x\n", 1, 4);
}

#[test]
fn a_key_that_is_there_twice_is_refused_with_both_lines() {
    let refusal = refused("a: 1\nb:\n  port: 1\n  path: /\n  \"port\": 2\n", 5, 3);
    assert!(refusal.contains("\"port\""), "{refusal}");
    assert!(refusal.contains("line 3"), "{refusal}");
    refused("{\"a\": 1, \"a\": 2}", 1, 10);
    let below = Document::parse("a: 1\na: 2\n")
        .err()
        .map(|error| error.add_lines(10));
    let below = below.expect("an error").to_string();
    assert!(
        below.starts_with("line 12, ") && below.contains("line 11"),
        "{below}"
    );
}

#[test]
fn a_helm_template_is_to_be_rendered_first() {
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
    stands_for(
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
fn what_is_no_yaml_says_where() {
    let refusal = refused("a: 1\n\tb: 2\n", 2, 1);
    assert!(refusal.contains("tab"), "{refusal}");
    refused("a: [1, 2\n", 1, 4);
    let refusal = refused("{\"a\": 1}\n{\"a\": 2}\n", 2, 1);
    assert!(refusal.contains("---"), "{refusal}");
    refused("a: 1\n---\nb: 1\n", 2, 1);
    refused("a: !!int x\n", 1, 4);
}

#[test]
fn text_behind_aliases_is_bounded() {
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
        "no alias leads there"
    );
}

#[test]
fn nesting_and_aliases_are_bounded() {
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
    assert_eq!(error.map(|error| error.kind), Some(ParseErrorKind::TooManyAliasedValues));
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..=limits::DOCUMENT_NESTING {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let error = Document::parse(&chain).err();
    assert_eq!(error.map(|error| error.kind), Some(ParseErrorKind::TooDeep));
}

#[test]
fn the_source_of_values_and_keys_is_told() {
    let text = "spec:\n  \"port\":  0x50 # c\n  none:\n  # c\n  list:\n  - &p a\n  - *p\n  m: {<<: {z: 1}}\n";
    let document = parsed(text);
    let value = |path: &str| document.value_text(&at(path)).map(String::from);
    assert_eq!(value("/spec/port").as_deref(), Some("  0x50"));
    assert_eq!(value("/spec/none").as_deref(), Some(""));
    assert_eq!(value("/spec/list/0").as_deref(), Some("a"));
    assert_eq!(value("/spec/list/1").as_deref(), Some("*p"));
    assert_eq!(value("/spec/list").as_deref(), Some("\n  - &p a\n  - *p"));
    assert_eq!(value("/spec/m/z"), None);
    assert_eq!(value("/spec/absent"), None);
    assert_eq!(
        document.key_text(&at("/spec/port")).as_deref(),
        Some("\"port\"")
    );
    assert_eq!(document.key_text(&at("/spec/list/0")), None);
    assert_eq!(document.line(&at("/spec/port")), 2);
}

#[test]
fn a_mapping_is_shared_above_what_its_merge_key_brings() {
    let text =
        "a: &a {b: {c: 1}, d: {e: 1}}\nm:\n  <<: *a\n  d: {<<: [{f: 1}, {g: 1}], h: 1}\nn: *a\n";
    let document = parsed(text);
    let shared = |path| document.shared_ancestor(&at(path)).map(|at| at.to_string());
    assert_eq!(shared("/m/b").as_deref(), Some("/m"));
    assert_eq!(shared("/m/b/c").as_deref(), Some("/m"));
    assert_eq!(shared("/m/d/f").as_deref(), Some("/m/d"));
    assert_eq!(shared("/m/d/g").as_deref(), Some("/m/d"));
    for own in ["/m", "/m/d", "/m/d/h", "/a/b/c", "/none", "/m/d/none"] {
        assert_eq!(shared(own), None, "{own}");
    }
    let text = document.value_text(&at("/m/d"));
    assert_eq!(text.as_deref(), Some("{<<: [{f: 1}, {g: 1}], h: 1}"));
    assert_eq!(document.value_text(&at("/m/d/f")), None);
}

#[test]
fn a_text_with_its_content_elsewhere_is_known() {
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
fn the_highest_alias_on_the_way_is_told() {
    let text = "a: &a {b: 1}\nc: &c {d: *a}\ne: *c\n";
    let document = parsed(text);
    assert_eq!(document.shared_ancestor(&at("/e/d/b")), Some(at("/e")));
    assert_eq!(document.shared_ancestor(&at("/c/d")), Some(at("/c/d")));
    assert_eq!(document.shared_ancestor(&at("/c/d/b")), Some(at("/c/d")));
    assert_eq!(document.shared_ancestor(&at("/a/b")), None);
}

#[test]
fn a_text_that_was_kept_is_read_again() {
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
fn the_line_of_a_place_is_that_of_its_key_or_dash() {
    let text = "\u{feff}# c\n---\na: &a\n  b: 1\nc:\n\n- 1\n-\n  d: 2\ne: # c\n  *a\nf:\n  g: 1\n  <<: *a\nh: [1,\n  2]\n";
    let document = parsed(text);
    for (place, line) in [
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
        assert_eq!(document.line(&at(place)), line, "{place}");
    }
    assert_eq!(parsed("\n# c\n").line(&at("/a")), 1);
}

/// What `sigs.k8s.io/yaml` v1.6.0 reads, case by case.
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
        stands_for(&format!("k: !!binary {text}\n"), json!({ "k": value }));
    }
    stands_for("!!binary L2Zvbw==: 1\n", json!({"/foo": 1}));
    stands_for("!!binary PDw=: {a: 1}\n", json!({"<<": {"a": 1}}));
    stands_for(
        "a: &x !!binary L2Zvbw==\nb: *x\n",
        json!({"a": "/foo", "b": "/foo"}),
    );
    stands_for(
        "a: !<tag:yaml.org,2002:binary> L2Zvbw==\n",
        json!({"a": "/foo"}),
    );
    stands_for("a: !binary L2Zvbw==\n", json!({"a": "L2Zvbw=="}));
}

#[test]
fn binary_that_readers_differ_on_is_refused() {
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
        let error = refused(&format!("a: 1\nk: !!binary {wrong}\n"), 2, 4);
        assert!(error.contains("not base64"), "{error}");
    }
    for wrong in ["/w==", "gIGC", "null", "true"] {
        let error = refused(&format!("k: !!binary {wrong}\n"), 1, 4);
        assert!(error.contains("not UTF-8"), "{error}");
    }
    refused("!!binary /w==: 1\n", 1, 1);
    refused("a: 1\n!!binary YQ==: 2\n", 2, 1);
}

#[test]
fn a_merge_key_may_have_its_tag() {
    stands_for("!!merge <<: {a: 1}\nb: 2\n", json!({"a": 1, "b": 2}));
    stands_for("!!str <<: {a: 1}\n", json!({"<<": {"a": 1}}));
}
