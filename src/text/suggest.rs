//! Suggestions for a misspelt name.

/// The name that was probably meant: the only one that starts with the text, else the one within 3 edits and fewer
/// edits than half of its length.
pub(crate) fn suggest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.collect();
    let mut longer = names.iter().filter(|name| name.starts_with(text));
    if let (Some(name), None, true) = (longer.next(), longer.next(), text.len() > 4) {
        return Some(name);
    }
    let near = by_edit_distance(text, names.into_iter())
        .filter(|(distance, name)| *distance <= 3 && *distance * 2 < name.len());
    near.map(|(_, name)| name)
}

/// The name with the smallest edit distance, and that distance.
pub(crate) fn by_edit_distance<'a>(
    text: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    names.map(|name| (edit_distance(text, name), name)).min()
}

/// The Levenshtein distance: bytes to insert, remove or replace to turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
