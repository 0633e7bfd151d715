//! The address that a command connects to.

use super::conversion::{Reason, quoted};
use crate::config;
use serde_json::{Map, Value};

/// The host of a command, which has to be one of loopback: the agent probes its own pod only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopbackHost {
    /// 127.0.0.1
    Ip4,
    /// A name of 127.0.0.1 and ::1.
    Localhost,
}

impl LoopbackHost {
    pub(super) fn parse(host: &str) -> Result<LoopbackHost, Reason> {
        match host {
            "127.0.0.1" => Ok(LoopbackHost::Ip4),
            "localhost" => Ok(LoopbackHost::Localhost),
            _ => {
                let host = quoted(host);
                Err(
                    format!("probes host {host}: only localhost and 127.0.0.1 are converted")
                        .into(),
                )
            }
        }
    }

    /// Adds the member of a prober with this target.
    pub(super) fn write(self, members: &mut Map<String, Value>) {
        let target = match self {
            LoopbackHost::Ip4 => "loopback",
            LoopbackHost::Localhost => "localhost",
        };
        members.insert("target".into(), target.into());
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, Reason> {
    let port = config::parse_port(text);
    port.ok_or_else(|| {
        format!(
            "has port {}, which is no number from 1 to 65535",
            quoted(text)
        )
        .into()
    })
}
