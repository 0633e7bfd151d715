//! `probelet-inject file`: injects or uninjects manifests, and prints a line for each resource.

use super::diff::Diffs;
use super::documents::{LocatedDocument, Part, Position, documents};
use super::in_place::InPlace;
use super::inputs::{Input, InputOptions, inputs};
use super::io::{Error, Io, print_line};
use super::output::{DocumentResult, Manifests, Output, Spool};
use super::patch::Patches;
use super::settings::{KindCheck, SettingSources};
use crate::inject::{Report, Settings, Task, Verdict, reports_one_by_one};
use crate::manifest::{Document, Edit, Pointer};
use std::io::Write;
use std::path::PathBuf;

/// The options of `file`.
#[derive(Debug)]
pub(crate) struct FileOptions {
    pub(crate) inputs: InputOptions,
    pub(crate) task: Task,
    pub(crate) destination: Destination,
    pub(crate) settings: SettingSources,
}

/// Where the result goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To a file, or to standard output.
    Write {
        file: Option<PathBuf>,
        format: Format,
    },
    /// To the input files that change.
    InPlace,
    /// To standard output, as a unified diff.
    Diff,
    /// Nowhere: the exit code is 1 if anything would change, also if its kind were known.
    Nowhere,
}

/// What is written for a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// The document itself.
    Manifests,
    /// A JSON Patch for each resource that changes.
    Patches,
}

impl Destination {
    /// Whether no input is changed and no result written.
    fn is_dry_run(&self) -> bool {
        match self {
            Self::Diff | Self::Nowhere => true,
            Self::Write { .. } | Self::InPlace => false,
        }
    }

    fn output(
        &self,
        inputs: &[Input],
        is_terminal: bool,
    ) -> Result<Option<Box<dyn Output>>, Error> {
        Ok(Some(match self {
            Self::Nowhere => return Ok(None),
            Self::InPlace => Box::new(InPlace::new(inputs)?),
            Self::Diff => Box::new(Diffs::new(Spool::new(None)?, is_terminal)),
            Self::Write { file, format } => {
                let spool = Spool::new(file.as_deref())?;
                match format {
                    Format::Manifests => Box::new(Manifests::new(spool)),
                    Format::Patches => Box::new(Patches(spool)),
                }
            }
        }))
    }
}

/// Injects or uninjects. Returns the exit code.
pub(super) fn run(options: FileOptions, io: &mut Io<'_>) -> Result<u8, Error> {
    let inputs = inputs(&options.inputs)?;
    let is_check = matches!(options.destination, Destination::Nowhere);
    let (settings, kinds) = options.settings.load()?;
    let mut run = Run {
        output: options.destination.output(&inputs, io.is_terminal)?,
        names_files: inputs.len() > 1,
        is_dry: options.destination.is_dry_run(),
        task: options.task,
        settings,
        kinds,
        changed: 0,
        not_known: 0,
        failed: 0,
        last_failed: None,
    };
    for input in &inputs {
        run.process_input(input, io)?;
    }
    run.kinds.print(io.stderr);
    match run.failed {
        0 => {
            if let Some(output) = run.output.take() {
                output.finish(io.stdout)?;
            }
            Ok(u8::from(is_check && run.changed + run.not_known > 0))
        }
        _ if run.is_dry => Ok(1),
        1 => Err(Error::Failed(
            "nothing is written, as one document failed".into(),
        )),
        failed => Err(Error::Failed(format!(
            "nothing is written, as {failed} documents failed"
        ))),
    }
}

/// A run over all inputs.
struct Run {
    output: Option<Box<dyn Output>>,
    /// Whether lines begin with the name of the file.
    names_files: bool,
    /// Whether nothing is written.
    is_dry: bool,
    task: Task,
    settings: Settings,
    kinds: KindCheck,
    /// The number of resources that change.
    changed: usize,
    /// The number of resources that would change if their kinds were known.
    not_known: usize,
    /// The number of documents and files that failed.
    failed: usize,
    /// The number of the last document of this input that failed.
    last_failed: Option<usize>,
}

impl Run {
    fn process_input(&mut self, input: &Input, io: &mut Io<'_>) -> Result<(), Error> {
        self.last_failed = None;
        let name = input.name();
        let reader = match input.open(io.stdin) {
            Ok(reader) => reader,
            Err(error) => {
                self.count_failure(None);
                self.kinds.observe_unread();
                print_line(io.stderr, &error);
                return Ok(());
            }
        };
        if let Some(output) = &mut self.output {
            output.begin_input(input)?;
        }
        for document in documents(reader) {
            match document {
                Ok(Part::Document(document)) => {
                    self.process_document(&name, &document, io.stderr)?;
                }
                Ok(Part::Text(text)) => self.add(&DocumentResult {
                    original: &text,
                    edited: &text,
                    reports: &[],
                    is_part: true,
                })?,
                Err(error) => {
                    self.count_failure(None);
                    self.kinds.observe_unread();
                    print_line(io.stderr, format_args!("{name}: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Counts a failure: once for all items of a List, whose position is that of their document.
    fn count_failure(&mut self, position: Option<Position>) {
        let number = position.map(Position::number);
        self.failed += usize::from(number.is_none() || self.last_failed != number);
        self.last_failed = number;
    }

    fn process_document(
        &mut self,
        name: &str,
        located: &LocatedDocument,
        stderr: &mut dyn Write,
    ) -> Result<(), Error> {
        let document = &located.document;
        let reports = match self.reports(document) {
            Ok(reports) => reports,
            Err(TooManyEdits { at }) => {
                let position = located.position.at(document, &at);
                self.count_failure(Some(position));
                self.kinds.observe(document.value(), &[]);
                print_line(stderr, format_args!("{name}: {position}: {TOO_MANY_EDITS}"));
                return Ok(());
            }
        };
        self.kinds.observe(document.value(), &reports);
        let edits = edits(&reports);
        let edited = match edits.is_empty() {
            true => None,
            false => match document.edit(&edits) {
                Ok(edited) => Some(edited),
                Err(error) => {
                    let position = located.position.at(document, error.pointer());
                    self.count_failure(Some(position));
                    print_line(stderr, format_args!("{name}: {position}: {error}"));
                    return Ok(());
                }
            },
        };
        let file = match self.names_files {
            true => format!("{name}: "),
            false => String::new(),
        };
        let is_edited = |report: &&Report| matches!(report.verdict, Verdict::Edited { .. });
        self.changed += reports.iter().filter(is_edited).count();
        let would_be_edited = |report: &&Report| {
            matches!(
                report.verdict,
                Verdict::UnknownKind {
                    is_eligible: true,
                    ..
                }
            )
        };
        self.not_known += reports.iter().filter(would_be_edited).count();
        let is_refused = |report: &Report| matches!(report.verdict, Verdict::Refused(_));
        for report in &reports {
            // Only the line of a refusal is printed, and finding it takes a time linear in the document.
            let position = match is_refused(report) {
                true => {
                    let at = report.refused_at.as_ref().unwrap_or(&report.pointer);
                    located.position.at(document, at)
                }
                false => located.position,
            };
            self.print(report, &file, position, stderr);
        }
        if reports.iter().any(is_refused) {
            self.count_failure(Some(located.position));
            return Ok(());
        }
        let edited = edited.as_deref().unwrap_or(document.text());
        let texts = [document.text(), edited].map(|text| located.text_in_input(text));
        let [Some(original), Some(edited)] = texts else {
            let position = located.position;
            let what = "the List cannot be edited item by item: write one resource per document";
            self.count_failure(Some(position));
            print_line(stderr, format_args!("{name}: {position}: {what}"));
            return Ok(());
        };
        self.add(&DocumentResult {
            original,
            edited,
            reports: &reports,
            is_part: located.is_part(),
        })
    }

    /// The reports of the resources of a document.
    fn reports(&self, document: &Document) -> Result<Vec<Report>, TooManyEdits> {
        let mut reports = Vec::new();
        let mut edit_bytes = 0;
        for report in reports_one_by_one(document.value(), document, self.task, &self.settings) {
            if let Verdict::Edited { edits, .. } = &report.verdict {
                edit_bytes += edits.iter().map(Edit::memory_bytes).sum::<usize>();
            }
            if edit_bytes > document.max_edit_bytes() {
                return Err(TooManyEdits { at: report.pointer });
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// Adds a document to the output. After a failure nothing is written, so nothing is added.
    fn add(&mut self, result: &DocumentResult<'_>) -> Result<(), Error> {
        match &mut self.output {
            Some(output) if self.failed == 0 => output.add_document(result),
            _ => Ok(()),
        }
    }

    fn print(&self, report: &Report, file: &str, position: Position, stderr: &mut dyn Write) {
        let name = &report.name;
        let line = match &report.verdict {
            Verdict::NoPods => None,
            Verdict::Edited {
                details, effect, ..
            } => {
                let would = if self.is_dry { "would be " } else { "" };
                Some(format!("{file}{name} {would}{}", effect.describe(details)))
            }
            Verdict::Unchanged(why) => Some(format!("{file}{name} unchanged: {why}")),
            Verdict::Skipped(why) => Some(format!("{file}{name} skipped: {why}")),
            Verdict::UnknownKind { advice, .. } => {
                let injected = match self.task {
                    Task::Inject => "injected",
                    Task::Uninject => "uninjected",
                };
                Some(format!("{file}{name} not {injected}: {advice}"))
            }
            // The position locates it in a file of several documents, or below the resource.
            Verdict::Refused(why) if !position.is_first() || report.refused_at.is_some() => {
                Some(format!("{file}{position}: {name} refused: {why}"))
            }
            Verdict::Refused(why) => Some(format!("{file}{name} refused: {why}")),
        };
        let warnings = report.warnings.iter();
        let warnings = warnings.map(|warning| format!("{file}{name} warning: {warning}"));
        for line in line.into_iter().chain(warnings) {
            print_line(stderr, line);
        }
    }
}

/// Edits that need more memory than a document may.
struct TooManyEdits {
    /// The first resource that is too many.
    at: Pointer,
}

const TOO_MANY_EDITS: &str = "the edits up to here need more memory than a document may: split it with lines ---, one resource each";

/// The edits of all resources of a document.
fn edits(reports: &[Report]) -> Vec<&Edit> {
    let edits = reports.iter().flat_map(|report| match &report.verdict {
        Verdict::Edited { edits, .. } => &edits[..],
        _ => &[],
    });
    edits.collect()
}
