//! `probelet-inject audit`: which resources are not injected and could be. A webhook whose failurePolicy is
//! Ignore leaves pods bare in silence.

use super::documents::documents;
use super::inputs::{Input, inputs};
use super::{Io, Stop, help, settings, typed};
use crate::flags;
use crate::inject::{Done, Report, Settings, Task, Verdict, resources};
use crate::limits;
use crate::manifest::Document;
use crate::telemetry::Quoted;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The flags of `audit`.
pub(super) const FLAGS: flags::Command = flags::Command {
    name: "probelet-inject audit",
    valued: &[
        "--config",
        "--filename",
        "--namespace-label",
        "--output",
        "-f",
    ],
    bare: &["--recursive", "-R"],
    repeated: &["--filename", "-f"],
};

/// The label of namespaces whose pods the webhook is shown, where it is deployed as we have it.
pub(super) const LABEL: &str = "probelet.dev/injection=enabled";

/// Namespaces whose pods it is never shown.
const LEFT_OUT: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "probelet-system",
];

/// Tells them; the exit code is 1 if there are any, or if something could not be read.
pub(super) fn run(args: &[String], io: &mut Io<'_>) -> Result<u8, Stop> {
    let (mut names, mut is_recursive, mut is_json) = (Vec::new(), false, false);
    let mut settings = settings::Typed::default();
    let mut label = LABEL;
    for (flag, value) in typed::read(&FLAGS, args, help::audit)? {
        match flag {
            "-f" | "--filename" => names.push(value),
            "-R" | "--recursive" => is_recursive = true,
            "--namespace-label" => label = value,
            "--output" => is_json = format(value)?,
            flag => settings.take(flag, value)?,
        }
    }
    let inputs = inputs(&names, is_recursive)?;
    let mut audit = Audit {
        settings: settings.settings()?,
        label: pair(label)?,
        is_json,
        is_clean: true,
        namespaces: HashMap::new(),
        found: Vec::new(),
        held: 0,
    };
    for input in &inputs {
        audit.input(input, io)?;
    }
    audit.tell(io)
}

fn format(value: &str) -> Result<bool, Stop> {
    match value {
        "text" => Ok(false),
        "json" => Ok(true),
        other => Err(Stop::Usage(format!(
            "--output is {}: write text or json",
            Quoted(other)
        ))),
    }
}

fn pair(label: &str) -> Result<(&str, &str), Stop> {
    let pair = label.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.ok_or_else(|| {
        let found = Quoted(label);
        Stop::Usage(format!(
            "--namespace-label is {found}: write KEY=VALUE, such as {LABEL}"
        ))
    })
}

/// What came of all inputs. A namespace may come behind its pods, so nothing is told before the end.
struct Audit<'a> {
    settings: Settings,
    label: (&'a str, &'a str),
    is_json: bool,
    /// Whether all could be read.
    is_clean: bool,
    /// The namespaces that are there, and whether they have the label.
    namespaces: HashMap<Box<str>, bool>,
    found: Vec<Found>,
    /// Bytes of both.
    held: usize,
}

/// What is to be told of a resource, if its namespace is one that counts.
struct Found {
    namespace: Box<str>,
    /// That it is not injected.
    line: Option<String>,
    warnings: Vec<String>,
}

impl Audit<'_> {
    fn input(&mut self, input: &Input, io: &mut Io<'_>) -> Result<(), Stop> {
        let reader = match input.open(io.stdin) {
            Ok(reader) => reader,
            Err(what) => {
                self.is_clean = false;
                let _ = writeln!(io.stderr, "{what}");
                return Ok(());
            }
        };
        for read in documents(reader) {
            match read {
                Ok(read) => self.document(&read.document)?,
                Err(failure) => {
                    self.is_clean = false;
                    let _ = writeln!(io.stderr, "{}: {failure}", input.name());
                }
            }
        }
        Ok(())
    }

    fn document(&mut self, document: &Document) -> Result<(), Stop> {
        let value = document.value();
        for report in resources(value, document, Task::Inject, &self.settings) {
            let resource = report.at.resolve(value).unwrap_or(&Value::Null);
            match report.name.strip_prefix("namespace/") {
                Some(name) => self.namespace(name, resource)?,
                None if has_ended(resource) => {}
                None => self.resource(&report)?,
            }
        }
        Ok(())
    }

    fn namespace(&mut self, name: &str, resource: &Value) -> Result<(), Stop> {
        let (key, value) = self.label;
        let has_label = resource["metadata"]["labels"][key] == value;
        self.namespaces.insert(name.into(), has_label);
        self.hold(name.len())
    }

    fn resource(&mut self, report: &Report) -> Result<(), Stop> {
        let namespace = report.namespace.as_deref().unwrap_or("default");
        let is_well = matches!(report.verdict, Verdict::Unchanged(_));
        if is_well || LEFT_OUT.contains(&namespace) {
            return Ok(());
        }
        let told = told(report);
        let warnings = report.warnings.iter();
        let found = Found {
            namespace: namespace.into(),
            line: line(report, self.is_json),
            warnings: warnings
                .map(|warning| format!("{told} warning: {warning}"))
                .collect(),
        };
        let texts = found.line.iter().chain(&found.warnings);
        let bytes = texts.map(String::len).sum();
        if bytes == 0 {
            return Ok(());
        }
        self.found.push(found);
        self.hold(bytes)
    }

    /// What is kept of one is some words more than its text.
    fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        self.held += bytes + 128;
        match self.held > limits::AUDIT_BYTES {
            false => Ok(()),
            true => Err(Stop::Failed(format!(
                "there is more than {} MiB to tell: name fewer manifests at once, such as those of one namespace",
                limits::AUDIT_BYTES >> 20
            ))),
        }
    }

    fn tell(self, io: &mut Io<'_>) -> Result<u8, Stop> {
        let mut is_clean = self.is_clean;
        for found in &self.found {
            let counts = self.namespaces.get(&found.namespace).copied();
            if !counts.unwrap_or(self.namespaces.is_empty()) {
                continue;
            }
            for warning in &found.warnings {
                let _ = writeln!(io.stderr, "{warning}");
            }
            if let Some(line) = &found.line {
                is_clean = false;
                writeln!(io.stdout, "{line}").map_err(|error| Stop::stdout(&error))?;
            }
        }
        io.stdout.flush().map_err(|error| Stop::stdout(&error))?;
        Ok(u8::from(!is_clean))
    }
}

/// Nobody probes a pod that has ended.
fn has_ended(resource: &Value) -> bool {
    let phase = &resource["status"]["phase"];
    phase == "Succeeded" || phase == "Failed"
}

/// What is told of a resource that is not injected.
fn line(report: &Report, is_json: bool) -> Option<String> {
    let why = match &report.verdict {
        Verdict::Edited { what, done, .. } if *done == Done::Injected => {
            format!("{what} would be rewritten")
        }
        Verdict::Refused(why) => format!("refused: {why}"),
        _ => return None,
    };
    if is_json {
        let line = json!({"resource": report.name, "namespace": report.namespace, "why": why});
        return Some(line.to_string());
    }
    Some(format!("{} not injected: {why}", told(report)))
}

/// What a resource is called among those of other namespaces.
fn told(report: &Report) -> String {
    let namespace = report.namespace.as_ref();
    let namespace = namespace.map(|namespace| format!(" namespace={namespace}"));
    format!("{}{}", report.name, namespace.unwrap_or_default())
}
