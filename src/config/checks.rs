//! What each setting may be by itself but not beside the others.

use super::{Action, Config, ConfigError, Listen, Probers, ProbersError, Problem};
use core::net::SocketAddr;

impl Config {
    /// Listeners that get in each other's way, and forwards that lead back to one.
    pub(super) fn check_addresses(&self, forward_names: &[Box<str>]) -> Result<(), ConfigError> {
        if let Some(source) = self.source
            && source.is_ipv4() != self.target.is_ipv4()
        {
            return Err(ConfigError::Family {
                source,
                target: self.target,
            });
        }
        let name = |index: usize| match index {
            0 => "the status port".into(),
            _ => forward_names[index - 1].clone(),
        };
        let listeners: Vec<Listen> = self.listeners().collect();
        for (index, listener) in listeners.iter().enumerate() {
            if let Some(first) = listeners[..index]
                .iter()
                .position(|other| other.overlaps(*listener))
            {
                let (first, second) = (name(first), name(index));
                return Err(ConfigError::SamePort {
                    port: listener.port,
                    first,
                    second,
                });
            }
        }
        for (index, forward) in self.forwards.iter().enumerate() {
            let is_reached =
                |listener: &Listen| listener.is_reached_by(forward.target, self.target);
            if let Some(listener) = listeners.iter().position(is_reached) {
                let (forward, listener) = (name(index + 1), name(listener));
                return Err(ConfigError::Loop { forward, listener });
            }
        }
        Ok(())
    }

    fn listeners(&self) -> impl Iterator<Item = Listen> {
        core::iter::once(self.status).chain(self.forwards.iter().map(|forward| forward.listen))
    }

    /// No prober may be aimed at probelet itself.
    pub(super) fn check_ports(&self, probers: Probers) -> Result<Probers, ProbersError> {
        for prober in probers.iter() {
            let (field, port) = match &prober.action {
                Action::Http(get) => ("httpGet.port", get.port),
                Action::Tcp { port } => ("tcpSocket.port", *port),
                Action::Grpc { port, .. } => ("grpc.port", *port),
            };
            let to = SocketAddr::new(self.target, port);
            if self
                .listeners()
                .any(|listener| listener.is_reached_by(to, self.target))
            {
                let problem = Problem::OwnPort { field, port };
                return Err(ProbersError::Entry {
                    key: prober.path.clone(),
                    problem,
                });
            }
        }
        Ok(probers)
    }

    /// The margin must leave each prober some time; hooks have no deadline.
    pub(super) fn check_margin(&self) -> Result<(), ConfigError> {
        let timed = self.probers.iter().filter(|prober| !prober.is_hook);
        match timed.min_by_key(|prober| prober.timeout) {
            Some(prober) if self.deadline_margin >= prober.timeout => Err(ConfigError::Margin {
                margin: self.deadline_margin.as_millis() as u64,
                prober: prober.path.clone(),
                timeout: prober.timeout.as_secs(),
            }),
            _ => Ok(()),
        }
    }
}
