//! The cluster's version, which decides on the kind of sidecar.

use super::settings::Sidecar;
use core::fmt;
use serde_json::Value;

/// A version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// The first whose init containers may be restarted always without anybody having switched that on.
const NATIVE_FROM: Version = Version(1, 29);

impl Version {
    /// What `/version` says. Some write `28+` for what they have added to.
    pub fn read(answer: &Value) -> Option<Version> {
        let number = |key: &str| number(answer.get(key)?.as_str()?);
        Some(Version(number("major")?, number("minor")?))
    }

    /// What somebody typed, such as `1.28`, `v1.28.3+k3s1` or `1.28+`.
    pub fn parse(text: &str) -> Option<Version> {
        let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.')?;
        let is_number = major.bytes().all(|byte| byte.is_ascii_digit());
        Some(Version(
            number(major).filter(|_| is_number)?,
            number(minor)?,
        ))
    }

    /// Whether it restarts init containers that are to be restarted always.
    pub fn is_native(self) -> bool {
        self >= NATIVE_FROM
    }

    /// The kind of sidecar it can do.
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

/// The digits that a text begins with.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_clusters_write_it() {
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
}
