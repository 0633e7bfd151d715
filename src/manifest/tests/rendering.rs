//! Rendering of new values, which readers of YAML 1.1 and of YAML 1.2 have to parse alike.

use super::*;

fn block(value: Value) -> String {
    edited("k: 1\n", &[replace("/k", value)])
}

fn flow(value: Value) -> String {
    edited("[1, 'not JSON']\n", &[replace("/0", value)])
}

#[test]
fn strings_are_plain_if_all_readers_agree() {
    for plain in [
        "web",
        "/healthz",
        "--forward=15032=10.0.0.1:8002",
        "a b",
        "docker.io/x/y:1.2",
        "$(POD_IP)",
        "100m",
        "-x",
    ] {
        assert_eq!(block(json!(plain)), format!("k: {plain}\n"));
    }
}

#[test]
fn strings_that_some_reader_parses_as_another_type_are_quoted() {
    for quoted in [
        "",
        "yes",
        "No",
        "NULL",
        "nUll",
        "~",
        "15020",
        "0755",
        "1e3",
        "1_000",
        "1,000",
        "9100,15032",
        ".5",
        "+1",
        "0x1f",
        "12:30:45",
        "2001-01-01",
        "1.10",
        "0o7",
        ".inf",
        "-.INF",
        "=",
        "<<",
        "- a",
        "-",
        "---",
        "a: b",
        "a#b",
        "a #b",
        "#a",
        "a:",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "[a",
        "{a",
        "'a'",
        "\"a\"",
        "a ",
        " a",
        "? a",
        ":a",
        ",a",
        "caf\u{e9}",
    ] {
        let expected = format!("k: '{}'\n", quoted.replace('\'', "''"));
        assert_eq!(block(json!(quoted)), expected);
    }
}

#[test]
fn strings_that_need_escapes_are_in_double_quotes() {
    assert_eq!(
        block(json!("a\n\t\"\\\u{85}\u{feff}")),
        "k: \"a\\n\\t\\\"\\\\\\u0085\\ufeff\"\n"
    );
}

#[test]
fn a_string_has_the_quotes_of_the_string_it_replaces() {
    for (was, is) in [
        ("/a", "/b"),
        ("'/a'", "'/b'"),
        ("\"/a\"", "\"/b\""),
        ("|\n  /a", "/b"),
        ("80", "/b"),
    ] {
        let text = edited(&format!("k: {was}\n"), &[replace("/k", json!("/b"))]);
        assert_eq!(text, format!("k: {is}\n"));
    }
    let text = edited("k: 'a'\n", &[replace("/k", json!("it's\n"))]);
    assert_eq!(text, "k: \"it's\\n\"\n");
    assert_eq!(edited("k: \"a\"\n", &[replace("/k", json!(1))]), "k: 1\n");
}

#[test]
fn flow_style_quotes_more_strings() {
    assert_eq!(flow(json!("a: b")), "['a: b', 'not JSON']\n");
    assert_eq!(flow(json!("a,b")), "['a,b', 'not JSON']\n");
    assert_eq!(
        flow(json!({"port": 80, "path": "/x", "m": null, "l": [1.5, true, {}]})),
        "[{l: [1.5, true, {}], m: null, path: /x, port: 80}, 'not JSON']\n"
    );
}

#[test]
fn containers_start_with_their_names() {
    let container = json!({
        "securityContext": {"runAsUser": 1}, "env": [{"value": "v", "name": "e"}], "args": [], "image": "i", "name": "c",
        "restartPolicy": "Always", "ports": [[1, 2], []]
    });
    assert_eq!(
        block(json!([container])),
        "\
k:
- name: c
  image: i
  restartPolicy: Always
  args: []
  env:
  - name: e
    value: v
  ports:
  - - 1
    - 2
  - []
  securityContext:
    runAsUser: 1
"
    );
}
