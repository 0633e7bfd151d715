//! The settings of the sidecar: flags, and the ConfigMap in a file.

use super::Stop;
use super::documents::documents;
use crate::inject::values::Values;
use crate::inject::{Settings, Version};
use crate::limits;
use crate::telemetry::Quoted;
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read};

/// The flags, and what each is called in the ConfigMap.
const FLAGS: [(&str, &str); 7] = [
    ("--image", "image"),
    ("--image-pull-policy", "imagePullPolicy"),
    ("--resources", "resources"),
    ("--sidecar", "sidecar"),
    ("--source-ip", "sourceIp"),
    ("--status-port", "statusPort"),
    ("--target-ip", "targetIp"),
];

/// What `--config` should name.
const WRITE: &str = "write the manifest of the injector's ConfigMap, or the JSON of its values";

/// What was typed of the settings.
#[derive(Debug, Default)]
pub(super) struct Typed<'a> {
    values: Values,
    version: Option<Version>,
    config: Option<&'a str>,
}

impl<'a> Typed<'a> {
    /// Takes a flag, if it is one of a setting.
    pub(super) fn take(&mut self, flag: &str, value: &'a str) -> Result<(), Stop> {
        match flag {
            "--config" => self.config = Some(value),
            "--kube-version" => {
                let refused = || refused(flag, value, "a version such as 1.29");
                self.version = Some(Version::parse(value).ok_or_else(refused)?);
            }
            flag => drop(set(&mut self.values, flag, value)?),
        }
        Ok(())
    }

    /// The settings, with the ConfigMap's where no flag says otherwise.
    pub(super) fn settings(self) -> Result<Settings, Stop> {
        let config = match self.config {
            Some(path) => config(path)?,
            None => Values::default(),
        };
        Ok(self.values.over(config, self.version))
    }
}

/// Sets what a flag of the sidecar says; whether it is one.
pub(super) fn set(values: &mut Values, flag: &str, value: &str) -> Result<bool, Stop> {
    let Some((_, member)) = FLAGS.iter().find(|(known, _)| *known == flag) else {
        return Ok(false);
    };
    values
        .set(member, value)
        .map_err(|write| refused(flag, value, write))?;
    Ok(true)
}

fn refused(flag: &str, value: &str, write: &str) -> Stop {
    Stop::Usage(format!("{flag} is {}: write {write}", Quoted(value)))
}

fn config(path: &str) -> Result<Values, Stop> {
    let told = |what: &dyn core::fmt::Display| Stop::Usage(format!("--config {path}: {what}"));
    let unread = |error| told(&format_args!("the file cannot be read: {error}"));
    let most = limits::CONFIG_BYTES;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(unread)?;
    if bytes.len() > most {
        let what = format!("the file has more than {} MiB", most >> 20);
        return Err(told(&format_args!("{what}: {WRITE}")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| told(&format_args!("the file is not UTF-8: {WRITE}")))?;
    match values_in(&text).map_err(|what| told(&what))? {
        Some(values) => Values::read(&values),
        None => Values::read(&text),
    }
    .map_err(|error| told(&error))
}

/// The `values` of the ConfigMap in a manifest; none of a text that is `values` itself.
fn values_in(text: &str) -> Result<Option<String>, String> {
    let mut is_manifest = false;
    for read in documents(BufReader::new(text.as_bytes())) {
        let read = read.map_err(|failure| failure.to_string())?;
        let value = read.document.value();
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
        true => Err(format!("no ConfigMap in it has data.values: {WRITE}")),
    }
}

fn values_of(object: &Value) -> Option<&str> {
    match object["kind"].as_str() {
        Some("ConfigMap") => object["data"]["values"].as_str(),
        _ => None,
    }
}
