//! Request heads: httparse accepts the heads that we accept, with the same fields, and the result does not depend on how
//! the input is split.
#![no_main]

use httparse::{EMPTY_HEADER, Request, Status};
use libfuzzer_sys::fuzz_target;
use probelet::limits::REQUEST_FIELDS;
use probelet::wire::request::RequestParser;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = (usize::from(input.0).min(input.1.len()), input.1);
    let verdict = RequestParser::new().parse(bytes);
    let mut resumed = RequestParser::new();
    let first = resumed.parse(&bytes[..cut]);
    let split = if first == Ok(None) {
        resumed.parse(bytes)
    } else {
        first
    };
    assert_eq!(split, verdict, "cut at {cut}");

    let mut fields = [EMPTY_HEADER; REQUEST_FIELDS];
    let mut oracle = Request::new(&mut fields);
    match (verdict, oracle.parse(bytes)) {
        (Ok(Some(head)), Ok(Status::Complete(length))) => {
            assert_eq!(head.len(), length);
            let target = oracle.path.unwrap().as_bytes();
            assert!(
                target
                    .windows(head.path(bytes).len())
                    .any(|part| part == head.path(bytes))
                    || head.path(bytes) == b"/"
            );
            let fields = oracle
                .headers
                .iter()
                .map(|field| (field.name.as_bytes(), field.value));
            assert!(head.fields(bytes).eq(fields));
        }
        (Ok(Some(_)), other) => panic!("accepted, but httparse: {other:?}"),
        // httparse may reject a line before it is complete.
        (Ok(None), Ok(Status::Complete(_))) => panic!("incomplete, but httparse is complete"),
        (Ok(None) | Err(_), _) => {}
    }
});
