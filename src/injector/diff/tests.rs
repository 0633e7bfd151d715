//! Hunks as `diff -u` makes them.

use super::*;

/// The diff of documents, each as it was and is.
fn diff(documents: &[(&str, &str)]) -> String {
    let mut file = FileDiff {
        name: Some("app.yaml".into()),
        ..FileDiff::default()
    };
    let mut shown = String::new();
    for (was, is) in documents {
        for change in TextDiff::from_slices(&lines(was), &lines(is)).iter_all_changes() {
            shown += &file.line(change.tag(), change.value());
        }
    }
    shown + &file.hunk()
}

#[test]
fn a_change_has_three_lines_around_it_whatever_document_they_are_of() {
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
fn changes_six_lines_apart_share_a_hunk_and_seven_do_not() {
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
fn what_is_as_it_was_shows_nothing() {
    assert_eq!(diff(&[("1\n2\n", "1\n2\n")]), "");
}

#[test]
fn a_missing_line_end_is_told() {
    assert_eq!(
        diff(&[("a", "b")]),
        "--- a/app.yaml\n+++ b/app.yaml\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\
         \\ No newline at end of file\n"
    );
}
