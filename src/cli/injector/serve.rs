//! `probelet-inject serve`.

use super::sidecar::SidecarFlags;
use crate::cli::args::Args;
use crate::cli::exit::Exit;
use crate::cli::table::{Command, Table, flags};
use crate::config::{Listen, SettingRule, parse_log_format, parse_log_level, parse_shutdown_delay};
use crate::telemetry::{Format, Level, LogSettings};
use crate::text::Quoted;
use crate::webhook::{ApiServer, CertSource, NotInjectedPods, Options, SelfSignedNames};
use core::fmt::Display;
use core::net::IpAddr;
use core::time::Duration;

/// The command.
pub(super) const COMMAND: Command = Command {
    name: "probelet-inject serve",
    alias: None,
    summary: "serve the admission webhook that rewrites pods when they are created",
    usage: &["--cert FILE --key FILE [FLAGS]", "--self-signed [FLAGS]"],
    description: &[],
    blocks: &[],
    tables: &[
        ServeFlags::SECTIONS,
        NameFlags::SECTIONS,
        SidecarFlags::SECTIONS,
        LogFlags::SECTIONS,
    ],
    env_prefix: None,
    exit_status: "The exit code is 0 after SIGTERM or SIGINT, 2 for an error in the arguments, and 1 if the webhook cannot \
                  start, such as for an unusable certificate or --config. A second signal ends the program immediately \
                  with 143.",
};

/// A port that requires no privilege.
const PORT: u16 = 8443;

/// Seconds until most nodes have dropped an endpoint that terminates.
const SHUTDOWN_DELAY: u64 = 5;

/// The Service and the MutatingWebhookConfiguration, as deployed.
const NAME: &str = "probelet-sidecar-injector";

/// The Secret, as deployed.
const SECRET: &str = "probelet-sidecar-injector-tls";

flags! {
    /// Flags of `probelet-inject serve`.
    struct ServeFlags {
        "Server" {
            option addr: Option<String>, value "IP" = Text("all addresses, IPv6 and IPv4"),
                "Listen on this address alone";
            option port: Option<String>, value "PORT" = Number(PORT as u64),
                "Listen on this port, with TLS";
            option shutdown_delay: Option<String>, value "SECONDS" = Number(SHUTDOWN_DELAY),
                "Keep serving for SECONDS after SIGTERM";
            option config: Option<String>, value "PATH" = Text("none, and all probes are rewritten"),
                "Read the ConfigMap's `values` from this file, or from the directory it is mounted at; it is reloaded \
                 when it changes";
        }
        "API server (its version and its nodes select the kind of sidecar; --self-signed writes to it)" {
            option api_server: Option<String>, value "URL" = Text("from the pod's environment"),
                "Connect to the API server at this URL, such as https://10.0.0.1:6443";
            option api_ca: Option<String>, value "FILE" = Text("the service account's CA"),
                "Verify its certificate chain against the CAs in this PEM file";
            option api_token: Option<String>, value "FILE" = Text("the service account's token"),
                "Authenticate with the token in this file";
            option webhook: Option<String>, value "NAME" = Text(NAME),
                "Write the CA of --self-signed into this MutatingWebhookConfiguration, and find pods by its selectors";
        }
        "Pods that should be injected and are not" {
            switch find_pods: bool,
                "Search for them every 5 minutes, such as those that were created while the webhook was down, and write \
                 an Event on each";
            switch repair: bool,
                "Also evict them one by one if they restart or are not Ready and their owner replaces them";
        }
        "Certificate" {
            option cert: Option<String>, value "FILE",
                "Serve this certificate: PEM, with its intermediates; both files are reloaded when they change";
            option key: Option<String>, value "FILE",
                "Use this private key of --cert: PEM, without a passphrase";
            switch self_signed: bool,
                "Create a CA, store it in a Secret, and write it into the MutatingWebhookConfiguration";
        }
        "Clients" {
            option client_ca: Option<String>, value "FILE" = Text("none, and all clients may send reviews"),
                "Accept reviews only with a client certificate of a CA in this PEM file, which is reloaded when it \
                 changes; the API server presents the one in the kubeConfigFile that its \
                 --admission-control-config-file names for MutatingAdmissionWebhook";
        }
    }
}

flags! {
    /// The names that a self-signed certificate depends on.
    struct NameFlags {
        "Names of --self-signed" {
            option service: Option<String>, value "NAME" = Text(NAME),
                "Issue the certificate for this Service";
            option namespace: Option<String>, value "NAME" = Text("the pod's namespace"),
                "Use the Service and the Secret in this namespace";
            option secret: Option<String>, value "NAME" = Text(SECRET),
                "Store the certificate, its key and its CA in this Secret";
        }
    }
}

flags! {
    /// The flags of the log.
    struct LogFlags with log {}
}

pub(super) fn parse(args: &[String]) -> Result<Options, Exit> {
    let args = Args::split(&COMMAND, args)?;
    args.check_no_positionals("write flags as `--name VALUE` or `--name=VALUE`")?;
    let flags: ServeFlags = args.parse_table()?;
    let log: LogFlags = args.parse_table()?;
    let certificate = flags.certificate(&args)?;
    let addr = parse_flag("--addr", flags.addr.as_deref(), |text| {
        let ip = text.parse::<IpAddr>();
        ip.map_err(|_| ": write an IP address of this pod")
    })?;
    let port = parse_flag("--port", flags.port.as_deref(), |text| {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.ok_or(": write a port from 1 to 65535")
    })?;
    let advice = |rule: SettingRule| format!(", {rule}");
    let delay = parse_flag(
        "--shutdown-delay",
        flags.shutdown_delay.as_deref(),
        |text| parse_shutdown_delay(text).map_err(advice),
    )?;
    let log_level = parse_flag("--log-level", log.log_level.as_deref(), |text| {
        parse_log_level(text).map_err(advice)
    })?;
    let log_format = parse_flag("--log-format", log.log_format.as_deref(), |text| {
        parse_log_format(text).map_err(advice)
    })?;
    Ok(Options {
        listen: Listen {
            addr,
            port: port.unwrap_or(PORT),
        },
        certificate,
        client_ca_path: flags.client_ca.map(Into::into),
        webhook_configuration: flags.webhook.unwrap_or_else(|| NAME.into()).into(),
        not_injected_pods: match (flags.find_pods, flags.repair) {
            (_, true) => NotInjectedPods::Repair,
            (true, false) => NotInjectedPods::Find,
            (false, false) => NotInjectedPods::Ignore,
        },
        flags: SidecarFlags::values(&args, &COMMAND)?,
        config: flags.config.map(Into::into),
        api_server: ApiServer {
            url: flags.api_server.map(Into::into),
            ca_path: flags.api_ca.map(Into::into),
            token_path: flags.api_token.map(Into::into),
        },
        log: LogSettings {
            level: log_level.unwrap_or(Level::Info),
            format: log_format.unwrap_or(Format::Logfmt),
        },
        shutdown_delay: delay.unwrap_or(Duration::from_secs(SHUTDOWN_DELAY)),
    })
}

/// Parses the value of a flag, if it is given. The text of an error follows the value.
fn parse_flag<T, E: Display>(
    flag: &str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Exit> {
    let wrong =
        |value: &str, error: E| COMMAND.usage_error(format!("{flag} is {}{error}", Quoted(value)));
    value
        .map(|value| parse(value).map_err(|error| wrong(value, error)))
        .transpose()
}

impl ServeFlags {
    fn certificate(&self, args: &Args<'_>) -> Result<CertSource, Exit> {
        let mut names = NameFlags::SECTIONS.iter().flat_map(|section| section.flags);
        let given = names.find(|name| args.given().any(|(flag, _)| flag.long == name.long));
        let usage = |text: &str| Err(COMMAND.usage_error(text.into()));
        match (&self.cert, &self.key, self.self_signed) {
            (Some(cert), Some(key), false) => match given {
                None => Ok(CertSource::Files {
                    certificate_path: cert.as_str().into(),
                    key_path: key.as_str().into(),
                }),
                Some(flag) => Err(COMMAND.usage_error(format!(
                    "{} requires --self-signed: leave it out, or write --self-signed instead of --cert and --key",
                    flag.long
                ))),
            },
            (None, None, true) => Ok(CertSource::SelfSigned(
                args.parse_table::<NameFlags>()?.into(),
            )),
            (None, None, false) => usage("--cert and --key, or --self-signed, are required"),
            (_, _, true) => usage(
                "--self-signed excludes --cert and --key: leave them out, or --self-signed",
            ),
            (Some(_), None, false) => usage("--cert requires --key"),
            (None, Some(_), false) => usage("--key requires --cert"),
        }
    }
}

impl From<NameFlags> for SelfSignedNames {
    fn from(flags: NameFlags) -> Self {
        let name = |given: Option<String>, default: &str| -> Box<str> {
            given.map_or_else(|| default.into(), Into::into)
        };
        SelfSignedNames {
            service: name(flags.service, NAME),
            namespace: flags.namespace.map(Into::into),
            secret: name(flags.secret, SECRET),
        }
    }
}

#[cfg(test)]
mod tests;
