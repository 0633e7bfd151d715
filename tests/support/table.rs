//! The probers' table as `ISTIO_KUBE_APP_PROBERS` has it, and an agent that runs on it.

use std::fmt::Write;

use super::agent::{Agent, Setup};

/// The members of a table, as JSON text.
#[derive(Clone, Default)]
pub struct Table(String);

impl Table {
    /// An empty table.
    pub fn new() -> Table {
        Table::default()
    }

    /// Adds an `httpGet` of `/` on this port.
    pub fn http(self, path: &str, port: u16, timeout_seconds: u32) -> Table {
        self.prober(
            path,
            &format!(
                r#""httpGet":{{"path":"/","port":{port}}},"timeoutSeconds":{timeout_seconds}"#
            ),
        )
    }

    /// Adds a prober with these members, as JSON text.
    pub fn prober(mut self, path: &str, members: &str) -> Table {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, r#"{comma}"{path}":{{{members}}}"#).expect("writing to a string");
        self
    }

    /// The JSON.
    pub fn json(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// Starts an agent with this table and these arguments.
#[track_caller]
pub fn agent_with(table: &Table, args: &[&str]) -> Agent {
    start(Setup::new(), table, args)
}

/// Starts an agent with this setup, table and arguments.
#[track_caller]
pub fn start(setup: Setup, table: &Table, args: &[&str]) -> Agent {
    let setup = args
        .iter()
        .fold(setup.probers(&table.json()), |setup, arg| setup.arg(*arg));
    setup.start().expect("the agent starts")
}
