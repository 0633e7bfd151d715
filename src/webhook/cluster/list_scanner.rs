//! Splits a List of the API server into its items while it arrives. One item is in memory at a time, however long the
//! List is.

use crate::limits;
use serde_json::Value;

/// Splits a List.
#[derive(Debug, Default)]
pub struct ListScanner {
    /// The List without its items.
    rest: Vec<u8>,
    item: Vec<u8>,
    place: Place,
    /// Open objects and arrays.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// Where in `rest` the last string of the outermost object starts.
    string_start: usize,
    /// Whether that string is the key `items`.
    is_after_items_key: bool,
    /// Whether the item has more bytes than `limits::LIST_ITEM_BYTES`.
    is_item_too_large: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Rest,
    /// The space before an item.
    BetweenItems,
    Item,
}

/// The depth inside the array of the items.
const ITEMS_DEPTH: usize = 2;

/// The List has more than `limits::LIST_REST_BYTES` besides its items, is incomplete, or is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedList;

/// The end of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScannedItem<'s> {
    /// Its JSON.
    Complete(&'s [u8]),
    /// It is too large, and its bytes are discarded.
    TooLarge,
}

impl ListScanner {
    /// Reads bytes up to the end of the next item. Returns the number of bytes used, and the item if it is complete.
    ///
    /// # Errors
    /// Too many bytes besides the items, or brackets that do not match.
    pub fn feed(
        &mut self,
        bytes: &[u8],
    ) -> Result<(usize, Option<ScannedItem<'_>>), MalformedList> {
        if self.place != Place::Item {
            self.item.clear();
            self.is_item_too_large = false;
        }
        let mut used = 0;
        while used < bytes.len() {
            let text = self.text_in_item(&bytes[used..]);
            if text > 0 {
                self.push_item(&bytes[used..used + text]);
                used += text;
                continue;
            }
            used += 1;
            if self.step(bytes[used - 1])? {
                let item = match self.is_item_too_large {
                    false => ScannedItem::Complete(&self.item),
                    true => ScannedItem::TooLarge,
                };
                return Ok((used, Some(item)));
            }
        }
        Ok((used, None))
    }

    /// The number of bytes that continue a string of an item: most bytes of a List.
    fn text_in_item(&self, bytes: &[u8]) -> usize {
        if self.place != Place::Item || !self.is_in_string || self.is_escaped {
            return 0;
        }
        let is_special = |byte: &u8| *byte == b'"' || *byte == b'\\';
        bytes.iter().position(is_special).unwrap_or(bytes.len())
    }

    fn push_item(&mut self, bytes: &[u8]) {
        if self.item.len() + bytes.len() > limits::LIST_ITEM_BYTES {
            self.is_item_too_large = true;
        } else {
            self.item.extend_from_slice(bytes);
        }
    }

    /// The token of the next page, if there is one, after the whole List.
    ///
    /// # Errors
    /// The List is incomplete or not JSON.
    pub fn finish(&self) -> Result<Option<Box<str>>, MalformedList> {
        let list: Value = serde_json::from_slice(&self.rest).map_err(|_| MalformedList)?;
        if !list["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"))
        {
            return Err(MalformedList);
        }
        let token = list["metadata"]["continue"].as_str();
        Ok(token.filter(|token| !token.is_empty()).map(Into::into))
    }

    /// Reads a byte. Returns whether it ends an item.
    fn step(&mut self, byte: u8) -> Result<bool, MalformedList> {
        match self.place {
            Place::Rest => self.step_in_rest(byte).map(|()| false),
            Place::BetweenItems => self.step_between_items(byte).map(|()| false),
            Place::Item => self.step_in_item(byte),
        }
    }

    fn step_in_rest(&mut self, byte: u8) -> Result<(), MalformedList> {
        if self.rest.len() >= limits::LIST_REST_BYTES {
            return Err(MalformedList);
        }
        let was_in_string = self.is_in_string;
        self.track(byte)?;
        if self.depth == 1 && self.is_in_string && !was_in_string {
            self.string_start = self.rest.len();
        }
        self.rest.push(byte);
        if self.depth == 1 && was_in_string && !self.is_in_string {
            self.is_after_items_key = &self.rest[self.string_start..] == b"\"items\"";
        }
        if byte == b'[' && !was_in_string && self.depth == ITEMS_DEPTH && self.is_after_items_key {
            self.place = Place::BetweenItems;
        }
        Ok(())
    }

    fn step_between_items(&mut self, byte: u8) -> Result<(), MalformedList> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
            b']' => {
                self.place = Place::Rest;
                self.is_after_items_key = false;
                self.step_in_rest(byte)?;
            }
            // An item of a List is an object.
            b'{' => {
                self.place = Place::Item;
                self.step_in_item(byte)?;
            }
            _ => return Err(MalformedList),
        }
        Ok(())
    }

    fn step_in_item(&mut self, byte: u8) -> Result<bool, MalformedList> {
        self.track(byte)?;
        self.push_item(&[byte]);
        let is_end = self.depth == ITEMS_DEPTH && !self.is_in_string;
        if is_end {
            self.place = Place::BetweenItems;
        }
        Ok(is_end)
    }

    /// Tracks strings and brackets.
    fn track(&mut self, byte: u8) -> Result<(), MalformedList> {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = self.is_in_string,
            b'"' => self.is_in_string = !self.is_in_string,
            b'{' | b'[' if !self.is_in_string => self.depth += 1,
            b'}' | b']' if !self.is_in_string => {
                self.depth = self.depth.checked_sub(1).ok_or(MalformedList)?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Split = Result<(Vec<String>, Option<Box<str>>), MalformedList>;

    /// The items of a List that arrives in pieces of this size, and the token of the next page.
    fn split(list: &str, piece: usize) -> Split {
        let (mut scanner, mut items) = (ListScanner::default(), Vec::new());
        for mut bytes in list.as_bytes().chunks(piece) {
            while !bytes.is_empty() {
                let (used, item) = scanner.feed(bytes)?;
                bytes = &bytes[used..];
                items.extend(item.map(|item| match item {
                    ScannedItem::Complete(json) => String::from_utf8_lossy(json).into_owned(),
                    ScannedItem::TooLarge => "too large".into(),
                }));
            }
        }
        Ok((items, scanner.finish()?))
    }

    #[test]
    fn the_items_of_a_list_are_split_however_it_arrives() {
        let items = [
            json!({"metadata": {"name": "a]}\"\\", "labels": {"items": "["}}}),
            json!({}),
            json!({"items": [{"items": []}, "}"]}),
        ];
        let list = json!({
            "kind": "PodList",
            "metadata": {"continue": "abc", "items": ["not these"]},
            "items": items,
            "note": "items",
        });
        let expected: Vec<String> = items.iter().map(Value::to_string).collect();
        for text in [
            list.to_string(),
            serde_json::to_string_pretty(&list).expect("JSON"),
        ] {
            for piece in [1, 2, 7, text.len()] {
                let (items, token) = split(&text, piece).expect("a List");
                let parse = |item: &String| serde_json::from_str(item).expect("JSON");
                let found: Vec<Value> = items.iter().map(parse).collect();
                let wanted: Vec<Value> = expected.iter().map(parse).collect();
                assert_eq!(found, wanted);
                assert_eq!(token.as_deref(), Some("abc"));
            }
        }
    }

    #[test]
    fn the_last_page_has_no_token_and_an_empty_list_no_items() {
        for list in [
            r#"{"kind":"PodList","metadata":{"continue":""},"items":[]}"#,
            r#"{"kind":"PodList","metadata":{},"items":null}"#,
            r#"{"kind":"PodList"}"#,
        ] {
            assert_eq!(split(list, 3), Ok((Vec::new(), None)), "{list}");
        }
    }

    #[test]
    fn what_is_not_a_complete_list_is_malformed() {
        for list in [
            "",
            "]",
            "{}",
            "[]",
            r#"{"kind":"PodList","items":[{"a":1}"#,
            r#"{"kind":"PodList","items":[1]}"#,
            r#"{"kind":"Status","message":"no"}"#,
        ] {
            assert_eq!(split(list, 2), Err(MalformedList), "{list}");
        }
        let long = "a".repeat(limits::LIST_REST_BYTES);
        let list = json!({"kind": "PodList", "metadata": {"a": long}}).to_string();
        assert_eq!(split(&list, 4096), Err(MalformedList));
    }

    #[test]
    fn an_item_that_is_too_large_is_discarded_and_the_others_are_not() {
        let large = json!({"a": "x".repeat(limits::LIST_ITEM_BYTES)});
        let list = json!({"kind": "PodList", "items": [{"b": 1}, large, {"c": 1}]});
        let (items, _) = split(&list.to_string(), 16 * 1024).expect("a List");
        assert_eq!(items, [r#"{"b":1}"#, "too large", r#"{"c":1}"#]);
    }
}
