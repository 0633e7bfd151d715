//! Rules between settings.

use super::settings_error::ConfigError;
use super::{Config, Listen, ProbeHandler, Probers, ProbersError, Problem};
use core::net::IpAddr;

/// Origin and value of settings, as errors quote them.
pub(super) struct SettingLabels {
    pub(super) target: Box<str>,
    pub(super) source: Box<str>,
    pub(super) margin: Box<str>,
    pub(super) max_probers: Box<str>,
    pub(super) forwards: Vec<Box<str>>,
    pub(super) inbounds: Vec<Box<str>>,
}

impl SettingLabels {
    /// The label of a listener: the status port, a forward or an inbound port.
    fn listener(&self, index: usize) -> Box<str> {
        match index.checked_sub(1) {
            None => "the status port".into(),
            Some(index) => match index.checked_sub(self.forwards.len()) {
                None => self.forwards[index].clone(),
                Some(inbound) => self.inbounds[inbound].clone(),
            },
        }
    }
}

impl Config {
    /// Source and target must be of one address family.
    pub(super) fn check_families(&self, labels: &SettingLabels) -> Result<(), Box<ConfigError>> {
        match self.source {
            Some(source) if source.is_ipv4() != self.target.is_ipv4() => {
                Err(Box::new(ConfigError::AddressFamilies {
                    source: labels.source.clone(),
                    target: labels.target.clone(),
                }))
            }
            _ => Ok(()),
        }
    }

    /// No two listeners may conflict, and no forward or inbound port may lead back to one. `pod_addresses` are those
    /// of the settings and of the environment.
    pub(super) fn check_listeners(
        &self,
        labels: &SettingLabels,
        mut pod_addresses: Vec<IpAddr>,
    ) -> Result<(), Box<ConfigError>> {
        let listeners: Vec<Listen> = self.listeners().collect();
        for (index, listener) in listeners.iter().enumerate() {
            if let Some(first) = listeners[..index]
                .iter()
                .position(|other| other.overlaps(*listener))
            {
                let (first, second) = (labels.listener(first), labels.listener(index));
                return Err(Box::new(ConfigError::SamePort {
                    port: listener.port,
                    first,
                    second,
                }));
            }
        }
        pod_addresses.extend(listeners.iter().filter_map(|listener| listener.addr));
        for (index, forward) in self.forwards.iter().enumerate() {
            let is_reached =
                |listener: &Listen| listener.is_reached_by(forward.target, &pod_addresses);
            if let Some(listener) = listeners.iter().position(is_reached) {
                let (forward, listener) = (labels.listener(index + 1), labels.listener(listener));
                return Err(Box::new(ConfigError::ForwardLoop { forward, listener }));
            }
        }
        match cfg!(feature = "tls") && !self.inbounds.is_empty() {
            true => self.check_inbounds(&labels.inbounds, &listeners, &pod_addresses, &|index| {
                labels.listener(index)
            }),
            false => Ok(()),
        }
    }

    /// The addresses and ports of probelet.
    pub fn listeners(&self) -> impl Iterator<Item = Listen> {
        let forwards = self.forwards.iter().map(|forward| forward.listen);
        let inbounds = self.inbounds.iter().map(|inbound| inbound.listen);
        core::iter::once(self.status)
            .chain(forwards)
            .chain(inbounds)
    }

    /// No prober may have a port of probelet.
    pub(super) fn check_ports(&self, mut probers: Probers) -> Result<Probers, ProbersError> {
        for prober in &mut probers.0 {
            let is_single = prober.handlers.len() == 1;
            for (index, handler) in prober.handlers.iter_mut().enumerate() {
                if let Some(problem) = self.port_problem(handler) {
                    let key = prober.path.clone();
                    let problem = match is_single {
                        true => problem,
                        false => problem.in_all(index),
                    };
                    return Err(ProbersError::Entry { key, problem });
                }
            }
        }
        Ok(probers)
    }

    fn port_problem(&self, handler: &mut ProbeHandler) -> Option<Problem> {
        if handler.loopback.is_some() {
            self.set_loopback_address(handler);
        }
        let handler = &*handler;
        let mut listeners = self.listeners();
        let is_own = listeners.any(|listener| self.reaches(handler, listener));
        is_own.then(|| self.own_port(handler))
    }

    /// Whether the handler probes this listener of probelet.
    pub(super) fn reaches(&self, handler: &ProbeHandler, listener: Listen) -> bool {
        let mut targets = handler.targets(self.target);
        targets.any(|to| listener.is_reached_by(to, &[self.target]))
    }

    /// `--max-probers` must suffice for the table.
    pub(super) fn check_probers(&self, labels: &SettingLabels) -> Result<(), Box<ConfigError>> {
        let probers = self.probers.len();
        if probers > self.capacity.probers {
            return Err(Box::new(ConfigError::TooFewProbers {
                setting: labels.max_probers.clone(),
                probers,
            }));
        }
        Ok(())
    }

    /// The deadline margin must be shorter than each timeout; hooks have no deadline.
    pub(super) fn check_margin(&self, labels: &SettingLabels) -> Result<(), Box<ConfigError>> {
        let timed = self.probers.iter().filter(|prober| !prober.is_hook);
        match timed.min_by_key(|prober| prober.timeout) {
            Some(prober) if self.deadline_margin >= prober.timeout => {
                Err(Box::new(ConfigError::Margin {
                    margin: labels.margin.clone(),
                    prober: prober.path.clone(),
                    timeout: prober.timeout.as_secs(),
                }))
            }
            _ => Ok(()),
        }
    }
}
