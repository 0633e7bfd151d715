//! Response heads that Go's client accepts and rejects, each input in every split: whole, in two, byte by byte.

use super::*;

mod framing;
mod status_line;

const ROOM: usize = 16;

/// The result, and the stored `Location`.
type Verdict = (Result<ParsedResponse, ResponseError>, Vec<u8>);

fn verdict(input: &[u8]) -> Verdict {
    let whole = arriving(input, [input]);
    for cut in 0..=input.len() {
        let (start, end) = input.split_at(cut);
        assert_eq!(
            arriving(input, [start, end]),
            whole,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    assert_eq!(
        arriving(input, input.chunks(1)),
        whole,
        "byte by byte: {}",
        input.escape_ascii()
    );
    whole
}

/// `used` counts from the start of `input`, so that it is the same for every split.
fn arriving<'a>(input: &[u8], pieces: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
    let mut parser = ResponseParser::new();
    let mut location = [0; ROOM];
    let mut before = 0;
    for piece in pieces {
        match parser.feed(piece, &mut location) {
            Ok(ParsedResponse::Partial) => before += piece.len(),
            Ok(ParsedResponse::Complete { used, head }) => {
                let stored = match head.location {
                    Location::Stored(len) => location[..len].to_vec(),
                    _ => Vec::new(),
                };
                let used = before + used;
                return (Ok(ParsedResponse::Complete { used, head }), stored);
            }
            Err(error) => return (Err(error), Vec::new()),
        }
    }
    assert_eq!(before, input.len());
    (Ok(ParsedResponse::Partial), Vec::new())
}

#[track_caller]
fn head(input: &str) -> ResponseHead {
    match verdict(input.as_bytes()).0 {
        Ok(ParsedResponse::Complete { used, head }) => {
            assert_eq!(used, input.len(), "{input:?}");
            head
        }
        other => panic!("{input:?}: {other:?}"),
    }
}

#[track_caller]
fn rejected(input: impl AsRef<[u8]>, error: ResponseError) {
    let input = input.as_ref();
    assert_eq!(verdict(input).0, Err(error), "{}", input.escape_ascii());
}

#[track_caller]
fn malformed(input: impl AsRef<[u8]>) {
    rejected(input, ResponseError::Malformed);
}

fn with(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n")
}

fn framing(lines: &str) -> Framing {
    head(&with(lines)).framing
}

fn location(lines: &str) -> (Location, Vec<u8>) {
    let input = with(lines);
    (head(&input).location, verdict(input.as_bytes()).1)
}

#[test]
fn a_head_is_parsed_and_the_body_is_not() {
    let input = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok";
    let expected = ResponseHead {
        status: 200,
        framing: Framing::Length(2),
        location: Location::Absent,
    };
    let used = input.len() - 2;
    assert_eq!(
        verdict(input).0,
        Ok(ParsedResponse::Complete {
            used,
            head: expected
        })
    );
    for end in 0..used {
        assert_eq!(
            verdict(&input[..end]).0,
            Ok(ParsedResponse::Partial),
            "{end}"
        );
    }
}

/// RFC 9112 section 2.2 allows a recipient to accept a bare LF, and Go does.
#[test]
fn bare_lf_ends_a_line() {
    assert_eq!(
        head("HTTP/1.1 503 x\nContent-Length: 7\n\n").framing,
        Framing::Length(7)
    );
    assert_eq!(head("HTTP/1.1 503\nA: b\r\n\n").status, 503);
}

/// RFC 9110 section 15.2.
#[test]
fn interim_heads_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLocation: /a\r\nContent-Length: 9\r\n\r\n";
    let head = head(&format!("{interim}HTTP/1.1 204 x\r\n\r\n"));
    assert_eq!((head.status, head.location), (204, Location::Absent));
    malformed("HTTP/1.1 100 x\r\nContent-Length: x\r\n\r\n");
    rejected(
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 101 x\r\n\r\n",
        ResponseError::SwitchingProtocols,
    );
    assert_eq!(
        verdict(b"HTTP/1.1 100 x\r\n\r\n").0,
        Ok(ParsedResponse::Partial)
    );
}

/// golang/go#34540: such a field is accepted and ignored.
#[test]
fn a_name_with_a_space_is_another_field() {
    for line in [
        "Content-Length : 5\r\n",
        "Content Length: 5\r\n",
        "Transfer-Encoding : x\r\n",
    ] {
        assert_eq!(framing(line), Framing::UntilClose);
    }
}

#[test]
fn lines_that_are_no_fields_are_malformed() {
    for line in [
        "A",
        ": b",
        "A\t: b",
        "A(: b",
        "\u{e4}: b",
        "A: b\0",
        "A: \u{7f}",
        "A: b\rc",
        "A: b\r",
        "\rA: b",
    ] {
        malformed(with(&format!("{line}\r\n")));
    }
    malformed(with(" A: b\r\n"));
    malformed(with("\tA: b\r\n"));
}

#[test]
fn obs_text_and_tabs_are_values() {
    assert_eq!(framing("A: \u{e4}\tb\r\n"), Framing::UntilClose);
}

/// RFC 9112 section 5.2, as `readContinuedLineSlice` joins lines.
#[test]
fn folded_lines_belong_to_the_value() {
    assert_eq!(
        framing("A: b\r\n Content-Length: 5\r\n"),
        Framing::UntilClose
    );
    assert_eq!(framing("Content-Length:\r\n 5\r\n"), Framing::Length(5));
    assert_eq!(framing("Content-Length: 5\r\n \r\n"), Framing::Length(5));
    assert_eq!(
        framing("Transfer-Encoding: \n\tchunked\n"),
        Framing::Chunked
    );
    malformed(with("Content-Length: 5\r\n 5\r\n"));
    malformed(with("Transfer-Encoding: chunked\r\n \r\n"));
    malformed(with("Transfer-Encoding: chun\r\n ked\r\n"));
}

#[test]
fn the_first_location_is_stored() {
    assert_eq!(
        location("location:  /a \t \r\nLocation: /b\r\n"),
        (Location::Stored(2), b"/a".into())
    );
    assert_eq!(
        location("Location: /a \tb\r\n"),
        (Location::Stored(5), b"/a \tb".into())
    );
    assert_eq!(
        location("Location:\r\n /a \r\n\t b\r\n"),
        (Location::Stored(4), b"/a b".into())
    );
    assert_eq!(
        location("Location: /a\r\n \r\n"),
        (Location::Stored(3), b"/a ".into())
    );
    assert_eq!(location("Location : /a\r\n").0, Location::Absent);
    assert_eq!(
        location("Location: \r\nLocation: /b\r\n").0,
        Location::Absent
    );
}

#[test]
fn a_location_is_stored_if_it_fits() {
    let exact = "x".repeat(ROOM);
    assert_eq!(
        location(&format!("Location: {exact}\r\n")),
        (Location::Stored(ROOM), exact.clone().into())
    );
    assert_eq!(
        location(&format!("Location: {exact}{}\r\n", " ".repeat(9))).0,
        Location::Stored(ROOM)
    );
    assert_eq!(
        location(&format!("Location: {exact}x\r\n")).0,
        Location::TooLong
    );
    assert_eq!(
        location(&format!("Location: {exact}\r\n \r\n")).0,
        Location::TooLong
    );
}

/// Go's `Transport` counts interim heads in (`readResponse`: "limit the size of all headers").
#[test]
fn heads_share_one_budget() {
    const INTERIM: &[u8] = b"HTTP/1.1 100 x\r\n\r\n";
    let budget = usize::try_from(RESPONSE_HEAD_BYTES).unwrap();
    let filled = |spare: usize| {
        let mut input = INTERIM.to_vec();
        input.extend_from_slice(b"HTTP/1.1 200 OK\r\nA: ");
        input.resize(budget - spare, b'x');
        input.extend_from_slice(b"\r\n\r\n");
        input
    };
    let exact = filled(4);
    assert!(
        matches!(arriving(&exact, [&exact[..]]).0, Ok(ParsedResponse::Complete { used, .. }) if used == budget)
    );
    for piece in [999, 4096, budget] {
        assert!(matches!(
            arriving(&exact, exact.chunks(piece)).0,
            Ok(ParsedResponse::Complete { .. })
        ));
        let over = filled(3);
        assert_eq!(
            arriving(&over, over.chunks(piece)).0,
            Err(ResponseError::TooLarge)
        );
        assert_eq!(
            arriving(&over, over[..budget].chunks(piece)).0,
            Err(ResponseError::TooLarge)
        );
    }
    let endless = INTERIM.repeat(budget / INTERIM.len() + 1);
    assert_eq!(
        arriving(&endless, endless.chunks(4096)).0,
        Err(ResponseError::TooLarge)
    );
}
