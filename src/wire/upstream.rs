//! The request that goes to the app: the bytes kubelet would have sent had it asked the app itself.

use super::class;
use super::request::RequestHead;
use super::window::Window;

/// A field of `httpHeaders`, checked and owned by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Field name as it is sent.
    pub name: Box<str>,
    /// Field value as it is sent.
    pub value: Box<str>,
}

/// All that makes up a request to the app. It is written as often as needed and keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    /// The head that came in.
    pub head: &'a RequestHead,
    /// The buffer of `head`.
    pub buf: &'a [u8],
    /// What to ask for, in origin-form.
    pub request_target: &'a [u8],
    /// The value of `Host`.
    pub host: &'a [u8],
    /// The table's headers, in the order kubelet sends them.
    pub headers: &'a [Header],
    /// On a followed redirect, the URL of the request before; an incoming `Referer` goes before it
    /// (Go `net/http/client.go`: `refererForURL`).
    pub referer: Option<&'a [u8]>,
}

/// Connection options that are told apart. No client names more; when one does, every field that is
/// not of the table is held back rather than one that was named let through.
const CONNECTION_OPTIONS: usize = 16;

impl UpstreamRequest<'_> {
    /// Writes the head, blank line included.
    ///
    /// Order and spelling are those of Go's `Request.write`: `Host`, `User-Agent`, the rest as it came
    /// (kubelet sends it sorted), `Connection: close`. An incoming field the table has is replaced where
    /// it stood; what only the table has comes after the last one.
    pub fn write(&self, out: &mut Window<'_>) {
        for piece in [&b"GET "[..], self.request_target, b" HTTP/1.1\r\n"] {
            out.put(piece);
        }
        put_field(out, b"Host", self.host);
        for (name, value) in self.incoming() {
            if name.eq_ignore_ascii_case(b"User-Agent") {
                put_field(out, name, value);
            }
        }
        self.write_fields(out);
        out.put(b"Connection: close\r\n\r\n");
    }

    fn write_fields(&self, out: &mut Window<'_>) {
        let named = Named::of(self);
        let mut referer = self.referer.filter(|_| !self.has_referer());
        for (index, (name, value)) in self.incoming().enumerate() {
            let in_table = self.table().any(|header| is_name(header, name));
            if is_fixed(name) || (!in_table && named.contains(name)) {
                continue;
            }
            // Go sorts the fields it sends, so this is where kubelet's own Referer would stand.
            if is_after(name, REFERER) {
                put_referer(out, referer.take());
            }
            if !in_table {
                put_field(out, name, value);
            } else if !self
                .incoming()
                .take(index)
                .any(|(earlier, _)| earlier.eq_ignore_ascii_case(name))
            {
                self.put_table(out, |header| is_name(header, name));
            }
        }
        self.put_table(out, |header| {
            !self.incoming().any(|(name, _)| is_name(header, name))
        });
        put_referer(out, referer);
    }

    fn put_table(&self, out: &mut Window<'_>, is_due: impl Fn(&Header) -> bool) {
        for header in self.table().filter(|header| is_due(header)) {
            put_field(out, header.name.as_bytes(), header.value.as_bytes());
        }
    }

    fn has_referer(&self) -> bool {
        self.table().any(|header| is_name(header, REFERER))
            || self
                .incoming()
                .any(|(name, _)| name.eq_ignore_ascii_case(REFERER))
    }

    fn incoming(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.fields(self.buf)
    }

    /// The table's headers, less those that go by other ways whatever the table says.
    fn table(&self) -> impl Iterator<Item = &Header> {
        self.headers
            .iter()
            .filter(|header| !is_fixed(header.name.as_bytes()))
    }
}

const REFERER: &[u8] = b"Referer";

/// The names in the incoming `Connection` fields: "Intermediaries MUST parse a received Connection
/// header field before a message is forwarded and, for each connection-option in this field, remove
/// any header or trailer field(s) from the message with the same name" (RFC 9110 section 7.6.1).
struct Named<'a> {
    names: heapless::Vec<&'a [u8], CONNECTION_OPTIONS>,
    is_too_many: bool,
}

impl<'a> Named<'a> {
    fn of(request: &'a UpstreamRequest<'_>) -> Self {
        let mut named = Named {
            names: heapless::Vec::new(),
            is_too_many: false,
        };
        let fields = request
            .incoming()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"Connection"));
        for option in fields.flat_map(|(_, value)| value.split(|&byte| byte == b',')) {
            let option = class::trim(option);
            if !is_fixed(option) && !option.eq_ignore_ascii_case(b"close") {
                named.is_too_many |= named.names.push(option).is_err();
            }
        }
        named
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.is_too_many
            || self
                .names
                .iter()
                .any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// Fields that are never handed on as they stand: those written in a place of their own, those that
/// concern one connection (RFC 9110 section 7.6.1), and those of a body, which there is none of. An `Upgrade`
/// that met with a 101 would hang kubelet's prober past its timeout.
fn is_fixed(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"Host",
        b"User-Agent",
        b"Connection",
        b"Keep-Alive",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"Content-Length",
    ];
    const PREFIX: &[u8] = b"Proxy-";
    NAMES.iter().any(|fixed| fixed.eq_ignore_ascii_case(name))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn is_name(header: &Header, name: &[u8]) -> bool {
    header.name.as_bytes().eq_ignore_ascii_case(name)
}

fn is_after(name: &[u8], other: &[u8]) -> bool {
    name.iter()
        .map(u8::to_ascii_lowercase)
        .gt(other.iter().map(u8::to_ascii_lowercase))
}

fn put_field(out: &mut Window<'_>, name: &[u8], value: &[u8]) {
    for piece in [name, b": ", value, b"\r\n"] {
        out.put(piece);
    }
}

fn put_referer(out: &mut Window<'_>, referer: Option<&[u8]>) {
    if let Some(url) = referer {
        put_field(out, REFERER, url);
    }
}

#[cfg(test)]
mod tests;
