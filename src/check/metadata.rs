//! `-rpc-header` and `-H`: metadata of a gRPC call, as grpc-go sends it (`internal/metadata`: `Validate`; `http2_client.go`:
//! `createHeaderFields`).

use crate::text::Quoted;
use crate::wire::fields::put_base64;
use crate::wire::header::Header;

/// Names that grpc-go does not send (`internal/transport/http_util.go`: `isReservedHeader`).
const RESERVED: [&str; 8] = [
    "content-type",
    "user-agent",
    "grpc-message-type",
    "grpc-encoding",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "te",
];

/// The metadata of a call.
pub struct Metadata {
    /// The fields that are sent.
    pub fields: Box<[Header]>,
    /// Why grpc-go refuses to send them, if it does.
    pub error: Option<String>,
}

impl Metadata {
    /// Parses `name: value` texts.
    ///
    /// # Errors
    /// A text without a colon. Its words are not repeated, as they may be a secret.
    pub fn parse(texts: &[String]) -> Result<Metadata, String> {
        let mut metadata = Metadata {
            fields: Box::default(),
            error: None,
        };
        let mut fields = Vec::new();
        for text in texts {
            let Some((name, value)) = text.split_once(':') else {
                return Err(
                    "invalid value for flag -rpc-header: invalid RPC header, expected 'key: value'"
                        .into(),
                );
            };
            let (name, value) = (name.to_lowercase(), value.trim_start());
            metadata.error = metadata.error.or_else(|| broken_rule(&name, value));
            if !RESERVED.contains(&&*name) {
                let value = match name.ends_with("-bin") {
                    true => base64(value).into(),
                    false => value.into(),
                };
                let name = name.into();
                fields.push(Header { name, value });
            }
        }
        if metadata.error.is_none() {
            metadata.fields = fields.into();
        }
        Ok(metadata)
    }
}

/// The rule of grpc-go that a field breaks. Its name is in lower case.
pub fn broken_rule(name: &str, value: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if name.is_empty() {
        Some("there is an empty key in the header".into())
    } else if !name.chars().all(is_name) {
        Some(format!(
            "header key {} contains illegal characters not in [0-9a-z-_.]",
            Quoted(name)
        ))
    } else if !name.ends_with("-bin") && !value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        Some(format!(
            "header key {} contains value with non-printable ASCII characters",
            Quoted(name)
        ))
    } else {
        None
    }
}

/// Base64 without padding.
fn base64(value: &str) -> String {
    let mut text = Vec::new();
    put_base64(&mut |bytes| text.extend_from_slice(bytes), value.as_bytes());
    let text = String::from_utf8_lossy(&text);
    text.trim_end_matches('=').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Metadata {
        let texts: Vec<String> = texts.iter().map(|text| (*text).into()).collect();
        Metadata::parse(&texts).expect("a colon in each")
    }

    #[test]
    fn fields_are_those_that_grpc_go_sends() {
        let metadata = parsed(&[
            "X-Token:  a: b ",
            "x-token:c",
            "x-key-bin: a?~",
            "User-Agent: x",
            "grpc-timeout: 1S",
        ]);
        let fields = metadata.fields.iter();
        let fields: Vec<_> = fields.map(|field| (&*field.name, &*field.value)).collect();
        let expected = [
            ("x-token", "a: b "),
            ("x-token", "c"),
            ("x-key-bin", "YT9+"),
        ];
        assert_eq!(fields, expected);
        assert_eq!(metadata.error, None);
        assert_eq!(&*parsed(&["a-bin:x"]).fields[0].value, "eA");
    }

    #[test]
    fn a_field_that_grpc_go_refuses_is_an_error_of_the_call() {
        for (text, words) in [
            (":", "empty key"),
            ("a b: c", "illegal characters"),
            ("\u{e4}: c", "illegal characters"),
            ("a: \u{e4}", "non-printable"),
            ("a: b\nc", "non-printable"),
        ] {
            let error = parsed(&[text]).error;
            let is_stated = error.as_deref().is_some_and(|error| error.contains(words));
            assert!(is_stated, "{text:?}: {error:?}");
        }
        assert!(Metadata::parse(&["secret".into()]).is_err_and(|text| !text.contains("secret")));
    }
}
