//! The text of `--help`.

use super::audit::LABEL;
use super::serve::{NAME, PORT, SECRET, SHUTDOWN_DELAY};

/// `probelet-inject --help`
pub(super) fn top() -> String {
    "\
probelet-inject: rewrites Kubernetes manifests and pods so that their probes go to probelet.

kubelet has no mesh certificate, so its probes of a port that demands one fail. In a pod that is
injected, probelet runs as a sidecar, takes the probes in plaintext and makes the real ones itself.

Usage: probelet-inject file -f app.yaml
       probelet-inject audit -f app.yaml
       probelet-inject serve --self-signed

Commands, each with a --help of its own:
  file         rewrite manifests; kube-inject is the same
  audit        tell which resources are not injected and could be
  serve        be the admission webhook that rewrites pods when they are created

Flags:
  --help       print this
  --version    print the version"
        .into()
}

/// The flags of the sidecar, with their defaults.
const SIDECAR: &str = concat!(
    "\
The sidecar; a pod's own annotations go before all of it, and a flag before the ConfigMap, whose
`values` may have the same under probelet, such as probelet.image or probelet.statusPort:
  --image IMAGE               image of probelet [localhost/probelet:",
    env!("CARGO_PKG_VERSION"),
    "]
  --image-pull-policy POLICY  Always, IfNotPresent or Never [the cluster's choice]
  --resources JSON            resources of the container, an object such as
                              {\"limits\":{\"memory\":\"16Mi\"}} [that, and requests of 1m and 2Mi]
  --status-port PORT          port that kubelet probes instead [15020]
  --target-ip IP|pod          where the app is dialled [pod: the pod's own address]
  --source-ip IP              address it is dialled from [the kernel's choice]
  --sidecar KIND              native, an init container that is always restarted, or container
                              [native, where the cluster has it]"
);

/// `probelet-inject file --help`
pub(super) fn file() -> String {
    format!(
        "\
probelet-inject file: rewrite manifests so that probes go to probelet. kube-inject is the same.

Usage: probelet-inject file -f FILE|DIR|- [FLAGS]

Every byte that has nothing to do with it stays: comments, order, quotes, other documents. The
result goes to standard output, a line for each resource to standard error. Nothing is written if
any document fails.

Examples:
  kubectl apply -f <(probelet-inject file -f app.yaml)
  probelet-inject file -f deploy/ -R --in-place
  helm template app | probelet-inject file -f - --kube-version 1.28 | kubectl apply -f -

What is read:
  -f, --filename FILE         a manifest, - for standard input, or a folder: its *.yaml, *.yml and
                              *.json; may be given more than once
  -R, --recursive             also the folders in a folder

What becomes of it:
  -o FILE                     write the result to a file [standard output]
  --in-place                  replace each file that changes
  --diff                      show what would change, as a unified diff
  --check                     write nothing; exit with 1 if anything would change
  --output FORMAT             yaml: the manifests [yaml]
                              patch: a line for each resource that changes, in the order of the
                              lines on standard error, each a JSON Patch for
                              kubectl patch KIND NAME --type=json -p LINE
  --uninject                  take the sidecar out again, and put back what was there

Whether probes are rewritten:
  --config FILE               manifest of the injector's ConfigMap, or the JSON of its `values`, of
                              which sidecarInjectorWebhook.rewriteAppHTTPProbe says so [true]

{SIDECAR}
  --kube-version VERSION      version of the cluster, which decides on the kind of sidecar where
                              neither --sidecar nor the ConfigMap does [one of 1.29 or later]

  --help                      print this

The exit code is 0, or 1 if a document fails or --check finds something, or 2 for a usage error."
    )
}

/// `probelet-inject audit --help`
pub(super) fn audit() -> String {
    format!(
        "\
probelet-inject audit: tell which resources are not injected and could be, a line each.

Usage: probelet-inject audit -f FILE|DIR|- [FLAGS]

A webhook that cannot be reached leaves pods as they are, without a word. A pod of a controller is
told as itself. Where Namespaces are among what is read, only what is in those with the label
counts. Pods that have ended never do, nor what is in kube-system, kube-public, kube-node-lease or
probelet-system. Warnings of what is not injected go to standard error.

Example:
  kubectl get ns,pods -A -o yaml | probelet-inject audit -f -

Flags:
  -f, --filename FILE    a manifest, - for standard input, or a folder: its *.yaml, *.yml and
                         *.json; may be given more than once
  -R, --recursive        also the folders in a folder
  --config FILE          manifest of the injector's ConfigMap, or the JSON of its `values`
  --namespace-label KEY=VALUE
                         label of namespaces that count [{LABEL}]
  --output FORMAT        text, or json: an object a line [text]
  --help                 print this

The exit code is 0 if there are none, 1 if there are any or something cannot be read, and 2 for a
usage error."
    )
}

/// `probelet-inject serve --help`
pub(super) fn serve() -> String {
    format!(
        "\
probelet-inject serve: be the mutating admission webhook: rewrite pods when they are created.

Usage: probelet-inject serve --cert FILE --key FILE [FLAGS]
       probelet-inject serve --self-signed [FLAGS]

Where:
  --addr IP                   address it listens on [every one, IPv6 and IPv4]
  --port PORT                 port it listens on, by TLS [{PORT}]

What it shows to the API server:
  --cert FILE                 PEM file of its certificate, then its intermediates; both files are
                              read again when they change
  --key FILE                  PEM file of its key, without a passphrase
  --self-signed               a CA of its own, kept in a Secret, and written into the
                              MutatingWebhookConfiguration; its names are
  --service NAME              the Service that leads here [{NAME}]
  --namespace NAME            the namespace of Service and Secret [the pod's own]
  --secret NAME               the Secret [{SECRET}]
  --webhook NAME              the MutatingWebhookConfiguration [{NAME}]

Where the API server is, which is asked for its version, and for what --self-signed needs:
  --api-server URL            such as https://10.0.0.1:6443 [as the pod's environment says]
  --api-ca FILE               PEM file of the CA certificates it must lead to [the pod's account's]
  --api-token FILE            file of the token to show [the pod's account's]

Whether probes are rewritten:
  --config PATH               the ConfigMap's `values` as a file, or the folder it is mounted at;
                              it is read again when it changes [nothing, which rewrites]

{SIDECAR}

What is logged, on standard error:
  --log-level LEVEL           error, warn, info or debug [info]
  --log-format FORMAT         logfmt or json [logfmt]

  --shutdown-delay SECONDS    serve on that long after SIGTERM [{SHUTDOWN_DELAY}]
  --help                      print this

A mistake in the flags is told with exit code 2; what keeps it from serving with 1."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector as commands;

    #[test]
    fn each_help_has_all_flags_of_its_command_and_fits_a_terminal() {
        for (help, command) in [
            (file(), &commands::file::FLAGS),
            (audit(), &commands::audit::FLAGS),
            (serve(), &commands::serve::FLAGS),
        ] {
            for flag in command.valued.iter().chain(command.bare) {
                let listed = format!("  {flag}");
                let second = format!(", {flag} ");
                assert!(help.contains(&listed) || help.contains(&second), "{flag}");
            }
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}
