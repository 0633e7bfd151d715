//! `probelet-inject audit`.

use super::inputs::{InputFlags, split_manifest_args};
use super::kinds::KindFlags;
use crate::cli::exit::Exit;
use crate::cli::table::{Block, Command, Table, flags};
use crate::inject::values::Values;
use crate::injector::{AuditOptions, Label, SettingSources};
use crate::text::Quoted;

/// The command.
pub(super) const COMMAND: Command = Command {
    name: "probelet-inject audit",
    alias: None,
    summary: "list resources that are not injected, and those that the sidecar fails",
    usage: &["-f FILE|DIR|- [FLAGS]"],
    description: &[
        "While the webhook is down, pods start without the sidecar and without a warning. A pod that a controller \
         created is listed as the pod, not as its controller. If the input has Namespaces, only resources in namespaces \
         with the label are listed. Completed pods and the namespaces kube-system, kube-public, kube-node-lease and \
         that of the webhook are ignored. Warnings go to standard error.",
        "Pods that the API server rejects exist in Events and in the conditions of ReplicaSets only: a controller whose pods are \
         rejected because of the sidecar, such as by a ResourceQuota, a LimitRange or PodSecurity, is listed with a fix, \
         and so is a pod whose sidecar does not start.",
    ],
    blocks: &[Block {
        title: "Example",
        lines: &["kubectl get ns,pods,rs,events -A -o yaml | probelet-inject audit -f -"],
    }],
    tables: &[
        InputFlags::SECTIONS,
        AuditFlags::SECTIONS,
        KindFlags::SECTIONS,
    ],
    env_prefix: None,
    exit_status: "The exit code is 0 if nothing is listed, 1 if a resource is listed or an input cannot be read, and \
                  2 for an error in the arguments.",
};

/// The label of the namespaces that the webhook selects, as it is deployed.
const LABEL: &str = "probelet.dev/injection=enabled";

/// The namespace of the webhook, as deployed.
const WEBHOOK_NAMESPACE: &str = "probelet-system";

flags! {
    /// The flags of `probelet-inject audit`.
    struct AuditFlags {
        "Audit" {
            option config: Option<String>, value "FILE",
                "Read the injector's ConfigMap from its manifest, or from the JSON of its `values`";
            option namespace_label: Option<String>, value "KEY=VALUE" = Text(LABEL),
                "List resources in namespaces with this label";
            option webhook_namespace: Option<String>, value "NAME" = Text(WEBHOOK_NAMESPACE),
                "Ignore the namespace of the webhook, which never injects its own pods";
            option output: Option<String>, value "FORMAT" = Text("text"),
                "Print text, or one JSON object per line: text or json";
        }
    }
}

pub(super) fn parse(command: &'static Command, args: &[String]) -> Result<AuditOptions, Exit> {
    let args = split_manifest_args(command, args)?;
    let flags: AuditFlags = args.parse_table()?;
    let mut values = Values::default();
    let kinds: KindFlags = args.parse_table()?;
    kinds.add_to(&mut values, command)?;
    Ok(AuditOptions {
        inputs: args.parse_table::<InputFlags>()?.into(),
        label: parse_label(command, flags.namespace_label.as_deref().unwrap_or(LABEL))?,
        webhook_namespace: flags
            .webhook_namespace
            .unwrap_or_else(|| WEBHOOK_NAMESPACE.into())
            .into(),
        is_json: match flags.output.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                let found = Quoted(other);
                return Err(command.usage_error(format!("--output is {found}: write text or json")));
            }
        },
        settings: SettingSources {
            flags: values,
            config: flags.config,
            version: None,
        },
    })
}

fn parse_label(command: &'static Command, text: &str) -> Result<Label, Exit> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Label {
            key: key.into(),
            value: value.into(),
        }),
        _ => Err(command.usage_error(format!(
            "--namespace-label is {}: write KEY=VALUE, such as {LABEL}",
            Quoted(text)
        ))),
    }
}
