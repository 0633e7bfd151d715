//! `probelet-inject file`: manifests in, manifests out, and a line for each resource.

use super::diff::Diffs;
use super::documents::{Place, Read, documents};
use super::in_place::InPlace;
use super::inputs::{Input, inputs};
use super::output::{Held, Manifests, Output, Passed};
use super::patch::Patches;
use super::{Io, Stop, help, settings, typed};
use crate::flags;
use crate::inject::{Report, Settings, Task, Verdict, resources};
use crate::manifest::{Edit, sort_edits};
use crate::telemetry::Quoted;
use core::fmt::Display;
use std::io::Write;
use std::path::Path;

/// The flags of `file`.
pub(super) const FLAGS: flags::Command = flags::Command {
    name: "probelet-inject file",
    valued: &[
        "--config",
        "--filename",
        "--image",
        "--image-pull-policy",
        "--kube-version",
        "--output",
        "--resources",
        "--sidecar",
        "--source-ip",
        "--status-port",
        "--target-ip",
        "-f",
        "-o",
    ],
    bare: &[
        "--check",
        "--diff",
        "--in-place",
        "--recursive",
        "--uninject",
        "-R",
    ],
    repeated: &["--filename", "-f"],
};

/// What was typed.
#[derive(Default)]
struct Typed<'a> {
    names: Vec<&'a str>,
    is_recursive: bool,
    is_uninject: bool,
    /// Behind `-o`.
    file: Option<&'a str>,
    /// Behind `--output`.
    format: Option<&'a str>,
    is_in_place: bool,
    is_diff: bool,
    is_check: bool,
    settings: settings::Typed<'a>,
}

impl<'a> Typed<'a> {
    fn read(args: &'a [String]) -> Result<Self, Stop> {
        let mut typed = Self::default();
        for (flag, value) in typed::read(&FLAGS, args, help::file)? {
            match flag {
                "-f" | "--filename" => typed.names.push(value),
                "-R" | "--recursive" => typed.is_recursive = true,
                "--uninject" => typed.is_uninject = true,
                "-o" => typed.file = Some(value),
                "--output" => typed.format = Some(value),
                "--in-place" => typed.is_in_place = true,
                "--diff" => typed.is_diff = true,
                "--check" => typed.is_check = true,
                flag => typed.settings.take(flag, value)?,
            }
        }
        typed.check()?;
        Ok(typed)
    }

    /// What cannot be meant together, and `-o` and `--output` in each other's place.
    fn check(&self) -> Result<(), Stop> {
        let modes = [
            ("-o", self.file.is_some()),
            ("--in-place", self.is_in_place),
            ("--diff", self.is_diff),
            ("--check", self.is_check),
        ];
        let mut given = modes.iter().filter(|(_, given)| *given);
        if let (Some((one, _)), Some((other, _))) = (given.next(), given.next()) {
            return Err(Stop::Usage(format!(
                "{one} and {other} are two places for the result: write one of them"
            )));
        }
        if self.file == Some("") {
            return Err(Stop::Usage("-o is empty: write the name of a file".into()));
        }
        if let Some(format @ ("yaml" | "json" | "patch")) = self.file {
            return Err(Stop::Usage(format!(
                "-o is the file to write, as istioctl's: write `--output {format}` for the format, or \
                 `-o ./{format}` for a file of that name"
            )));
        }
        match self.format {
            None | Some("yaml") => Ok(()),
            Some("patch") if self.is_in_place || self.is_diff || self.is_check => {
                Err(Stop::Usage(
                    "--output patch goes to standard output or to a file: leave --in-place, --diff and \
                     --check out"
                        .into(),
                ))
            }
            Some("patch") => Ok(()),
            Some(other) => Err(Stop::Usage(format!(
                "--output is {}: write yaml or patch; a file to write goes behind -o",
                Quoted(other)
            ))),
        }
    }

    /// Where results go; `--check` has none.
    fn output(&self, inputs: &[Input]) -> Result<Option<Box<dyn Output>>, Stop> {
        if self.is_check {
            return Ok(None);
        }
        if self.is_in_place {
            return Ok(Some(Box::new(InPlace::of(inputs)?)));
        }
        let held = Held::new(self.file.map(Path::new))?;
        Ok(Some(match self.format {
            _ if self.is_diff => Box::new(Diffs::new(held)),
            Some("patch") => Box::new(Patches(held)),
            _ => Box::new(Manifests::new(held)),
        }))
    }
}

/// Does what was typed; the exit code.
pub(super) fn run(args: &[String], io: &mut Io<'_>) -> Result<u8, Stop> {
    let typed = Typed::read(args)?;
    let inputs = inputs(&typed.names, typed.is_recursive)?;
    let output = typed.output(&inputs)?;
    let mut run = Run {
        output,
        names_files: inputs.len() > 1,
        is_dry: typed.is_check || typed.is_diff,
        task: match typed.is_uninject {
            false => Task::Inject,
            true => Task::Uninject,
        },
        settings: typed.settings.settings()?,
        changed: 0,
        failed: 0,
    };
    for input in &inputs {
        run.input(input, io)?;
    }
    match run.failed {
        0 => {
            if let Some(output) = run.output.take() {
                output.finish(io.stdout)?;
            }
            Ok(u8::from(typed.is_check && run.changed > 0))
        }
        _ if run.is_dry => Ok(1),
        1 => Err(Stop::Failed(
            "nothing is written, as one document failed".into(),
        )),
        failed => Err(Stop::Failed(format!(
            "nothing is written, as {failed} documents failed"
        ))),
    }
}

/// A run over all inputs.
struct Run {
    output: Option<Box<dyn Output>>,
    /// Whether lines say which file they are about.
    names_files: bool,
    /// Whether nothing of it is done.
    is_dry: bool,
    task: Task,
    settings: Settings,
    /// Resources that change.
    changed: usize,
    /// Documents and files that nothing can be made of.
    failed: usize,
}

impl Run {
    fn input(&mut self, input: &Input, io: &mut Io<'_>) -> Result<(), Stop> {
        let name = input.name();
        let reader = match input.open(io.stdin) {
            Ok(reader) => reader,
            Err(error) => {
                self.fail(io.stderr, &error);
                return Ok(());
            }
        };
        if let Some(output) = &mut self.output {
            output.input(input)?;
        }
        for read in documents(reader) {
            match read {
                Ok(read) => self.document(&name, &read, io.stderr)?,
                Err(failure) => self.fail(io.stderr, &format_args!("{name}: {failure}")),
            }
        }
        Ok(())
    }

    fn fail(&mut self, stderr: &mut dyn Write, what: &dyn Display) {
        self.failed += 1;
        let _ = writeln!(stderr, "{what}");
    }

    fn document(&mut self, name: &str, read: &Read, stderr: &mut dyn Write) -> Result<(), Stop> {
        let document = &read.document;
        let reports = resources(document.value(), document, self.task, &self.settings);
        let edits = edits(&reports);
        let edited = match edits.is_empty() {
            true => None,
            false => match document.edit(&edits) {
                Ok(edited) => Some(edited),
                Err(error) => {
                    let place = read.place.at(document, error.pointer());
                    self.fail(stderr, &format_args!("{name}: {place}: {error}"));
                    return Ok(());
                }
            },
        };
        let file = match self.names_files {
            true => format!("{name}: "),
            false => String::new(),
        };
        for report in &reports {
            let at = report.refused_at.as_ref().unwrap_or(&report.at);
            self.tell(report, &file, read.place.at(document, at), stderr);
        }
        let is_refused = |report: &Report| matches!(report.verdict, Verdict::Refused(_));
        if reports.iter().any(is_refused) {
            self.failed += 1;
            return Ok(());
        }
        let was = document.text();
        let is = edited.as_deref().unwrap_or(was);
        let reports = &reports;
        self.pass(&Passed { was, is, reports })
    }

    /// Takes a document into the output; once one has failed, there will be none.
    fn pass(&mut self, passed: &Passed<'_>) -> Result<(), Stop> {
        match &mut self.output {
            Some(output) if self.failed == 0 => output.document(passed),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, report: &Report, file: &str, place: Place, stderr: &mut dyn Write) {
        let name = &report.name;
        let told = match &report.verdict {
            Verdict::NoPods => None,
            Verdict::Edited { what, done, .. } => {
                self.changed += 1;
                let would = if self.is_dry { "would be " } else { "" };
                Some(format!("{file}{name} {would}{}", done.describe(what)))
            }
            Verdict::Unchanged(why) => Some(format!("{file}{name} unchanged: {why}")),
            Verdict::Skipped(why) => Some(format!("{file}{name} skipped: {why}")),
            // The reader has to find it, in a file of several documents or below the resource.
            Verdict::Refused(why) if !place.is_first() || report.refused_at.is_some() => {
                Some(format!("{file}{place}: {name} refused: {why}"))
            }
            Verdict::Refused(why) => Some(format!("{file}{name} refused: {why}")),
        };
        let warnings = report.warnings.iter();
        let warnings = warnings.map(|warning| format!("{file}{name} warning: {warning}"));
        for line in told.into_iter().chain(warnings) {
            // Lines are for whoever reads them; the exit code tells the rest.
            let _ = writeln!(stderr, "{line}");
        }
    }
}

/// The edits of all resources of a document, in order.
fn edits(reports: &[Report]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for report in reports {
        if let Verdict::Edited { edits: these, .. } = &report.verdict {
            edits.extend_from_slice(these);
        }
    }
    sort_edits(&mut edits);
    edits
}
