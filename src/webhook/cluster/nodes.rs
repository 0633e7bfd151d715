//! The oldest kubelet of the cluster, which decides on the kind of sidecar: an API server may be newer than its nodes, and a
//! kubelet before 1.29 waits for a native sidecar to end.

use crate::inject::KubernetesVersion;
use crate::limits;
use crate::pem::{UnixSeconds, rfc3339};
use serde_json::Value;
use std::time::Instant;

/// The version of the kubelet of a node where injected pods run: a Linux node that is Ready, or was within
/// [`limits::OLDEST_NODE_HOLD`]: after a power cut an old board may become Ready later than this webhook, and pods that are created
/// meanwhile may run on it.
pub fn kubelet_version(node: &Value, now: UnixSeconds) -> Option<KubernetesVersion> {
    let info = &node["status"]["nodeInfo"];
    let since = rfc3339(now.saturating_sub(limits::OLDEST_NODE_HOLD.as_secs()));
    let conditions = node["status"]["conditions"].as_array();
    let is_expected = conditions.into_iter().flatten().any(|condition| {
        let changed = condition["lastTransitionTime"].as_str();
        condition["type"] == "Ready"
            && (condition["status"] == "True" || changed.is_some_and(|changed| *changed > *since))
    });
    if !is_expected || info["operatingSystem"] != "linux" {
        return None;
    }
    let version = KubernetesVersion::parse(info["kubeletVersion"].as_str()?)?;
    // A node of a virtual kubelet may report v0.0.0.
    (version.major > 0).then_some(version)
}

/// The oldest version. An older one applies at once, a newer one after [`limits::OLDEST_NODE_HOLD`]: the oldest node may be
/// restarting, and pods that are created meanwhile may run on it.
#[derive(Debug, Default)]
pub struct OldestNode {
    version: Option<KubernetesVersion>,
    /// When it was last observed.
    observed: Option<Instant>,
}

impl OldestNode {
    /// Records the oldest version of a list of nodes, if it had one. Returns the version that applies if it has changed.
    pub fn observe(
        &mut self,
        oldest: Option<KubernetesVersion>,
        now: Instant,
    ) -> Option<KubernetesVersion> {
        let oldest = oldest?;
        let is_held = self.version.is_some_and(|version| oldest > version)
            && self
                .observed
                .is_some_and(|observed| now < observed + limits::OLDEST_NODE_HOLD);
        if is_held {
            return None;
        }
        self.observed = Some(now);
        let is_new = self.version.replace(oldest) != Some(oldest);
        is_new.then_some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 2026-11-28T14:00:00Z
    const NOW: UnixSeconds = 1_795_874_400;

    fn node(version: &str, system: &str, ready: &str, changed: &str) -> Value {
        json!({"status": {
            "nodeInfo": {"kubeletVersion": version, "operatingSystem": system},
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": ready, "lastTransitionTime": changed},
            ],
        }})
    }

    #[test]
    fn only_linux_nodes_with_a_kubelet_that_is_or_was_ready_have_a_version() {
        let v1_27 = Some(KubernetesVersion::new(1, 27));
        let (recent, past) = ("2026-11-28T13:55:00Z", "2026-11-28T12:00:00Z");
        for (version, system, ready, changed, expected) in [
            ("v1.27.1-kubeedge-v1.17.0", "linux", "True", past, v1_27),
            ("v1.27.9+k3s1", "linux", "True", recent, v1_27),
            ("v1.27.1", "windows", "True", past, None),
            ("v1.27.1", "linux", "Unknown", recent, v1_27),
            ("v1.27.1", "linux", "False", recent, v1_27),
            ("v1.27.1", "linux", "Unknown", past, None),
            ("v1.27.1", "linux", "Unknown", "", None),
            ("v0.0.0", "linux", "True", past, None),
            ("", "linux", "True", past, None),
        ] {
            let node = node(version, system, ready, changed);
            assert_eq!(kubelet_version(&node, NOW), expected, "{node}");
        }
        assert_eq!(kubelet_version(&json!({}), NOW), None);
    }

    #[test]
    fn an_older_node_decides_at_once_and_a_newer_one_when_the_older_is_gone_for_a_while() {
        let [old, new] = [27, 37].map(|minor| Some(KubernetesVersion::new(1, minor)));
        let (mut oldest, start) = (OldestNode::default(), Instant::now());
        assert_eq!(oldest.observe(None, start), None);
        assert_eq!(oldest.observe(new, start), new);
        assert_eq!(oldest.observe(old, start), old);
        assert_eq!(oldest.observe(new, start), None);
        let later = start + limits::OLDEST_NODE_HOLD / 2;
        assert_eq!(oldest.observe(old, later), None, "no change");
        assert_eq!(oldest.observe(new, start + limits::OLDEST_NODE_HOLD), None);
        assert_eq!(oldest.observe(new, later + limits::OLDEST_NODE_HOLD), new);
    }
}
