//! `probelet-inject audit`: lists the eligible resources that are not injected. While a webhook with failurePolicy Ignore is
//! down, pods start without the sidecar and without a warning.

use super::documents::{Part, documents};
use super::inputs::{Input, InputOptions, inputs};
use super::io::{Error, Io, print_line};
use super::settings::SettingSources;
use crate::inject::{Effect, Report, Settings, Task, Verdict, reports};
use crate::limits;
use crate::manifest::Document;
use crate::text::EscapedLine;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The options of `audit`.
#[derive(Debug)]
pub(crate) struct AuditOptions {
    pub(crate) inputs: InputOptions,
    /// The label of the selected namespaces.
    pub(crate) label: Label,
    /// The namespace of the webhook, which it never selects.
    pub(crate) webhook_namespace: Box<str>,
    pub(crate) is_json: bool,
    pub(crate) settings: SettingSources,
}

/// A label and its value.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) key: Box<str>,
    pub(crate) value: Box<str>,
}

/// Namespaces that the webhook never selects, besides its own (`namespaceSelector` in `deploy/webhook`).
const EXCLUDED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Before the name of a Namespace in [`Report::name`].
const NAMESPACE_PREFIX: &str = "namespace/";

/// Prints the resources that are not injected. Returns the exit code: 1 if there are any, or if something cannot be read.
pub(super) fn run(options: AuditOptions, io: &mut Io<'_>) -> Result<u8, Error> {
    let inputs = inputs(&options.inputs)?;
    let mut audit = Audit {
        settings: options.settings.load()?,
        label: options.label,
        webhook_namespace: options.webhook_namespace,
        is_json: options.is_json,
        has_read_all: true,
        namespaces: HashMap::new(),
        findings: Vec::new(),
        bytes_held: 0,
    };
    for input in &inputs {
        audit.read_input(input, io)?;
    }
    audit.print(io)
}

/// The findings of all inputs. A Namespace may follow its pods, so nothing is printed before the end.
struct Audit {
    settings: Settings,
    label: Label,
    webhook_namespace: Box<str>,
    is_json: bool,
    /// Whether all inputs could be read.
    has_read_all: bool,
    /// The namespaces of the input, and whether they have the label.
    namespaces: HashMap<Box<str>, bool>,
    findings: Vec<Finding>,
    /// The bytes of `namespaces` and `findings`.
    bytes_held: usize,
}

/// The lines about a resource, printed if its namespace is selected.
struct Finding {
    namespace: Box<str>,
    /// The line that it is not injected, with the reason.
    line: Option<String>,
    warnings: Vec<String>,
}

impl Audit {
    fn read_input(&mut self, input: &Input, io: &mut Io<'_>) -> Result<(), Error> {
        let reader = match input.open(io.stdin) {
            Ok(reader) => reader,
            Err(what) => {
                self.has_read_all = false;
                print_line(io.stderr, what);
                return Ok(());
            }
        };
        for located in documents(reader) {
            match located {
                Ok(Part::Document(located)) => self.add_document(&located.document)?,
                Ok(Part::Text(_)) => {}
                Err(error) => {
                    self.has_read_all = false;
                    print_line(io.stderr, format_args!("{}: {error}", input.name()));
                }
            }
        }
        Ok(())
    }

    fn add_document(&mut self, document: &Document) -> Result<(), Error> {
        let value = document.value();
        for report in reports(value, document, Task::Inject, &self.settings) {
            let resource = report.pointer.resolve(value).unwrap_or(&Value::Null);
            match report.name.strip_prefix(NAMESPACE_PREFIX) {
                Some(name) => self.add_namespace(name, resource)?,
                None if has_ended(resource) => {}
                None => self.add_resource(&report)?,
            }
        }
        Ok(())
    }

    fn add_namespace(&mut self, name: &str, resource: &Value) -> Result<(), Error> {
        let label = &resource["metadata"]["labels"][&*self.label.key];
        let has_label = *label == *self.label.value;
        self.namespaces.insert(name.into(), has_label);
        self.count_bytes(name.len())
    }

    fn add_resource(&mut self, report: &Report) -> Result<(), Error> {
        let namespace = report.namespace.as_deref().unwrap_or("default");
        let needs_no_injection = matches!(report.verdict, Verdict::Unchanged(_));
        let is_excluded =
            EXCLUDED_NAMESPACES.contains(&namespace) || *namespace == *self.webhook_namespace;
        if needs_no_injection || is_excluded {
            return Ok(());
        }
        let name = full_name(report);
        let warnings = report.warnings.iter();
        let finding = Finding {
            namespace: namespace.into(),
            line: line(report, self.is_json),
            warnings: warnings
                .map(|warning| format!("{name} warning: {warning}"))
                .collect(),
        };
        let texts = finding.line.iter().chain(&finding.warnings);
        let bytes = texts.map(String::len).sum();
        if bytes == 0 {
            return Ok(());
        }
        self.findings.push(finding);
        self.count_bytes(bytes)
    }

    /// Counts the memory of an entry: its text, and the structs around it.
    fn count_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes_held += bytes + 128;
        match self.bytes_held > limits::AUDIT_BYTES {
            false => Ok(()),
            true => Err(Error::Failed(format!(
                "the findings exceed {} MiB: name fewer manifests at once, such as those of one namespace",
                limits::AUDIT_BYTES >> 20
            ))),
        }
    }

    fn print(self, io: &mut Io<'_>) -> Result<u8, Error> {
        let mut is_success = self.has_read_all;
        for finding in &self.findings {
            let is_selected = self.namespaces.get(&finding.namespace).copied();
            if !is_selected.unwrap_or(self.namespaces.is_empty()) {
                continue;
            }
            for warning in &finding.warnings {
                print_line(io.stderr, warning);
            }
            if let Some(line) = &finding.line {
                is_success = false;
                writeln!(io.stdout, "{}", EscapedLine(line))
                    .map_err(|error| Error::stdout(&error))?;
            }
        }
        io.stdout.flush().map_err(|error| Error::stdout(&error))?;
        Ok(u8::from(!is_success))
    }
}

/// kubelet does not probe a pod that has ended.
fn has_ended(resource: &Value) -> bool {
    let phase = &resource["status"]["phase"];
    phase == "Succeeded" || phase == "Failed"
}

/// The line about a resource that is not injected.
fn line(report: &Report, is_json: bool) -> Option<String> {
    let reason = match &report.verdict {
        Verdict::Edited {
            details, effect, ..
        } => match effect {
            Effect::Injected => format!("injection would rewrite {details}"),
            Effect::Updated | Effect::Uninjected => return None,
        },
        Verdict::Refused(reason) => format!("refused: {reason}"),
        Verdict::UnknownKind {
            advice,
            is_eligible: true,
        } => advice.to_string(),
        Verdict::UnknownKind { .. } => return None,
        Verdict::Unchanged(_) | Verdict::Skipped(_) | Verdict::NoPods => return None,
    };
    if is_json {
        let line =
            json!({"resource": report.name, "namespace": report.namespace, "reason": reason});
        return Some(line.to_string());
    }
    Some(format!("{} not injected: {reason}", full_name(report)))
}

/// The name of a resource, with its namespace.
fn full_name(report: &Report) -> String {
    let namespace = report.namespace.as_ref();
    let namespace = namespace.map(|namespace| format!(" namespace={namespace}"));
    format!("{}{}", report.name, namespace.unwrap_or_default())
}
