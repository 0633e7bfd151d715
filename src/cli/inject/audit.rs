//! `probelet-inject audit`.

use super::inputs::{self, InputFlags};
use crate::cli::exit::Exit;
use crate::cli::table::{Block, Command, Table, flags};
use crate::inject::values::Values;
use crate::injector::{AuditOptions, Label, SettingSources};
use crate::telemetry::Quoted;

/// The command.
pub(super) const COMMAND: Command = Command {
    name: "probelet-inject audit",
    alias: None,
    summary: "list the resources that are not injected and could be, one a line",
    usage: &["-f FILE|DIR|- [FLAGS]"],
    description: &[
        "While the webhook is down, pods start without the sidecar and without a warning. A pod of a controller is \
         listed itself. If Namespaces are among the input, only resources in those with the label count. Pods that have \
         ended never count, nor what is in kube-system, kube-public, kube-node-lease or probelet-system. Warnings go to \
         standard error.",
    ],
    blocks: &[Block {
        title: "Example",
        lines: &["kubectl get ns,pods -A -o yaml | probelet-inject audit -f -"],
    }],
    tables: &[InputFlags::SECTIONS, AuditFlags::SECTIONS],
    variables: None,
    exit_status: "The exit code is 0 if there are none, 1 if there are any or something cannot be read, and 2 for an \
                  error in the arguments.",
};

/// The label of the namespaces that the webhook selects, as it is deployed.
const LABEL: &str = "probelet.dev/injection=enabled";

flags! {
    /// The flags of `probelet-inject audit`.
    struct AuditFlags {
        "Audit" {
            option config: Option<String>, value "FILE",
                "Read the injector's ConfigMap from its manifest, or from the JSON of its `values`";
            option namespace_label: Option<String>, value "KEY=VALUE" = Text(LABEL),
                "Count resources in namespaces with this label";
            option output: Option<String>, value "FORMAT" = Text("text"),
                "Print lines of text, or a JSON object a line: text or json";
        }
    }
}

pub(super) fn parse(args: &[String]) -> Result<AuditOptions, Exit> {
    let args = inputs::split(&COMMAND, args)?;
    let flags: AuditFlags = args.fill()?;
    Ok(AuditOptions {
        inputs: args.fill::<InputFlags>()?.into(),
        label: label(flags.namespace_label.as_deref().unwrap_or(LABEL))?,
        is_json: match flags.output.as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => {
                let found = Quoted(other);
                return Err(COMMAND.usage_error(format!("--output is {found}: write text or json")));
            }
        },
        settings: SettingSources {
            flags: Values::default(),
            config: flags.config,
            version: None,
        },
    })
}

fn label(text: &str) -> Result<Label, Exit> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Label {
            key: key.into(),
            value: value.into(),
        }),
        _ => Err(COMMAND.usage_error(format!(
            "--namespace-label is {}: write KEY=VALUE, such as {LABEL}",
            Quoted(text)
        ))),
    }
}
