//! `nc -z HOST PORT`, with flags that OpenBSD's, Ncat's and busybox's have in common.

use super::conversion::{Conversion, Reason, whole_seconds};
use super::target::{LoopbackHost, parse_port};
use serde_json::{Map, json};

pub(super) fn convert(args: &[&str]) -> Result<Conversion, Reason> {
    let mut operands = Vec::new();
    let (mut scans, mut resolves, mut is_ip4) = (false, true, false);
    let mut timeout = None;
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        let Some(flags) = arg.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            operands.push(arg);
            continue;
        };
        for (index, flag) in flags.char_indices() {
            match flag {
                'z' => scans = true,
                'v' => {}
                'n' => resolves = false,
                '4' => is_ip4 = true,
                'w' => {
                    let value = match &flags[index + 1..] {
                        "" => args.next().copied().unwrap_or_default(),
                        attached => attached,
                    };
                    timeout = Some(whole_seconds("-w", value, "")?);
                    break;
                }
                _ => return Err(format!("has the flag -{flag} of nc").into()),
            }
        }
    }
    let [host, port] = operands[..] else {
        return Err("runs nc without one host and one port".into());
    };
    if !scans {
        return Err("runs nc without -z, which transfers data".into());
    }
    let port = parse_port(port)?;
    let host = match LoopbackHost::parse(host)? {
        LoopbackHost::Localhost if !resolves => {
            return Err("runs nc -n with a name, which fails".into());
        }
        _ if is_ip4 => LoopbackHost::Ip4,
        host => host,
    };
    let mut members = Map::new();
    members.insert("tcpSocket".into(), json!({"port": port}));
    host.write(&mut members);
    Ok(Conversion {
        port,
        members,
        timeout,
    })
}
