//! The user that the sidecar runs as, who has to be able to read its files, and must not take the app's from the app.

use crate::inject::annotation_names::RUN_AS_USER;
use crate::inject::options::PodOptions;
use crate::inject::settings::RunAsUser;
use crate::inject::view::PodView;
use serde_json::Value;

/// The API server's default of `projected.defaultMode`.
const DEFAULT_MODE: u64 = 0o644;
/// Others than the owner and the group may read.
const OTHERS_READ: u64 = 0o004;
/// Others than the owner have some permission.
const NOT_OWNERS: u64 = 0o077;
/// The source of a private key.
const KEY_SOURCE: &str = "podCertificate";
/// Other sources of files that kubelet gives to the user of all containers.
const FILE_SOURCES: [&str; 2] = ["serviceAccountToken", "clusterTrustBundle"];

/// The user of the sidecar. kubelet does not start a container with `runAsNonRoot` that inherits root from its pod
/// (`pkg/kubelet/kuberuntime/security_context_others.go`: `verifyRunAsNonRoot`).
pub(super) fn run_as_user(view: &PodView<'_>, options: &PodOptions) -> RunAsUser {
    let inherits_root = view.pod["spec"]["securityContext"]["runAsUser"] == 0;
    match options.run_as_user {
        RunAsUser::Unset if inherits_root => RunAsUser::DEFAULT,
        // One that the operator has chosen for all pods stays, too.
        RunAsUser::DEFAULT if !options.has_own_user && has_files_of_one_user(view) => {
            let user = user_of_all_containers(view).filter(|user| *user != 0);
            user.map_or(options.run_as_user, RunAsUser::Id)
        }
        user => user,
    }
}

/// Warns of files that kubelet gives to the user of all containers, with mode 0600, and no longer does because the sidecar has
/// another user: root's, which it never has, or one that the options set.
pub(super) fn warn_of_lost_owner(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) {
    let Some(user) = user_of_all_containers(view) else {
        return;
    };
    let of_sidecar = match run_as_user(view, options) {
        RunAsUser::Id(id) => Some(u64::from(id)),
        RunAsUser::Unset => view.pod["spec"]["securityContext"]["runAsUser"].as_u64(),
    };
    if has_fs_group(view) || of_sidecar == Some(user.into()) {
        return;
    }
    let is_lost = |volume: &&Value| {
        let projected = &volume["projected"];
        // Root can read its files whatever their mode is.
        let is_shared = || mode(projected) & NOT_OWNERS != 0 && has_source(projected, KEY_SOURCE);
        if user == 0 {
            is_shared()
        } else {
            has_private_files(projected)
        }
    };
    let Some(volume) = volumes(view).find(is_lost) else {
        return;
    };
    let name = volume["name"].as_str().unwrap_or_default();
    let what = format!("kubelet gives the private files of volume {name} to root");
    let effect = "with the volume's defaultMode in place of 0600";
    let reason = format!("because the sidecar does not run as user {user}");
    let advice = match user {
        0 => "set defaultMode to 0600".into(),
        _ => format!("set annotation {RUN_AS_USER} to \"{user}\""),
    };
    warnings.push(format!("{what}, {effect}, {reason}: {advice}").into());
}

/// Whether kubelet writes files that only their owner should read for the user of all containers. If one has another user, as
/// the sidecar would, the files are root's, with the volume's mode (`pkg/volume/projected/projected.go`: `collectData`). With
/// `fsGroup` the pod's group may read them in both cases.
fn has_files_of_one_user(view: &PodView<'_>) -> bool {
    let mut projected = volumes(view).map(|volume| &volume["projected"]);
    !has_fs_group(view) && projected.any(has_private_files)
}

fn volumes<'a>(view: &PodView<'a>) -> impl Iterator<Item = &'a Value> {
    let volumes = view.pod["spec"]["volumes"].as_array();
    volumes.into_iter().flatten()
}

pub(super) fn has_fs_group(view: &PodView<'_>) -> bool {
    view.pod["spec"]["securityContext"]["fsGroup"].is_u64()
}

fn has_private_files(projected: &Value) -> bool {
    // Programs refuse a private key that others may read.
    let is_of_user = FILE_SOURCES.iter().any(|kind| has_source(projected, kind));
    has_source(projected, KEY_SOURCE) || is_of_user && mode(projected) & OTHERS_READ == 0
}

fn mode(projected: &Value) -> u64 {
    projected["defaultMode"].as_u64().unwrap_or(DEFAULT_MODE)
}

fn has_source(projected: &Value, kind: &str) -> bool {
    let mut sources = projected["sources"].as_array().into_iter().flatten();
    sources.any(|source| source[kind].is_object())
}

/// The user of all containers but the sidecar (`pkg/volume/util/util.go`: `FsUserFrom`).
fn user_of_all_containers(view: &PodView<'_>) -> Option<u32> {
    let of_pod = &view.pod["spec"]["securityContext"]["runAsUser"];
    let mut users = view.containers.iter().map(|container| {
        let own = &container.value["securityContext"]["runAsUser"];
        let user = if own.is_null() { of_pod } else { own };
        user.as_u64()
    });
    let first = users.next()??;
    let is_same = users.all(|user| user == Some(first));
    u32::try_from(first).ok().filter(|_| is_same)
}
