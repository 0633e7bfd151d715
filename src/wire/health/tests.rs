//! The call and its response message, each message in every split.

use super::*;

fn sent(service: &str) -> Vec<u8> {
    let request = HealthRequest::new(service.as_bytes());
    let mut bytes = Vec::new();
    request.write(&mut |piece| bytes.extend_from_slice(piece));
    assert_eq!(bytes.len(), request.size());
    bytes
}

#[test]
fn a_request_names_the_service_unless_it_is_empty() {
    assert_eq!(sent(""), [0; 5]);
    assert_eq!(sent("ab"), b"\0\0\0\0\x04\x0a\x02ab");
    let long = sent(&"x".repeat(200));
    assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    for len in [127, 128, 16_383, 16_384, 70_000] {
        let bytes = sent(&"x".repeat(len));
        let said = u32::from_be_bytes(*bytes[1..].first_chunk().unwrap());
        assert_eq!(said as usize + 5, bytes.len());
    }
}

struct List(String);

impl FieldSink for List {
    fn field(&mut self, name: &[u8], value: FieldValue<'_>) {
        let mut whole = Vec::new();
        value.write(&mut |bytes| whole.extend_from_slice(bytes));
        let [name, value] = [name, &whole].map(|text| str::from_utf8(text).unwrap());
        self.0 += &format!("{name}={value}|");
    }
}

#[test]
fn a_call_has_the_fields_of_grpc_go() {
    let mut list = List(String::new());
    let call = HealthHeaders {
        scheme: b"http",
        authority: [b"10.0.0.1", b":50051"],
        user_agent: b"kube-probe/1.37 grpc-go/1.82.1",
        timeout: Some(Duration::from_millis(990)),
        metadata: &[],
    };
    call.each(&mut list);
    assert_eq!(
        list.0,
        ":method=POST|:scheme=http|:path=/grpc.health.v1.Health/Check|:authority=10.0.0.1:50051|\
         content-type=application/grpc|user-agent=kube-probe/1.37 grpc-go/1.82.1|te=trailers|\
         grpc-timeout=990000u|"
    );
    let mut list = List(String::new());
    HealthHeaders {
        timeout: None,
        ..call
    }
    .each(&mut list);
    assert!(list.0.ends_with("|te=trailers|"));
}

#[test]
fn metadata_follows_the_other_fields() {
    let header = |name: &str, value: &str| Header {
        name: name.into(),
        value: value.into(),
    };
    let mut list = List(String::new());
    HealthHeaders {
        scheme: b"http",
        authority: [b"a", b""],
        user_agent: b"u",
        timeout: Some(Duration::from_millis(1)),
        metadata: &[header("x-b", "1"), header("x-a", "2"), header("x-b", "3")],
    }
    .each(&mut list);
    let end = "|te=trailers|grpc-timeout=1000000n|x-b=1|x-a=2|x-b=3|";
    assert!(list.0.ends_with(end), "{}", list.0);
}

/// grpc-go `TestEncodeDuration`'s rule: the finest unit that has eight digits, rounded up.
#[test]
fn a_timeout_has_eight_digits() {
    const SECOND: u64 = 1_000_000_000;
    for (nanos, expected) in [
        (0, "0n"),
        (1, "1n"),
        (99_999_999, "99999999n"),
        (100_000_000, "100000u"),
        (100_000_001, "100001u"),
        (99_999_999_000, "99999999u"),
        (99_999_999_001, "100000m"),
        (100_000 * SECOND, "100000S"),
        (99_999_999 * SECOND, "99999999S"),
        (100_000_000 * SECOND, "1666667M"),
        (i64::MAX as u64, "2562048H"),
        (u64::MAX, "2562048H"),
    ] {
        let timeout = Timeout::new(Duration::from_nanos(nanos));
        assert_eq!(str::from_utf8(timeout.as_bytes()), Ok(expected), "{nanos}");
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<i32, HealthError> {
    let mut reader = HealthReader::new();
    for piece in pieces {
        reader.feed(piece)?;
    }
    reader.end()
}

fn verdict(input: &[u8]) -> Result<i32, HealthError> {
    let whole = read([input].into_iter());
    for cut in 0..=input.len() {
        let (start, end) = input.split_at(cut);
        assert_eq!(
            read([start, end].into_iter()),
            whole,
            "cut at {cut}: {input:02x?}"
        );
    }
    assert_eq!(read(input.chunks(1)), whole, "byte by byte: {input:02x?}");
    whole
}

fn message(bytes: &[u8]) -> Result<i32, HealthError> {
    verdict(&[&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat())
}

#[test]
fn the_status_is_read() {
    assert_eq!(message(&[]), Ok(0));
    assert_eq!(message(&[8, 1]), Ok(1));
    assert_eq!(message(&[8, 2]), Ok(2));
    assert_eq!(message(&[8, 1, 8, 3]), Ok(3), "the last counts");
    assert_eq!(message(&[8, 0x81, 0x80, 0]), Ok(1));
    assert_eq!(message(&[0x88, 0, 1]), Ok(1));
    // An enum has the lower 32 of 64 bits.
    assert_eq!(message(&[8, 0x81, 0x80, 0x80, 0x80, 0x10]), Ok(1));
    let minus_one = [&[8][..], &[0xff; 9], &[1]].concat();
    assert_eq!(message(&minus_one), Ok(-1));
}

#[test]
fn other_fields_are_skipped() {
    for other in [
        &[0x10, 0x85, 1][..],
        &[0x11, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x12, 0],
        &[0x12, 3, 8, 2, 8],
        &[0x15, 1, 2, 3, 4],
        &[0x13, 8, 2, 0x12, 1, 0x14, 0x14],
        &[0x13, 0x1b, 0x1c, 0x14],
        // The field number of the status with another type.
        &[0x0a, 1, 2],
        &[0x0d, 2, 0, 0, 0],
        &[0x0b, 8, 2, 0x0c],
        &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0],
    ] {
        assert_eq!(message(&[&[8, 1], other].concat()), Ok(1), "{other:02x?}");
        assert_eq!(message(&[other, &[8, 1]].concat()), Ok(1), "{other:02x?}");
    }
}

#[test]
fn bytes_that_are_no_message_are_malformed() {
    for bytes in [
        &[8][..],
        &[8, 0x81],
        &[0],
        &[7, 0],
        &[0x0e],
        &[0x0f],
        &[0x0c],
        &[0x13],
        &[0x13, 0x0c],
        &[0x12, 2, 1],
        &[
            0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ],
        &[0x11, 1, 2, 3],
        &[0x15, 1, 2, 3],
        &[0x80, 0x80, 0x80, 0x80, 0x10, 0],
        &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[
            8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
        ],
        &[0x13; 9],
    ] {
        assert_eq!(message(bytes), Err(HealthError::Malformed), "{bytes:02x?}");
    }
}

/// grpc-go's `recvMsg` of a call without streams: one message, and then the end.
#[test]
fn a_second_message_is_an_error() {
    let one = [0, 0, 0, 0, 2, 8, 1];
    assert_eq!(verdict(&one), Ok(1));
    for end in 0..one.len() {
        assert_eq!(verdict(&one[..end]), Err(HealthError::CutShort));
    }
    for more in [&[0][..], &[0; 5], &one] {
        assert_eq!(
            verdict(&[&one[..], more].concat()),
            Err(HealthError::TrailingBytes)
        );
        assert_eq!(
            verdict(&[&[0; 5], more].concat()),
            Err(HealthError::TrailingBytes)
        );
    }
}

#[test]
fn the_prefix_is_checked() {
    assert_eq!(verdict(&[1, 0, 0, 0, 0]), Err(HealthError::Compressed));
    assert_eq!(verdict(&[2, 0, 0, 0, 0]), Err(HealthError::Compressed));
    assert_eq!(verdict(&[0, 0, 0x40, 0, 0]), Err(HealthError::CutShort));
    assert_eq!(verdict(&[1, 0, 0x40, 0, 1]), Err(HealthError::TooLarge));
}

#[test]
fn a_message_of_four_mebibytes_is_read() {
    let len = 4 << 20;
    let mut input = vec![0, 0, 0x40, 0, 0, 0x12];
    // A length of four bytes: the message without tag, length and the status.
    let rest = len - 1 - 4 - 2;
    input.extend([
        rest as u8 | 0x80,
        (rest >> 7) as u8 | 0x80,
        (rest >> 14) as u8 | 0x80,
        (rest >> 21) as u8,
    ]);
    input.resize(input.len() + rest, 8);
    input.extend([8, 1]);
    assert_eq!(input.len(), 5 + len);
    for size in [1 << 23, 16_384, 1000] {
        assert_eq!(read(input.chunks(size)), Ok(1));
    }
}
