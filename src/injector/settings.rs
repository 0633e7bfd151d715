//! The settings of the sidecar: flags, the ConfigMap in a file, and the cluster's version.

use super::documents::{Part, documents};
use super::io::{Error, print_line};
use crate::inject::values::Values;
use crate::inject::{KubernetesVersion, Report, Settings, UnmatchedKinds, Verdict};
use crate::limits;
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read, Write};

/// The advice of an error in `--config`.
const CONFIG_ADVICE: &str =
    "write the manifest of the injector's ConfigMap, or the JSON of its values";

/// The sources of the settings: flags take precedence over the ConfigMap, and it over the cluster's version.
#[derive(Debug)]
pub(crate) struct SettingSources {
    pub(crate) flags: Values,
    /// The file of the ConfigMap.
    pub(crate) config: Option<String>,
    pub(crate) version: Option<KubernetesVersion>,
}

impl SettingSources {
    /// Reads the ConfigMap and merges the sources.
    pub(super) fn load(self) -> Result<(Settings, KindCheck), Error> {
        let config = match &self.config {
            Some(path) => read_config(path)?,
            None => Values::default(),
        };
        let kinds = KindCheck {
            of_flags: UnmatchedKinds::new(&self.flags.kind_templates),
            of_config: UnmatchedKinds::new(&config.kind_templates),
            has_unknown: false,
            has_unread: false,
        };
        let settings = Settings::resolve(self.flags, config, self.version);
        Ok((settings, kinds))
    }
}

/// Finds kinds of the settings that no resource of the input has, such as misspelt ones.
#[derive(Debug)]
pub(super) struct KindCheck {
    of_flags: UnmatchedKinds,
    of_config: UnmatchedKinds,
    /// Whether a resource with a pod template has an unknown kind.
    has_unknown: bool,
    /// Whether a document or a file could not be read, which may have any kind.
    has_unread: bool,
}

impl KindCheck {
    /// Observes a document and its reports.
    pub(super) fn observe(&mut self, document: &Value, reports: &[Report]) {
        self.of_flags.observe(document);
        self.of_config.observe(document);
        let mut verdicts = reports.iter().map(|report| &report.verdict);
        self.has_unknown |= verdicts.any(|verdict| matches!(verdict, Verdict::UnknownKind { .. }));
    }

    /// Observes a document or a file that could not be read.
    pub(super) fn observe_unread(&mut self) {
        self.has_unread = true;
    }

    /// Prints a warning for each kind of a flag that no resource has. Those of the ConfigMap are for all manifests, so there is
    /// a warning of one of them only if a kind of the input is not known.
    pub(super) fn print(&self, stderr: &mut dyn Write) {
        if self.has_unread {
            return;
        }
        let advice = "no resource of the input has this kind; correct it, or leave it out";
        for kind in self.of_flags.iter() {
            print_line(
                stderr,
                format_args!("warning: --kind-template {kind}: {advice}"),
            );
        }
        if self.has_unknown {
            for kind in self.of_config.iter() {
                print_line(
                    stderr,
                    format_args!("warning: probelet.kindTemplates {kind}: {advice}"),
                );
            }
        }
    }
}

fn read_config(path: &str) -> Result<Values, Error> {
    let wrong = |what: &dyn core::fmt::Display| Error::Usage(format!("--config {path}: {what}"));
    let unreadable = |error| wrong(&format_args!("the file cannot be read: {error}"));
    let most = limits::CONFIG_BYTES;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > most {
        let what = format!("the file has more than {} MiB", most >> 20);
        return Err(wrong(&format_args!("{what}: {CONFIG_ADVICE}")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| wrong(&format_args!("the file is not UTF-8: {CONFIG_ADVICE}")))?;
    match values_in(&text).map_err(|what| wrong(&what))? {
        Some(values) => Values::read(&values),
        None => Values::read(&text),
    }
    .map_err(|error| wrong(&error))
}

/// The `values` of the ConfigMap in a manifest; `None` if the text is not a manifest.
fn values_in(text: &str) -> Result<Option<String>, String> {
    let mut is_manifest = false;
    for located in documents(BufReader::new(text.as_bytes())) {
        let Part::Document(located) = located.map_err(|error| error.to_string())? else {
            continue;
        };
        let value = located.document.value();
        let items = value["items"].as_array().map_or(&[][..], Vec::as_slice);
        for object in items.iter().chain([value]) {
            if let Some(values) = values_of(object) {
                return Ok(Some(values.into()));
            }
            is_manifest |= object["kind"].is_string();
        }
    }
    match is_manifest {
        false => Ok(None),
        true => Err(format!(
            "no ConfigMap in it has data.values: {CONFIG_ADVICE}"
        )),
    }
}

fn values_of(object: &Value) -> Option<&str> {
    match object["kind"].as_str() {
        Some("ConfigMap") => object["data"]["values"].as_str(),
        _ => None,
    }
}
