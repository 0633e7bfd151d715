//! `probelet-inject audit`: lists the eligible resources that are not injected, and pods that cannot be created or started
//! because of the sidecar. While a webhook with failurePolicy Ignore is down, pods start without the sidecar and without a
//! warning. A ReplicaSet whose pods the API server rejects reports it in Events and a condition only.

mod controllers;
mod convertible;
mod pod_template;
mod sidecar_faults;

use super::documents::{Part, documents};
use super::inputs::{Input, InputOptions, inputs};
use super::io::{Error, Io, print_line};
use super::settings::{KindCheck, SettingSources};
use crate::inject::values::Values;
use crate::inject::{
    ConvertibleExec, Effect, OTHER_CONTAINER, Report, Settings, Task, Verdict, annotation_names,
    possible_resources, reports,
};
use crate::limits;
use crate::manifest::Document;
use crate::text::EscapedLine;
use controllers::{Controllers, controller, owners, uid};
use convertible::ConvertibleProbe;
use pod_template::PodTemplate;
use serde_json::{Value, json};
use sidecar_faults::{PossibleSidecars, Rejection, start_failure};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

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

/// Before the name of a Pod.
const POD_PREFIX: &str = "pod/";

/// Prints the resources that are not injected, and those that the sidecar fails. Returns the exit code: 1 if there are any, or
/// if something cannot be read.
pub(super) fn run(options: AuditOptions, io: &mut Io<'_>) -> Result<u8, Error> {
    let inputs = inputs(&options.inputs)?;
    let (settings, kinds) = options.settings.load()?;
    let mut audit = Audit {
        convertible: ConvertibleExec::new(&settings),
        settings,
        kinds,
        label: options.label,
        webhook_namespace: options.webhook_namespace,
        is_json: options.is_json,
        has_read_all: true,
        namespaces: HashMap::new(),
        controllers: Controllers::default(),
        findings: Vec::new(),
        rejections: HashSet::new(),
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
    /// None if the settings convert exec probes.
    convertible: Option<ConvertibleExec>,
    kinds: KindCheck,
    label: Label,
    webhook_namespace: Box<str>,
    is_json: bool,
    /// Whether all inputs could be read.
    has_read_all: bool,
    namespaces: HashMap<Box<str>, Namespace>,
    controllers: Controllers,
    findings: Vec<Finding>,
    /// Rejections with their causes: a controller has an Event for each try, and a condition.
    rejections: HashSet<(Rejected, Box<str>)>,
    /// The bytes of these.
    bytes_held: usize,
}

/// A namespace of the input.
struct Namespace {
    has_label: bool,
    /// The resources of its annotation.
    resources: Option<Value>,
}

/// A controller whose pods are rejected.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Rejected {
    namespace: Box<str>,
    /// `replicaset/web-5d4`
    object: Box<str>,
}

/// The lines about a resource, printed if its namespace is selected.
struct Finding {
    namespace: Box<str>,
    /// The line that it is not injected or fails, with the reason.
    line: Option<Line>,
    warnings: Vec<String>,
    /// The exec probes that could be converted.
    convertible: Vec<ConvertibleProbe>,
    outdated: Outdated,
}

/// A line about a resource.
enum Line {
    Text(String),
    /// A message of the API server, printed if the sidecar is the cause. The pod template and the Namespace that decide this
    /// may come later in the input.
    Rejection(Rejected, Box<str>),
}

impl Line {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Rejection(_, message) => message.len(),
        }
    }
}

/// What makes a finding outdated.
enum Outdated {
    Never,
    /// Pods that this controller owns are in the input: they are audited instead of its pod template.
    PodsOf(Box<str>),
    /// This controller has all its pods, or does not exist any longer.
    CompleteController(Box<str>),
}

impl Audit {
    fn read_input(&mut self, input: &Input, io: &mut Io<'_>) -> Result<(), Error> {
        let reader = match input.open(io.stdin) {
            Ok(reader) => reader,
            Err(what) => {
                self.has_read_all = false;
                self.kinds.observe_unread();
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
                    self.kinds.observe_unread();
                    print_line(io.stderr, format_args!("{}: {error}", input.name()));
                }
            }
        }
        Ok(())
    }

    fn add_document(&mut self, document: &Document) -> Result<(), Error> {
        let value = document.value();
        let reports = reports(value, document, Task::Inject, &self.settings);
        self.kinds.observe(value, &reports);
        for report in reports {
            let resource = report.pointer.resolve(value).unwrap_or(&Value::Null);
            match report.name.strip_prefix(NAMESPACE_PREFIX) {
                Some(name) => self.add_namespace(name, resource)?,
                None if has_ended(resource) => {}
                None => self.add_resource(&report, resource)?,
            }
        }
        Ok(())
    }

    fn add_namespace(&mut self, name: &str, resource: &Value) -> Result<(), Error> {
        let label = &resource["metadata"]["labels"][&*self.label.key];
        let has_label = *label == *self.label.value;
        let text = resource["metadata"]["annotations"][annotation_names::RESOURCES].as_str();
        let resources = text.and_then(|text| parse_resources(text.trim()));
        let bytes = name.len() + text.map_or(0, str::len);
        let namespace = Namespace {
            has_label,
            resources,
        };
        self.namespaces.insert(name.into(), namespace);
        self.count_bytes(bytes)
    }

    fn add_resource(&mut self, report: &Report, resource: &Value) -> Result<(), Error> {
        let namespace = report.namespace.as_deref().unwrap_or("default");
        if EXCLUDED_NAMESPACES.contains(&namespace) || *namespace == *self.webhook_namespace {
            return Ok(());
        }
        let is_pod = report.name.starts_with(POD_PREFIX);
        let bytes = match &report.verdict {
            _ if is_pod => self.controllers.add_pod(resource),
            Verdict::NoPods => 0,
            _ => self.controllers.add_controller(resource, namespace, report),
        };
        if bytes > 0 {
            self.count_bytes(bytes)?;
        }
        self.add_failure(report, resource, namespace)?;
        let needs_no_injection = matches!(report.verdict, Verdict::Unchanged(_));
        // The owner of a controller, such as a Deployment, has its pod template.
        let is_owned_controller = !is_pod && owners(resource).next().is_some();
        if is_owned_controller {
            return Ok(());
        }
        let name = full_name(&report.name, report.namespace.as_deref());
        let convertible = self.convertible.as_ref();
        let found = convertible.map_or_else(Vec::new, |convertible| convertible.probes(resource));
        let convertible = found.into_iter().map(|(label, command)| ConvertibleProbe {
            resource: (*name).into(),
            label,
            command,
            controller: controller(resource).map(Into::into),
        });
        let mut warnings = report.warnings.iter();
        let mut reason = reason(report);
        if needs_no_injection {
            (warnings, reason) = ([].iter(), None);
        }
        self.add_finding(Finding {
            convertible: convertible.collect(),
            namespace: namespace.into(),
            line: reason.map(|reason| {
                Line::Text(self.line(&report.name, report.namespace.as_deref(), &reason))
            }),
            warnings: warnings
                .map(|warning| format!("{name} warning: {warning}"))
                .collect(),
            outdated: match uid(resource) {
                Some(uid) if !is_pod => Outdated::PodsOf(uid.into()),
                _ => Outdated::Never,
            },
        })
    }

    /// Adds pods that cannot be created or started because of the sidecar.
    fn add_failure(
        &mut self,
        report: &Report,
        resource: &Value,
        namespace: &str,
    ) -> Result<(), Error> {
        if report.name.starts_with(POD_PREFIX) {
            let Some(reason) = start_failure(resource) else {
                return Ok(());
            };
            let line = self.line(&report.name, report.namespace.as_deref(), &reason);
            return self.add_finding(Finding {
                namespace: namespace.into(),
                line: Some(Line::Text(line)),
                warnings: Vec::new(),
                convertible: Vec::new(),
                outdated: Outdated::Never,
            });
        }
        let Some(rejection) = Rejection::read(resource, &report.name, namespace) else {
            return Ok(());
        };
        if !rejection.may_be_of_sidecar() {
            return Ok(());
        }
        let rejected = Rejected {
            namespace: rejection.namespace.into(),
            object: rejection.object.clone(),
        };
        let cause = rejection.cause();
        if !self.rejections.insert((rejected.clone(), cause.into())) {
            return Ok(());
        }
        self.count_bytes(cause.len() + rejected.namespace.len() + rejected.object.len())?;
        self.add_finding(Finding {
            namespace: rejection.namespace.into(),
            line: Some(Line::Rejection(rejected, rejection.message.into())),
            warnings: Vec::new(),
            convertible: Vec::new(),
            outdated: match rejection.is_event {
                true => Outdated::CompleteController(rejection.object),
                false => Outdated::Never,
            },
        })
    }

    /// The line about a rejection, if the sidecar is its cause.
    fn rejection_line(&self, rejected: &Rejected, message: &str) -> Option<String> {
        let Rejected { namespace, object } = rejected;
        let template = self.controllers.template(namespace, object);
        let template = template.and_then(|json| serde_json::from_str(json).ok());
        let sidecars = self.possible_sidecars(namespace, template)?;
        let reason = sidecars.describe(message)?;
        Some(self.line(object, Some(namespace), &reason))
    }

    /// The sidecars that the pods of a template may have: those of the settings as injection adjusts them, unless the
    /// template states the resources. `None` if the pods have no sidecar.
    fn possible_sidecars(
        &self,
        namespace: &str,
        template: Option<Value>,
    ) -> Option<PossibleSidecars> {
        let template = template.map(PodTemplate::from_json);
        if template.as_ref().is_some_and(|each| !each.has_sidecar) {
            return None;
        }
        let of_template = |template: &PodTemplate| template.annotation.clone();
        let annotation = template.as_ref().and_then(of_template);
        let resources = match annotation.and_then(|text| parse_resources(text.trim())) {
            Some(resources) => vec![resources],
            None => {
                let namespace = self.namespaces.get(namespace);
                let resources = namespace.and_then(|namespace| namespace.resources.as_ref());
                let resources = resources.unwrap_or(&self.settings.resources);
                let own = template.as_ref().and_then(|each| each.sidecar.clone());
                own.into_iter()
                    .chain(possible_resources(resources))
                    .collect()
            }
        };
        Some(PossibleSidecars {
            resources,
            kind: self.settings.sidecar,
            apps: template.map(|template| template.apps),
        })
    }

    /// The line about a resource.
    fn line(&self, name: &str, namespace: Option<&str>, reason: &str) -> String {
        match self.is_json {
            true => {
                let reason = reason.strip_prefix(NOT_INJECTED).unwrap_or(reason);
                json!({"resource": name, "namespace": namespace, "reason": reason}).to_string()
            }
            false => format!("{} {reason}", full_name(name, namespace)),
        }
    }

    /// Adds a finding that has text.
    fn add_finding(&mut self, finding: Finding) -> Result<(), Error> {
        let warnings = finding.warnings.iter().map(String::len);
        let convertible = finding.convertible.iter().map(ConvertibleProbe::len);
        let bytes =
            warnings.chain(convertible).sum::<usize>() + finding.line.as_ref().map_or(0, Line::len);
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
        self.kinds.print(io.stderr);
        let uids_with_pods = self.controllers.uids_with_pods();
        let is_outdated = |finding: &Finding| match &finding.outdated {
            Outdated::Never => false,
            Outdated::PodsOf(uid) => uids_with_pods.contains(&**uid),
            Outdated::CompleteController(name) => {
                !self.controllers.may_lack_pods(&finding.namespace, name)
            }
        };
        let mut printed = HashSet::new();
        let mut convertible = Vec::new();
        for finding in &self.findings {
            let namespace = self.namespaces.get(&finding.namespace);
            let is_selected = namespace.map(|namespace| namespace.has_label);
            if !is_selected.unwrap_or(self.namespaces.is_empty()) || is_outdated(finding) {
                continue;
            }
            convertible.extend(&finding.convertible);
            for warning in &finding.warnings {
                print_line(io.stderr, warning);
            }
            let line = match &finding.line {
                Some(Line::Text(line)) => Some(Cow::Borrowed(&**line)),
                Some(Line::Rejection(rejected, message)) if !printed.contains(rejected) => {
                    let line = self.rejection_line(rejected, message);
                    if line.is_some() {
                        printed.insert(rejected);
                    }
                    line.map(Cow::Owned)
                }
                Some(Line::Rejection(..)) | None => None,
            };
            if let Some(line) = line {
                is_success = false;
                writeln!(io.stdout, "{}", EscapedLine(&line))
                    .map_err(|error| Error::stdout(&error))?;
            }
        }
        if let Some(note) = convertible::note(&convertible) {
            print_line(io.stderr, note);
        }
        io.stdout.flush().map_err(|error| Error::stdout(&error))?;
        Ok(u8::from(!is_success))
    }
}

/// Parses `resources` of an annotation; `None` if they are not valid, and therefore ignored.
fn parse_resources(text: &str) -> Option<Value> {
    let mut values = Values::default();
    values.set_from_text("resources", text).ok()?;
    values.resources
}

/// kubelet does not probe a pod that has ended.
fn has_ended(resource: &Value) -> bool {
    let phase = &resource["status"]["phase"];
    phase == "Succeeded" || phase == "Failed"
}

/// Before the reason for which a resource is listed as not injected.
const NOT_INJECTED: &str = "not injected: ";

/// Why a resource is not injected, if it could be.
fn reason(report: &Report) -> Option<String> {
    let reason = match &report.verdict {
        Verdict::Edited {
            details, effect, ..
        } => match effect {
            Effect::Injected => format!("injection would rewrite {details}"),
            Effect::Updated | Effect::Uninjected => return None,
        },
        Verdict::Refused(reason) => format!("refused: {reason}"),
        Verdict::Skipped(reason) if **reason == *OTHER_CONTAINER => reason.to_string(),
        Verdict::UnknownKind {
            advice,
            is_eligible: true,
        } => advice.to_string(),
        Verdict::UnknownKind { .. }
        | Verdict::Unchanged(_)
        | Verdict::Skipped(_)
        | Verdict::NoPods => return None,
    };
    Some(format!("{NOT_INJECTED}{reason}"))
}

/// The name of a resource, with its namespace.
fn full_name(name: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.map(|namespace| format!(" namespace={namespace}"));
    format!("{name}{}", namespace.unwrap_or_default())
}
