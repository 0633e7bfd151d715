//! After SIGTERM: the agent serves for the shutdown delay, at most until the app has stopped. In the cold section
//! (`.cargo/layout.ld`): it runs once.

use core::future::Future;
use core::net::{Ipv6Addr, SocketAddr};
use core::pin::{Pin, pin};
use std::time::Instant;

use rustix::io::Errno;

use super::state::Agent;
use crate::limits;
use crate::net::Socket;

impl Agent {
    /// Waits for the shutdown delay. Ends before it once the app listens on none of its ports and no connection is passed
    /// on to it: kubelet deletes the pod when all its containers have ended.
    #[inline(never)]
    pub fn wait_shutdown_delay(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.wait_for_app())
    }

    async fn wait_for_app(&self) {
        let end = Instant::now() + self.config.shutdown_delay;
        let addresses = self.app_addresses();
        loop {
            let now = Instant::now();
            if now >= end {
                return;
            }
            let may_stop = !addresses.is_empty() && self.relayed_connections() == 0;
            if may_stop && !self.is_any_listening(&addresses).await {
                return;
            }
            let next = Instant::now() + limits::APP_POLL_INTERVAL;
            self.reactor.sleep_until(next.min(end)).await;
        }
    }

    /// Number of connections that are passed on to the app. Those to the status port and handshakes do not count: any pod may
    /// keep some open.
    fn relayed_connections(&self) -> usize {
        #[cfg(feature = "tls")]
        let inbound = self.established_inbound_connections();
        #[cfg(not(feature = "tls"))]
        let inbound = 0;
        self.open_forward_connections() + inbound
    }

    /// The addresses of the app that the agent probes or forwards to.
    fn app_addresses(&self) -> Vec<SocketAddr> {
        let config = &self.config;
        let probed = config.probers.iter();
        let probed = probed
            .flat_map(|prober| &prober.handlers)
            .flat_map(|handler| handler.targets(config.target));
        let forwarded = config.forwards.iter().map(|forward| forward.target);
        let inbound = config.inbounds.iter().map(|inbound| inbound.target);
        let mut addresses = Vec::new();
        for address in probed.chain(forwarded).chain(inbound) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    async fn is_any_listening(&self, addresses: &[SocketAddr]) -> bool {
        for address in addresses {
            if self.is_listening(*address).await {
                return true;
            }
        }
        false
    }

    /// Whether a connection is not refused. An app whose accept queue is full lets it time out. A pod without IPv6 has no
    /// ::1, the second target of `"target": "localhost"`.
    async fn is_listening(&self, address: SocketAddr) -> bool {
        let source = self.config.source;
        let source = source.filter(|_| address.ip() == self.config.target);
        let connect = async {
            let socket = Socket::start_connect(&self.reactor, address, source)?;
            socket.wait_connected().await
        };
        let deadline = Instant::now() + limits::APP_POLL_INTERVAL;
        let connected = self.reactor.timeout_at(deadline, pin!(connect)).await;
        let has_no_ip6 = matches!(connected, Ok(Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)))
            && address.ip() == Ipv6Addr::LOCALHOST;
        !has_no_ip6 && !matches!(connected, Ok(Err(Errno::CONNREFUSED)))
    }
}
