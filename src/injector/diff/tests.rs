//! Hunks as `diff -u` makes them.

use super::*;

/// The diff of documents, each with its original and its edited text.
fn diff(documents: &[(&str, &str)]) -> String {
    let mut file = FileDiff {
        name: Some("app.yaml".into()),
        ..FileDiff::default()
    };
    let mut text = String::new();
    for (original, edited) in documents {
        for change in TextDiff::from_slices(&lines(original), &lines(edited)).iter_all_changes() {
            text += &file.push_line(change.tag(), change.value());
        }
    }
    text + &file.take_hunk()
}

#[test]
fn a_change_has_three_lines_of_context_from_any_document() {
    assert_eq!(
        diff(&[
            ("1\n2\n3\n4\n", "1\n2\n3\n4\n"),
            ("a\n", "b\nc\n"),
            ("5\n6\n7\n8\n", "5\n6\n7\n8\n")
        ]),
        "--- a/app.yaml\n+++ b/app.yaml\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-a\n+b\n+c\n 5\n 6\n 7\n"
    );
}

#[test]
fn changes_with_six_lines_between_them_share_a_hunk_and_with_seven_do_not() {
    let with = |between| [("a\n", "b\n"), (between, between), ("c\n", "")];
    assert_eq!(
        diff(&with("1\n2\n3\n4\n5\n6\n")),
        "--- a/app.yaml\n+++ b/app.yaml\n@@ -1,8 +1,7 @@\n-a\n+b\n 1\n 2\n 3\n 4\n 5\n 6\n-c\n"
    );
    assert_eq!(
        diff(&with("1\n2\n3\n4\n5\n6\n7\n")),
        "--- a/app.yaml\n+++ b/app.yaml\n@@ -1,4 +1,4 @@\n-a\n+b\n 1\n 2\n 3\n@@ -6,4 +6,3 @@\n 5\n 6\n 7\n-c\n"
    );
}

#[test]
fn an_unchanged_document_has_no_diff() {
    assert_eq!(diff(&[("1\n2\n", "1\n2\n")]), "");
}

#[test]
fn a_missing_line_end_is_marked() {
    assert_eq!(
        diff(&[("a", "b")]),
        "--- a/app.yaml\n+++ b/app.yaml\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\
         \\ No newline at end of file\n"
    );
}
