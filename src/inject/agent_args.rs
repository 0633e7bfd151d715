//! The agent's command line in the sidecar. Injection writes it, and reads it back from an injected pod.

use super::annotation_names;
use crate::config::{DEFAULT_STATUS_PORT, SettingValue, flags, parse_port};
use serde_json::Value;

/// The flags of the agent that injection writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    StatusPort,
    AllowFrom,
    SourceIp,
    TargetIp,
    ClientCert,
    ClientKey,
    AppCa,
    AppId,
    Forward,
    Cert,
    Key,
    Ca,
    AllowId,
    Inbound,
    ShutdownDelay,
}

impl Flag {
    const ALL: [Self; 15] = [
        Self::StatusPort,
        Self::AllowFrom,
        Self::SourceIp,
        Self::TargetIp,
        Self::ClientCert,
        Self::ClientKey,
        Self::AppCa,
        Self::AppId,
        Self::Forward,
        Self::Cert,
        Self::Key,
        Self::Ca,
        Self::AllowId,
        Self::Inbound,
        Self::ShutdownDelay,
    ];

    /// The flag as the agent reads it.
    fn name(self) -> &'static str {
        match self {
            Self::StatusPort => flags::STATUS_PORT,
            Self::AllowFrom => flags::ALLOW_FROM,
            Self::SourceIp => flags::SOURCE_IP,
            Self::TargetIp => flags::TARGET_IP,
            Self::ClientCert => flags::CLIENT_CERT,
            Self::ClientKey => flags::CLIENT_KEY,
            Self::AppCa => flags::APP_CA,
            Self::AppId => flags::APP_ID,
            Self::Forward => flags::FORWARD,
            Self::Cert => flags::CERT,
            Self::Key => flags::KEY,
            Self::Ca => flags::CA,
            Self::AllowId => flags::ALLOW_ID,
            Self::Inbound => flags::INBOUND,
            Self::ShutdownDelay => flags::SHUTDOWN_DELAY,
        }
    }

    /// The flag with this name.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    /// The annotation that sets the value of the flag. An annotation with the name of a Secret does not.
    fn annotation(self) -> Option<&'static str> {
        match self {
            Self::StatusPort => Some(annotation_names::STATUS_PORT),
            Self::AllowFrom => Some(annotation_names::ALLOW_FROM),
            Self::SourceIp => Some(annotation_names::SOURCE_IP),
            Self::TargetIp => Some(annotation_names::TARGET_IP),
            Self::AppId => Some(annotation_names::APP_ID),
            Self::Forward => Some(annotation_names::FORWARD),
            Self::AllowId => Some(annotation_names::ALLOW_ID),
            Self::Inbound => Some(annotation_names::INBOUND),
            Self::ClientCert
            | Self::ClientKey
            | Self::AppCa
            | Self::Cert
            | Self::Key
            | Self::Ca
            | Self::ShutdownDelay => None,
        }
    }
}

/// A flag and its value.
struct AgentArg {
    flag: Flag,
    value: String,
}

/// The arguments of the agent.
#[derive(Default)]
pub(super) struct AgentArgs(Vec<AgentArg>);

impl AgentArgs {
    /// Reads the arguments of a sidecar. Ignores those that injection does not write.
    pub(super) fn read(sidecar: &Value) -> Self {
        let args = sidecar["args"].as_array();
        let args = args.into_iter().flatten().filter_map(Value::as_str);
        let args = args.filter_map(|arg| {
            let (name, value) = arg.split_once('=')?;
            let flag = Flag::from_name(name)?;
            let value = value.into();
            Some(AgentArg { flag, value })
        });
        Self(args.collect())
    }

    pub(super) fn push(&mut self, flag: Flag, value: impl ToString) {
        let value = value.to_string();
        self.0.push(AgentArg { flag, value });
    }

    /// `args` of the sidecar.
    pub(super) fn to_json(&self) -> Value {
        let flags = self.0.iter();
        let flags = flags.map(|arg| format!("{}={}", arg.flag.name(), arg.value));
        [String::from("run")].into_iter().chain(flags).collect()
    }

    /// The settings that the agent reads from the arguments. A setting that the pod sets by annotation is named by the
    /// annotation.
    pub(super) fn to_settings(&self, has_annotation: impl Fn(&str) -> bool) -> Vec<SettingValue> {
        let setting = |arg: &AgentArg| {
            let flag = arg.flag.name();
            let annotation = arg.flag.annotation().filter(|name| has_annotation(name));
            SettingValue {
                flag,
                origin: annotation.map_or(flag.into(), |name| format!("annotation {name}").into()),
                value: arg.value.as_str().into(),
            }
        };
        self.0.iter().map(setting).collect()
    }

    /// The ports on which the agent answers kubelet, the status port first.
    pub(super) fn ports(&self) -> Vec<u16> {
        let mut ports = vec![DEFAULT_STATUS_PORT];
        for arg in &self.0 {
            match arg.flag {
                Flag::StatusPort => ports[0] = parse_port(&arg.value).unwrap_or(ports[0]),
                Flag::Forward => {
                    let listen = arg.value.split_once('=').map(|(listen, _)| listen);
                    ports.extend(listen.and_then(parse_port));
                }
                Flag::AllowFrom
                | Flag::SourceIp
                | Flag::TargetIp
                | Flag::ClientCert
                | Flag::ClientKey
                | Flag::AppCa
                | Flag::AppId
                | Flag::Cert
                | Flag::Key
                | Flag::Ca
                | Flag::AllowId
                | Flag::Inbound
                | Flag::ShutdownDelay => {}
            }
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_that_are_written_are_read_back() {
        let mut args = AgentArgs::default();
        for flag in Flag::ALL {
            args.push(flag, "15032=127.0.0.1:8002");
        }
        args.push(Flag::StatusPort, 15920);
        let sidecar = json!({"args": args.to_json()});
        assert_eq!(AgentArgs::read(&sidecar).to_json(), args.to_json());
        assert_eq!(AgentArgs::read(&sidecar).ports(), [15920, 15032]);
        let other = json!({"args": ["run", "--deadline-margin=1", "--forward"]});
        assert_eq!(AgentArgs::read(&other).to_json(), json!(["run"]));
    }
}
