//! Words of annotations: Go's and YAML's for true and false.

/// Go's `strconv.ParseBool`.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The same, and the words that Istio's injector takes as well, in any case.
pub(super) fn yaml_bool(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "y" | "yes" | "on" => Some(true),
        "n" | "no" | "off" => Some(false),
        lower => go_bool(lower),
    }
}
