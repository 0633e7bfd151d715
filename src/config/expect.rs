//! The response that an HTTP probe expects: `"expect": {"status": "200-299,401", "body": "text"}` of a prober.

use crate::limits;

/// The response that counts as a success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Its status codes.
    pub status: StatusList,
    /// Text that its body contains.
    pub body: Option<BodyText>,
}

/// Status codes, such as `200-299,401`. The default is kubelet's (`pkg/probe/http/http.go`: 200 to 399).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList(Box<[(u16, u16)]>);

impl Default for StatusList {
    fn default() -> StatusList {
        StatusList([(200, 399)].into())
    }
}

impl StatusList {
    /// Parses codes and ranges of codes from 100 to 599, separated by commas. At most
    /// [`EXPECTED_STATUS_ITEMS`](limits::EXPECTED_STATUS_ITEMS).
    pub fn parse(text: &str) -> Option<StatusList> {
        let items = text.split(',').map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (parse_code(first)?, parse_code(last)?);
            (first <= last).then_some((first, last))
        });
        let items: Box<[_]> = items.collect::<Option<_>>()?;
        (items.len() <= limits::EXPECTED_STATUS_ITEMS).then_some(StatusList(items))
    }

    /// Whether the list has this code.
    pub fn contains(&self, status: u16) -> bool {
        let mut items = self.0.iter();
        items.any(|&(first, last)| (first..=last).contains(&status))
    }
}

fn parse_code(text: &str) -> Option<u16> {
    let text = text.trim_matches(' ');
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let code = text.parse().ok()?;
    (is_code && (100..=599).contains(&code)).then_some(code)
}

/// Text that is searched for in the part of a body that kubelet reads, as it is sent: byte by byte, and not decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyText {
    text: Box<str>,
    /// For each prefix of the text, the length of its longest proper suffix that is also a prefix (Knuth, Morris, Pratt):
    /// each byte of a body is read once, however the app splits it.
    borders: Box<[u8]>,
}

impl BodyText {
    /// Prepares the search. `None` if the text is empty, or longer than
    /// [`EXPECTED_BODY_BYTES`](limits::EXPECTED_BODY_BYTES).
    pub fn new(text: &str) -> Option<BodyText> {
        if !(1..=limits::EXPECTED_BODY_BYTES).contains(&text.len()) {
            return None;
        }
        let mut found = BodyText {
            text: text.into(),
            borders: vec![0; text.len()].into(),
        };
        let mut matched = 0;
        for (index, &byte) in text.as_bytes().iter().enumerate().skip(1) {
            matched = found.step(matched, byte);
            found.borders[index] = matched;
        }
        Some(found)
    }

    /// The number of matched bytes after one more byte of the body.
    fn step(&self, mut matched: u8, byte: u8) -> u8 {
        let text = self.text.as_bytes();
        while text.get(usize::from(matched)) != Some(&byte) {
            match matched {
                0 => return 0,
                _ => matched = self.borders[usize::from(matched) - 1],
            }
        }
        matched + 1
    }
}

/// A search for [`BodyText`] in one body.
pub struct BodySearch<'e> {
    text: &'e BodyText,
    /// Bytes of the text that the body so far ends with; all of them once it is found.
    matched: u8,
    /// Bytes of the body that are still searched.
    unread: u16,
}

// `BodySearch` counts them in these types.
const _: () = assert!(limits::RESPONSE_BODY_BYTES <= u16::MAX as u64);
const _: () = assert!(limits::EXPECTED_BODY_BYTES <= u8::MAX as usize);

impl<'e> BodySearch<'e> {
    /// At the start of a body.
    pub fn new(text: &'e BodyText) -> BodySearch<'e> {
        BodySearch {
            text,
            matched: 0,
            unread: limits::RESPONSE_BODY_BYTES as u16,
        }
    }

    /// Searches the next bytes of the body.
    #[inline(never)]
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.unread == 0 || self.is_found() {
                return;
            }
            self.unread -= 1;
            self.matched = self.text.step(self.matched, byte);
        }
    }

    /// Whether the body contains the text.
    pub fn is_found(&self) -> bool {
        usize::from(self.matched) == self.text.text.len()
    }
}

#[cfg(test)]
mod tests;
