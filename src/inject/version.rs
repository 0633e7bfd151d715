//! The version of the cluster, which determines the kind of sidecar.

use super::settings::Sidecar;
use core::fmt;
use serde_json::Value;

/// A version of Kubernetes: major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// The first version with native sidecars enabled by default (feature gate `SidecarContainers`).
const NATIVE_FROM: Version = Version(1, 29);

impl Version {
    /// Parses the response of `/version`. Some distributions write `28+`.
    pub fn read(answer: &Value) -> Option<Version> {
        let number = |key: &str| number(answer.get(key)?.as_str()?);
        Some(Version(number("major")?, number("minor")?))
    }

    /// Parses a version such as `1.28`, `v1.28.3+k3s1` or `1.28+`.
    pub fn parse(text: &str) -> Option<Version> {
        let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.')?;
        let is_number = major.bytes().all(|byte| byte.is_ascii_digit());
        Some(Version(
            number(major).filter(|_| is_number)?,
            number(minor)?,
        ))
    }

    /// Whether the version supports native sidecars.
    pub fn is_native(self) -> bool {
        self >= NATIVE_FROM
    }

    /// The kind of sidecar for the version.
    pub fn sidecar(self) -> Sidecar {
        match self.is_native() {
            true => Sidecar::Native,
            false => Sidecar::Container,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Parses the leading digits of a text.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_of_distributions_are_parsed() {
        for (text, expected) in [
            ("1.28", Some(Version(1, 28))),
            ("v1.28.3+k3s1", Some(Version(1, 28))),
            ("1.30+", Some(Version(1, 30))),
            ("1", None),
            ("1x.30", None),
            ("1.x", None),
            ("latest", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn sidecars_are_native_from_1_29() {
        for (major, minor, is_native) in [
            ("1", "28", Some(false)),
            ("1", "28+", Some(false)),
            ("1", "29", Some(true)),
            ("1", "37", Some(true)),
            ("2", "0", Some(true)),
            ("1", "", None),
        ] {
            let version = Version::read(&json!({"major": major, "minor": minor}));
            assert_eq!(
                version.map(Version::is_native),
                is_native,
                "{major}.{minor}"
            );
        }
        assert_eq!(Version::read(&json!({"major": 1, "minor": 29})), None);
    }
}
