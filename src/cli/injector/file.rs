//! `probelet-inject file`.

use super::inputs::{InputFlags, split_manifest_args};
use super::kinds::KindFlags;
use super::sidecar::SidecarFlags;
use crate::cli::args::Args;
use crate::cli::exit::Exit;
use crate::cli::table::{Block, Command, Table, flags};
use crate::inject::{KubernetesVersion, Task};
use crate::injector::{Destination, FileOptions, Format, SettingSources};
use crate::text::Quoted;

/// The command.
pub(super) const COMMAND: Command = Command {
    name: "probelet-inject file",
    alias: Some("kube-inject"),
    summary: "rewrite manifests so that their probes go to probelet",
    usage: &["-f FILE|DIR|- [FLAGS]"],
    description: &[
        "Injection edits only the values that it needs: comments, order, quotes and other documents are unchanged to the \
         byte. The result goes to standard output, a line for each resource to standard error. Nothing is written if any \
         document fails.",
        "A pod template of an unknown kind, such as an Argo Rollout, is unchanged. Its line names the --kind-template to \
         write, and --check fails if the template would change with it.",
    ],
    blocks: &[Block {
        title: "Examples",
        lines: &[
            "kubectl apply -f <(probelet-inject file -f app.yaml)",
            "probelet-inject file -f deploy/ -R --in-place",
            "helm template app | probelet-inject file -f - --kube-version 1.28 | kubectl apply -f -",
            "kubectl patch -f web.yaml --type=json -p \"$(probelet-inject file -f web.yaml --output patch)\"",
        ],
    }],
    tables: &[
        InputFlags::SECTIONS,
        OutputFlags::SECTIONS,
        TaskFlags::SECTIONS,
        ConfigFlags::SECTIONS,
        KindFlags::SECTIONS,
        SidecarFlags::SECTIONS,
    ],
    env_prefix: None,
    exit_status: "The exit code is 0 on success, 1 if an input or a document fails, the result cannot be written or \
                  --check finds a change, and 2 for an error in the arguments.",
};

flags! {
    /// The flags of the result.
    pub(super) struct OutputFlags {
        "Output" {
            option out (only "-o"): Option<String>, value "FILE" = Text("standard output"),
                "Write the result to a file";
            switch in_place: bool,
                "Replace each file that changes";
            switch diff: bool,
                "Print the changes as a unified diff, and write nothing";
            switch check: bool,
                "Write nothing; exit with 1 if anything would change, also a pod template of an unknown kind";
            option output: Option<String>, value "FORMAT" = Text("yaml"),
                "Write the edited manifests (yaml), or one JSON Patch per line for each changed resource, in the order of \
                 the lines on standard error (patch)";
        }
    }
}

flags! {
    /// The flag that selects the task.
    struct TaskFlags {
        "Task" {
            switch uninject: bool,
                "Remove the sidecar and restore the original probes";
        }
    }
}

flags! {
    /// The flags of the settings that are not those of the sidecar.
    pub(super) struct ConfigFlags {
        "Injection" {
            option config: Option<String>, value "FILE",
                "Read the injector's ConfigMap from its manifest, or from the JSON of its `values`; probes stay if \
                 sidecarInjectorWebhook.rewriteAppHTTPProbe is false there";
            option kube_version: Option<String>, value "VERSION" = Text("1.29 or later"),
                "Add the kind of sidecar that a cluster of this version supports, unless --sidecar or the ConfigMap \
                 names one";
        }
    }
}

pub(super) fn parse(args: &[String]) -> Result<FileOptions, Exit> {
    let args = split_manifest_args(&COMMAND, args)?;
    let task = match args.parse_table::<TaskFlags>()?.uninject {
        false => Task::Inject,
        true => Task::Uninject,
    };
    options(&COMMAND, &args, task)
}

/// The options of a command that has these tables, or some of them.
pub(super) fn options(
    command: &'static Command,
    args: &Args<'_>,
    task: Task,
) -> Result<FileOptions, Exit> {
    let config: ConfigFlags = args.parse_table()?;
    let version = config.kube_version.as_deref();
    let version = version.map(|text| parse_version(command, text));
    let mut values = SidecarFlags::values(args, command)?;
    args.parse_table::<KindFlags>()?
        .add_to(&mut values, command)?;
    Ok(FileOptions {
        inputs: args.parse_table::<InputFlags>()?.into(),
        task,
        destination: args.parse_table::<OutputFlags>()?.destination(command)?,
        settings: SettingSources {
            flags: values,
            config: config.config,
            version: version.transpose()?,
        },
    })
}

fn parse_version(command: &'static Command, text: &str) -> Result<KubernetesVersion, Exit> {
    KubernetesVersion::parse(text).ok_or_else(|| {
        let found = Quoted(text);
        command.usage_error(format!(
            "--kube-version is {found}: write a version such as 1.29"
        ))
    })
}

impl OutputFlags {
    /// Where the result goes.
    ///
    /// # Errors
    /// Flags that exclude each other; a format instead of a file after `-o`, as in kubectl.
    fn destination(&self, command: &'static Command) -> Result<Destination, Exit> {
        let usage = |text: String| Err(command.usage_error(text));
        let modes = [
            ("-o", self.out.is_some()),
            ("--in-place", self.in_place),
            ("--diff", self.diff),
            ("--check", self.check),
        ];
        let mut given = modes.iter().filter(|(_, is_given)| *is_given);
        if let (Some((one, _)), Some((other, _))) = (given.next(), given.next()) {
            return usage(format!(
                "{one} and {other} exclude each other: write one of them"
            ));
        }
        match self.out.as_deref() {
            Some("") => return usage("-o is empty: write the name of a file".into()),
            Some(format @ ("yaml" | "json" | "patch")) => {
                return usage(format!(
                    "-o is the file to write, as istioctl's: write `--output {format}` for the format, or \
                     `-o ./{format}` for a file of that name"
                ));
            }
            _ => {}
        }
        let format = match self.output.as_deref() {
            None | Some("yaml") => Format::Manifests,
            Some("patch") if self.in_place || self.diff || self.check => {
                return usage(
                    "--output patch goes to standard output or to a file: leave --in-place, --diff and --check out"
                        .into(),
                );
            }
            Some("patch") => Format::Patches,
            Some(other) => {
                return usage(format!(
                    "--output is {}: write yaml or patch; -o names the file to write",
                    Quoted(other)
                ));
            }
        };
        Ok(if self.check {
            Destination::Nowhere
        } else if self.in_place {
            Destination::InPlace
        } else if self.diff {
            Destination::Diff
        } else {
            let file = self.out.as_ref().map(Into::into);
            Destination::Write { file, format }
        })
    }
}
