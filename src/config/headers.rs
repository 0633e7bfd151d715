//! `httpHeaders` as kubelet's Go client would send them: names in canonical case, sorted by name,
//! values of one name in the order they were written.

use super::Header;
use crate::wire::class;
use crate::wire::fields::UNSENT_FIELDS;
use crate::wire::upstream::canonical;

/// The name in canonical case, if it is a token.
pub(crate) fn canonical_name(text: &str) -> Option<Box<str>> {
    if text.is_empty() || !text.bytes().all(|byte| class::is(class::TOKEN, byte)) {
        return None;
    }
    let name: String = canonical(text.as_bytes()).map(char::from).collect();
    Some(name.into())
}

/// Whether Go's client would send the value (`httpguts.ValidHeaderFieldValue`).
pub(crate) fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| class::is(class::VALUE, byte))
}

/// The value as Go writes it (`net/textproto`: `TrimString`).
pub(crate) fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// Separates the first `Host`, and sorts the other headers as they are sent. To Go, an empty first `Host` is none. Go
/// sends only the first `User-Agent`, and no further `Accept` after an empty one. An empty one prevents kubelet's own
/// from being sent.
pub(crate) fn as_sent(written: Vec<Header>) -> (Option<Box<str>>, Box<[Header]>) {
    // Inserted one by one: a sort of std's is several kilobytes of code for a handful of fields.
    let mut list: Vec<Header> = Vec::with_capacity(written.len());
    for header in written {
        let index = list.partition_point(|other| other.name <= header.name);
        list.insert(index, header);
    }
    let host = list.iter().find(|header| *header.name == *"Host");
    let host = host
        .filter(|host| !host.value.is_empty())
        .map(|host| host.value.clone());
    list.retain(|header| *header.name != *"Host" && !UNSENT_FIELDS.contains(&&*header.name));
    for once in ["User-Agent", "Accept"] {
        let Some(first) = list.iter().position(|header| *header.name == *once) else {
            continue;
        };
        if once == "Accept" && !list[first].value.is_empty() {
            continue;
        }
        let next = first + 1;
        while list.get(next).is_some_and(|header| *header.name == *once) {
            list.remove(next);
        }
    }
    (host, list.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Vec<Header> {
        let header = |&(n, value): &(&str, &str)| Header {
            name: canonical_name(n).expect("a token"),
            value: trim(value).into(),
        };
        list.iter().map(header).collect()
    }

    fn sent(list: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
        let (host, list) = as_sent(headers(list));
        let line = |header: &Header| format!("{}: {}", header.name, header.value);
        (host.map(Into::into), list.iter().map(line).collect())
    }

    #[test]
    fn names_become_canonical() {
        for (typed, expected) in [
            ("x-a", "X-A"),
            ("ACCEPT-encoding", "Accept-Encoding"),
            ("etag", "Etag"),
            ("x_y-9z", "X_y-9z"),
            ("--a", "--A"),
        ] {
            assert_eq!(canonical_name(typed).as_deref(), Some(expected));
        }
    }

    #[test]
    fn names_that_are_not_tokens_are_refused() {
        for typed in ["", "a b", "a:", "a\r\n", "é", "a/b", "(a)"] {
            assert_eq!(canonical_name(typed), None, "{typed:?}");
        }
    }

    #[test]
    fn order_is_by_name_and_then_as_written() {
        let (_, lines) = sent(&[("x-b", "1"), ("x-a", "2"), ("X-B", " 0\t"), ("x-a", "1")]);
        assert_eq!(lines, ["X-A: 2", "X-A: 1", "X-B: 1", "X-B: 0"]);
    }

    #[test]
    fn the_first_host_counts_and_none_is_left_in_the_list() {
        let (host, lines) = sent(&[("host", "a.example"), ("X-A", "1"), ("Host", "b.example")]);
        assert_eq!(
            (host.as_deref(), lines),
            (Some("a.example"), vec!["X-A: 1".into()])
        );
        assert_eq!(sent(&[("Host", ""), ("Host", "b.example")]).0, None);
    }

    #[test]
    fn fields_of_the_connection_are_left_out() {
        let (_, lines) = sent(&[
            ("connection", "keep-alive"),
            ("content-length", "5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
        ]);
        assert!(lines.is_empty(), "{lines:?}");
    }

    #[test]
    fn an_empty_first_accept_or_user_agent_is_the_only_one() {
        let (_, lines) = sent(&[("accept", ""), ("Accept", "x"), ("user-agent", " ")]);
        assert_eq!(lines, ["Accept: ", "User-Agent: "]);
        let (_, lines) = sent(&[
            ("accept", "a"),
            ("accept", "b"),
            ("user-agent", "c"),
            ("User-Agent", "d"),
        ]);
        assert_eq!(lines, ["Accept: a", "Accept: b", "User-Agent: c"]);
    }
}
