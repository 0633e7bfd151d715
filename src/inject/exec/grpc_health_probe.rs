//! `grpc_health_probe` (github.com/grpc-ecosystem/grpc-health-probe), with flags of Go's package `flag`.

use super::conversion::{Conversion, Reason, quoted, whole_seconds};
use super::target::{LoopbackHost, parse_port};
use serde_json::{Map, json};

/// The tool's timeout of the connection, and its timeout of the call after that, in seconds, if no flag sets one. The first
/// includes the TLS handshake and the app's SETTINGS (`main.go`: `grpc.WithBlock`).
const DEFAULT_TIMEOUT: u64 = 1;

pub(super) fn convert(args: &[&str]) -> Result<Conversion, Reason> {
    let mut addr = None;
    let mut service = "";
    let (mut tls, mut verifies) = (false, true);
    let (mut connect_timeout, mut rpc_timeout) = (DEFAULT_TIMEOUT, DEFAULT_TIMEOUT);
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let flag = arg.strip_prefix("--").or(arg.strip_prefix('-'));
        let Some(flag) = flag.filter(|flag| !flag.is_empty()) else {
            return Err(format!("has the argument {} of grpc_health_probe", quoted(arg)).into());
        };
        let (name, attached) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if matches!(name, "tls" | "tls-no-verify" | "v") {
            let is_on = match attached {
                None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => true,
                Some("false" | "0" | "f" | "F" | "FALSE" | "False") => false,
                Some(value) => return Err(format!("has -{name}={}", quoted(value)).into()),
            };
            match name {
                "tls" => tls = is_on,
                "tls-no-verify" => verifies = !is_on,
                _ => {}
            }
            continue;
        }
        if !matches!(name, "addr" | "service" | "rpc-timeout" | "connect-timeout") {
            return Err(format!("has the flag {} of grpc_health_probe", quoted(arg)).into());
        }
        let value = attached.or_else(|| args.next());
        let value = value.ok_or_else(|| Reason::from(format!("has -{name} without a value")))?;
        match name {
            "addr" => addr = Some(value),
            "service" => service = value,
            "rpc-timeout" => rpc_timeout = whole_seconds(&format!("-{name}"), value, "s")?,
            _ => connect_timeout = whole_seconds(&format!("-{name}"), value, "s")?,
        }
    }
    if tls && verifies {
        return Err("verifies the certificate of the app: only -tls-no-verify is converted".into());
    }
    if !tls && !verifies {
        return Err("has -tls-no-verify without -tls, which fails".into());
    }
    let addr = addr.ok_or("runs grpc_health_probe without -addr")?;
    let Some((host, port)) = addr.rsplit_once(':') else {
        return Err(format!("has -addr {}, which has no port", quoted(addr)).into());
    };
    // Go connects to the loopback address of IPv4 in place of no host (`net/sock_posix.go`: `toLocal`).
    let host = LoopbackHost::parse(if host.is_empty() { "127.0.0.1" } else { host })?;
    let port = parse_port(port)?;
    let mut grpc = json!({"port": port, "service": service});
    if tls {
        grpc["mode"] = "TLS".into();
    }
    let mut members = Map::new();
    members.insert("grpc".into(), grpc);
    host.write(&mut members);
    Ok(Conversion {
        port,
        members,
        // The agent has one timeout for both. Their sum fails no app that the tool passes.
        timeout: Some(connect_timeout + rpc_timeout),
    })
}
