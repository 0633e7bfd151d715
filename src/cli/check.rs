//! `probelet check` and `probelet install`.

pub(super) mod grpc_health_probe;

use super::args::Args;
use super::exit::Exit;
use super::table::{Block, Command, Table, flags};
use crate::check::{Plan, RawArgs};
use crate::limits;
use crate::text::Redacted;
use std::path::PathBuf;

/// The URLs of `probelet check`.
pub(super) const URLS: Block = Block {
    title: "URLs",
    lines: &[
        "http://HOST[:PORT][/PATH], https://...      HTTP; redirects to the same host are followed",
        "tcp://HOST:PORT                             whether the port accepts a connection",
        "grpc://HOST:PORT[/SERVICE], grpcs://...     grpc.health.v1, of the server or of one service",
    ],
};

/// `probelet check`.
pub(super) const CHECK: Command = Command {
    name: "probelet check",
    alias: None,
    summary: "probe once, as the agent and kubelet would, and print the result on one line",
    usage: &["[FLAGS] URL"],
    description: &[
        "Times count from the start of the check. After a redirect they are those of the last request.",
    ],
    blocks: &[
        URLS,
        Block {
            title: "Examples",
            lines: &[
                "probelet check http://10.0.0.7:8080/healthz",
                "probelet check -H 'Host: example.org' --timeout 2.5 --verbose https://10.0.0.7:8443/",
            ],
        },
    ],
    tables: &[CheckFlags::SECTIONS],
    env_prefix: None,
    exit_status: "The exit code is 0 if kubelet would count the result as a success (200 to 399, an accepted \
                  connection, SERVING), 1 for any other result, and 2 for an error in the arguments.",
};

/// `probelet install`.
pub(super) const INSTALL: Command = Command {
    name: "probelet install",
    alias: None,
    summary: "copy this program to DIR/probelet, for exec probes in an image without a shell",
    usage: &["[--as NAME] DIR"],
    description: &[
        "DIR is a volume that an init container shares with the app's container, such as an emptyDir. An identical \
         copy stays; any other is replaced atomically. The path of the copy is printed.",
    ],
    blocks: &[Block {
        title: "Example",
        lines: &[
            "probelet install /tools",
            "probelet install --as grpc_health_probe /tools",
        ],
    }],
    tables: &[InstallFlags::SECTIONS],
    env_prefix: None,
    exit_status: "The exit code is 0 on success, 1 if the copy cannot be written, and 2 for an error in the arguments.",
};

flags! {
    /// The flags of `probelet check`.
    struct CheckFlags {
        "Flags" {
            option timeout: Option<String>, value "SECONDS" = Number(limits::DEFAULT_PROBE_TIMEOUT.as_secs()),
                "Limit the whole check to SECONDS, name resolution included";
            option header (only "-H"): Vec<String>, value "'NAME: VALUE'",
                "Send this header field, also in place of Host or User-Agent; may be given more than once";
            option cert: Option<String>, value "FILE",
                "Send this client certificate with https and grpcs: PEM, with its intermediates";
            option key: Option<String>, value "FILE",
                "Use this private key of --cert: PEM, without a passphrase";
            switch verbose: bool,
                "Print each step and each request, without secrets, on standard error";
            switch json: bool,
                "Print the result as one JSON object";
        }
    }
}

#[inline(never)] // as `check::run`
pub(super) fn parse(command: &'static Command, args: &[String]) -> Result<Plan, Exit> {
    let args = Args::split(command, args)?;
    let missing = format!(
        "URL is missing: write one such as `{} http://10.0.0.7:8080/healthz`",
        command.name
    );
    let url = args.only_positional("URL", &missing)?;
    let flags: CheckFlags = args.parse_table()?;
    let args = RawArgs {
        url: url.into(),
        timeout: flags.timeout,
        headers: flags.header,
        cert: flags.cert,
        key: flags.key,
        is_verbose: flags.verbose,
        is_json: flags.json,
    };
    Plan::from_args(args).map_err(|error| command.usage_error(error.to_string()))
}

/// A copy of this program.
#[derive(Debug, PartialEq, Eq)]
pub struct Install {
    /// The directory of the copy.
    pub directory: PathBuf,
    /// Its name.
    pub name: String,
}

flags! {
    /// The flags of `probelet install`.
    struct InstallFlags {
        "Flags" {
            option name (only "--as"): Option<String>, value "NAME" = Text("probelet"),
                "Name the copy NAME; a copy with the name grpc_health_probe takes the flags of grpc_health_probe";
        }
    }
}

pub(super) fn parse_install(args: &[String]) -> Result<Install, Exit> {
    let missing = "DIR is missing: write a directory such as `probelet install /tools`";
    let args = Args::split(&INSTALL, args)?;
    let directory = match args.only_positional("directory", missing)? {
        "" => return Err(INSTALL.usage_error(missing.into())),
        directory => directory.into(),
    };
    let flags: InstallFlags = args.parse_table()?;
    let name = flags.name.unwrap_or_else(|| "probelet".into());
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(INSTALL.usage_error(format!(
            "--as is {}, but must be the name of a file without its directory: write one such as grpc_health_probe",
            Redacted(&name)
        )));
    }
    Ok(Install { directory, name })
}

#[cfg(test)]
mod tests;
