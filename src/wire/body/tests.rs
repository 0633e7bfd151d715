//! The bodies on which kubelet's prober fails and those on which it does not, each input in every split.

use super::*;
use crate::limits::RESPONSE_BODY_BYTES;

/// How a body ends when the app sends `input` and closes.
fn ending(framing: Framing, limit: u64, input: &[u8]) -> Result<(), BodyError> {
    let whole = arriving(framing, limit, [input]);
    // Around the ends every cut, and in the long middle of a large body one in a hundred.
    let is_tried = |cut: &usize| *cut < 200 || input.len() - cut < 200 || cut.is_multiple_of(1009);
    for cut in (0..=input.len()).filter(is_tried) {
        let (start, end) = input.split_at(cut);
        assert_eq!(
            arriving(framing, limit, [start, end]),
            whole,
            "cut at {cut}"
        );
    }
    assert_eq!(
        arriving(framing, limit, input.chunks(1)),
        whole,
        "byte by byte"
    );
    whole
}

fn arriving<'a>(
    framing: Framing,
    limit: u64,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), BodyError> {
    let mut body = BodyReader::new(framing, limit);
    for piece in pieces {
        body.feed(piece)?;
        if body.is_done() {
            break;
        }
    }
    body.check_end()
}

fn chunked(input: impl AsRef<[u8]>) -> Result<(), BodyError> {
    ending(Framing::Chunked, RESPONSE_BODY_BYTES, input.as_ref())
}

/// A body whose first chunk line is `line`.
fn with_line(line: &str) -> Result<(), BodyError> {
    chunked(format!("{line}abcde\r\n0\r\n\r\n"))
}

/// A body with these trailers, blank line included.
fn with_trailers(trailers: &str) -> Result<(), BodyError> {
    chunked(format!("5\r\nabcde\r\n0\r\n{trailers}"))
}

#[test]
fn a_body_with_a_length_ends_after_that_many_bytes() {
    assert_eq!(ending(Framing::Length(5), 10, b"abcde"), Ok(()));
    assert_eq!(ending(Framing::Length(5), 10, b"abcdefgh"), Ok(()));
    assert_eq!(
        ending(Framing::Length(5), 10, b"abcd"),
        Err(BodyError::CutShort)
    );
    assert_eq!(
        ending(Framing::Length(5), 10, b""),
        Err(BodyError::CutShort)
    );
}

#[test]
fn an_absent_body_is_complete_from_the_start() {
    for framing in [Framing::None, Framing::Length(0)] {
        assert!(BodyReader::new(framing, 10).is_done());
        assert_eq!(ending(framing, 10, b""), Ok(()));
    }
    assert!(BodyReader::new(Framing::Chunked, 0).is_done());
    assert!(!BodyReader::new(Framing::UntilClose, 10).is_done());
}

#[test]
fn a_body_without_framing_ends_at_any_close() {
    for body in ["", "abc"] {
        assert_eq!(ending(Framing::UntilClose, 10, body.as_bytes()), Ok(()));
    }
}

#[test]
fn an_incomplete_body_is_not_complete() {
    for (framing, part) in [
        (Framing::Length(5), &b"abcd"[..]),
        (Framing::UntilClose, b"abcd"),
        (Framing::Chunked, b"4\r\nabcd\r\n0\r\n\r"),
    ] {
        let mut body = BodyReader::new(framing, 10);
        assert_eq!((body.feed(part), body.is_done()), (Ok(()), false));
    }
}

/// RFC 9112 section 7.1.
#[test]
fn chunks_are_read_up_to_the_last_chunk() {
    assert_eq!(chunked("0\r\n\r\n"), Ok(()));
    assert_eq!(
        chunked("5\r\nabcde\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        Ok(())
    );
    let whole = b"5\r\nabcde\r\n0\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(chunked(&whole[..end]), Err(BodyError::CutShort), "{end}");
    }
}

/// `beginChunk`, `removeChunkExtension` and `parseHexUint` of Go's `chunked.go`.
#[test]
fn a_chunk_line_is_read_as_go_reads_it() {
    for line in [
        "5\r\n",
        "05\r\n",
        "0000000000000005\r\n",
        "5 \t\r\n",
        "5;a\r\n",
        "5; a = \"\n\" \r\n",
    ] {
        let is_bare_lf = line.matches('\n').count() > 1;
        let expected = if is_bare_lf {
            Err(ChunkedError::Line.into())
        } else {
            Ok(())
        };
        assert_eq!(with_line(line), expected, "{line:?}");
    }
    for line in [
        "\r\n",
        " \r\n",
        ";a\r\n",
        " 5\r\n",
        "5 ;a\r\n",
        "5 a\r\n",
        "g\r\n",
        "0x5\r\n",
        "-5\r\n",
        "00000000000000005\r\n",
        "10000000000000005\r\n",
        "5\n",
        "5\r\r\n",
        "5\rx\n",
        "5;\r;\r\n",
    ] {
        assert_eq!(with_line(line), Err(ChunkedError::Line.into()), "{line:?}");
    }
}

#[test]
fn a_chunk_line_fits_in_4_kib() {
    let line = |length: usize| format!("5;{}\r\n", "x".repeat(length - 4));
    assert_eq!(with_line(&line(4096)), Ok(()));
    assert_eq!(with_line(&line(4097)), Err(ChunkedError::Line.into()));
}

#[test]
fn chunk_data_ends_with_crlf() {
    for end in ["\n", "\r\r", "x", "\rx", "xx\r\n"] {
        let body = format!("5\r\nabcde{end}0\r\n\r\n");
        assert_eq!(chunked(body), Err(ChunkedError::DataEnd.into()), "{end:?}");
    }
}

/// A chunk may have an overhead of 16 bytes and twice its data. The excess adds up, to at most 16 KiB.
#[test]
fn chunk_lines_may_not_outweigh_the_data() {
    let body = |ext: usize, count: usize| {
        let chunk = format!("1;{}\r\nX\r\n", "e".repeat(ext));
        format!("{}0\r\n\r\n", chunk.repeat(count))
    };
    assert_eq!(
        chunked(body(14, 3000)),
        Ok(()),
        "18 bytes of line for 18 allowed"
    );
    // 4 bytes and the extension a line, less 18 allowed: 86 too many each.
    assert_eq!(chunked(body(100, 16384 / 86)), Ok(()));
    assert_eq!(
        chunked(body(100, 16384 / 86 + 1)),
        Err(ChunkedError::Line.into())
    );
}

/// Go doubles the size as a signed number, so an absurd one can count as huge overhead.
#[test]
fn an_absurd_chunk_size_counts_as_in_go() {
    assert_eq!(with_line("ffffffffffffffff\r\n"), Err(BodyError::CutShort));
    assert_eq!(with_line("7fffffffffffffff\r\n"), Err(BodyError::CutShort));
    assert_eq!(with_line("c000000000000000\r\n"), Err(BodyError::CutShort));
    assert_eq!(
        with_line("ffffffffffff0000\r\n"),
        Err(ChunkedError::Line.into())
    );
}

/// `readTrailer` of Go's `transfer.go`; RFC 9112 section 7.1.2.
#[test]
fn trailers_are_read_to_the_blank_line() {
    assert_eq!(with_trailers("A: b\r\nB: c\r\n\r\n"), Ok(()));
    assert_eq!(with_trailers("A : b\r\n c\r\n\r\n"), Ok(()));
    assert_eq!(
        with_trailers("A: b\n\r\n"),
        Err(BodyError::CutShort),
        "no CRLF CRLF"
    );
    assert_eq!(
        with_trailers("A: b\n\nx\r\n\r\n"),
        Ok(()),
        "the blank line ends with LF, then CRLF CRLF"
    );
    assert_eq!(with_trailers("\n\r\n\r\n"), Ok(()));
    assert_eq!(
        with_trailers(" A: b\r\n\r\n"),
        Err(ChunkedError::Trailer.into())
    );
    assert_eq!(
        with_trailers("A\r\n\r\n"),
        Err(ChunkedError::Trailer.into())
    );
    assert_eq!(
        with_trailers("\rx\r\n\r\n"),
        Err(ChunkedError::Trailer.into())
    );
    for cut in ["A: b\r\n", "A: b\r\n\r", "\r", ""] {
        assert_eq!(with_trailers(cut), Err(BodyError::CutShort), "{cut:?}");
    }
}

#[test]
fn trailers_fit_in_4_kib() {
    let trailers = |length: usize| format!("A: {}\r\n\r\n", "b".repeat(length - 7));
    assert_eq!(with_trailers(&trailers(4096)), Ok(()));
    assert_eq!(
        with_trailers(&trailers(4097)),
        Err(ChunkedError::Trailer.into())
    );
}

/// `pkg/probe/http/http.go`: a body is read up to 10 KiB. Later bytes do not count.
#[test]
fn bytes_after_the_read_limit_do_not_count() {
    let limit = usize::try_from(RESPONSE_BODY_BYTES).unwrap();
    let data = "x".repeat(limit);
    for after in ["", "garbage", "\r\n", "\r\nzz\r\n", "\r\n0\r\n"] {
        for size in [limit, limit + 1, limit * 1000] {
            assert_eq!(
                chunked(format!("{size:x}\r\n{data}{after}")),
                Ok(()),
                "{after:?}"
            );
        }
    }
    let short = &data[1..];
    assert_eq!(
        chunked(format!("{limit:x}\r\n{short}")),
        Err(BodyError::CutShort)
    );
    assert_eq!(
        chunked(format!("{:x}\r\n{short}\r\nzz\r\n", limit - 1)),
        Err(ChunkedError::Line.into())
    );
    for length in [limit as u64, u64::MAX] {
        let framing = Framing::Length(length);
        assert_eq!(
            ending(framing, RESPONSE_BODY_BYTES, data.as_bytes()),
            Ok(())
        );
        assert_eq!(
            ending(framing, RESPONSE_BODY_BYTES, short.as_bytes()),
            Err(BodyError::CutShort)
        );
    }
    let mut endless = BodyReader::new(Framing::UntilClose, RESPONSE_BODY_BYTES);
    assert_eq!(
        (endless.feed(short.as_bytes()), endless.is_done()),
        (Ok(()), false)
    );
    assert_eq!((endless.feed(b"x"), endless.is_done()), (Ok(()), true));
}
