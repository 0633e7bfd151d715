//! The request to the app: the bytes that kubelet would send to the app itself.

use super::class;
use super::fields::{FieldSink, Value};
use super::output_slice::OutputSlice;
use super::request::RequestHead;

/// A field of `httpHeaders`, checked and owned by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Field name, as sent.
    pub name: Box<str>,
    /// Field value, as sent.
    pub value: Box<str>,
}

/// The parts of a request to the app. It can be written any number of times.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    /// The incoming head.
    pub head: &'a RequestHead,
    /// The buffer of `head`.
    pub buf: &'a [u8],
    /// The request-target, in origin-form.
    pub request_target: &'a [u8],
    /// The value of `Host`, in two pieces: the incoming name, and the port that replaces the incoming one.
    pub host: [&'a [u8]; 2],
    /// The table's headers, sorted by name as kubelet sends them. An empty `Accept` or `User-Agent` means
    /// that none is sent (`pkg/probe/http/request.go`; Go `net/http/request.go`: `write`).
    pub headers: &'a [Header],
    /// On a followed redirect, the URL of the previous request; an incoming `Referer` has precedence
    /// (Go `net/http/client.go`: `refererForURL`).
    pub referer: Option<&'a [u8]>,
    /// On a followed redirect, `name:password` of its URL, for an `Authorization` when there is none in
    /// the head or the table (Go `net/http/client.go`: `send`).
    pub credentials: Option<&'a [u8]>,
    /// Whether `Authorization` of the head and the table is left out.
    pub drops_authorization: bool,
}

/// Connection options that are recognized; no client sends more. If one does, all fields that are not in the table
/// are dropped, so that none of its options is forwarded.
const CONNECTION_OPTIONS: usize = 16;

impl UpstreamRequest<'_> {
    /// Writes the head as HTTP/1.1, blank line included.
    ///
    /// Order and spelling are those of Go's `Request.write`: `Host`, `User-Agent`, the other incoming fields (kubelet
    /// sends them sorted), `Connection: close`. A field of the table replaces the incoming one in place; other fields
    /// of the table are inserted where they belong in a sorted head.
    pub fn write(&self, out: &mut OutputSlice<'_>) {
        for piece in [&b"GET "[..], self.request_target, b" HTTP/1.1\r\n"] {
            out.put(piece);
        }
        let mut lines = Lines(out);
        lines.field(b"Host", Value::Pieces(&self.host));
        self.each_field(&mut lines);
        out.put(b"Connection: close\r\n\r\n");
    }

    /// Passes all fields but `Host` and `Connection` to `out`.
    pub(super) fn each_field(&self, out: &mut dyn FieldSink) {
        let is_none = |header: &Header| is_name(header, USER_AGENT) && header.value.is_empty();
        if !self.headers.iter().any(is_none) {
            for (name, value) in self.incoming() {
                if name.eq_ignore_ascii_case(USER_AGENT) {
                    put_field(out, name, value);
                }
            }
        }
        self.each_field_after_user_agent(out);
    }

    fn each_field_after_user_agent(&self, out: &mut dyn FieldSink) {
        let named = ConnectionOptions::of(self);
        let mut added = RedirectFields {
            credentials: self
                .credentials
                .filter(|_| self.lacks(AUTHORIZATION, &named)),
            referer: self.referer.filter(|_| self.lacks(REFERER, &named)),
        };
        let replaced = added;
        let came = |header: &Header| self.incoming().any(|(name, _)| is_name(header, name));
        let is_sent = |header: &&Header| {
            let is_no_accept = is_name(header, b"Accept") && header.value.is_empty();
            !is_no_accept && !replaced.has(header.name.as_bytes())
        };
        let mut others = self
            .table()
            .filter(|header| is_sent(header) && !came(header))
            .peekable();
        for (index, (name, value)) in self.incoming().enumerate() {
            let in_table = self.table().any(|header| is_name(header, name));
            if is_fixed(name) || replaced.has(name) || (!in_table && named.contains(name)) {
                continue;
            }
            while let Some(header) = others.next_if(|other| is_before(other.name.as_bytes(), name))
            {
                added.put_with(out, header);
            }
            added.put_before(out, name);
            if !in_table {
                put_field(out, name, value);
            } else if !self.is_repeated(name, index) {
                let same = self.table().filter(|header| is_name(header, name));
                same.filter(is_sent)
                    .for_each(|header| put_header(out, header));
            }
        }
        others.for_each(|header| added.put_with(out, header));
        added.put(out, |_| true);
    }

    /// Whether the incoming field number `index` is not the first of its name.
    fn is_repeated(&self, name: &[u8], index: usize) -> bool {
        self.incoming()
            .take(index)
            .any(|(earlier, _)| class::is_same(earlier, name))
    }

    /// Whether the field is absent or its first value is empty, as Go's `Header.Get` sees it.
    fn lacks(&self, name: &[u8], named: &ConnectionOptions<'_>) -> bool {
        let value = match self.table().find(|header| is_name(header, name)) {
            Some(header) => header.value.as_bytes(),
            None => self
                .incoming()
                .find(|(came, _)| class::is_same(came, name) && !named.contains(came))
                .map_or(&b""[..], |(_, value)| value),
        };
        value.is_empty()
    }

    fn incoming(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.head.fields(self.buf);
        fields.filter(|(name, _)| !self.is_dropped(name))
    }

    /// The table's headers, without those that are never taken from it.
    fn table(&self) -> impl Iterator<Item = &Header> {
        self.headers
            .iter()
            .filter(|header| !is_fixed(header.name.as_bytes()))
            .filter(|header| !self.is_dropped(header.name.as_bytes()))
    }

    fn is_dropped(&self, name: &[u8]) -> bool {
        self.drops_authorization && class::is_same(name, AUTHORIZATION)
    }
}

const USER_AGENT: &[u8] = b"User-Agent";
const AUTHORIZATION: &[u8] = b"Authorization";
const REFERER: &[u8] = b"Referer";

/// The fields that a redirect adds, until they are written. They replace empty ones.
#[derive(Clone, Copy)]
struct RedirectFields<'a> {
    credentials: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
}

impl RedirectFields<'_> {
    fn has(&self, name: &[u8]) -> bool {
        (self.credentials.is_some() && class::is_same(name, AUTHORIZATION))
            || (self.referer.is_some() && class::is_same(name, REFERER))
    }

    fn put_with(&mut self, out: &mut dyn FieldSink, header: &Header) {
        self.put_before(out, header.name.as_bytes());
        put_header(out, header);
    }

    /// Writes the fields that Go sends before `name`.
    fn put_before(&mut self, out: &mut dyn FieldSink, name: &[u8]) {
        self.put(out, |own| is_before(own, name));
    }

    fn put(&mut self, out: &mut dyn FieldSink, is_due: impl Fn(&[u8]) -> bool) {
        if let Some(credentials) = self.credentials.take_if(|_| is_due(AUTHORIZATION)) {
            out.field(AUTHORIZATION, Value::Basic(credentials));
        }
        if let Some(url) = self.referer.take_if(|_| is_due(REFERER)) {
            put_field(out, REFERER, url);
        }
    }
}

/// The names in the incoming `Connection` fields: "Intermediaries MUST parse a received Connection
/// header field before a message is forwarded and, for each connection-option in this field, remove
/// any header or trailer field(s) from the message with the same name" (RFC 9110 section 7.6.1).
struct ConnectionOptions<'a> {
    names: heapless::Vec<&'a [u8], CONNECTION_OPTIONS>,
    is_too_many: bool,
}

impl<'a> ConnectionOptions<'a> {
    fn of(request: &'a UpstreamRequest<'_>) -> Self {
        let mut named = ConnectionOptions {
            names: heapless::Vec::new(),
            is_too_many: false,
        };
        let fields = request
            .incoming()
            .filter(|(name, _)| class::is_same(name, b"Connection"));
        for option in fields.flat_map(|(_, value)| value.split(|&byte| byte == b',')) {
            let option = class::trim(option);
            if !is_fixed(option) && !class::is_same(option, b"close") {
                named.is_too_many |= named.names.push(option).is_err();
            }
        }
        named
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.is_too_many || self.names.iter().any(|named| class::is_same(named, name))
    }
}

/// Fields that are never forwarded unchanged: those with a fixed place, those of one connection (RFC 9110
/// section 7.6.1), and those of a body, as there is none. An `Upgrade` that the app accepts with 101 would hang
/// kubelet's prober past its timeout.
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
    NAMES.iter().any(|fixed| class::is_same(fixed, name))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| class::is_same(start, PREFIX))
}

fn is_name(header: &Header, name: &[u8]) -> bool {
    class::is_same(header.name.as_bytes(), name)
}

/// Whether Go sends `name` before `other`: it sorts by canonical name, byte by byte.
fn is_before(name: &[u8], other: &[u8]) -> bool {
    canonical(name).lt(canonical(other))
}

/// As `net/textproto` spells it (`CanonicalMIMEHeaderKey`).
fn canonical(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut starts = true;
    name.iter().map(move |byte| {
        let upper = core::mem::replace(&mut starts, *byte == b'-');
        match upper {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        }
    })
}

fn put_field(out: &mut dyn FieldSink, name: &[u8], value: &[u8]) {
    out.field(name, Value::Pieces(&[value]));
}

fn put_header(out: &mut dyn FieldSink, header: &Header) {
    put_field(out, header.name.as_bytes(), header.value.as_bytes());
}

/// Fields as lines of HTTP/1.1.
struct Lines<'o, 'w>(&'o mut OutputSlice<'w>);

impl FieldSink for Lines<'_, '_> {
    fn field(&mut self, name: &[u8], value: Value<'_>) {
        let Lines(out) = self;
        out.put(name);
        out.put(b": ");
        value.write(&mut |bytes| out.put(bytes));
        out.put(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
