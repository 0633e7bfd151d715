//! Parses `ISTIO_KUBE_APP_PROBERS` as Istio's agent does (`pilot/cmd/pilot-agent/status/server.go`: `KubeAppProbers`,
//! `validateAppKubeProber`), with Go's rules of JSON: names of members in any case, null as if absent, unknown members
//! ignored (`unknown_member` has the exceptions).

use super::json::{Container, Kind};
use super::members::Members;
use super::probe_handler::{HandlerFields, ProberMember};
use super::prober_input::Input;
use super::{Prober, Probers, ProbersError, Problem, Rule};
use crate::limits;
use crate::wire::class;

mod all;

impl Probers {
    /// Reads the table; empty text, `null` and `{}` are an empty one.
    ///
    /// # Errors
    /// The first error, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, ProbersError> {
        if text.len() > limits::PROBERS_JSON_BYTES {
            return Err(ProbersError::TooLong {
                bytes: Some(text.len()),
            });
        }
        if text.trim_ascii().is_empty() {
            return Ok(Probers::default());
        }
        let mut input = Input::new(text);
        let mut table = Vec::new();
        match input.reader.kind() {
            Kind::Object => entries(&mut input, &mut table)?,
            kind => {
                input.reader.raw_value();
                if kind != Kind::Null && input.reader.error().is_none() {
                    return Err(ProbersError::NotATable);
                }
            }
        }
        input.reader.end();
        match input.reader.error() {
            Some(error) => Err(ProbersError::Syntax(error)),
            None => Ok(Probers(table.into())),
        }
    }
}

fn entries(input: &mut Input<'_>, table: &mut Vec<Prober>) -> Result<(), ProbersError> {
    let mut object = input.reader.enter();
    while let Some(key) = object.next_key(&mut input.reader) {
        let path = |prober: &Prober| (*prober.path).cmp(&*key);
        match table.binary_search_by(path) {
            Ok(_) => input.fail(Problem::RepeatedEntry),
            Err(_) if table.len() == limits::PROBERS => {
                let count = table.len() + count_entries(input, &mut object);
                return Err(match input.reader.error() {
                    Some(error) => ProbersError::Syntax(error),
                    None => ProbersError::TooMany { count },
                });
            }
            Err(index) => table.insert(index, entry(input, &key)),
        }
        // Not `take_error` alone, which is in the cold section.
        if input.has_failed()
            && let Some(error) = input.take_error(&key)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// The number of entries from the one whose value is next.
fn count_entries(input: &mut Input<'_>, object: &mut Container) -> usize {
    let mut count = 0;
    loop {
        input.reader.raw_value();
        count += 1;
        if object.next_key(&mut input.reader).is_none() {
            return count;
        }
    }
}

/// Istio's `^/(app-health|app-lifecycle)/[^/]+/(livez|readyz|startupz|prestopz|poststartz)$`;
/// whether it is a lifecycle hook.
fn is_hook(key: &str) -> Option<bool> {
    let mut parts = key.strip_prefix('/')?.split('/');
    let is_hook = match parts.next()? {
        "app-health" => false,
        "app-lifecycle" => true,
        _ => return None,
    };
    let container = parts.next()?;
    let probe = parts.next()?;
    let known = ["livez", "readyz", "startupz", "prestopz", "poststartz"].contains(&probe);
    (known && !container.is_empty() && parts.next().is_none()).then_some(is_hook)
}

/// Reads an entry. Its prober has no handlers if it is not valid.
fn entry(input: &mut Input<'_>, key: &str) -> Prober {
    let is_hook = is_hook(key);
    if is_hook.is_none() {
        input.fail(Problem::Path);
    } else if !key.bytes().all(|byte| class::is(class::PATH, byte)) {
        // Paths are compared without decoding: no request would match such a key.
        input.fail(Problem::PathByte);
    }
    input.begin_entry();
    let mut prober = Prober {
        path: key.into(),
        is_hook: is_hook.unwrap_or_default(),
        timeout: limits::DEFAULT_PROBE_TIMEOUT,
        handlers: Box::default(),
    };
    let mut members = Members::<ProberMember>::of(input, "the value", Rule::Entry);
    let mut fields = HandlerFields::default();
    let mut all = None;
    while let Some(member) = members.next(input) {
        match member {
            ProberMember::TimeoutSeconds => prober.timeout = input.timeout(member.name()),
            ProberMember::All => all = Some(all::read_handlers(input)),
            ProberMember::HttpGet
            | ProberMember::TcpSocket
            | ProberMember::Grpc
            | ProberMember::Target
            | ProberMember::Redirects
            | ProberMember::Expect => fields.read(input, member),
        }
        if prober.is_hook
            && let Some(problem) = hook_problem(member)
        {
            input.fail(problem);
        }
    }
    prober.handlers = match (all, fields.any()) {
        (None, _) => fields.finish(input).into_iter().collect(),
        (Some(handlers), None) => handlers.into(),
        (Some(_), Some(member)) => {
            input.fail(Problem::BesideAll(member));
            Box::default()
        }
    };
    prober
}

/// Why a lifecycle hook may not have this member.
fn hook_problem(member: ProberMember) -> Option<Problem> {
    match member {
        ProberMember::HttpGet | ProberMember::TimeoutSeconds | ProberMember::Target => None,
        ProberMember::TcpSocket | ProberMember::Grpc => Some(Problem::Hook(member.name())),
        ProberMember::Redirects | ProberMember::Expect | ProberMember::All => {
            Some(Problem::HookMember(member.name()))
        }
    }
}

#[cfg(test)]
mod tests;
