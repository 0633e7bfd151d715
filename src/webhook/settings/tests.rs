//! Values that appear, change and disappear.

use super::{ReloadableSettings, ValuesFileError, ValuesState};
use crate::inject::values::Values;
use crate::inject::{KubernetesVersion, Sidecar};
use crate::limits;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// A mounted ConfigMap.
struct Mount(PathBuf);

impl Mount {
    fn new(name: &str) -> Mount {
        let path = std::env::temp_dir().join(format!("values-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Mount(path)
    }

    /// Replaces the text as kubelet does, by swapping a symbolic link.
    fn swap(&self, text: &str) {
        let next = format!("..{}", fs::read_dir(&self.0).expect("a directory").count());
        fs::create_dir_all(self.0.join(&next)).expect("a directory");
        fs::write(self.0.join(&next).join("values"), text).expect("written");
        let (link, data) = (self.0.join("..data_tmp"), self.0.join("..data"));
        std::os::unix::fs::symlink(&next, &link).expect("a link");
        fs::rename(link, data).expect("renamed");
        let _ = std::os::unix::fs::symlink("..data/values", self.0.join("values"));
    }

    fn settings(&self) -> Result<ReloadableSettings, ValuesFileError> {
        ReloadableSettings::load(Values::default(), self.0.to_str())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn loaded(rewrite: bool) -> Option<Result<ValuesState, ValuesFileError>> {
    Some(Ok(ValuesState::Loaded { rewrite }))
}

fn rewriting(rewrite: bool) -> String {
    format!(r#"{{"sidecarInjectorWebhook": {{"rewriteAppHTTPProbe": {rewrite}}}}}"#)
}

#[test]
fn a_changed_configmap_is_read_again() {
    let mount = Mount::new("changes");
    mount.swap(&rewriting(false));
    let mut settings = mount.settings().expect("settings");
    assert!(!settings.settings().rewrite);
    let mut now = Instant::now();
    for rewrite in [true, false, true] {
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(settings.reload(now), None);
        mount.swap(&rewriting(rewrite));
        // The poll interval has not passed.
        assert_eq!(settings.reload(now), None);
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(settings.reload(now), loaded(rewrite));
        assert_eq!(settings.settings().rewrite, rewrite);
    }
}

#[test]
fn malformed_values_are_reported_once_and_change_nothing() {
    let mount = Mount::new("broken");
    mount.swap(&rewriting(false));
    let mut settings = mount.settings().expect("settings");
    mount.swap("{");
    let mut now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    let Some(Err(error)) = settings.reload(now) else {
        panic!("the failure is not returned");
    };
    let text = error.to_string();
    assert!(
        text.contains("/values: ") && text.contains("JSON"),
        "{text}"
    );
    for _ in 0..3 {
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(settings.reload(now), None);
        assert!(!settings.settings().rewrite);
    }
    mount.swap(&rewriting(true));
    assert_eq!(
        settings.reload(now + limits::VALUES_POLL_INTERVAL),
        loaded(true)
    );
}

#[test]
fn malformed_values_at_start_are_an_error() {
    let mount = Mount::new("start");
    mount.swap("[]");
    assert!(mount.settings().is_err());
}

#[test]
fn a_configmap_may_appear_later_and_disappear() {
    let mount = Mount::new("later");
    let mut settings = mount.settings().expect("settings");
    assert!(settings.settings().rewrite);
    let path = mount.0.join("values").display().to_string();
    let missing = ValuesState::Missing {
        path: path.into(),
        rewrite: true,
    };
    assert_eq!(settings.values_state(), Some(missing.clone()));
    mount.swap(&rewriting(false));
    let now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    assert_eq!(settings.reload(now), loaded(false));
    fs::remove_file(mount.0.join("values")).expect("removed");
    assert_eq!(
        settings.reload(now + limits::VALUES_POLL_INTERVAL),
        Some(Ok(missing))
    );
    assert_eq!(
        settings.reload(now + 2 * limits::VALUES_POLL_INTERVAL),
        None
    );
}

#[test]
fn the_directory_may_appear_later() {
    let mount = Mount::new("folder");
    fs::remove_dir(&mount.0).expect("empty");
    let mut settings = mount.settings().expect("settings");
    let state = settings.values_state();
    assert!(matches!(
        state,
        Some(ValuesState::Missing { rewrite: true, .. })
    ));
    fs::create_dir(&mount.0).expect("a directory");
    mount.swap(&rewriting(false));
    let now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    assert_eq!(settings.reload(now), loaded(false));
    let flags_only = ReloadableSettings::load(Values::default(), None).expect("settings");
    assert_eq!(flags_only.values_state(), None);
}

#[test]
fn flags_override_the_configmap_which_overrides_the_version() {
    let mount = Mount::new("order");
    let old = KubernetesVersion::new(1, 28);
    let mut settings = mount.settings().expect("settings");
    assert_eq!(settings.settings().sidecar, Sidecar::Native);
    assert!(settings.needs_version() && settings.set_version(old) && !settings.set_version(old));
    assert_eq!(settings.settings().sidecar, Sidecar::Container);
    mount.swap(r#"{"probelet": {"sidecar": "native", "statusPort": 15021}}"#);
    settings.reload(Instant::now() + limits::VALUES_POLL_INTERVAL);
    assert!(!settings.needs_version());
    assert_eq!(settings.settings().sidecar, Sidecar::Native);
    let flags = Values {
        sidecar: Some(Sidecar::Container),
        ..Values::default()
    };
    let settings = ReloadableSettings::load(flags, mount.0.to_str()).expect("settings");
    assert_eq!(settings.settings().sidecar, Sidecar::Container);
    assert_eq!(settings.settings().status_port, 15021);
    assert!(!settings.needs_version());
}

#[test]
fn the_older_one_of_api_server_and_oldest_node_selects_the_kind_of_sidecar() {
    let [old, new] = [27, 31].map(|minor| KubernetesVersion::new(1, minor));
    for (api_server, node, expected) in [
        (Some(new), Some(old), Sidecar::Container),
        (Some(old), Some(new), Sidecar::Container),
        (None, Some(old), Sidecar::Container),
        (Some(new), Some(new), Sidecar::Native),
        (Some(new), None, Sidecar::Native),
    ] {
        let load = |flags| ReloadableSettings::load(flags, None).expect("no file");
        for (flag, expected) in [(None, expected), (Some(Sidecar::Native), Sidecar::Native)] {
            let mut settings = load(Values {
                sidecar: flag,
                ..Values::default()
            });
            if let Some(version) = api_server {
                settings.set_version(version);
            }
            if let Some(version) = node {
                settings.set_oldest_node(version);
            }
            assert_eq!(
                settings.settings().sidecar,
                expected,
                "{api_server:?} {node:?}"
            );
        }
    }
}
