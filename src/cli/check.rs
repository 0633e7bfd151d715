//! `probelet check` and `probelet install`.

pub(super) mod grpc_health_probe;

use super::args::Args;
use super::exit::Exit;
use super::table::{Block, Command, Flag, Table, flags};
use crate::check::{Plan, RawArgs};
use crate::limits;
use crate::text::Redacted;
use std::ffi::OsString;
use std::path::PathBuf;

/// The URLs of `probelet check`.
pub(super) const URLS: Block = Block {
    title: "URLs",
    lines: &[
        "http://HOST[:PORT][/PATH], https://...      HTTP; redirects to the same host are followed",
        "tcp://HOST:PORT                             whether the port accepts a connection",
        "grpc://HOST:PORT[/SERVICE], grpcs://...     grpc.health.v1, of the server or of one service",
        "http+unix:/SOCKET[:/PATH]                   HTTP over a UNIX socket",
        "grpc+unix:/SOCKET[:/SERVICE]                grpc.health.v1 over a UNIX socket",
    ],
};

/// `probelet check`.
pub(super) const CHECK: Command = Command {
    name: "probelet check",
    alias: None,
    summary: "probe once, as the agent and kubelet would, and print the result on one line",
    usage: &["[FLAGS] [--] URL"],
    description: &[
        "Times count from the start of the check. After a redirect they are those of the last request. A duration is \
         seconds such as 2.5, or a number and ms, s or m. Without a URL, PROBELET_CHECK_URL is read.",
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
    env_prefix: Some("PROBELET_CHECK_"),
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
            option timeout: Option<String>, value "DURATION" = Number(limits::DEFAULT_PROBE_TIMEOUT.as_secs()),
                "Limit the whole check, name resolution included";
            option connect_timeout: Option<String>, value "DURATION" = Text("--timeout"),
                "Limit name resolution, connecting and the TLS handshake";
            option header (only "-H"): Vec<String>, value "'NAME: VALUE'",
                "Send this header field, also in place of Host or User-Agent, or this gRPC metadata; may be given more \
                 than once; PROBELET_CHECK_HEADER accepts several, one a line";
            option user_agent: Option<String>, value "TEXT" = Text("kubelet's"),
                "Send this User-Agent";
            option method: Option<String>, value "METHOD" = Text("GET"),
                "Send HEAD, OPTIONS or POST without a body; redirects of OPTIONS and POST are not followed";
            option expect_status: Option<String>, value "CODES" = Text("200-399"),
                "Count these status codes of the last response as a success, such as 200-299,401";
            option expect_body: Option<String>, value "TEXT",
                "Require this text in the first 10 KiB of the body, as it is sent";
            option source_ip: Option<String>, value "IP" = Text("the kernel's choice"),
                "Connect from this address";
            option cert: Option<String>, value "FILE",
                "Send this client certificate with https and grpcs: PEM, with its intermediates";
            option key: Option<String>, value "FILE",
                "Use this private key of --cert: PEM, without a passphrase";
            option ca: Option<String>, value "FILE" = Text("no verification, like kubelet"),
                "Verify the certificate of https and grpcs against the CAs in this PEM file, and its name against \
                 --server-name, or against the host of the URL";
            option server_name: Option<String>, value "NAME" = Text("the host of the URL"),
                "Send this name as SNI";
            option expect_id: Option<String>, value "SPIFFE-ID",
                "Require this SPIFFE ID in the certificate in place of the name; requires --ca";
            switch quiet: bool,
                "Print no result: the exit code has it";
            switch verbose: bool,
                "Print each step and each request, without secrets, on standard error";
            switch json: bool,
                "Print the result as one JSON object";
        }
    }
}

#[inline(never)] // as `check::run`
pub(super) fn parse(
    command: &'static Command,
    args: &[String],
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Plan, Exit> {
    let variables = variables(command, env)?;
    let mut args = Args::split(command, args)?;
    args.add_variables(&variables);
    let url = match args.only_positional("URL")? {
        Some(url) => Some(url.into()),
        None => variable(command, "PROBELET_CHECK_URL", env)?,
    };
    let missing = || {
        command.usage_error(format!(
            "URL is missing: write one such as `{} http://10.0.0.7:8080/healthz`",
            command.name
        ))
    };
    let url = url.ok_or_else(missing)?;
    let flags: CheckFlags = args.parse_table()?;
    let args = RawArgs {
        url,
        timeout: flags.timeout,
        connect_timeout: flags.connect_timeout,
        user_agent: flags.user_agent,
        method: flags.method,
        expect_status: flags.expect_status,
        expect_body: flags.expect_body,
        source_ip: flags.source_ip,
        ca: flags.ca,
        server_name: flags.server_name,
        expect_id: flags.expect_id,
        is_quiet: flags.quiet,
        headers: flags.header,
        cert: flags.cert,
        key: flags.key,
        is_verbose: flags.verbose,
        is_json: flags.json,
    };
    Plan::from_args(args).map_err(|error| command.usage_error(error.to_string()))
}

/// The flags that environment variables set.
fn variables(
    command: &'static Command,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<(&'static Flag, String)>, Exit> {
    let mut list = Vec::new();
    for flag in command.flags() {
        for name in command.env_names(flag) {
            let Some(value) = variable(command, &name, env)? else {
                continue;
            };
            match (flag.value, &*value) {
                (None, "true" | "1") => list.push((flag, String::new())),
                (None, "false" | "0") => {}
                (None, _) => {
                    let value = Redacted(&value);
                    let text = format!("{name} is {value}, but must be true or false");
                    return Err(command.usage_error(text));
                }
                (Some(_), _) if flag.is_repeatable => {
                    let lines = value.lines().filter(|line| !line.trim().is_empty());
                    list.extend(lines.map(|line| (flag, line.into())));
                }
                (Some(_), _) => list.push((flag, value)),
            }
        }
    }
    Ok(list)
}

/// The value of an environment variable, unless it is not set or empty.
fn variable(
    command: &Command,
    name: &str,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<String>, Exit> {
    match env(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
        Some(Err(_)) => {
            Err(command.usage_error(format!("{name} is not UTF-8: encode it as UTF-8")))
        }
    }
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
    let directory = match args.only_positional("directory")? {
        None | Some("") => return Err(INSTALL.usage_error(missing.into())),
        Some(directory) => directory.into(),
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
