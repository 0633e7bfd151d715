//! Log lines that a healthy pod seldom writes. Not in `log_events`, because the linker places code by module and
//! theirs is in the cold section (`.cargo/layout.ld`).

use core::net::IpAddr;

use rustix::io::Errno;

use super::log_events::EventLog;
use super::metrics::Rejection;
use super::resources::SlotCapacity;
use super::state::Agent;
use crate::net::{Socket, TlsReload};
use crate::telemetry::Level;

impl Agent {
    /// Logs and counts the files of TLS that were read, or could not be.
    #[inline(never)]
    pub fn log_pending_reloads(&self) {
        while let Some(reload) = self.dialler.tls.take_reload() {
            self.log.tls_reload(&reload);
            #[cfg(feature = "tls")]
            self.count_reload(&reload);
        }
    }
}

impl EventLog {
    /// There are too few file descriptors for the configured capacity.
    pub fn capacity_lowered(&self, capacity: SlotCapacity) {
        let message = "too few file descriptors, capacity lowered: raise the hard limit (ulimit -Hn, or \
                       LimitNOFILE of the container runtime's service)";
        self.logger
            .line(Level::Warn, message)
            .field("pool", capacity.pool)
            .field("waiting_per_prober", capacity.waiting)
            .field("max_forwards", capacity.forward_connections)
            .maybe(
                "max_inbound",
                (capacity.inbound_connections > 0).then_some(capacity.inbound_connections),
            );
    }

    /// A connection to `port` from a peer that is in no network of `--allow-from`.
    pub fn peer_not_allowed(&self, port: u16, peer: IpAddr) {
        let limit = &mut self.limits.borrow_mut().peer_not_allowed;
        let message = "reset connection from a peer outside --allow-from";
        self.logger
            .limited_line(limit, Level::Warn, message)
            .field("port", port)
            .field("client", peer);
    }

    /// A request for a path that has no prober.
    pub fn unknown_path(&self, path: &[u8], client: &Socket) {
        let limit = &mut self.limits.borrow_mut().unknown_path;
        self.logger
            .limited_line(limit, Level::Warn, "unknown path")
            .field("path", path.escape_ascii())
            .maybe("client", client.peer_ip());
    }

    /// A request that is malformed, too large, or of another method than GET and HEAD.
    pub fn bad_request(&self, rejection: Rejection, detail: &str, client: &Socket) {
        let limit = &mut self.limits.borrow_mut().bad_request;
        self.logger
            .limited_line(limit, Level::Warn, "bad request")
            .field("reason", rejection.as_str())
            .field("detail", detail)
            .maybe("client", client.peer_ip());
    }

    /// Probes that ended while other handshakes held all permits: their deadline passed or the client disconnected.
    pub fn no_handshake_permit(&self, probes: usize) {
        let limit = &mut self.limits.borrow_mut().handshake_permit;
        let message = "probes ended while waiting for other TLS handshakes with the app";
        self.logger
            .limited_line(limit, Level::Warn, message)
            .field("probes", probes);
    }

    /// A file for TLS was read, or could not be.
    pub fn tls_reload(&self, reload: &TlsReload) {
        let limit = &mut self.limits.borrow_mut().tls_reload;
        let (level, message, error) = match reload {
            TlsReload::Loaded { .. } => (Level::Info, "certificate loaded", None),
            TlsReload::Reloaded { .. } => (Level::Info, "certificate reloaded", None),
            TlsReload::NotLoaded { error, .. } => {
                let message = "certificate not loaded, TLS fails";
                (Level::Warn, message, Some(error))
            }
            TlsReload::Failed { error, .. } => {
                let message = "certificate reload failed, keeping previous certificate";
                (Level::Warn, message, Some(error))
            }
        };
        self.logger
            .limited_line(limit, level, message)
            .field("file", reload.file())
            .maybe("path", error.map(|error| &error.path))
            .maybe("error", error.map(|error| error.error));
    }

    /// A connection of `client` through the forward of `port` was reset for a new one.
    pub fn forward_evicted(&self, port: u16, client: IpAddr) {
        let limit = &mut self.limits.borrow_mut().forward_evicted;
        self.logger
            .limited_line(limit, Level::Warn, "forward connection evicted")
            .field("port", port)
            .field("client", client);
    }

    /// The kernel refused to accept a connection at `port`.
    pub fn accept_failed(&self, port: u16, error: Errno) {
        let limit = &mut self.limits.borrow_mut().accept_failed;
        self.logger
            .limited_line(limit, Level::Error, "accept failed")
            .field("port", port)
            .field("error", error);
    }
}
