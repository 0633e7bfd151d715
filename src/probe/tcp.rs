//! `tcpSocket`: succeeds when the app's port accepts a connection.

use core::net::SocketAddr;
use core::pin::pin;
use rustix::io::Errno;
use std::time::Instant;

use super::{Dialler, Event, Failure, Outcome};

impl Dialler {
    /// Connects and closes. A reset right after the connection was established is ignored, as by kubelet
    /// (`pkg/probe/tcp/tcp.go`).
    pub async fn probe_tcp(&self, app: SocketAddr, deadline: Option<Instant>) -> Outcome {
        let connect = async {
            self.dial(app).await?.wait_connected().await?;
            self.notify(|| Event::Connected);
            Ok(())
        };
        match self.with_deadline(deadline, pin!(connect)).await {
            Ok(Ok(())) => Outcome::Connected,
            // A refused connection is `ECONNREFUSED`; these two were established before the reset.
            Ok(Err(Errno::CONNRESET | Errno::PIPE)) => Outcome::Connected,
            Ok(Err(error)) => Outcome::Failed(error.into()),
            Err(_) => Outcome::Failed(Failure::DeadlineExceeded),
        }
    }
}
