//! `probelet-inject serve`: flags to the webhook's options.

use super::{Stop, help, settings, typed};
use crate::config::{Fault, Listen, format, level, seconds};
use crate::flags;
use crate::inject::values::Values;
use crate::telemetry::{Format, Level, LogSettings, Quoted};
use crate::webhook::{self, ApiServer, CertSource, Options, SelfSignedNames};
use core::time::Duration;

/// The port that is listened on; one that needs no privilege.
pub(super) const PORT: u16 = 8443;

/// Seconds until an endpoint that goes is gone from every node, mostly.
pub(super) const SHUTDOWN_DELAY: u64 = 5;

/// What Service and MutatingWebhookConfiguration are called where it is deployed.
pub(super) const NAME: &str = "probelet-sidecar-injector";

/// And the Secret.
pub(super) const SECRET: &str = "probelet-sidecar-injector-tls";

/// The flags of `serve`.
pub(super) const FLAGS: flags::Command = flags::Command {
    name: "probelet-inject serve",
    valued: &[
        "--addr",
        "--api-ca",
        "--api-server",
        "--api-token",
        "--cert",
        "--config",
        "--image",
        "--image-pull-policy",
        "--key",
        "--log-format",
        "--log-level",
        "--namespace",
        "--port",
        "--resources",
        "--secret",
        "--service",
        "--shutdown-delay",
        "--sidecar",
        "--source-ip",
        "--status-port",
        "--target-ip",
        "--webhook",
    ],
    bare: &["--self-signed"],
    repeated: &[],
};

/// What was typed of the certificate.
#[derive(Default)]
struct Typed<'a> {
    cert: Option<&'a str>,
    key: Option<&'a str>,
    is_self_signed: bool,
    /// The names that a certificate of our own rests on, by their flags.
    names: Vec<(&'a str, &'a str)>,
}

/// Serves until it is told to stop; the exit code.
pub(super) fn run(args: &[String]) -> Result<u8, Stop> {
    let options = options(args)?;
    match webhook::run(options) {
        Ok(()) => Ok(0),
        Err(error) => Err(Stop::Failed(error.to_string())),
    }
}

fn options(args: &[String]) -> Result<Options, Stop> {
    let mut certificate = Typed::default();
    let mut values = Values::default();
    let mut options = Options {
        listen: Listen {
            addr: None,
            port: PORT,
        },
        certificate: CertSource::Files(["".into(), "".into()]),
        flags: Values::default(),
        config: None,
        api_server: ApiServer::default(),
        log: LogSettings {
            level: Level::Info,
            format: Format::Logfmt,
        },
        shutdown_delay: Duration::from_secs(SHUTDOWN_DELAY),
    };
    for (flag, value) in typed::read(&FLAGS, args, help::serve)? {
        match flag {
            "--cert" => certificate.cert = Some(value),
            "--key" => certificate.key = Some(value),
            "--self-signed" => certificate.is_self_signed = true,
            "--service" | "--namespace" | "--secret" | "--webhook" => {
                certificate.names.push((flag, value));
            }
            "--config" => options.config = Some(value.into()),
            "--api-server" => options.api_server.url = Some(value.into()),
            "--api-ca" => options.api_server.ca = Some(value.into()),
            "--api-token" => options.api_server.token = Some(value.into()),
            _ if settings::set(&mut values, flag, value)? => {}
            _ => served(&mut options, flag, value)
                .map_err(|what| Stop::Usage(format!("{flag} is {}{what}", Quoted(value))))?,
        }
    }
    options.flags = values;
    options.certificate = certificate.meant()?;
    Ok(options)
}

/// Sets what concerns the server itself; else what is said of the value.
fn served(options: &mut Options, flag: &str, value: &str) -> Result<(), String> {
    let write = |write: &str| format!(": write {write}");
    let fault = |fault: Fault| format!(", {fault}");
    match flag {
        "--addr" => {
            let addr = value
                .parse()
                .map_err(|_| write("an IP address of this pod"))?;
            options.listen.addr = Some(addr);
        }
        "--port" => {
            let port = value.parse().ok().filter(|port| *port != 0);
            options.listen.port = port.ok_or_else(|| write("a port from 1 to 65535"))?;
        }
        "--log-level" => options.log.level = level(value).map_err(fault)?,
        "--log-format" => options.log.format = format(value).map_err(fault)?,
        // The last there is: `--shutdown-delay`.
        _ => options.shutdown_delay = seconds(value).map_err(fault)?,
    }
    Ok(())
}

impl Typed<'_> {
    fn meant(self) -> Result<CertSource, Stop> {
        let usage = |text: String| Err(Stop::Usage(text));
        match (self.cert, self.key, self.is_self_signed) {
            (Some(cert), Some(key), false) => match self.names.first() {
                None => Ok(CertSource::Files([cert.into(), key.into()])),
                Some((flag, _)) => usage(format!(
                    "{flag} is for a certificate of our own: leave it out, or write --self-signed \
                     instead of --cert and --key"
                )),
            },
            (None, None, true) => Ok(CertSource::SelfSigned(self.names())),
            (None, None, false) => usage(
                "there is no certificate: write --cert FILE and --key FILE, or --self-signed"
                    .into(),
            ),
            (_, _, true) => usage(
                "--self-signed makes a certificate of its own: leave --cert and --key out, or it"
                    .into(),
            ),
            (Some(_), None, _) => usage("--cert has no key: write --key FILE beside it".into()),
            (None, Some(_), _) => {
                usage("--key has no certificate: write --cert FILE beside it".into())
            }
        }
    }

    fn names(&self) -> SelfSignedNames {
        let named = |flag: &str| {
            let found = self.names.iter().find(|(name, _)| *name == flag);
            found.map(|(_, value)| Box::<str>::from(*value))
        };
        let name = |flag: &str, default: &str| named(flag).unwrap_or_else(|| default.into());
        SelfSignedNames {
            service: name("--service", NAME),
            namespace: named("--namespace"),
            secret: name("--secret", SECRET),
            webhook: name("--webhook", NAME),
        }
    }
}

#[cfg(test)]
mod tests;
