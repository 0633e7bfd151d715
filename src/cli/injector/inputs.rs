//! The flags that name manifests, and advice on flags of `istioctl kube-inject` that probelet-inject lacks.

use crate::cli::args::Args;
use crate::cli::exit::Exit;
use crate::cli::table::{Command, flags};
use crate::injector::InputOptions;

flags! {
    /// The flags that name manifests.
    pub(super) struct InputFlags {
        "Input" {
            option filename (short "-f"): Vec<String>, value "FILE",
                "Read this manifest, standard input (-), or the *.yaml, *.yml and *.json files of a directory; may be \
                 given more than once";
            switch recursive (short "-R"): bool,
                "Read directories recursively";
        }
    }
}

impl From<InputFlags> for InputOptions {
    fn from(flags: InputFlags) -> Self {
        InputOptions {
            names: flags.filename,
            is_recursive: flags.recursive,
        }
    }
}

/// Flags of `istioctl kube-inject` that name its ConfigMap.
const ISTIOCTL_CONFIG_FLAGS: [&str; 3] = [
    "--injectConfigFile",
    "--injectConfigMapName",
    "--valuesFile",
];

/// Flags of `istioctl kube-inject` that concern a cluster or a mesh.
const ISTIOCTL_CLUSTER_FLAGS: [&str; 15] = [
    "--as",
    "--context",
    "--istioNamespace",
    "--kubeconfig",
    "--meshConfigFile",
    "--meshConfigMapName",
    "--namespace",
    "--operatorFileName",
    "--revision",
    "--tunnel",
    "--webhookConfig",
    "-c",
    "-i",
    "-n",
    "-r",
];

/// Splits the arguments of a command that reads manifests. It has no positional arguments.
pub(super) fn split_manifest_args<'a>(
    command: &'static Command,
    args: &'a [String],
) -> Result<Args<'a>, Exit> {
    let explain = |error| istioctl_advice(command, args).unwrap_or(error);
    let args = Args::split_or(command, args, explain)?;
    args.check_no_positionals("write a file as `-f FILE`")?;
    Ok(args)
}

/// The advice on the first flag that only istioctl has.
fn istioctl_advice(command: &Command, args: &[String]) -> Option<String> {
    args.iter().find_map(|arg| {
        let name = arg.split('=').next().unwrap_or_default();
        if command.find(name).is_some() {
            return None;
        }
        if ISTIOCTL_CONFIG_FLAGS.contains(&name) {
            return Some(format!(
                "{name} is istioctl's: save the ConfigMap by `kubectl get configmap NAME -o yaml > FILE` \
                 and write `--config FILE`"
            ));
        }
        ISTIOCTL_CLUSTER_FLAGS.contains(&name).then(|| {
            format!("{name} is istioctl's: remove it, {} does not connect to a cluster", command.name)
        })
    })
}
