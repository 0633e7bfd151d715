//! The version of the cluster, which determines the kind of sidecar.

use super::settings::Sidecar;
use core::fmt;
use serde_json::Value;

/// A version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

/// The first version with native sidecars enabled by default (feature gate `SidecarContainers`).
const FIRST_WITH_NATIVE_SIDECARS: KubernetesVersion = KubernetesVersion::new(1, 29);

impl KubernetesVersion {
    /// The version `major.minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads the response of `/version`. Some distributions write `28+` as minor.
    pub fn from_version_response(response: &Value) -> Option<Self> {
        let number = |key: &str| number(response.get(key)?.as_str()?);
        Some(Self::new(number("major")?, number("minor")?))
    }

    /// Parses a version such as `1.28`, `v1.28.3+k3s1` or `1.28+`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.strip_prefix('v').unwrap_or(text).split_once('.')?;
        let is_number = major.bytes().all(|byte| byte.is_ascii_digit());
        let major = number(major).filter(|_| is_number)?;
        Some(Self::new(major, number(minor)?))
    }

    /// Whether native sidecars are enabled by default.
    pub fn supports_native_sidecars(self) -> bool {
        self >= FIRST_WITH_NATIVE_SIDECARS
    }

    /// The default kind of sidecar.
    pub fn default_sidecar(self) -> Sidecar {
        match self.supports_native_sidecars() {
            true => Sidecar::Native,
            false => Sidecar::Container,
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
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
            ("1.28", Some(KubernetesVersion::new(1, 28))),
            ("v1.28.3+k3s1", Some(KubernetesVersion::new(1, 28))),
            (
                "v1.29.5-kubeedge-v1.20.0",
                Some(KubernetesVersion::new(1, 29)),
            ),
            ("1.30+", Some(KubernetesVersion::new(1, 30))),
            ("1", None),
            ("1x.30", None),
            ("1.x", None),
            ("latest", None),
        ] {
            assert_eq!(KubernetesVersion::parse(text), expected, "{text}");
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
            let version =
                KubernetesVersion::from_version_response(&json!({"major": major, "minor": minor}));
            assert_eq!(
                version.map(KubernetesVersion::supports_native_sidecars),
                is_native,
                "{major}.{minor}"
            );
        }
        assert_eq!(
            KubernetesVersion::from_version_response(&json!({"major": 1, "minor": 29})),
            None
        );
    }
}
