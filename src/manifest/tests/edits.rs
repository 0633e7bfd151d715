//! Edits of texts, and inverse edits that restore them.

use super::*;

const WEB: &str = "\
# web
spec:
  # all
  containers:
  # the first
  - name: web   # here
    livenessProbe:
      httpGet:
        path: \"/healthz\"  # path
        port: 0x50
    mode: 0755
    version: 1.10
";

#[test]
fn edits_change_only_the_edited_nodes() {
    let probe = "/spec/containers/0/livenessProbe/httpGet";
    let edits = [
        replace(&format!("{probe}/port"), json!(15020)),
        replace(&format!("{probe}/path"), json!("/app-health/web/livez")),
        add(&format!("{probe}/scheme"), json!("HTTP")),
        add(
            "/spec/initContainers",
            json!([{"args": ["--a=b"], "env": [], "image": "x:1", "name": "probelet"}]),
        ),
    ];
    let expected = "\
# web
spec:
  initContainers:
  - name: probelet
    image: x:1
    args:
    - --a=b
    env: []
  # all
  containers:
  # the first
  - name: web   # here
    livenessProbe:
      httpGet:
        scheme: HTTP
        path: \"/app-health/web/livez\"  # path
        port: 15020
    mode: 0755
    version: 1.10
";
    round_trip(WEB, &edits, expected);
}

#[test]
fn edits_use_the_line_breaks_of_the_document() {
    let crlf = WEB.replace('\n', "\r\n");
    let text = crlf.trim_end();
    let new = edited(text, &[add("/spec/initContainers", json!([{"name": "x"}]))]);
    assert!(
        new.contains("  initContainers:\r\n  - name: x\r\n  # all\r\n"),
        "{new:?}"
    );
    assert!(!new.replace("\r\n", "").contains('\n'));
    assert!(!new.ends_with('\n'));
    round_trip("a:\n- 1", &[add("/a/1", json!(2))], "a:\n- 1\n- 2");
    round_trip("a: 1", &[replace("/a", json!({"b": 2}))], "a:\n  b: 2");
}

#[test]
fn new_sequences_are_indented_like_those_of_the_document() {
    round_trip(
        "a:\n    b:\n      - 1\n",
        &[add("/a/c", json!([{"d": [2]}]))],
        "a:\n    c:\n      - d:\n          - 2\n    b:\n      - 1\n",
    );
    round_trip(
        "a:\n  # c\n\n  - 1\n  # d\n  - 2\n",
        &[add("/a/0", json!({"k": "v", "l": "w"}))],
        "a:\n  - k: v\n    l: w\n  # c\n\n  - 1\n  # d\n  - 2\n",
    );
}

#[test]
fn an_entry_is_added_before_one_on_the_line_of_a_dash() {
    round_trip(
        "- name: web # c\n  image: i\n",
        &[add("/0/ports", json!([1]))],
        "- ports:\n  - 1\n  name: web # c\n  image: i\n",
    );
    round_trip(
        "- - 1\n  - 2\n",
        &[add("/0/0", json!(0))],
        "- - 0\n  - 1\n  - 2\n",
    );
    round_trip(
        "-\n  name: web\n",
        &[add("/0/k", json!(0))],
        "-\n  k: 0\n  name: web\n",
    );
}

#[test]
fn entries_are_added_at_the_front_of_flow_collections() {
    round_trip(
        "p: {port: 80, path: /}\n",
        &[
            add("/p/scheme", json!("HTTP")),
            replace("/p/port", json!("a, b")),
        ],
        "p: {scheme: HTTP, port: 'a, b', path: /}\n",
    );
    round_trip(
        "a: [ 1, 2 ]\n",
        &[add("/a/0", json!([]))],
        "a: [ [], 1, 2 ]\n",
    );
    round_trip("a: [1, 2]\n", &[add("/a/2", json!(3))], "a: [1, 2, 3]\n");
    round_trip("a: { }\n", &[add("/a/b", json!(1))], "a: {b: 1 }\n");
    round_trip("a: []\n", &[add("/a/0", json!(1))], "a: [1]\n");
}

#[test]
fn edited_json_is_json() {
    let pretty = "{\n    \"spec\": {\n        \"a\": [\n            1\n        ],\n        \"b\": {}\n    }\n}\n";
    round_trip(
        pretty,
        &[
            add(
                "/spec/initContainers",
                json!([{"name": "x", "args": ["y"]}]),
            ),
            add("/spec/a/0", json!("yes")),
            replace("/spec/b", json!({"c": null})),
        ],
        "{\n    \"spec\": {\n        \"initContainers\": [{\"name\": \"x\", \"args\": [\"y\"]}],\n        \
         \"a\": [\n            \"yes\",\n            1\n        ],\n        \"b\": {\"c\": null}\n    }\n}\n",
    );
    round_trip(
        r#"{"a":{"b":80},"c":[]}"#,
        &[
            add("/a/x", json!({"k": ["\u{7f}", true]})),
            replace("/a/b", json!("80")),
            rename("/c", "d"),
        ],
        r#"{"a":{"x":{"k":["\u007f",true]},"b":"80"},"d":[]}"#,
    );
}

#[test]
fn empty_values_become_collections_and_back() {
    for (text, expected) in [
        (
            "m:\n  a:   # c\n  z: 1\n",
            "m:\n  a:   # c\n    k: v\n  z: 1\n",
        ),
        ("m:\n  a: {}\n  z: 1\n", "m:\n  a:\n    k: v\n  z: 1\n"),
        ("m:\n  a:   ~\n", "m:\n  a:\n    k: v\n"),
        ("m:\n  a:\n    text\n", "m:\n  a:\n    k: v\n"),
        ("m:\n  a: &x\n  z: 1\n", "m:\n  a: &x\n    k: v\n  z: 1\n"),
        ("m:\n  a: [ ] # c\n", "m:\n  a: # c\n    k: v\n"),
    ] {
        round_trip(text, &[replace("/m/a", json!({"k": "v"}))], expected);
    }
    assert_eq!(
        edited(
            "a:\n  b: 1\n  c: 2\nd: 3\n",
            &[remove("/a/b"), remove("/a/c")]
        ),
        "a: {}\nd: 3\n"
    );
    assert_eq!(edited("a:\n- 1 # c\n", &[remove("/a/0")]), "a: [] # c\n");
}

#[test]
fn multi_line_values_are_replaced_as_a_whole() {
    for value in [
        "|\n    x\n\n    y\n",
        "|+\n    x\n\n",
        ">-\n    x\n    y\n\n",
        "|2\n      x\n",
        "plain\n   more\n",
        "\"q\n   r\"\n",
        "[1,\n  2]\n",
        "'it''s\n\n   x' # c\n",
        "|\n\n\n",
        "| # c\n    x\n",
    ] {
        let text = format!("m:\n  a: {value}  b: 1\n");
        let document = parsed(&text);
        let new = edited(&text, &[replace("/m/a", json!(1))]);
        let lines: Vec<_> = new.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(
            (lines[0], *lines.last().unwrap()),
            ("m:", "  b: 1"),
            "{new:?}"
        );
        assert!(lines[1].starts_with("  a: 1"), "{new:?}");
        let inverse = random::inverse(&document, &[replace("/m/a", json!(1))]).unwrap();
        assert_eq!(edited(&new, &inverse), text);
    }
}

#[test]
fn renamed_keys_keep_their_position() {
    round_trip(
        "p:\n  # c\n  'grpc': # d\n    service: x # e\n    port: 1\n",
        &[
            replace("/p/grpc/port", json!(2)),
            replace("/p/grpc/service", json!("/app")),
            rename("/p/grpc/service", "path"),
            rename("/p/grpc", "httpGet"),
        ],
        "p:\n  # c\n  httpGet: # d\n    path: /app # e\n    port: 2\n",
    );
}

#[test]
fn a_saved_text_is_written_only_if_it_parses_to_the_value() {
    let restored = |text| edited("a: 1\n", &[restore("/a", json!("x"), text)]);
    assert_eq!(restored("\"x\""), "a: \"x\"\n");
    assert_eq!(restored("  x"), "a:  x\n");
    for wrong in ["y", "x\nb: 1", "[x", "*x", "x: x", "&y x\nz", "{x: y}"] {
        assert_eq!(restored(wrong), "a: x\n", "{wrong:?}");
    }
    assert_eq!(edited("[1]", &[restore("/0", json!("x"), "x")]), "[\"x\"]");
}

const SHARED: &str = "\
c:
- livenessProbe: &probe
    httpGet: {port: 80}
  readinessProbe: *probe # same
  z: 1
";

#[test]
fn an_alias_is_expanded_and_restored() {
    let document = parsed(SHARED);
    let alias = document.outermost_shared(&pointer("/c/0/readinessProbe/httpGet/port"));
    assert_eq!(alias, Some(pointer("/c/0/readinessProbe")));
    let readiness = json!({"httpGet": {"port": 15020, "path": "/readyz"}});
    let edits = [
        replace("/c/0/livenessProbe/httpGet/port", json!(15020)),
        replace("/c/0/readinessProbe", readiness),
    ];
    let expected = "\
c:
- livenessProbe: &probe
    httpGet: {port: 15020}
  readinessProbe: # same
    httpGet:
      path: /readyz
      port: 15020
  z: 1
";
    round_trip(SHARED, &edits, expected);
}

#[test]
fn an_edit_below_an_alias_expands_it() {
    let new = edited(
        SHARED,
        &[replace("/c/0/readinessProbe/httpGet/port", json!(81))],
    );
    let expected = SHARED.replace(" *probe # same", " # same\n    httpGet:\n      port: 81");
    assert_eq!(new, expected);
}

/// A document, the pointer of an edit below a merge key, and the expected text.
const MERGES: [(&str, &str, &str); 8] = [
    (
        "a: &a {p: 1}\nb:\n  <<: *a\n  q: 2 # c\nz: 1\n",
        "/b/p",
        "a: &a {p: 1}\nb:\n  p: 9\n  q: 2 # c\nz: 1\n",
    ),
    (
        "a: &a {p: 1}\nb: {<<: *a, q: 2} # c\n",
        "/b/p",
        "a: &a {p: 1}\nb: # c\n  p: 9\n  q: 2\n",
    ),
    (
        "a: &a {p: 1}\nb: &b {p: 3, q: 2}\nc:\n  # above\n  <<: [*a, *b] # behind\n",
        "/c/p",
        "a: &a {p: 1}\nb: &b {p: 3, q: 2}\nc:\n  p: 9\n  q: 2 # behind\n",
    ),
    (
        "- &a\n  p: 1\n- <<: *a\n  q:\n  - 1\n- z\n",
        "/1/p",
        "- &a\n  p: 1\n- p: 9\n  q:\n  - 1\n- z\n",
    ),
    (
        "a: &a {m: {p: 1}}\nb: &b\n  <<: *a\n",
        "/b/m/p",
        "a: &a {m: {p: 1}}\nb: &b\n  m:\n    p: 9\n",
    ),
    (
        "a: &a {p: 1}\nb: &b {<<: *a}\nc: [{<<: *b, q: 2}]\n",
        "/c/0/p",
        "a: &a {p: 1}\nb: &b {<<: *a}\nc: [{p: 9, q: 2}]\n",
    ),
    ("b:\n  <<: {p: 1}\n  q: 2", "/b/p", "b:\n  p: 9\n  q: 2"),
    (
        "a: &a {p: 1}\r\nb:   # c\r\n    <<: *a\r\n    q: 2\r\n",
        "/b/p",
        "a: &a {p: 1}\r\nb:\r\n  p: 9\r\n  q: 2\r\n",
    ),
];

#[test]
fn an_edit_below_a_merge_key_expands_its_mapping() {
    for (text, path, expected) in MERGES {
        assert_eq!(edited(text, &[replace(path, json!(9))]), expected);
    }
}

#[test]
fn an_expanded_mapping_is_restored_with_its_merge_key() {
    for (text, path, flat) in MERGES {
        let document = parsed(text);
        let shared = document
            .outermost_shared(&pointer(path))
            .expect("a mapping");
        let value = shared.resolve(document.value()).expect("a value").clone();
        let source = document.value_text(&shared).expect("a text");
        assert!(source.contains("<<"), "{source:?}");
        let restored = restore(&shared.to_string(), value, &source);
        assert_eq!(edited(flat, &[restored]), text);
    }
}

#[test]
fn a_merge_key_is_restored_only_if_it_merges_the_same_values() {
    let text = "a: &a {p: 2}\nb: {p: 1, q: 2}\n";
    let restored =
        |text: &str, saved| edited(text, &[restore("/b", json!({"p": 1, "q": 3}), saved)]);
    let flat = "\n  p: 1\n  q: 3\n";
    for saved in [
        "{<<: *a, q: 3}",
        "{<<: *none, q: 3}",
        "{<<: 1, q: 3}",
        "\n  <<: *a\n  q: 3",
    ] {
        assert_eq!(
            restored(text, saved),
            format!("a: &a {{p: 2}}\nb:{flat}"),
            "{saved:?}"
        );
    }
    let same = text.replace("2}\nb", "1}\nb");
    assert_eq!(
        restored(&same, "{<<: *a, q: 3}"),
        "a: &a {p: 1}\nb: {<<: *a, q: 3}\n"
    );
    assert_eq!(
        restored(&same, "\n  <<: *a # c\n  q: 3"),
        "a: &a {p: 1}\nb:\n  <<: *a # c\n  q: 3\n"
    );
}

#[test]
fn an_expanded_mapping_includes_edits_of_its_own_entries() {
    let text = "get: &get {path: /a, port: 80}\nprobe:\n  httpGet: {<<: *get, port: 81}\n  periodSeconds: 2\n";
    let edits = [
        replace("/probe/httpGet/path", json!("/b")),
        replace("/probe/httpGet/port", json!(15020)),
        add("/probe/httpGet/scheme", json!("HTTP")),
    ];
    let expected = "\
get: &get {path: /a, port: 80}
probe:
  httpGet:
    path: /b
    port: 15020
    scheme: HTTP
  periodSeconds: 2
";
    assert_eq!(edited(text, &edits), expected);
    assert_eq!(
        edited(text, &edits[1..2]),
        text.replace("port: 81", "port: 15020"),
        "an edit of an own entry does not expand the mapping"
    );
    let nested = "a: &a {m: {p: 1}, k: 1}\nb:\n  <<: *a\n  o: {<<: {r: 1}}\n";
    let edits = [
        replace("/b/k", json!(2)),
        replace("/b/o/r", json!(2)),
        rename("/b", "c"),
    ];
    assert_eq!(
        edited(nested, &edits),
        "a: &a {m: {p: 1}, k: 1}\nc:\n  k: 2\n  m:\n    p: 1\n  o:\n    r: 2\n"
    );
}

#[test]
fn a_merged_mapping_and_its_source_can_both_be_edited() {
    let text = "live: &probe\n  get: {port: 80}\nready:\n  <<: *probe\n  every: 2\n";
    let edits = [
        replace("/live/get/port", json!(1)),
        replace("/ready/get/port", json!(2)),
    ];
    let flat = "live: &probe\n  get: {port: 1}\nready:\n  every: 2\n  get:\n    port: 2\n";
    assert_eq!(edited(text, &edits), flat);
    let inverse = [
        restore("/live/get/port", json!(80), "80"),
        restore(
            "/ready",
            json!({"get": {"port": 80}, "every": 2}),
            "\n  <<: *probe\n  every: 2",
        ),
    ];
    assert_eq!(edited(flat, &inverse), text);
}

#[test]
fn removing_an_entry_that_overrides_a_merged_one_is_an_error() {
    let text = "a: &a {q: 1}\nb: {<<: *a, q: 2}\n";
    let error = parsed(text).edit(&[remove("/b/q")]).unwrap_err();
    assert_eq!(error, EditError::MergeKey(pointer("/b/q")));
}

#[test]
fn an_edit_that_would_change_another_node_is_an_error() {
    let error_of = |text: &str, edits: &[Edit]| parsed(text).edit(edits).unwrap_err();
    let error = error_of(
        SHARED,
        &[replace("/c/0/livenessProbe/httpGet/port", json!(1))],
    );
    assert!(
        error
            .to_string()
            .contains("/c/0/readinessProbe is an alias (*probe)"),
        "{error}"
    );
    let error = error_of(
        SHARED,
        &[add("/c/0/livenessProbe/httpGet/path", json!("/"))],
    );
    assert!(matches!(error, EditError::Alias { .. }), "{error}");
    let merged = "a: &a {p: 1}\nb:\n  <<: *a\n  q: 2\n";
    assert_eq!(
        error_of(merged, &[replace("/a/p", json!(2))]),
        EditError::MergeKey(pointer("/b/p"))
    );
    let error = error_of("a: &a 1\nb: *a\n", &[remove("/a")]);
    assert!(matches!(error, EditError::InvalidYaml { .. }), "{error}");
    assert_eq!(*error.pointer(), pointer("/b"));
}

#[test]
fn edits_that_do_not_apply_are_errors() {
    let error_of = |edits: &[Edit]| parsed("a: {b: 1}\nc: []\nd:\n").edit(edits).unwrap_err();
    assert_eq!(
        error_of(&[replace("/x", json!(1))]),
        EditError::Target(TargetError::Missing(pointer("/x")))
    );
    assert_eq!(
        error_of(&[add("/a", json!(1))]),
        EditError::Target(TargetError::AlreadyExists(pointer("/a")))
    );
    assert_eq!(
        error_of(&[add("/c/1", json!(1))]),
        EditError::Target(TargetError::Missing(pointer("/c/1")))
    );
    assert_eq!(
        error_of(&[add("/d/e", json!(1))]),
        EditError::Target(TargetError::Missing(pointer("/d/e")))
    );
    assert_eq!(
        error_of(&[rename("/a", "c")]),
        EditError::Target(TargetError::AlreadyExists(pointer("/c")))
    );
    let error = error_of(&[replace("", json!(1))]);
    assert!(matches!(error, EditError::WrongValue(_)));
    let text = error.to_string();
    assert!(
        text.starts_with("the document is in a YAML style"),
        "{text}"
    );
}

#[test]
fn markers_comments_and_byte_order_mark_stay_around_the_root() {
    round_trip(
        "\u{feff}# licence\n\n---\n# c\nkind: Pod\n...\n",
        &[add("/metadata", json!({"name": "x"}))],
        "\u{feff}# licence\n\n---\n# c\nmetadata:\n  name: x\nkind: Pod\n...\n",
    );
    round_trip(
        "\u{feff}a: 1\n",
        &[add("/b", json!(2))],
        "\u{feff}b: 2\na: 1\n",
    );
}

#[test]
fn thousands_of_edits_of_a_list_are_applied_in_one_pass() {
    let mut text = String::from("items:\n");
    let mut edits = Vec::new();
    for item in 0..1_000 {
        text += "- kind: Deployment\n  spec:\n";
        for key in 0..15 {
            text += &format!("    k{key}: {key} # c\n");
            edits.push(replace(&format!("/items/{item}/spec/k{key}"), json!("new")));
        }
    }
    let new = edited(&text, &edits);
    assert_eq!(new.matches(": new # c\n").count(), edits.len());
    assert_eq!(new.lines().count(), text.lines().count());
}

#[test]
fn a_comment_after_an_empty_value_stays_on_the_line_of_its_key() {
    for (value, empty) in [("{}", json!({})), ("", json!(null)), ("{\n  }", json!({}))] {
        for (comment, end) in [(" # none yet", "\n"), ("  ", "\n"), (" # none yet", "")] {
            let gap = if value.is_empty() { "" } else { " " };
            let text = format!("a:{gap}{value}{comment}{end}");
            let filled = edited(&text, &[replace("/a", json!({"b": "x", "c": "z"}))]);
            assert_eq!(filled, format!("a:{comment}\n  b: x\n  c: z{end}"));
            let fewer = edited(&filled, &[remove("/a/c")]);
            assert_eq!(fewer, format!("a:{comment}\n  b: x{end}"));
            let restored = edited(&fewer, &[restore("/a", empty.clone(), value)]);
            assert_eq!(restored, text);
        }
    }
    // A value on a separate line has no key on its line.
    round_trip(
        "a:\n  x # one\n",
        &[replace("/a", json!(["b"]))],
        "a:\n- b # one\n",
    );
    let text = "a: # none yet\n- b\nc: 1 # one\n";
    assert_eq!(
        edited(text, &[remove("/a/0")]),
        "a: [] # none yet\nc: 1 # one\n"
    );
}

#[test]
fn a_root_may_have_a_tag_on_a_separate_line() {
    for text in [
        "--- # a comment\n!!map\na: 1\n",
        "!!seq\n- 1\n",
        "!!map {a: 1}\n",
    ] {
        let document = parsed(text);
        assert!(document.value_text(&Pointer::root()).is_some());
        let path = ["/a", "/0"].map(pointer);
        let path = path
            .iter()
            .find(|at| at.resolve(document.value()).is_some());
        let edit = replace(&path.expect("a value").to_string(), json!(2));
        assert_eq!(edited(text, &[edit]), text.replace('1', "2"));
    }
}

#[test]
fn an_error_has_the_pointer_of_the_source() {
    let fail = |text: &str, edits: &[Edit]| {
        let document = parsed(text);
        let error = document.edit(edits).unwrap_err();
        let pointer = error.pointer();
        (pointer.to_string(), document.line(pointer), error)
    };
    let text = "\
list:
- a: &a {p: 1}
- b: *a
  c:
    d: &d 1
    e: 2
- f: [*d]
- g:
    <<: *a
";
    let first = add("/list/0", json!({"new": [1, 2]}));
    let (failed, line, error) = fail(text, &[first.clone(), replace("/list/0/a/p", json!(2))]);
    assert!(matches!(error, EditError::Alias { .. }), "{error}");
    assert_eq!((&*failed, line), ("/list/1/b", 3));
    let alias = text.replace("*a\n  c", "x\n  c");
    let (failed, line, error) = fail(&alias, &[first.clone(), replace("/list/0/a/p", json!(2))]);
    assert!(matches!(error, EditError::MergeKey(_)), "{error}");
    assert_eq!((&*failed, line), ("/list/3/g/p", 9));
    let (failed, line, error) = fail(text, &[first.clone(), remove("/list/1/c/d")]);
    assert!(matches!(error, EditError::InvalidYaml { .. }), "{error}");
    assert!(!error.to_string().contains("line 6"), "{error}");
    assert_eq!((&*failed, line), ("/list/2/f/0", 7));
    let (failed, line, _) = fail(text, &[first, replace("/list/1/c/x/y", json!(1))]);
    assert_eq!((&*failed, line), ("/list/1/c/x/y", 4));
}

#[test]
fn an_alias_is_restored_only_if_its_anchor_has_the_same_value() {
    let restored = |text: &str| edited(text, &[restore("/b/port", json!(8080), "*p")]);
    for (anchor, alias) in [("&p 8080", "*p"), ("&p 8081", "8080"), ("8080", "8080")] {
        for (open, close) in [("\n  ", "\n"), (" {", "} # c\n")] {
            let text = |port| format!("a: {anchor}\nb:{open}port: {port}{close}");
            assert_eq!(restored(&text("15020")), text(alias));
        }
    }
}

#[test]
fn an_alias_is_not_restored_in_json() {
    let restored = restore("/b", json!(8080), "*p");
    assert_eq!(
        edited(r#"{"a":8080,"b":1}"#, &[restored]),
        r#"{"a":8080,"b":8080}"#
    );
}

#[test]
fn a_saved_text_that_does_not_parse_affects_no_other_saved_text() {
    let texts = [
        ("/b", json!(8080), "*p", "*p"),
        ("/c", json!(8080), "*gone", "8080"),
        ("/d", json!("x"), "  \"x\"", "  \"x\""),
        ("/e", json!(7), "*p", "7"),
        ("/f", json!({"k": 8080}), "{k: *p}", "{k: *p}"),
        ("/g", json!([8080, 1]), "[*gone, 1]", "\n- 8080\n- 1"),
        (
            "/h",
            json!({"q": 1, "r": 2}),
            "{<<: *m, r: 2}",
            "{<<: *m, r: 2}",
        ),
        (
            "/i",
            json!({"q": 2, "r": 2}),
            "{<<: *m, r: 2}",
            "\n  q: 2\n  r: 2",
        ),
        ("/j", json!({"r": 2}), "{r: 2, <<: *m}", "\n  r: 2"),
        (
            "/k",
            json!({"q": 1, "s": {"q": 3}}),
            "\n  q: 1\n  s: {<<: *m}",
            "\n  q: 1\n  s:\n    q: 3",
        ),
        ("/l", json!({"q": 5}), "{q: 5, <<: *m}", "\n  q: 5"),
    ];
    let mut text = String::from("a: [&p 8080, &m {q: 1}]\n");
    let mut expected = text.clone();
    let mut edits = Vec::new();
    for (path, value, saved, restored) in texts {
        let key = &path[1..];
        text += &format!("{key}: 0\n");
        let gap = if restored.starts_with([' ', '\n']) {
            ""
        } else {
            " "
        };
        expected += &format!("{key}:{gap}{restored}\n");
        edits.push(restore(path, value, saved));
    }
    assert_eq!(edited(&text, &edits), expected);
}

#[test]
fn a_thousand_aliases_without_their_anchor_are_expanded_in_one_pass() {
    let mut text = String::from("a: &p 8080\n");
    let mut edits = Vec::new();
    for index in 0..1_000 {
        text += &format!("k{index}: 0\n");
        let alias = if index == 500 { "*p" } else { "*gone" };
        edits.push(restore(&format!("/k{index}"), json!(8080), alias));
    }
    let new = edited(&text, &edits);
    assert_eq!(new.matches(": 8080\n").count(), 999);
    assert!(new.contains("k500: *p\n"));
}

#[test]
fn a_null_becomes_a_mapping_and_is_restored() {
    for null in ["", " null", " ~", "   ~", " !!null ''", "\n    null"] {
        for comment in ["", " # none", "   "] {
            for end in ["", "\n", "\n  z: 1\n", "\r\n  z: 1\r\n"] {
                let text = format!("p:\n  httpGet:{null}{comment}{end}");
                round_trip_of_null(&text);
            }
        }
    }
    for null in ["", " null", " ~", "  null", " ~ "] {
        for text in [
            format!("p: {{httpGet:{null}}}\n"),
            format!("p: {{a: 1, httpGet:{null}, z: 1}} # c\n"),
            format!("p:\n  {{httpGet:{null},\n   z: 1}}\n"),
        ] {
            round_trip_of_null(&text);
        }
    }
    round_trip_of_null("{\"p\": {\"httpGet\": null}}");
    round_trip_of_null("p: {\"httpGet\":null}\n");
    round_trip_of_null("- httpGet:\n");
}

/// Replaces the null by a handler and restores the source text.
#[track_caller]
fn round_trip_of_null(text: &str) {
    let document = parsed(text);
    let path = ["/p/httpGet", "/0/httpGet"];
    let path = path
        .iter()
        .find(|path| pointer(path).resolve(document.value()).is_some());
    let handler = json!({"path": "/app-health/web/livez", "port": 15020});
    let edit = replace(path.expect("a path"), handler);
    let new = edited(text, core::slice::from_ref(&edit));
    let inverse = random::inverse(&document, &[edit]).expect("a source text");
    assert_eq!(edited(&new, &inverse), text, "{new}");
}

#[test]
fn a_block_mapping_becomes_null_and_is_restored_with_its_comments() {
    for block in [
        "\n    port: 80",
        " # socket\n    port: 80",
        "\n    # own\n    port: 80 # http\n    # below\n    host: x",
        "\n\n    port:\n      80",
        "\r\n    port: 80 # http\r\n    host: x",
        " !!map\n    port: 80",
        " {port: 80}",
        " {port: 80, # http\n    host: x}",
    ] {
        for end in ["", "\n", " # behind\n", "\n    # behind\n", "\n  z: 1\n"] {
            for start in ["p:\n  ", "p:\n- ", "p:\n- a: 1\n  "] {
                let text = format!("{start}tcpSocket:{block}{end}");
                let (text, path) = match start {
                    "p:\n  " => (text, "/p/tcpSocket"),
                    _ => (text, "/p/0/tcpSocket"),
                };
                round_trip_to_null(&text, path);
            }
        }
    }
}

#[track_caller]
fn round_trip_to_null(text: &str, path: &str) {
    let document = parsed(text);
    let edit = replace(path, json!(null));
    let new = edited(text, core::slice::from_ref(&edit));
    assert!(new.contains("tcpSocket: null"), "{new}");
    let inverse = random::inverse(&document, &[edit]).expect("a source text");
    assert_eq!(edited(&new, &inverse), text, "{new}");
}

#[test]
fn a_binary_scalar_is_replaced_with_its_tag_and_restored() {
    for text in [
        "path: !!binary L2Zvbw== # /foo\n",
        "{path: !!binary 'L2Zvbw==', a: 1}\n",
    ] {
        let path = if text.starts_with('{') {
            "{path: /bar, a: 1}\n"
        } else {
            "path: /bar # /foo\n"
        };
        round_trip(text, &[replace("/path", json!("/bar"))], path);
    }
}

#[test]
fn a_comment_after_a_dash_is_restored_with_its_collection() {
    round_trip(
        "- # c\n  a: 1\n- 2\n",
        &[replace("/0", json!({"b": 1}))],
        "- b: 1\n- 2\n",
    );
    round_trip(
        "-  \n  - 1\n  - 2\n",
        &[replace("/0", json!([3, {"a": 1, "b": 2}]))],
        "- - 3\n  - a: 1\n    b: 2\n",
    );
    round_trip("- # c\n  a: 1\n", &[replace("/0", json!("x"))], "- x # c\n");
}

#[test]
fn blanks_at_the_end_of_input_belong_to_a_block_scalar_if_they_are_deeper_than_it() {
    let edits = [replace("/spec", json!("yes"))];
    // The last line is content of one blank.
    round_trip("spec:\n | #\n a\n  ", &edits, "spec: 'yes'");
    round_trip("spec: |\n a\n  ", &edits, "spec: 'yes'");
    round_trip("spec: |\n \t\n  ", &edits, "spec: 'yes'");
    round_trip("spec: >\n  \u{a0}\n\n   ", &edits, "spec: 'yes'");
    // These are not.
    round_trip("spec: |\n  \t\n  ", &edits, "spec: 'yes'\n  ");
    round_trip("spec: |\n a\n ", &edits, "spec: 'yes'\n ");
    round_trip("spec: |\n a\n  \n", &edits, "spec: 'yes'\n");
}

#[test]
fn a_comment_of_a_block_scalar_is_not_part_of_its_header() {
    for comment in ["", " # c", " # +", "\t# c", "\t# +", " \t # c"] {
        let text = format!("a: |{comment}\n  x\n\nb: 1\n");
        round_trip(&text, &[replace("/a", json!("yes"))], "a: 'yes'\n\nb: 1\n");
    }
}

#[test]
fn blanks_at_the_end_of_input_stay_after_a_scalar_on_another_line() {
    for text in [
        "- \n\n gL ",
        "-\n gL ",
        "- # c\n gL # c",
        "-  \n [1]  # d\n",
    ] {
        let edit = replace("/0", json!("yes"));
        let document = parsed(text);
        let new = edited(text, core::slice::from_ref(&edit));
        let inverse = random::inverse(&document, &[edit]).expect("a source text");
        assert_eq!(edited(&new, &inverse), text, "{new}");
    }
}
