//! The request to the app as HTTP/2 header fields. Not in `upstream`, so that the linker places it in the cold section
//! (`.cargo/layout.ld`).

use super::class;
use super::fields::{FieldSink, FieldValue, RequestFields};
use super::upstream::UpstreamRequest;

impl UpstreamRequest<'_> {
    /// The fields for HTTP/2; `scheme` is `http` or `https`.
    pub fn over_h2<'r>(&'r self, scheme: &'r [u8]) -> impl RequestFields + 'r {
        OverH2 {
            request: self,
            scheme,
        }
    }
}

/// A request as Go's HTTP/2 transport sends it (`net/http/internal/httpcommon`: `EncodeHeaders`).
struct OverH2<'a> {
    request: &'a UpstreamRequest<'a>,
    scheme: &'a [u8],
}

impl RequestFields for OverH2<'_> {
    fn each(&self, sink: &mut dyn FieldSink) {
        sink.field(b":authority", FieldValue::Pieces(&self.request.host));
        sink.field(
            b":method",
            FieldValue::Pieces(&[self.request.method.as_bytes()]),
        );
        sink.field(b":path", FieldValue::Pieces(&[self.request.request_target]));
        sink.field(b":scheme", FieldValue::Pieces(&[self.scheme]));
        self.request.each_field(&mut SplitCookies(sink));
    }
}

/// Splits a `Cookie` into fields of one pair each (RFC 9113 section 8.2.3).
struct SplitCookies<'s>(&'s mut dyn FieldSink);

impl FieldSink for SplitCookies<'_> {
    fn field(&mut self, name: &[u8], value: FieldValue<'_>) {
        let SplitCookies(out) = self;
        let mut rest = match value {
            FieldValue::Pieces(&[value]) if class::is_same_field_name(name, b"Cookie") => value,
            _ => return out.field(name, value),
        };
        while let Some(end) = memchr::memchr(b';', rest) {
            out.field(name, FieldValue::Pieces(&[&rest[..end]]));
            rest = &rest[end + 1..];
            while let [b' ', after @ ..] = rest {
                rest = after;
            }
        }
        if !rest.is_empty() {
            out.field(name, FieldValue::Pieces(&[rest]));
        }
    }
}
