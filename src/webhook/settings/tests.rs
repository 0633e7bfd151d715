use super::{Live, Notice};
use crate::inject::Sidecar;
use crate::inject::Version;
use crate::inject::values::Values;
use crate::limits;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// A ConfigMap as it is mounted.
struct Mount(PathBuf);

impl Mount {
    fn new(name: &str) -> Mount {
        let path = std::env::temp_dir().join(format!("values-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Mount(path)
    }

    /// A new text, by a symbolic link that is swapped.
    fn swap(&self, text: &str) {
        let next = format!("..{}", fs::read_dir(&self.0).expect("a folder").count());
        fs::create_dir_all(self.0.join(&next)).expect("a folder");
        fs::write(self.0.join(&next).join("values"), text).expect("written");
        let (link, data) = (self.0.join("..data_tmp"), self.0.join("..data"));
        std::os::unix::fs::symlink(&next, &link).expect("a link");
        fs::rename(link, data).expect("renamed");
        let _ = std::os::unix::fs::symlink("..data/values", self.0.join("values"));
    }

    fn live(&self) -> Result<Live, Box<str>> {
        Live::load(Values::default(), self.0.to_str())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rewriting(rewrite: bool) -> String {
    format!(r#"{{"sidecarInjectorWebhook": {{"rewriteAppHTTPProbe": {rewrite}}}}}"#)
}

#[test]
fn a_configmap_that_changes_is_read_again() {
    let mount = Mount::new("changes");
    mount.swap(&rewriting(false));
    let mut live = mount.live().expect("settings");
    assert!(!live.settings().rewrite);
    let mut now = Instant::now();
    for rewrite in [true, false, true] {
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(live.look(now), None);
        mount.swap(&rewriting(rewrite));
        // It was looked at just now.
        assert_eq!(live.look(now), None);
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(live.look(now), Some(Notice::Taken(rewrite)));
        assert_eq!(live.settings().rewrite, rewrite);
    }
}

#[test]
fn a_broken_text_is_told_once_and_changes_nothing() {
    let mount = Mount::new("broken");
    mount.swap(&rewriting(false));
    let mut live = mount.live().expect("settings");
    mount.swap("{");
    let mut now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    let Some(Notice::Kept(why)) = live.look(now) else {
        panic!("it is not told");
    };
    assert!(why.contains("/values: ") && why.contains("JSON"), "{why}");
    for _ in 0..3 {
        now += limits::VALUES_POLL_INTERVAL;
        assert_eq!(live.look(now), None);
        assert!(!live.settings().rewrite);
    }
    mount.swap(&rewriting(true));
    assert_eq!(
        live.look(now + limits::VALUES_POLL_INTERVAL),
        Some(Notice::Taken(true))
    );
}

#[test]
fn a_broken_text_at_the_start_is_an_error() {
    let mount = Mount::new("start");
    mount.swap("[]");
    assert!(mount.live().is_err());
}

#[test]
fn a_configmap_may_come_later_and_go_again() {
    let mount = Mount::new("later");
    let mut live = mount.live().expect("settings");
    assert!(live.settings().rewrite);
    let path = mount.0.join("values").display().to_string();
    let missing = Some(Notice::Missing(path.into(), true));
    assert_eq!(live.notice(), missing);
    mount.swap(&rewriting(false));
    let now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    assert_eq!(live.look(now), Some(Notice::Taken(false)));
    fs::remove_file(mount.0.join("values")).expect("removed");
    assert_eq!(live.look(now + limits::VALUES_POLL_INTERVAL), missing);
    assert_eq!(live.look(now + 2 * limits::VALUES_POLL_INTERVAL), None);
}

#[test]
fn a_folder_may_come_later_too() {
    let mount = Mount::new("folder");
    fs::remove_dir(&mount.0).expect("empty");
    let mut live = mount.live().expect("settings");
    assert!(matches!(live.notice(), Some(Notice::Missing(_, true))));
    fs::create_dir(&mount.0).expect("a folder");
    mount.swap(&rewriting(false));
    let now = Instant::now() + limits::VALUES_POLL_INTERVAL;
    assert_eq!(live.look(now), Some(Notice::Taken(false)));
    let told = Live::load(Values::default(), None).expect("settings");
    assert_eq!(told.notice(), None);
}

#[test]
fn flags_beat_the_configmap_and_that_beats_the_version() {
    let mount = Mount::new("order");
    let old = Version(1, 28);
    let mut live = mount.live().expect("settings");
    assert_eq!(live.settings().sidecar, Sidecar::Native);
    assert!(live.asks_version() && live.set_version(old) && !live.set_version(old));
    assert_eq!(live.settings().sidecar, Sidecar::Container);
    mount.swap(r#"{"probelet": {"sidecar": "native", "statusPort": 15021}}"#);
    live.look(Instant::now() + limits::VALUES_POLL_INTERVAL);
    assert!(!live.asks_version());
    assert_eq!(live.settings().sidecar, Sidecar::Native);
    let flags = Values {
        sidecar: Some(Sidecar::Container),
        ..Values::default()
    };
    let live = Live::load(flags, mount.0.to_str()).expect("settings");
    assert_eq!(live.settings().sidecar, Sidecar::Container);
    assert_eq!(live.settings().status_port, 15021);
    assert!(!live.asks_version());
}
