//! The request to the app: the bytes that kubelet would send to the app itself.

use super::class;
use super::fields::{FieldSink, FieldValue, UNSENT_FIELDS};
use super::header::Header;
use super::output_slice::OutputSlice;
use super::request::RequestHead;

/// The parts of a request to the app. It can be written any number of times.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamRequest<'a> {
    /// The incoming head.
    pub head: &'a RequestHead,
    /// The buffer of `head`.
    pub buf: &'a [u8],
    /// The method.
    pub method: Method,
    /// The request-target, in origin-form.
    pub request_target: &'a [u8],
    /// The value of `Host`, in two pieces that are concatenated.
    pub host: [&'a [u8]; 2],
    /// The configured headers, sorted by name as kubelet sends them. An empty `Accept` or `User-Agent` means
    /// that none is sent (`pkg/probe/http/request.go`; Go `net/http/request.go`: `write`).
    pub headers: &'a [Header],
    /// On a followed redirect, the URL of the previous request; an incoming `Referer` has precedence
    /// (Go `net/http/client.go`: `refererForURL`).
    pub referer: Option<&'a [u8]>,
    /// On a followed redirect, `name:password` of its URL, for an `Authorization` if neither the client
    /// nor the configuration has one (Go `net/http/client.go`: `send`).
    pub credentials: Option<&'a [u8]>,
    /// Whether `Authorization` of the client and the configuration is sent.
    pub keeps_authorization: bool,
}

/// The method of a request without a body. kubelet's is GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`, whose response has no body.
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
}

impl Method {
    /// The method with this name, in capitals.
    pub fn parse(text: &str) -> Option<Method> {
        let methods = [Method::Get, Method::Head, Method::Options, Method::Post];
        let mut methods = methods.into_iter();
        methods.find(|method| method.as_bytes() == text.as_bytes())
    }

    /// Its name.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Options => b"OPTIONS",
            Method::Post => b"POST",
        }
    }
}

/// Connection options that are recognized; no client sends more. If one does, all fields that are not configured are
/// dropped, so that none of its options is forwarded.
const CONNECTION_OPTIONS: usize = 16;

impl UpstreamRequest<'_> {
    /// Writes the head as HTTP/1.1, blank line included.
    ///
    /// Order and spelling are those of Go's `Request.write`: `Host`, `User-Agent`, the client's other fields (kubelet
    /// sends them sorted), `Connection: close`. A configured header replaces the client's field in place; other
    /// configured headers are inserted where they belong in a sorted head.
    pub fn write(&self, out: &mut OutputSlice<'_>) {
        let method = self.method.as_bytes();
        for piece in [method, b" ", self.request_target, b" HTTP/1.1\r\n"] {
            out.put(piece);
        }
        let mut lines = Lines(out);
        lines.field(b"Host", FieldValue::Pieces(&self.host));
        self.each_field(&mut lines);
        if self.method == Method::Post {
            lines.field(b"Content-Length", FieldValue::Pieces(&[b"0"]));
        }
        out.put(b"Connection: close\r\n\r\n");
    }

    /// Passes all fields but `Host` and `Connection` to `out`.
    pub(super) fn each_field(&self, out: &mut dyn FieldSink) {
        let is_none = |header: &Header| is_name(header, USER_AGENT) && header.value.is_empty();
        if !self.headers.iter().any(is_none) {
            for (name, value) in self.client_fields() {
                if name.eq_ignore_ascii_case(USER_AGENT) {
                    put_field(out, name, value);
                }
            }
        }
        self.each_field_after_user_agent(out);
    }

    fn each_field_after_user_agent(&self, out: &mut dyn FieldSink) {
        let options = ConnectionOptions::of(self);
        let mut added = RedirectFields {
            credentials: self
                .credentials
                .filter(|_| self.is_absent_or_empty(AUTHORIZATION, &options)),
            referer: self
                .referer
                .filter(|_| self.is_absent_or_empty(REFERER, &options)),
        };
        let replaced = added;
        let is_from_client =
            |header: &Header| self.client_fields().any(|(name, _)| is_name(header, name));
        let is_sent = |header: &&Header| {
            let is_no_accept = is_name(header, b"Accept") && header.value.is_empty();
            !is_no_accept && !replaced.has(header.name.as_bytes())
        };
        let mut others = self
            .configured_headers()
            .filter(|header| is_sent(header) && !is_from_client(header))
            .peekable();
        for (index, (name, value)) in self.client_fields().enumerate() {
            let is_configured = self
                .configured_headers()
                .any(|header| is_name(header, name));
            let is_dropped = !is_configured && (is_for_proxy(name) || options.contains(name));
            if is_dropped || is_omitted(name) || replaced.has(name) {
                continue;
            }
            while let Some(header) = others.next_if(|other| is_before(other.name.as_bytes(), name))
            {
                added.put_with(out, header);
            }
            added.put_before(out, name);
            if !is_configured {
                put_field(out, name, value);
            } else if !self.is_repeated(name, index) {
                let same = self
                    .configured_headers()
                    .filter(|header| is_name(header, name));
                same.filter(is_sent)
                    .for_each(|header| put_header(out, header));
            }
        }
        others.for_each(|header| added.put_with(out, header));
        added.put(out, |_| true);
    }

    /// Whether the client's field number `index` is not the first of its name.
    fn is_repeated(&self, name: &[u8], index: usize) -> bool {
        self.client_fields()
            .take(index)
            .any(|(earlier, _)| class::is_same_field_name(earlier, name))
    }

    /// Whether the field is absent or its first value is empty, as Go's `Header.Get` sees it.
    fn is_absent_or_empty(&self, name: &[u8], options: &ConnectionOptions<'_>) -> bool {
        let value = match self
            .configured_headers()
            .find(|header| is_name(header, name))
        {
            Some(header) => header.value.as_bytes(),
            None => self
                .client_fields()
                .find(|(field, _)| {
                    class::is_same_field_name(field, name) && !options.contains(field)
                })
                .map_or(&b""[..], |(_, value)| value),
        };
        value.is_empty()
    }

    /// Name and value of the client's fields, those of its connection included.
    fn client_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.head.fields(self.buf);
        fields.filter(|(name, _)| self.may_send(name))
    }

    /// The configured headers that are sent or replace a client's field.
    fn configured_headers(&self) -> impl Iterator<Item = &Header> {
        self.headers
            .iter()
            .filter(|header| !is_omitted(header.name.as_bytes()))
            .filter(|header| self.may_send(header.name.as_bytes()))
    }

    fn may_send(&self, name: &[u8]) -> bool {
        self.keeps_authorization || !class::is_same_field_name(name, AUTHORIZATION)
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
        (self.credentials.is_some() && class::is_same_field_name(name, AUTHORIZATION))
            || (self.referer.is_some() && class::is_same_field_name(name, REFERER))
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
            out.field(AUTHORIZATION, FieldValue::Basic(credentials));
        }
        if let Some(url) = self.referer.take_if(|_| is_due(REFERER)) {
            put_field(out, REFERER, url);
        }
    }
}

/// The names in the client's `Connection` fields: "Intermediaries MUST parse a received Connection
/// header field before a message is forwarded and, for each connection-option in this field, remove
/// any header or trailer field(s) from the message with the same name" (RFC 9110 section 7.6.1).
struct ConnectionOptions<'a> {
    names: heapless::Vec<&'a [u8], CONNECTION_OPTIONS>,
    has_overflowed: bool,
}

impl<'a> ConnectionOptions<'a> {
    fn of(request: &'a UpstreamRequest<'_>) -> Self {
        let mut options = ConnectionOptions {
            names: heapless::Vec::new(),
            has_overflowed: false,
        };
        let fields = request
            .client_fields()
            .filter(|(name, _)| class::is_same_field_name(name, b"Connection"));
        for option in fields.flat_map(|(_, value)| value.split(|&byte| byte == b',')) {
            let option = class::trim_ows(option);
            if !is_for_proxy(option)
                && !is_omitted(option)
                && !class::is_same_field_name(option, b"close")
            {
                options.has_overflowed |= options.names.push(option).is_err();
            }
        }
        options
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.has_overflowed
            || self
                .names
                .iter()
                .any(|option| class::is_same_field_name(option, name))
    }
}

/// Whether the field is not passed on in sorted order: `Host` and `User-Agent` are at the start of the head, and
/// [`UNSENT_FIELDS`] are not sent. An `Upgrade` that the app accepts with 101 would hang kubelet's prober past its
/// timeout.
fn is_omitted(name: &[u8]) -> bool {
    ["Host", "User-Agent"]
        .iter()
        .chain(&UNSENT_FIELDS)
        .any(|unsent| class::is_same_field_name(unsent.as_bytes(), name))
}

/// Whether a client's field is for probelet as its proxy. A configured one is for the app, as kubelet would send it.
fn is_for_proxy(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"Proxy-";
    name.get(..PREFIX.len())
        .is_some_and(|start| class::is_same_field_name(start, PREFIX))
}

fn is_name(header: &Header, name: &[u8]) -> bool {
    class::is_same_field_name(header.name.as_bytes(), name)
}

/// Whether Go sends `name` before `other`: it sorts by canonical name, byte by byte.
fn is_before(name: &[u8], other: &[u8]) -> bool {
    canonical(name).lt(canonical(other))
}

/// As `net/textproto` spells it (`CanonicalMIMEHeaderKey`).
pub(crate) fn canonical(name: &[u8]) -> impl Iterator<Item = u8> {
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
    out.field(name, FieldValue::Pieces(&[value]));
}

fn put_header(out: &mut dyn FieldSink, header: &Header) {
    put_field(out, header.name.as_bytes(), header.value.as_bytes());
}

/// Writes fields as HTTP/1.1 field lines.
struct Lines<'o, 'w>(&'o mut OutputSlice<'w>);

impl FieldSink for Lines<'_, '_> {
    fn field(&mut self, name: &[u8], value: FieldValue<'_>) {
        let Lines(out) = self;
        out.put(name);
        out.put(b": ");
        value.write(&mut |bytes| out.put(bytes));
        out.put(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
