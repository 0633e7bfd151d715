//! Lines, columns and blanks of a source text. All offsets are in bytes. A line ends with LF or CRLF: the parser rejects
//! texts with a carriage return alone, which YAML would read as a third line break (YAML 1.2.2 section 5.4).

/// The first carriage return without a line feed after it.
pub(super) fn lone_carriage_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'\r', bytes).find(|offset| bytes.get(offset + 1) != Some(&b'\n'))
}

/// The line and column of an offset, both from 1.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    (line, column_index(text, offset) + 1)
}

/// The offset of a line and column, both from 1.
pub(super) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = line_start(text, 0);
    for _ in 1..line {
        start = next_line(text, start).unwrap_or(text.len());
    }
    let mut chars = text[start..].char_indices();
    chars
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(length, _)| start + length)
}

/// The number of characters before an offset in its line, from 0.
pub(super) fn column_index(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    let line = text
        .get(line_start(text, offset)..offset)
        .unwrap_or_default();
    line.strip_prefix('\u{feff}')
        .unwrap_or(line)
        .chars()
        .count()
}

/// The offset at which the line of an offset starts, after a byte order mark.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    let mark = if text.starts_with('\u{feff}') { 3 } else { 0 };
    memchr::memrchr(b'\n', &text.as_bytes()[..offset])
        .map_or(mark.min(offset), |newline| newline + 1)
}

/// The offset at which the line of an offset ends: its line break (CRLF or LF), or the end of the text.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    let newline = memchr::memchr(b'\n', &text.as_bytes()[offset..]);
    let end = newline.map_or(text.len(), |length| offset + length);
    end - usize::from(end > offset && end < text.len() && text.as_bytes()[end - 1] == b'\r')
}

/// The offset at which the next line starts; `None` on the last line.
pub(super) fn next_line(text: &str, offset: usize) -> Option<usize> {
    memchr::memchr(b'\n', &text.as_bytes()[offset..]).map(|length| offset + length + 1)
}

/// The offset at which the previous line ends, if `offset` is at the start of a line.
pub(super) fn previous_line_end(text: &str, offset: usize) -> Option<usize> {
    let line = text[..offset].strip_suffix('\n')?;
    Some(line.strip_suffix('\r').unwrap_or(line).len())
}

/// Skips white space, line breaks and comments.
pub(super) fn skip_comments(text: &str, mut offset: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(offset) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => offset += 1,
            b'#' if offset == 0 || matches!(bytes[offset - 1], b' ' | b'\t' | b'\r' | b'\n') => {
                offset = line_end(text, offset);
            }
            _ => break,
        }
    }
    offset
}

/// Skips spaces and tabs.
pub(super) fn skip_blanks(text: &str, offset: usize) -> usize {
    let blanks = text.as_bytes()[offset..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'));
    offset + blanks.count()
}

/// The line break of the first line. All lines are assumed to have the same.
pub(super) fn line_break(text: &str) -> &'static str {
    match memchr::memchr(b'\n', text.as_bytes()) {
        Some(offset) if offset > 0 && text.as_bytes()[offset - 1] == b'\r' => "\r\n",
        _ => "\n",
    }
}
