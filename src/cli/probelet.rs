//! The command line of `probelet`.

#[cfg(feature = "check")]
use super::check::{self, Install, grpc_health_probe};
use super::exit::Exit;
use super::run;
use super::table::Program;
#[cfg(feature = "check")]
use crate::check::{GrpcHealthProbe, Plan};
use crate::config::Config;
use crate::text::Redacted;
use std::ffi::OsString;

/// A command of `probelet`, with its options.
#[derive(Debug)]
pub enum Invocation {
    /// `probelet run`
    Run(Config),
    /// `probelet check`
    #[cfg(feature = "check")]
    Check(Plan),
    /// `probelet install`
    #[cfg(feature = "check")]
    Install(Install),
    /// `probelet grpc-health-probe`
    #[cfg(feature = "check")]
    GrpcHealthProbe(GrpcHealthProbe),
}

/// The command with the flags of grpc_health_probe.
pub const GRPC_HEALTH_PROBE: &str = "grpc-health-probe";

/// `probelet`.
pub(super) const PROBELET: Program = Program {
    name: "probelet",
    summary: "a health-probe proxy for Kubernetes pods whose ports speak mutual TLS",
    description: &[
        "kubelet has no mesh certificate, so its probes of such a port fail. probelet runs as a sidecar of the app, \
         receives the probes on a plaintext port, probes the app and returns its status code.",
    ],
    commands: &[
        &run::COMMAND,
        #[cfg(feature = "check")]
        &check::CHECK,
        #[cfg(feature = "check")]
        &check::INSTALL,
        #[cfg(feature = "check")]
        &grpc_health_probe::COMMAND,
    ],
    command_names: &["run", "check", "install", GRPC_HEALTH_PROBE],
    first_steps: "`probelet run` or `probelet check URL`",
};

/// Parses the arguments of `probelet`, without the program's name, and the environment.
///
/// # Errors
/// Help, version or an error in the arguments: the text to print, and the exit code.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Invocation, Exit> {
    let args = PROBELET.decode(args)?;
    let (command, args) = PROBELET.split_command(&args)?;
    match command {
        "run" => run::parse(args, env).map(Invocation::Run),
        #[cfg(feature = "check")]
        "check" => check::parse(&check::CHECK, args, &env).map(Invocation::Check),
        #[cfg(feature = "check")]
        "install" => check::parse_install(args).map(Invocation::Install),
        #[cfg(feature = "check")]
        GRPC_HEALTH_PROBE => grpc_health_probe::parse(args, &env).map(Invocation::GrpcHealthProbe),
        #[cfg(not(feature = "check"))]
        "check" | "install" | GRPC_HEALTH_PROBE => Err(PROBELET.usage_error(format!(
            "this build has no `probelet {command}`: use one with the cargo feature check"
        ))),
        url if url.contains("://") => Err(PROBELET.usage_error(format!(
            "unknown command {}: write `probelet check URL`",
            Redacted(url)
        ))),
        unknown => Err(PROBELET.unknown_command(unknown)),
    }
}

#[cfg(test)]
mod tests;
