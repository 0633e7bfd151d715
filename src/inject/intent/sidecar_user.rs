//! The user that the sidecar runs as, who has to be able to read its files, and must not take the app's from the app.

use crate::inject::options::PodOptions;
use crate::inject::settings::RunAsUser;
use crate::inject::view::PodView;
use serde_json::Value;

/// The API server's default of `projected.defaultMode`.
const DEFAULT_MODE: u64 = 0o644;
/// Others than the owner and the group may read.
const OTHERS_READ: u64 = 0o004;

/// The user of the sidecar. kubelet does not start a container with `runAsNonRoot` that inherits root from its pod
/// (`pkg/kubelet/kuberuntime/security_context_others.go`: `verifyRunAsNonRoot`).
pub(super) fn run_as_user(view: &PodView<'_>, options: &PodOptions) -> RunAsUser {
    let inherits_root = view.pod["spec"]["securityContext"]["runAsUser"] == 0;
    match options.run_as_user {
        RunAsUser::Unset if inherits_root => RunAsUser::DEFAULT,
        // One that the operator has chosen for all pods stays, too.
        RunAsUser::DEFAULT if !options.has_own_user && has_files_of_one_user(view) => {
            user_of_all_containers(view).map_or(options.run_as_user, RunAsUser::Id)
        }
        user => user,
    }
}

/// Whether kubelet writes files that only their owner should read for the user of all containers. If one has another user, as
/// the sidecar would, the files are root's, with the volume's mode (`pkg/volume/projected/projected.go`: `collectData`). With
/// `fsGroup` the pod's group may read them in both cases.
fn has_files_of_one_user(view: &PodView<'_>) -> bool {
    let spec = &view.pod["spec"];
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mut volumes = volumes.map(|volume| &volume["projected"]);
    spec["securityContext"]["fsGroup"].is_null() && volumes.any(has_private_files)
}

fn has_private_files(projected: &Value) -> bool {
    let mode = projected["defaultMode"].as_u64().unwrap_or(DEFAULT_MODE);
    let sources = projected["sources"].as_array().into_iter().flatten();
    let mut sources = sources.filter(|source| source.is_object());
    sources.any(|source| {
        let has = |kind: &str| source[kind].is_object();
        // Programs refuse a private key that others may read.
        let is_of_user = has("serviceAccountToken") || has("clusterTrustBundle");
        has("podCertificate") || is_of_user && mode & OTHERS_READ == 0
    })
}

/// The user of all containers but the sidecar, unless it is root (`pkg/volume/util/util.go`: `FsUserFrom`).
fn user_of_all_containers(view: &PodView<'_>) -> Option<u32> {
    let of_pod = &view.pod["spec"]["securityContext"]["runAsUser"];
    let mut users = view.containers.iter().map(|container| {
        let own = &container.value["securityContext"]["runAsUser"];
        let user = if own.is_null() { of_pod } else { own };
        user.as_u64()
    });
    let first = users.next()??;
    let is_same = users.all(|user| user == Some(first));
    u32::try_from(first)
        .ok()
        .filter(|user| is_same && *user != 0)
}
