//! Heads and trailers: status, `Location`, length, limits and gRPC's fields.

use super::*;

fn head(fields: &[(&str, &str)]) -> H2Head {
    accepted(&[headers(0, fields)]).head.expect("a head")
}

#[test]
fn a_status_is_parsed_as_by_atoi() {
    for (text, status) in [("200", 200), ("599", 599), ("+204", 204), ("0404", 404)] {
        assert_eq!(head(&[(":status", text)]).status, status);
    }
    for text in ["0", "99", "600", "-200", "99999"] {
        rejected(&[status(0, text)], H2Error::StatusOutOfRange);
    }
    for text in ["", "+", "-", "2e2", "200 ", "OK", "99999999999999999999"] {
        rejected(&[status(0, text)], H2Error::BadHead);
    }
    rejected(&[headers(0, &[("a", "b")])], H2Error::BadHead);
    rejected(&[headers(0, &[])], H2Error::BadHead);
}

/// Go `handleResponse`; 101 is one of them in HTTP/2.
#[test]
fn interim_heads_are_skipped() {
    let hints = headers(
        0,
        &[
            (":status", "103"),
            ("location", "/a"),
            ("content-length", "9"),
        ],
    );
    let observed = accepted(&[
        status(0, "100"),
        hints,
        status(0, "101"),
        status(END_STREAM, "200"),
    ]);
    let head = observed.head.expect("a head");
    assert_eq!(
        (head.status, head.location, head.content_length),
        (200, Location::Absent, None)
    );
    assert_eq!(accepted(&[status(0, "100")]).head, None);
    rejected(&[status(END_STREAM, "100")], H2Error::BadHead);
    rejected(&[status(0, "100"), data(0, b"x")], H2Error::Protocol);
}

#[test]
fn pseudo_fields_must_be_known_unique_and_first() {
    for fields in [
        &[("a", "b"), (":status", "200")][..],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":method", "GET")],
        &[(":status", "200"), (":x", "")],
        &[(":", "")],
    ] {
        rejected(&[headers(0, fields)], H2Error::BadHead);
    }
}

#[test]
fn invalid_names_and_values_are_rejected() {
    for (name, value) in [
        ("A", ""),
        ("", ""),
        ("a b", ""),
        ("a", "\n"),
        ("a", "\0"),
        ("\u{e4}", ""),
    ] {
        rejected(
            &[headers(0, &[(":status", "200"), (name, value)])],
            H2Error::BadHead,
        );
        rejected(
            &[status(0, "200"), headers(END_STREAM, &[(name, value)])],
            H2Error::BadHead,
        );
    }
    head(&[
        (":status", "200"),
        ("a", "x\t\u{e4} "),
        ("transfer-encoding", "x"),
        ("connection", "y"),
    ]);
}

#[test]
fn the_first_location_is_stored_unchanged() {
    let with = |fields: &[(&str, &str)]| {
        let fields = [&[(":status", "302")], fields].concat();
        let observed = accepted(&[headers(END_STREAM, &fields)]);
        (observed.head.expect("a head").location, observed.location)
    };
    assert_eq!(
        with(&[("location", "/a"), ("location", "/b")]),
        (Location::Stored(2), b"/a".into())
    );
    assert_eq!(
        with(&[("location", ""), ("location", "/b")]).0,
        Location::Absent
    );
    assert_eq!(
        with(&[("location", " /a ")]),
        (Location::Stored(4), b" /a ".into())
    );
}

#[test]
fn a_location_is_stored_if_it_fits() {
    for (len, expected) in [
        (LOCATION_BYTES, Location::Stored(LOCATION_BYTES)),
        (LOCATION_BYTES + 1, Location::TooLong),
        (3 * LOCATION_BYTES, Location::TooLong),
    ] {
        let value = "x".repeat(len);
        let block = block(&[(":status", "302"), ("location", &value)]);
        let mut frames = settings(&[]);
        let mut pieces = block.chunks(MAX_FRAME_BYTES).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            frames.extend(frame(kind, flags, STREAM_ID, piece));
            kind = CONTINUATION;
        }
        for size in [frames.len(), 777] {
            let observed = feed_pieces(Rules::Http, frames.chunks(size));
            assert_eq!(observed.head.map(|head| head.location), Some(expected));
        }
    }
}

/// `ParseUint` of 63 bits; several lengths are ignored, even equal ones.
#[test]
fn a_content_length_that_go_cannot_parse_is_ignored() {
    let length = |values: &[&str]| {
        let mut fields = vec![(":status", "200")];
        fields.extend(values.iter().map(|value| ("content-length", *value)));
        head(&fields).content_length
    };
    assert_eq!(length(&["007"]), Some(7));
    assert_eq!(length(&["9223372036854775807"]), Some(i64::MAX as u64));
    for value in [
        "",
        "+5",
        "-5",
        " 5",
        "5 ",
        "5_0",
        "0x5",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        assert_eq!(length(&[value]), None, "{value:?}");
    }
    assert_eq!(length(&["5", "5"]), None);
    assert_eq!(length(&["5", "5", "5"]), None);
    assert_eq!(length(&["x", "5"]), None);
}

#[test]
fn trailers_must_end_the_stream_without_pseudo_fields() {
    rejected(
        &[status(0, "200"), headers(0, &[("a", "b")])],
        H2Error::Protocol,
    );
    rejected(
        &[status(0, "200"), status(END_STREAM, "200")],
        H2Error::Protocol,
    );
    rejected(
        &[status(0, "200"), headers(END_STREAM, &[(":x", "")])],
        H2Error::BadHead,
    );
    let late = [("location", "/a"), ("content-length", "9")];
    let head = accepted(&[status(0, "302"), headers(END_STREAM, &late)])
        .head
        .expect("a head");
    assert_eq!(
        (head.location, head.content_length),
        (Location::Absent, None)
    );
}

/// Interim heads, the head and trailers share a budget, counted as RFC 9113 section 10.5.1 counts.
#[test]
fn heads_share_one_budget() {
    let budget = usize::try_from(RESPONSE_HEAD_BYTES).unwrap();
    let fields = |bytes: usize| {
        // `:status` and its value count as 42 bytes, the last field for the rest.
        let value = "x".repeat(16_000);
        let mut input = vec![settings(&[]), status(0, "100")];
        input.push(frame(HEADERS, 0, STREAM_ID, &block(&[(":status", "200")])));
        let mut left = bytes - 2 * 42;
        while left > 0 {
            let now = left.min(16_033);
            left -= now;
            // The rest must be large enough for a field.
            let now = if (1..33).contains(&left) {
                left += 33;
                now - 33
            } else {
                now
            };
            input.push(frame(
                CONTINUATION,
                0,
                STREAM_ID,
                &block(&[("a", &value[..now - 33])]),
            ));
        }
        input.push(frame(CONTINUATION, END_HEADERS, STREAM_ID, b""));
        input.concat()
    };
    let exact = fields(budget);
    let over = fields(budget + 1);
    for size in [exact.len(), 1000] {
        assert!(feed_pieces(Rules::Http, exact.chunks(size)).head.is_some());
        assert_eq!(
            feed_pieces(Rules::Http, over.chunks(size)).verdict,
            Err(H2Error::HeadTooLarge)
        );
    }
    // Each byte is the index of a large entry.
    let bomb = [
        &block(&[(":status", "200")])[..],
        &[0x40, 1, b'a', 0x7f, 0xe0, 0x1e],
        &[b'v'; 4063],
    ]
    .concat();
    let mut input = [settings(&[]), frame(HEADERS, 0, STREAM_ID, &bomb)].concat();
    input.extend(frame(CONTINUATION, 0, STREAM_ID, &[0xbe; 4000]));
    assert_eq!(
        feed_pieces(Rules::Http, [&input[..]]).verdict,
        Err(H2Error::HeadTooLarge)
    );
}

fn grpc(frames: &[Vec<u8>]) -> Observed {
    result_by(Rules::Grpc, &[settings(&[]), frames.concat()].concat())
}

/// grpc-go `operateHeaders` and `ContentSubtype`.
#[test]
fn the_content_type_decides_whether_a_response_is_grpc() {
    for (value, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;x", true),
        ("application/grpc-web", false),
        ("application/grpcx", false),
        ("Application/grpc", false),
        ("", false),
    ] {
        let fields = [(":status", "404"), ("content-type", value)];
        let head = grpc(&[headers(0, &fields)]).head.expect("a head");
        assert_eq!(
            (head.is_grpc, head.status),
            (expected, if expected { 0 } else { 404 })
        );
        assert_eq!(
            accepted(&[headers(0, &fields)])
                .head
                .map(|head| head.status),
            Some(404)
        );
    }
    let two = [
        ("content-type", "text/plain"),
        ("content-type", "application/grpc"),
    ];
    assert!(
        grpc(&[headers(0, &two)])
            .head
            .is_some_and(|head| head.is_grpc)
    );
    assert_eq!(grpc(&[headers(0, &[])]).verdict, Err(H2Error::BadHead));
    assert_eq!(grpc(&[status(0, "100")]).head, None);
}

#[test]
fn the_block_that_ends_the_stream_has_the_grpc_status() {
    let kind = ("content-type", "application/grpc");
    let only = |value| {
        grpc(&[headers(
            END_STREAM,
            &[(":status", "200"), kind, ("grpc-status", value)],
        )])
    };
    for (value, status) in [
        ("0", 0),
        ("12", 12),
        ("+5", 5),
        ("007", 7),
        ("2147483647", 2147483647),
        ("-1", u32::MAX),
        ("-2147483648", 1 << 31),
    ] {
        assert_eq!(only(value).grpc_status, Some(status), "{value}");
    }
    for value in ["", "OK", "0x0", "2147483648", "-2147483649", "-", " 0"] {
        assert_eq!(only(value).verdict, Err(H2Error::BadHead), "{value:?}");
    }
    let early = headers(0, &[(":status", "200"), kind, ("grpc-status", "0")]);
    assert_eq!(
        grpc(&[early.clone(), data(END_STREAM, b"x")]).grpc_status,
        None
    );
    let trailers = headers(END_STREAM, &[("grpc-status", "5"), ("grpc-status", "14")]);
    assert_eq!(grpc(&[early.clone(), trailers]).grpc_status, Some(14));
    assert_eq!(
        grpc(&[early.clone(), headers(END_STREAM, &[])]).grpc_status,
        None
    );
    // Go's own client treats it like any other field.
    assert_eq!(
        accepted(&[headers(
            END_STREAM,
            &[(":status", "200"), ("grpc-status", "x")]
        )])
        .grpc_status,
        None
    );
    assert!(grpc(&[early.clone(), status(END_STREAM, "200")]).is_ended);
    assert_eq!(
        grpc(&[early, headers(0, &[])]).verdict,
        Err(H2Error::Protocol)
    );
}
