//! gRPC status codes (`google.golang.org/grpc/codes`), by the names that the gRPC specification gives them.

use core::fmt;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcCode(pub u32);

/// The names of 0 to 16.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl GrpcCode {
    /// `OK`
    pub const OK: GrpcCode = GrpcCode(0);
    /// `UNKNOWN`
    pub const UNKNOWN: GrpcCode = GrpcCode(2);
    /// `DEADLINE_EXCEEDED`
    pub const DEADLINE_EXCEEDED: GrpcCode = GrpcCode(4);
    /// `NOT_FOUND`
    pub const NOT_FOUND: GrpcCode = GrpcCode(5);
    /// `PERMISSION_DENIED`
    pub const PERMISSION_DENIED: GrpcCode = GrpcCode(7);
    /// `RESOURCE_EXHAUSTED`
    pub const RESOURCE_EXHAUSTED: GrpcCode = GrpcCode(8);
    /// `UNIMPLEMENTED`
    pub const UNIMPLEMENTED: GrpcCode = GrpcCode(12);
    /// `INTERNAL`
    pub const INTERNAL: GrpcCode = GrpcCode(13);
    /// `UNAVAILABLE`
    pub const UNAVAILABLE: GrpcCode = GrpcCode(14);
    /// `UNAUTHENTICATED`
    pub const UNAUTHENTICATED: GrpcCode = GrpcCode(16);

    /// Number of label values: one for each code with a name, and `other`.
    pub const LABEL_COUNT: usize = NAMES.len() + 1;

    /// The code for the HTTP status of a response that is not gRPC (grpc-go
    /// `internal/transport/http_util.go`: `HTTPStatusConvTab`).
    pub fn from_http(status: u16) -> GrpcCode {
        match status {
            400 => GrpcCode::INTERNAL,
            401 => GrpcCode::UNAUTHENTICATED,
            403 => GrpcCode::PERMISSION_DENIED,
            404 => GrpcCode::UNIMPLEMENTED,
            429 | 502..=504 => GrpcCode::UNAVAILABLE,
            _ => GrpcCode::UNKNOWN,
        }
    }

    /// The number of its label, below [`LABEL_COUNT`](Self::LABEL_COUNT).
    pub fn label_index(self) -> usize {
        (self.0 as usize).min(NAMES.len())
    }

    /// The label with this number: a name, or `other`.
    pub fn label(index: usize) -> &'static str {
        NAMES.get(index).unwrap_or(&"other")
    }
}

/// The name, or the number of a code that has none.
impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_name_and_one_label_of_few() {
        for (code, shown, label) in [
            (GrpcCode::OK, "OK", "OK"),
            (GrpcCode::UNAVAILABLE, "UNAVAILABLE", "UNAVAILABLE"),
            (
                GrpcCode::UNAUTHENTICATED,
                "UNAUTHENTICATED",
                "UNAUTHENTICATED",
            ),
            (GrpcCode(17), "17", "other"),
            (GrpcCode(u32::MAX), "4294967295", "other"),
        ] {
            assert_eq!(code.to_string(), shown);
            assert!(code.label_index() < GrpcCode::LABEL_COUNT);
            assert_eq!(GrpcCode::label(code.label_index()), label);
        }
    }
}
