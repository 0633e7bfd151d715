//! Where lines and blanks are in a source text. All positions are bytes.

/// The line and column of a position, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    (line, column(text, at) + 1)
}

/// The position of a line and column, both from 1.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let mut start = line_start(text, 0);
    for _ in 1..line {
        start = next_line(text, start).unwrap_or(text.len());
    }
    let mut chars = text[start..].char_indices();
    chars
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(far, _)| start + far)
}

/// How many characters a position is from the start of its line.
pub(super) fn column(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    let line = text.get(line_start(text, at)..at).unwrap_or_default();
    line.strip_prefix('\u{feff}')
        .unwrap_or(line)
        .chars()
        .count()
}

/// Where the line of a position begins, behind a byte order mark.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let mark = if text.starts_with('\u{feff}') { 3 } else { 0 };
    memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(mark.min(at), |newline| newline + 1)
}

/// Where the line of a position ends: at its line break, CRLF or LF, or at the end of the text.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |far| at + far);
    end - usize::from(end > at && end < text.len() && text.as_bytes()[end - 1] == b'\r')
}

/// Where the line after that of a position begins; none behind the last.
pub(super) fn next_line(text: &str, at: usize) -> Option<usize> {
    memchr::memchr(b'\n', &text.as_bytes()[at..]).map(|far| at + far + 1)
}

/// Where the line ends whose line break is in front of this position.
pub(super) fn unbroken(text: &str, at: usize) -> Option<usize> {
    let line = text[..at].strip_suffix('\n')?;
    Some(line.strip_suffix('\r').unwrap_or(line).len())
}

/// The first position from there that is neither blank nor inside a comment.
pub(super) fn skip(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\r' | b'\n') => {
                at = line_end(text, at);
            }
            _ => break,
        }
    }
    at
}

/// The first position from there that is no space or tab.
pub(super) fn skip_blanks(text: &str, at: usize) -> usize {
    let blanks = text.as_bytes()[at..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'));
    at + blanks.count()
}

/// The line break of a text: that of its first line.
pub(super) fn newline(text: &str) -> &'static str {
    match memchr::memchr(b'\n', text.as_bytes()) {
        Some(at) if at > 0 && text.as_bytes()[at - 1] == b'\r' => "\r\n",
        _ => "\n",
    }
}
