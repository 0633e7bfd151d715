//! Parses booleans of labels and annotations.

/// Go's `strconv.ParseBool`.
pub(super) fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's booleans in any case, and those of YAML 1.1, as Istio's injector parses them.
pub(super) fn parse_yaml_bool(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "y" | "yes" | "on" => Some(true),
        "n" | "no" | "off" => Some(false),
        lower => parse_go_bool(lower),
    }
}
