//! Exec probes whose meaning the agent can keep: the command of a container to a prober of the agent's table.
//!
//! Pure functions. A command is converted only if each of its words is known. What a manifest does not show, such as a
//! `.curlrc` or proxy variables of the image, is not seen.

mod check;
mod conversion;
mod curl;
mod expansion;
mod grpc_health_probe;
mod header;
mod nc;
mod shell;
mod target;

use super::view::handler::COMMAND;
use super::view::probes::Probe;
use conversion::quoted;
pub(in crate::inject) use conversion::{Conversion, Reason};
use serde_json::Value;

/// Converts an exec probe; `None` for another one.
pub(in crate::inject) fn convert_probe(probe: &Probe<'_>) -> Option<Result<Conversion, Reason>> {
    let handler = probe.exec_handler()?;
    let command = handler.field(COMMAND).and_then(Value::as_array);
    let words = command.into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<&str> = words.collect();
    Some(convert(&words, &probe.container.value["env"]))
}

/// Converts the command of an exec probe. `env` is `env` of the container.
///
/// # Errors
/// The reason why it is not converted.
fn convert(command: &[&str], env: &Value) -> Result<Conversion, Reason> {
    let words = expansion::expand(command, env)?;
    let words = shell::simple_command(words, env)?;
    let Some((program, args)) = words.split_first() else {
        return Err("has no command".into());
    };
    let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
    let name = program.rsplit('/').next().unwrap_or(program);
    match (name, &args[..]) {
        ("curl", args) => curl::convert(args, env),
        ("nc" | "ncat" | "netcat", args) => nc::convert(args),
        ("grpc_health_probe" | "grpc-health-probe", args)
        | ("probelet", ["grpc-health-probe", args @ ..]) => grpc_health_probe::convert(args),
        ("probelet", ["check", args @ ..]) => check::convert(args, env),
        ("wget", _) => Err("runs wget, whose meaning differs between GNU and busybox".into()),
        _ => Err(format!("runs {}, which the agent cannot do", quoted(name)).into()),
    }
}

#[cfg(test)]
mod tests;
