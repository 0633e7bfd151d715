//! `tcpSocket`: the app is well when its port takes a connection.

use core::pin::pin;
use rustix::io::Errno;
use std::time::Instant;

use super::{Dialler, Event, Failure, Outcome};

impl Dialler {
    /// Connects and closes. A reset right after the connection stood changes nothing, as it changes
    /// nothing for kubelet (`pkg/probe/tcp/tcp.go`).
    pub async fn probe_tcp(&self, port: u16, deadline: Option<Instant>) -> Outcome {
        let connect = async {
            self.dial(port).await?.connected().await?;
            self.tell(|| Event::Connected);
            Ok(())
        };
        match self.until(deadline, pin!(connect)).await {
            Ok(Ok(())) => Outcome::Connected,
            // One that is refused is `ECONNREFUSED`; one that was reset has stood, and so has one that
            // was first closed and then reset.
            Ok(Err(Errno::CONNRESET | Errno::PIPE)) => Outcome::Connected,
            Ok(Err(error)) => Outcome::Failed(error.into()),
            Err(_) => Outcome::Failed(Failure::Deadline),
        }
    }
}
