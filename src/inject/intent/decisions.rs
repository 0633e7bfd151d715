//! The decisions on all probes of a pod: goals, the agent's table, and what to report.

use super::decide::{self, ProbeDecision, decide};
use super::table::{self, Table};
use crate::inject::options::PodOptions;
use crate::inject::report::Stop;
use crate::inject::view::PodView;
use crate::inject::view::handler::{Handler, HandlerKind};
use crate::inject::view::probes::Probe;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The intended destination of a probe.
pub(in crate::inject) enum Goal {
    /// A path of the status port.
    Rewritten {
        /// `/app-health/web/livez`
        path: Box<str>,
        /// The status port.
        status_port: u16,
        /// The port of the app.
        app_port: u16,
    },
    /// This port of the agent, with the same path.
    Forwarded(u16),
}

/// The decisions on all probes of a pod.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) goals: BTreeMap<Box<str>, Goal>,
    pub(super) table: Table,
    /// Containers, each with the words of its rewritten probes.
    words: Vec<(Box<str>, Vec<&'static str>)>,
    /// Forwarded ports of the app.
    pub(super) forwarded: BTreeSet<u16>,
    has_exec: bool,
    has_excluded: bool,
    has_unsupported: bool,
    /// The label of a probe that goes to a status port already.
    points_at_agent: Option<Box<str>>,
}

impl Decisions {
    pub(super) fn new(
        view: &PodView<'_>,
        options: &PodOptions,
        warnings: &mut Vec<Box<str>>,
    ) -> Result<Self, Stop> {
        let mut decisions = Self::default();
        let current = view.table();
        for probe in &view.probes {
            match decide(probe, view, options) {
                ProbeDecision::DialsNoPort => {
                    decisions.has_exec |= probe.value.contains_key("exec");
                }
                ProbeDecision::Excluded => decisions.has_excluded = true,
                ProbeDecision::Unsupported(warning) => {
                    decisions.has_unsupported = true;
                    warnings.push(warning);
                }
                // A probe of an injected pod that has lost its original is refused later.
                ProbeDecision::PointsAtAgent if view.saved.is_some() => {}
                ProbeDecision::PointsAtAgent => {
                    let label = probe.label.clone();
                    decisions.points_at_agent.get_or_insert(label);
                }
                ProbeDecision::Refused(why) => return Err(why.into()),
                ProbeDecision::Rewritten { port, prober } => {
                    decisions.rewrite(probe, port, prober, options.status_port);
                    if let Some(injected) = probe.injected()
                        && let Some(current) = current.get(&*injected.path)
                    {
                        decisions.retain_manual_edits(probe, &injected.handler, current);
                    }
                }
                ProbeDecision::Forwarded { port, to } => {
                    decisions.forwarded.insert(port);
                    let goal = Goal::Forwarded(to);
                    decisions.goals.insert(probe.key.clone(), goal);
                }
            }
        }
        Ok(decisions)
    }

    fn rewrite(&mut self, probe: &Probe<'_>, app_port: u16, prober: String, status_port: u16) {
        self.table.insert(&probe.path, prober);
        let goal = Goal::Rewritten {
            path: probe.path.clone(),
            status_port,
            app_port,
        };
        self.goals.insert(probe.key.clone(), goal);
        let word = probe.kind.word;
        match self.words.last_mut() {
            Some((name, words)) if **name == *probe.container.name => words.push(word),
            _ => self.words.push((probe.container.name.into(), vec![word])),
        }
    }

    /// Compares the current prober of an injected probe with the one that injection wrote.
    fn retain_manual_edits(&mut self, probe: &Probe<'_>, injected: &Handler, current: &Value) {
        // 0.1.0 did not save the number that a port name resolved to: take the table's.
        let saved = match injected.field("port") {
            Some(port) if port.is_u64() => decide::resolve_port(injected, &probe.container).ok(),
            _ => None,
        };
        let in_table = current[injected.kind.key()]["port"].as_u64();
        let in_table = in_table.and_then(|port| port.try_into().ok());
        if let Some(port) = saved.or(in_table) {
            let injected = table::prober(injected, port, probe.timeout());
            self.table
                .retain_manual_edits(&probe.path, current, &injected);
        }
    }

    /// Skips a pod in which no probe would go to the agent.
    pub(super) fn check_worthwhile(&self, options: &PodOptions) -> Result<(), Stop> {
        if let Some(label) = &self.points_at_agent {
            let why = format!(
                "{label} goes to a status port already, and probelet-inject did not do that"
            );
            return Err(Stop::Skip(why.into()));
        }
        if !self.goals.is_empty() {
            return Ok(());
        }
        let why = if self.has_unsupported {
            "no probe that could be rewritten"
        } else if self.has_excluded && !options.rewrite {
            "rewriting is switched off"
        } else if self.has_excluded {
            "all its probes are excluded by annotation"
        } else if self.has_exec {
            "only exec probes"
        } else {
            "no probes"
        };
        Err(Stop::Skip(why.into()))
    }

    /// `livez, readyz` of one container, `web livez, readyz; db livez` of several, and `forwarded: 8002`.
    pub(super) fn describe(&self) -> Box<str> {
        let is_one = self.words.len() == 1;
        let of = |(name, words): &(Box<str>, Vec<&str>)| match is_one {
            true => words.join(", "),
            false => format!("{name} {}", words.join(", ")),
        };
        let mut parts: Vec<String> = self.words.iter().map(of).collect();
        if !self.forwarded.is_empty() {
            let ports: Vec<String> = self.forwarded.iter().map(u16::to_string).collect();
            parts.push(format!("forwarded: {}", ports.join(", ")));
        }
        parts.join("; ").into()
    }
}

/// Warns of `scheme: HTTPS` in a probe that was not an httpGet: the agent's prober has no scheme, so that the edits
/// replace it by HTTP.
pub(super) fn warn_of_replaced_schemes(
    view: &PodView<'_>,
    goals: &BTreeMap<Box<str>, Goal>,
    warnings: &mut Vec<Box<str>>,
) {
    for probe in &view.probes {
        let kind = probe.injected().map(|injected| injected.saved.kind());
        let Some(kind) = kind.filter(|kind| *kind != HandlerKind::HttpGet) else {
            continue;
        };
        if probe.value["httpGet"]["scheme"] == "HTTPS" && goals.contains_key(&probe.key) {
            let what = format!("scheme HTTPS in {} is set back to HTTP", probe.label);
            let why = format!(
                "kubelet probes the sidecar in plaintext, and that probes the app by {}",
                kind.key()
            );
            warnings.push(format!("{what}: {why}").into());
        }
    }
}
