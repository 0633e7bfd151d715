//! Parses booleans in annotations.

/// Go's `strconv.ParseBool`.
pub(super) fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The same in any case, and the words of YAML 1.1, which Istio's injector takes as well.
pub(super) fn parse_yaml_bool(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "y" | "yes" | "on" => Some(true),
        "n" | "no" | "off" => Some(false),
        lower => parse_go_bool(lower),
    }
}
