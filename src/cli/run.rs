//! `probelet run`.

use super::args::Args;
use super::exit::Exit;
use super::table::{Block, Command, flags};
use crate::config::flags as names;
use crate::config::{Config, ConfigError, DEFAULT_STATUS_PORT, RawSettings, SettingValue};
use crate::limits;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};

/// The command.
pub(super) const COMMAND: Command = Command {
    name: "probelet run",
    alias: None,
    summary: "receive kubelet's probes, probe the app and return its status code",
    usage: &["[FLAGS]"],
    description: &[
        #[cfg(not(feature = "tls"))]
        "This build has no TLS.",
    ],
    blocks: &[Block {
        title: "Example",
        lines: &[
            r#"probelet run --app-probers '{"/app-health/web/livez":{"httpGet":{"path":"/healthz","port":8080}}}'"#,
            "curl -i http://127.0.0.1:15020/app-health/web/livez    # in another terminal",
        ],
    }],
    tables: &[RunFlags::SECTIONS],
    env_prefix: Some("PROBELET_"),
    exit_status: "The exit code is 0 after SIGTERM or SIGINT, 2 for an error in the flags, the environment or the PEM \
                  files, and 1 for any other error at start, such as an address in use. A second signal ends the \
                  program immediately with 143.",
};

// The help of --forward and other flags contains these numbers.
const _: () = assert!(
    limits::FORWARDS == 8
        && limits::ALLOWED_NETWORKS == 64
        && limits::INBOUNDS == 8
        && limits::ALLOWED_IDS == 64
        && limits::CA_FILES == 8
);

/// The variables with the pod's addresses.
const POD_ADDRESSES: [&str; 2] = ["POD_IP", "INSTANCE_IP"];

flags! {
    /// The flags of `probelet run`.
    pub(super) table RunFlags with log {
        "Status port" {
            option status_port: Option<String>, value "PORT" = Number(DEFAULT_STATUS_PORT as u64),
                "Listen for kubelet's probes on this plaintext port";
            option status_addr: Option<String>, value "IP" = Text("all addresses, IPv6 and IPv4"),
                "Listen on this address alone";
            option allow_from: Vec<String>, value "CIDR" = Text("every peer"),
                "Answer only peers of this network and of loopback, also on forwarded and inbound ports, and reset others, \
                 such as 10.42.0.0/24 or fd00::1; may be given 64 times; PROBELET_ALLOW_FROM accepts several, separated \
                 by commas";
        }
        "Probes" {
            option app_probers: Option<String>, value "JSON|@FILE" = Text("none"),
                also ["ISTIO_KUBE_APP_PROBERS"],
                "Serve these probers: Istio's JSON, or @ and the path of a file with it";
            option target_ip: Option<String>, value "IP" = Text("127.0.0.1"), also POD_ADDRESSES,
                "Connect to the app at this address";
            option source_ip: Option<String>, value "IP" = Text("the kernel's choice"),
                "Connect to --target-ip from this address, for probes and forwards; 127.0.0.6 bypasses Istio's \
                 interception of the pod's address";
        }
        "TLS to the app" {
            option client_cert: Option<String>, value "FILE" = Text("--cert"),
                "Send this client certificate to an app that requests one: PEM, with its intermediates; all PEM \
                 files are reloaded when they change";
            option client_key: Option<String>, value "FILE" = Text("--key"),
                "Use this private key of --client-cert: PEM, without a passphrase";
            option app_ca: Option<String>, value "FILE" = Text("--ca, or no verification, like kubelet"),
                "Verify the app's certificate chain against the CAs in this PEM file; its host name is not checked";
            option app_id: Option<String>, value "SPIFFE-ID" = Text("any"),
                "Also require this SPIFFE ID in the app's certificate, such as spiffe://example.org/web; requires --app-ca or --ca";
            option require_files: Option<String>, value "true|false" = Text("false"),
                "Exit if a PEM file cannot be loaded at the start, instead of answering probes over TLS with 502 until it \
                 can be";
        }
        "Forwarded ports" {
            option forward: Vec<String>, value "LISTEN=TARGET" = Text("none"),
                "Pass TCP connections through unchanged, such as 15032=127.0.0.1:8002 or \
                 0.0.0.0:15032=[::1]:8002; may be given 8 times; PROBELET_FORWARD accepts several, \
                 separated by commas";
        }
        "Inbound mutual TLS" {
            option inbound: Vec<String>, value "LISTEN=TARGET[,OPTION...]" = Text("none"),
                "Accept TLS connections of clients with an allowed certificate, and pass their bytes to the app in plaintext, such as \
                 8443=127.0.0.1:8001,alpn=h2 or [10.42.0.7]:8001=127.0.0.1:8001; the target is loopback or the pod's address, \
                 or else needs the option unsafe-target; other options: allow-id=PATTERN instead of --allow-id; alpn=PROTOCOL; \
                 mode=permissive, which also passes plaintext connections, and server-first for protocols in which the app sends \
                 first; may be given 8 times; PROBELET_INBOUND accepts several, separated by spaces";
            option allow_id: Vec<String>, value "PATTERN",
                "Allow clients whose certificate has this identity: a SPIFFE ID such as spiffe://example.org/ns/*/sa/web, in which * \
                 is one segment, and ** at the end one or more; dns:NAME; or any, for every certificate of --ca; may be given \
                 64 times; PROBELET_ALLOW_ID accepts several, separated by commas";
            option cert: Option<String>, value "FILE" = Text("none"),
                "Serve --inbound with this certificate of the workload: PEM, with its intermediates";
            option key: Option<String>, value "FILE",
                "Use this private key of --cert: PEM, without a passphrase";
            option ca: Vec<String>, value "[DOMAIN=]FILE",
                "Verify the certificates of --inbound's clients against the CAs in this PEM file; with DOMAIN= they may only \
                 sign SPIFFE IDs of this trust domain; may be given 8 times; PROBELET_CA accepts several, separated by commas";
            option max_inbound: Option<String>, value "N" = Number(limits::INBOUND_CONNECTIONS as u64),
                "Pass at most N concurrent connections through all --inbound; at most 1024";
        }
        "Timing" {
            option deadline_margin: Option<String>,
                value "MS" = Number(limits::DEFAULT_DEADLINE_MARGIN.as_millis() as u64),
                "Answer this many milliseconds before a probe's timeout";
            option shutdown_delay: Option<String>, value "SECONDS" = Number(0),
                "Keep serving for SECONDS after SIGTERM, or until the app listens on no port that the agent probes or \
                 forwards to";
        }
        "Capacity, which can only be lowered" {
            option max_probers: Option<String>, value "N" = Number(limits::PROBERS as u64),
                "Refuse a table of more than N probers and hooks: memory is at most 760 KiB and 72 KiB for each, over \
                 plaintext HTTP/1.1 without redirects";
            option max_forwards: Option<String>, value "N" = Number(limits::FORWARD_CONNECTIONS as u64),
                "Pass at most N concurrent connections through each --forward";
        }
    }
}

/// Parses the arguments after `run`, and the environment.
pub(super) fn parse(
    args: &[String],
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Config, Exit> {
    read_settings(args, &env).and_then(|settings| {
        Config::from_settings(&settings, &read_file)
            .map_err(|error| COMMAND.usage_error(error.to_string()))
    })
}

/// Parses the arguments and the environment into settings. Not inlined: its stack is as large as that of the parser of
/// the settings, which runs after it.
#[inline(never)]
fn read_settings(
    args: &[String],
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<RawSettings, Exit> {
    let args = Args::split(&COMMAND, args)?;
    args.check_no_positionals("write flags as `--name VALUE` or `--name=VALUE`")?;
    resolve(&args, env).map_err(|error| COMMAND.usage_error(error.to_string()))
}

/// Reads each setting from its flag, else from its first environment variable that is set.
fn resolve(
    args: &Args<'_>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<RawSettings, Box<ConfigError>> {
    let given = args.given().map(|(flag, value)| SettingValue {
        flag: flag.long,
        origin: flag.long.into(),
        value: value.into(),
    });
    let mut values: Vec<SettingValue> = given.collect();
    for flag in COMMAND.flags() {
        if values.iter().any(|setting| setting.flag == flag.long) {
            continue;
        }
        let mut variables = COMMAND.env_names(flag).into_iter();
        let set =
            variables.find_map(|name| Some((env(&name).filter(|value| is_set(value))?, name)));
        let Some((value, origin)) = set else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            let origin = origin.into();
            return Err(Box::new(ConfigError::NotUtf8 { origin }));
        };
        let items: Vec<Box<str>> = match (flag.is_repeatable, flag.long) {
            // Its values have commas.
            (true, names::INBOUND) => value.split_whitespace().map(Into::into).collect(),
            (true, _) => value.split(',').map(|item| item.trim().into()).collect(),
            (false, _) => vec![value.into()],
        };
        values.extend(items.into_iter().map(|value| SettingValue {
            flag: flag.long,
            origin: origin.as_str().into(),
            value,
        }));
    }
    let addresses = POD_ADDRESSES.into_iter().filter_map(env);
    Ok(RawSettings {
        values,
        pod_addresses: addresses
            .filter_map(|address| Some(address.to_str()?.into()))
            .collect(),
    })
}

/// How the variables of Services begin: the protocol of the first port in lower case (kubelet: `pkg/kubelet/envvars`).
const SERVICE_LINKS: [&[u8]; 3] = [b"tcp://", b"udp://", b"sctp://"];

/// Kubernetes sets `NAME_PORT=tcp://…` in every pod for each Service of the namespace. For a Service with the name
/// probelet-status this is not a setting.
fn is_set(value: &OsStr) -> bool {
    let value = value.as_encoded_bytes();
    !value.is_empty() && !SERVICE_LINKS.iter().any(|link| value.starts_with(link))
}

/// Reads a file, at most one byte more than is accepted: it may be endless, such as a device.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = limits::PROBERS_JSON_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
