//! The user that the sidecar runs as, who has to be able to read its files.

use crate::inject::options::PodOptions;
use crate::inject::settings::RunAsUser;
use crate::inject::view::PodView;

/// The user of the sidecar. kubelet does not start a container with `runAsNonRoot` that inherits root from its pod
/// (`pkg/kubelet/kuberuntime/security_context_others.go`: `verifyRunAsNonRoot`).
pub(super) fn run_as_user(view: &PodView<'_>, options: &PodOptions) -> RunAsUser {
    let inherits_root = view.pod["spec"]["securityContext"]["runAsUser"] == 0;
    match options.run_as_user {
        RunAsUser::Unset if inherits_root => RunAsUser::DEFAULT,
        user => user,
    }
}
