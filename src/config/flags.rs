//! The names of the agent's flags: settings are found by them, and injection writes them. The table of `probelet run` has
//! an entry for each, from which the name is derived; a test compares both.

pub(crate) const STATUS_PORT: &str = "--status-port";
pub(crate) const STATUS_ADDR: &str = "--status-addr";
pub(crate) const ALLOW_FROM: &str = "--allow-from";
pub(crate) const TARGET_IP: &str = "--target-ip";
pub(crate) const SOURCE_IP: &str = "--source-ip";
pub(crate) const APP_PROBERS: &str = "--app-probers";
pub(crate) const CLIENT_CERT: &str = "--client-cert";
pub(crate) const CLIENT_KEY: &str = "--client-key";
pub(crate) const APP_CA: &str = "--app-ca";
pub(crate) const APP_ID: &str = "--app-id";
pub(crate) const REQUIRE_FILES: &str = "--require-files";
pub(crate) const FORWARD: &str = "--forward";
pub(crate) const INBOUND: &str = "--inbound";
pub(crate) const ALLOW_ID: &str = "--allow-id";
pub(crate) const CERT: &str = "--cert";
pub(crate) const KEY: &str = "--key";
pub(crate) const CA: &str = "--ca";
pub(crate) const MAX_INBOUND: &str = "--max-inbound";
pub(crate) const DEADLINE_MARGIN: &str = "--deadline-margin";
pub(crate) const SHUTDOWN_DELAY: &str = "--shutdown-delay";
pub(crate) const LOG_LEVEL: &str = "--log-level";
pub(crate) const LOG_FORMAT: &str = "--log-format";
pub(crate) const MAX_PROBERS: &str = "--max-probers";
pub(crate) const MAX_FORWARDS: &str = "--max-forwards";

/// Every flag of the agent.
#[cfg(test)]
pub(crate) const ALL: [&str; 24] = [
    STATUS_PORT,
    STATUS_ADDR,
    ALLOW_FROM,
    TARGET_IP,
    SOURCE_IP,
    APP_PROBERS,
    CLIENT_CERT,
    CLIENT_KEY,
    APP_CA,
    APP_ID,
    REQUIRE_FILES,
    FORWARD,
    INBOUND,
    ALLOW_ID,
    CERT,
    KEY,
    CA,
    MAX_INBOUND,
    DEADLINE_MARGIN,
    SHUTDOWN_DELAY,
    LOG_LEVEL,
    LOG_FORMAT,
    MAX_PROBERS,
    MAX_FORWARDS,
];
