//! The inputs that `-f` names: files, directories of manifests, standard input.

use super::io::Error;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The extensions of manifests in a directory.
const MANIFEST_EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// A source of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Standard input.
    Stdin,
    /// A file, which need not be a regular one.
    File(PathBuf),
}

impl Input {
    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// The message.
    pub(super) fn open<'a>(
        &self,
        stdin: &'a mut dyn Read,
    ) -> Result<Box<dyn BufRead + 'a>, String> {
        match self {
            Self::Stdin => Ok(Box::new(BufReader::new(stdin))),
            Self::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(BufReader::new(file))),
                Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
            },
        }
    }
}

/// The names of inputs.
#[derive(Debug)]
pub(crate) struct InputOptions {
    /// Files, directories, and `-` for standard input.
    pub(crate) names: Vec<String>,
    /// Whether directories in directories are read.
    pub(crate) is_recursive: bool,
}

/// The inputs of these names. A directory becomes its manifests, sorted by name.
pub(super) fn inputs(options: &InputOptions) -> Result<Vec<Input>, Error> {
    if options.names.is_empty() {
        return Err(Error::Usage(
            "no manifest is named: write `-f FILE`, or `-f -` for standard input".into(),
        ));
    }
    let mut inputs = Vec::new();
    for name in &options.names {
        match &**name {
            "-" => inputs.push(Input::Stdin),
            "" => return Err(Error::Usage("-f is empty: write the name of a file".into())),
            // The URL may have a password, so it is not repeated.
            url if url.contains("://") => {
                return Err(Error::Usage(
                    "-f does not fetch URLs: download the manifest first, such as by `curl -sSfL URL`, and pipe it \
                     to `-f -`"
                        .into(),
                ));
            }
            path => add_path(Path::new(path), options.is_recursive, &mut inputs)?,
        }
    }
    check_unique(&inputs)?;
    Ok(inputs)
}

fn add_path(path: &Path, is_recursive: bool, inputs: &mut Vec<Input>) -> Result<(), Error> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Usage(format!(
            "there is no file {shown}: write the name of an existing one after -f"
        )),
        _ => Error::Usage(format!("{shown} cannot be read: {error}")),
    })?;
    if !metadata.is_dir() {
        inputs.push(Input::File(path.into()));
        return Ok(());
    }
    let before = inputs.len();
    add_directory(path, is_recursive, inputs)?;
    if inputs.len() > before {
        return Ok(());
    }
    let advice = match is_recursive {
        true => "name another",
        false => "name another, or add -R to read subdirectories",
    };
    Err(Error::Usage(format!(
        "the directory {shown} has no *.yaml, *.yml or *.json file: {advice}"
    )))
}

fn add_directory(path: &Path, is_recursive: bool, inputs: &mut Vec<Input>) -> Result<(), Error> {
    let unreadable = |error: io::Error| {
        let shown = path.display();
        Error::Usage(format!("the directory {shown} cannot be read: {error}"))
    };
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a directory is not followed, as it may point to a parent.
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if is_recursive {
                add_directory(&path, is_recursive, inputs)?;
            }
        } else if is_manifest(&path) && is_file(&path)? {
            inputs.push(Input::File(path));
        }
    }
    Ok(())
}

fn is_file(path: &Path) -> Result<bool, Error> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Usage(format!(
            "{shown} is a dangling symbolic link: fix or remove it"
        ))),
        Err(error) => Err(Error::Usage(format!("{shown} cannot be read: {error}"))),
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| MANIFEST_EXTENSIONS.contains(&extension))
}

/// Rejects an input that is named twice: it would be written or replaced twice.
fn check_unique(inputs: &[Input]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for input in inputs {
        let canonical = match input {
            Input::Stdin => PathBuf::from("-"),
            // A path that cannot be resolved, such as that of a pipe, is compared as written.
            Input::File(path) => fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
        };
        if !seen.insert(canonical) {
            return Err(Error::Usage(format!(
                "{} is named twice: write it once",
                input.name()
            )));
        }
    }
    Ok(())
}
