//! What the commands have in common of what is typed: how flags are read, and what is said of istioctl's.

use super::{PROGRAM, Stop};
use crate::flags::{self, Arg};
use crate::telemetry::Discreet;

/// Flags of `istioctl kube-inject` that are none of ours, where its ConfigMap is meant.
const OF_CONFIG: [&str; 3] = [
    "--injectConfigFile",
    "--injectConfigMapName",
    "--valuesFile",
];

/// Its flags that concern a cluster or a mesh, of which nothing is asked here.
const OF_CLUSTER: [&str; 15] = [
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

/// The flags of a command one by one; its help ends it all.
pub(super) fn read<'a>(
    command: &flags::Command,
    args: &'a [String],
    help: fn() -> String,
) -> Result<Vec<(&'a str, &'a str)>, Stop> {
    let read = command
        .read(args)
        .map_err(|told| Stop::Usage(foreign(command, args).unwrap_or(told)))?;
    let flag = |arg: &Arg<'a>| match *arg {
        Arg::Help => Err(Stop::Asked(help())),
        Arg::Flag(name, value) => Ok((name, value)),
        Arg::Word(word) => Err(Stop::Usage(format!(
            "{} stands alone: write a file as `-f FILE`, see `{} --help`",
            Discreet(word),
            command.name
        ))),
    };
    read.iter().map(flag).collect()
}

/// What is said of the first flag of istioctl's that is none of ours.
fn foreign(command: &flags::Command, args: &[String]) -> Option<String> {
    args.iter().find_map(|arg| {
        let name = arg.split('=').next().unwrap_or_default();
        if command.valued.contains(&name) {
            return None;
        }
        if OF_CONFIG.contains(&name) {
            return Some(format!(
                "{name} is istioctl's: save the ConfigMap by `kubectl get configmap NAME -o yaml > FILE` \
                 and write `--config FILE`"
            ));
        }
        OF_CLUSTER.contains(&name).then(|| {
            format!("{name} is istioctl's: leave it out, {PROGRAM} asks nothing of a cluster here")
        })
    })
}
