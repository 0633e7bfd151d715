//! Counters of the inbound ports and of certificate files, and their lines of the page `/metrics`. An agent without
//! inbound ports has none.

use core::cell::Cell;
use std::rc::Rc;

use crate::config::{Inbound, Listen};
use crate::forward::Sender;
use crate::forward::inbound::InboundResult;
use crate::net::{CertFile, TlsReload};
use crate::telemetry::Counter;
use crate::telemetry::prometheus::{MetricType, PageWriter};

/// The counters of all inbound ports.
pub struct InboundMetrics {
    ports: Box<[PortMetrics]>,
    /// Reloads of each kind of file, by [`CertFile::ALL`]: successes and failures.
    reloads: [[Counter; 2]; CertFile::ALL.len()],
}

struct PortMetrics {
    /// The label: the port, with its address if it has one.
    listener: Box<str>,
    open: Cell<usize>,
    /// By [`InboundResult::label_index`].
    results: [Counter; InboundResult::LABEL_COUNT],
    evictions: Counter,
    received: Counter,
    sent: Counter,
}

impl InboundMetrics {
    /// All zero.
    pub fn new(inbounds: &[Inbound]) -> Rc<InboundMetrics> {
        let ports = inbounds.iter().map(|inbound| PortMetrics {
            listener: label(inbound.listen),
            open: Cell::new(0),
            results: [const { Counter::new() }; InboundResult::LABEL_COUNT],
            evictions: Counter::new(),
            received: Counter::new(),
            sent: Counter::new(),
        });
        Rc::new(InboundMetrics {
            ports: ports.collect(),
            reloads: Default::default(),
        })
    }

    /// Counts a connection that was accepted.
    pub fn count_opened(&self, index: usize) {
        let open = &self.ports[index].open;
        open.set(open.get() + 1);
    }

    /// Counts the end of an accepted connection.
    pub fn count_closed(&self, index: usize) {
        let open = &self.ports[index].open;
        open.set(open.get() - 1);
    }

    /// Number of accepted connections that are not closed yet.
    pub fn open_connections(&self) -> usize {
        self.ports.iter().map(|port| port.open.get()).sum()
    }

    /// Counts the result of a connection.
    pub fn count_result(&self, index: usize, result: InboundResult) {
        self.ports[index].results[result.label_index()].increment();
    }

    /// Counts the eviction of a connection whose result was counted before.
    pub fn count_eviction(&self, index: usize) {
        self.ports[index].evictions.increment();
    }

    /// Counts data that was passed on.
    pub fn count_bytes(&self, index: usize, sender: Sender, bytes: usize) {
        let port = &self.ports[index];
        let counter = match sender {
            Sender::Client => &port.received,
            Sender::App => &port.sent,
        };
        counter.add(bytes as u64);
    }

    /// Counts files that were read again, or could not be.
    pub fn count_reload(&self, reload: &TlsReload) {
        let (file, index) = match reload {
            TlsReload::Loaded { file } | TlsReload::Reloaded { file } => (file, 0),
            TlsReload::NotLoaded { file, .. } | TlsReload::Failed { file, .. } => (file, 1),
        };
        self.reloads[*file as usize][index].increment();
    }
}

fn label(listen: Listen) -> Box<str> {
    match listen.addr {
        None => listen.port.to_string().into(),
        Some(ip) => core::net::SocketAddr::new(ip, listen.port)
            .to_string()
            .into(),
    }
}

/// Writes the lines of the inbound ports and of certificate files.
pub fn write_inbound(
    page: &mut PageWriter<'_>,
    metrics: &InboundMetrics,
    not_after: &[(&'static str, u64)],
) {
    let name = "probelet_inbound_connections";
    let help = "Open inbound connections, by listener.";
    page.write_family(name, MetricType::Gauge, help);
    for port in &metrics.ports {
        page.write_sample(name, &[("listener", &port.listener)], &port.open.get());
    }
    let name = "probelet_inbound_connections_total";
    let help = "Inbound connections, by listener and result: served, passed in plaintext, or the reason why they were \
                refused, reset or evicted. Each has one result.";
    page.write_family(name, MetricType::Counter, help);
    for port in &metrics.ports {
        for (index, counter) in port.results.iter().enumerate() {
            let labels: [(&str, &dyn core::fmt::Display); 2] = [
                ("listener", &port.listener),
                ("result", &InboundResult::label(index)),
            ];
            page.write_sample_if_counted(name, &labels, counter.get());
        }
    }
    let name = "probelet_inbound_evictions_total";
    let help = "Inbound connections that were passed to the app, and reset for new ones later, by listener.";
    page.write_family(name, MetricType::Counter, help);
    for port in &metrics.ports {
        let labels: [(&str, &dyn core::fmt::Display); 1] = [("listener", &port.listener)];
        page.write_sample(name, &labels, &port.evictions.get());
    }
    let name = "probelet_inbound_bytes_total";
    let help = "Bytes of data of inbound connections over TLS, by listener and direction.";
    page.write_family(name, MetricType::Counter, help);
    for port in &metrics.ports {
        for (direction, counter) in [("received", &port.received), ("sent", &port.sent)] {
            let labels: [(&str, &dyn core::fmt::Display); 2] =
                [("listener", &port.listener), ("direction", &direction)];
            page.write_sample(name, &labels, &counter.get());
        }
    }
    let name = "probelet_certificate_not_after_timestamp_seconds";
    let help = "End of the validity of the certificate in use, by file.";
    page.write_family(name, MetricType::Gauge, help);
    for (file, end) in not_after {
        page.write_sample(name, &[("file", file)], end);
    }
    let name = "probelet_certificate_reloads_total";
    let help = "Certificate files that were read after a change, by file and result.";
    page.write_family(name, MetricType::Counter, help);
    for (file, [successes, failures]) in CertFile::ALL.iter().zip(&metrics.reloads) {
        for (result, counter) in [("success", successes), ("failure", failures)] {
            let labels: [(&str, &dyn core::fmt::Display); 2] =
                [("file", &file.as_str()), ("result", &result)];
            page.write_sample_if_counted(name, &labels, counter.get());
        }
    }
}
