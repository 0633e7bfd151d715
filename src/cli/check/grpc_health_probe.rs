//! `probelet grpc-health-probe`: arguments as Go's `flag` package splits them (`flag/flag.go`: `parseOne`), because
//! they are those of grpc_health_probe.

use std::ffi::OsString;

use argh::FromArgs;

use super::super::exit::Exit;
use super::super::help;
use super::super::table::{Block, Command, Flag, Table, flags};
use crate::check::{GrpcHealthProbe, ProbeFlags};
use crate::text::Quoted;

/// `probelet grpc-health-probe`.
pub(in crate::cli) const COMMAND: Command = Command {
    name: "probelet grpc-health-probe",
    alias: None,
    summary: "call the gRPC health service once, with the flags and exit codes of grpc_health_probe",
    usage: &["-addr=ADDRESS [FLAGS]"],
    description: &[
        "A copy of this program with the name grpc_health_probe takes these flags without the command: \
         `probelet install --as grpc_health_probe DIR`. A flag begins with one dash or two; its value follows an equals \
         sign or is the next argument.",
    ],
    blocks: &[Block {
        title: "Examples",
        lines: &[
            "probelet grpc-health-probe -addr=:50051",
            "probelet grpc-health-probe -addr=localhost:50051 -service=my.package.Service -rpc-timeout=250ms",
        ],
    }],
    tables: &[GoFlags::SECTIONS],
    env_prefix: None,
    exit_status: "The exit code is 0 if the service is serving, 1 for an error in the arguments, 2 if the connection fails, \
                  3 if the call fails, 4 if the service is not serving, and 20 for -spiffe.",
};

flags! {
    /// The flags of grpc_health_probe.
    #[allow(dead_code, reason = "-gzip has no effect")]
    struct GoFlags {
        "Flags" {
            option addr (only "-addr"): Option<String>, value "ADDRESS",
                "Connect to HOST:PORT, to :PORT of 127.0.0.1, or to unix:///PATH; required";
            option service (only "-service"): Option<String>, value "NAME" = Text("the whole server"),
                "Check this service";
            option user_agent (only "-user-agent"): Option<String>, value "TEXT" = Text("grpc_health_probe"),
                "Send this user-agent";
            option connect_timeout (only "-connect-timeout"): Option<String>, value "DURATION" = Text("1s"),
                "Limit name resolution, connecting and the TLS handshake, such as 250ms or 1.5s";
            option rpc_timeout (only "-rpc-timeout"): Option<String>, value "DURATION" = Text("1s"),
                "Limit the call";
            option rpc_header (only "-rpc-header"): Vec<String>, value "'NAME: VALUE'",
                "Send this metadata; may be given more than once";
            switch tls (only "-tls"): bool,
                "Use TLS, and verify the server's certificate";
            switch tls_no_verify (only "-tls-no-verify"): bool,
                "Do not verify the server's certificate";
            option tls_ca_cert (only "-tls-ca-cert"): Option<String>, value "FILE" = Text("the system's"),
                "Verify the server's certificate against the CAs in this PEM file";
            option tls_client_cert (only "-tls-client-cert"): Option<String>, value "FILE",
                "Send this client certificate: PEM, with its intermediates";
            option tls_client_key (only "-tls-client-key"): Option<String>, value "FILE",
                "Use this private key of -tls-client-cert: PEM, without a passphrase";
            option tls_server_name (only "-tls-server-name"): Option<String>, value "NAME" = Text("the host of -addr"),
                "Verify the server's certificate for this name, and send it as SNI and :authority";
            switch gzip (only "-gzip"): bool,
                "Accepted for compatibility: the call is sent uncompressed";
            switch alts (only "-alts"): bool,
                "Not supported: exit with code 2";
            switch spiffe (only "-spiffe"): bool,
                "Not supported: exit with code 20";
            switch verbose (short "-v"): bool,
                "Print the flags and the times too";
            switch show_version (only "-version"): bool,
                "Print the version";
        }
    }
}

/// Parses the arguments after the command.
///
/// # Errors
/// The version or the help, if it is requested; the first argument that is not valid.
#[inline(never)] // as `check::run`
pub(in crate::cli) fn parse(
    args: &[String],
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<GrpcHealthProbe, Exit> {
    let split = split(args)?;
    let words: Vec<&str> = split.iter().flat_map(FlagValue::words).collect();
    let flags = GoFlags::from_args(&[COMMAND.name], &words)
        .map_err(|early| exit(1, early.output.trim_end()))?;
    if flags.show_version {
        return Err(Exit::output(env!("CARGO_PKG_VERSION").into()));
    }
    let text = Option::unwrap_or_default;
    let flags = ProbeFlags {
        addr: text(flags.addr),
        service: text(flags.service),
        user_agent: flags.user_agent,
        connect_timeout: flags.connect_timeout,
        rpc_timeout: flags.rpc_timeout,
        rpc_headers: flags.rpc_header,
        tls: flags.tls,
        tls_no_verify: flags.tls_no_verify,
        tls_ca_cert: text(flags.tls_ca_cert),
        tls_client_cert: text(flags.tls_client_cert),
        tls_client_key: text(flags.tls_client_key),
        tls_server_name: text(flags.tls_server_name),
        alts: flags.alts,
        spiffe: flags.spiffe,
        is_verbose: flags.verbose,
        ssl_cert_file: env("SSL_CERT_FILE").and_then(|path| path.into_string().ok()),
    };
    GrpcHealthProbe::from_flags(flags).map_err(|refused| exit(refused.code, &refused.text))
}

fn exit(code: u8, text: &str) -> Exit {
    Exit {
        text: text.into(),
        code,
        to_stdout: false,
    }
}

/// A flag that is given. Of several values the last one counts, unless the flag is repeatable.
struct FlagValue<'a> {
    flag: &'static Flag,
    /// `None` for a switch.
    value: Option<&'a str>,
}

impl<'a> FlagValue<'a> {
    /// The arguments for argh.
    fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        [Some(self.flag.long), self.value].into_iter().flatten()
    }
}

/// Splits the arguments up to the first one that is not a flag: those after it are ignored.
fn split(args: &[String]) -> Result<Vec<FlagValue<'_>>, Exit> {
    let mut list: Vec<FlagValue<'_>> = Vec::new();
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let name = match arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) {
            // A lone dash is an argument, and two end the flags.
            None | Some("") => break,
            Some(name) => name,
        };
        if name.starts_with(['-', '=']) {
            return Err(exit(1, &format!("bad flag syntax: {arg}")));
        }
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let Some(flag) = find(name) else {
            return Err(match name {
                "h" | "help" => exit(1, &help::of_command(&COMMAND)),
                _ => exit(
                    1,
                    &format!("flag provided but not defined: -{name}: see -help"),
                ),
            });
        };
        if !flag.is_repeatable {
            list.retain(|other| other.flag.long != flag.long);
        }
        if flag.value.is_none() {
            match parse_bool(value.unwrap_or("true")) {
                Some(true) => list.push(FlagValue { flag, value: None }),
                Some(false) => {}
                None => {
                    let value = value.unwrap_or_default();
                    let text = format!(
                        "invalid boolean value {} for -{name}: parse error",
                        Quoted(value)
                    );
                    return Err(exit(1, &text));
                }
            }
            continue;
        }
        let Some(value) = value.or_else(|| args.next()) else {
            return Err(exit(1, &format!("flag needs an argument: -{name}")));
        };
        let value = Some(value);
        list.push(FlagValue { flag, value });
    }
    Ok(list)
}

fn find(name: &str) -> Option<&'static Flag> {
    let is_it = |spelling: &&str| spelling.trim_start_matches('-') == name;
    COMMAND
        .flags()
        .find(|flag| flag.spellings.iter().any(is_it))
}

/// `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(args: &[&str]) -> Vec<(&'static str, Option<String>)> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).into()).collect();
        let split = split(&args).expect("valid");
        let value = |flag: &FlagValue<'_>| flag.value.map(String::from);
        split
            .iter()
            .map(|each| (each.flag.long, value(each)))
            .collect()
    }

    fn refused(args: &[&str]) -> Exit {
        let args: Vec<String> = args.iter().map(|arg| (*arg).into()).collect();
        parse(&args, &|_| None).expect_err("refused")
    }

    #[test]
    fn arguments_are_split_as_go_splits_them() {
        let addr = ("--addr", Some(":1".into()));
        for args in [
            &["-addr", ":1"][..],
            &["--addr", ":1"],
            &["-addr=:1"],
            &["--addr=:1"],
            &["-addr=:2", "-addr=:1"],
            &["-addr=:1", "--", "-tls"],
            &["-addr=:1", "-", "-tls"],
            &["-addr=:1", "word", "-tls"],
            &["-tls", "-addr=:1", "-tls=false"],
            &["-addr=:1", "-tls=0"],
        ] {
            assert_eq!(given(args), core::slice::from_ref(&addr), "{args:?}");
        }
        assert_eq!(given(&["-tls", "true", "-v"]), [("--tls", None)]);
        assert_eq!(given(&["-v", "--verbose=T"]), [("--verbose", None)]);
        let service = |text: &str| vec![("--service", Some(text.to_string()))];
        assert_eq!(given(&["-service", "-tls"]), service("-tls"));
        assert_eq!(given(&["-service=a=b"]), service("a=b"));
        assert_eq!(given(&["-service="]), service(""));
        assert_eq!(given(&["-rpc-header=a:1", "-rpc-header", "b:2"]).len(), 2);
    }

    #[test]
    fn an_error_in_the_arguments_exits_1() {
        for (args, text) in [
            (&["---addr"][..], "bad flag syntax: ---addr"),
            (&["-=x"], "bad flag syntax: -=x"),
            (
                &["-adr=:1"],
                "flag provided but not defined: -adr: see -help",
            ),
            (&["-addr"], "flag needs an argument: -addr"),
            (
                &["-tls=yes"],
                "invalid boolean value \"yes\" for -tls: parse error",
            ),
            (&[], "error: -addr not specified"),
            (&["-addr="], "error: -addr not specified"),
        ] {
            let exit = refused(args);
            assert_eq!(
                (exit.code, exit.to_stdout, &*exit.text),
                (1, false, text),
                "{args:?}"
            );
        }
        let help = refused(&["-help"]);
        assert!(help.code == 1 && help.text.contains("-rpc-header 'NAME: VALUE'"));
    }

    #[test]
    fn the_version_is_printed() {
        let exit = refused(&["-version", "-addr=x"]);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!((exit.code, exit.to_stdout, &*exit.text), (0, true, version));
    }

    #[test]
    fn every_flag_is_accepted() {
        for flag in COMMAND.flags() {
            for spelling in flag.spellings {
                let name = spelling.trim_start_matches('-');
                let value = if flag.value.is_some() { "=1:2" } else { "" };
                let words = given(&[&format!("-{name}{value}")]);
                assert_eq!(words.len(), 1, "{spelling}");
            }
        }
    }
}
