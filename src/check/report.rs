//! The result of a check as one line of text, or as one JSON object.

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use super::advice;
use super::alert;
use super::failure_context::{FailureContext, TlsState};
use super::plan::{DialTarget, Plan};
use super::resolve::NoAddress;
use super::watch::{Phase, Watch};
use crate::probe::{Failure, Outcome};
use crate::text::Quoted;
use crate::wire::health::GrpcCode;

/// How a check ended.
pub enum CheckResult {
    /// The probe ran.
    Probed(Outcome),
    /// The host name has no address.
    NoAddress(NoAddress),
}

/// A result, and whether kubelet would count it as a success.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// One line, without a line break at its end.
    pub text: String,
    /// Whether the probe succeeded.
    pub is_healthy: bool,
}

impl Report {
    /// The report on a probe.
    pub(super) fn new(plan: &Plan, watch: &Watch, result: CheckResult) -> Report {
        watch.record(Phase::Done);
        let facts = Facts::of(plan, watch, &result);
        if let Some(code) = facts.grpc_code {
            watch.print_grpc_code(code);
        }
        Report {
            text: match plan.is_json {
                true => facts.json(watch),
                false => facts.line(watch),
            },
            is_healthy: facts.is_healthy,
        }
    }
}

/// The facts of a report.
struct Facts<'a> {
    is_healthy: bool,
    url: &'a str,
    address: Option<SocketAddr>,
    /// Whether the URL names a host, so that the address is worth printing.
    is_named: bool,
    /// The app's own status code.
    status: Option<u16>,
    reason: Option<&'static str>,
    /// Only for the reason `grpc_error`.
    grpc_code: Option<GrpcCode>,
    /// The name or the number of the app's TLS alert, if TLS failed.
    tls_alert: Option<String>,
    /// The text of a success that has no status code: `connected` or `SERVING`.
    success_text: &'static str,
    /// The status code that the agent would return to kubelet.
    agent_status: Option<u16>,
    advice: Option<String>,
}

impl<'a> Facts<'a> {
    fn of(plan: &'a Plan, watch: &Watch, result: &CheckResult) -> Facts<'a> {
        let mut facts = Facts {
            is_healthy: false,
            url: &plan.url,
            address: watch.address(),
            is_named: plan.has_name(),
            status: None,
            reason: Some("no_address"),
            grpc_code: None,
            tls_alert: None,
            success_text: "",
            agent_status: None,
            advice: None,
        };
        let outcome = match result {
            CheckResult::Probed(outcome) => *outcome,
            CheckResult::NoAddress(error) => {
                let question = "is the name right, does the pod's DNS work?";
                facts.advice = Some(format!("{} has no address, {error}; {question}", plan.host));
                return facts;
            }
        };
        facts.is_healthy = outcome.is_healthy();
        facts.reason = outcome.reason();
        facts.grpc_code = outcome.grpc_code();
        if let Outcome::Failed(failure) = outcome {
            facts.tls_alert = tls_alert(plan, failure);
        }
        facts.agent_status = Some(outcome.status());
        (facts.status, facts.success_text) = app_status(outcome);
        facts.advice = match outcome {
            Outcome::Failed(failure) => {
                let context = FailureContext {
                    at: facts.address,
                    has_connected: watch.has_connected(),
                    is_grpc: plan.is_grpc(),
                    tls: watch.tls_state(),
                    is_unix: matches!(plan.dial, DialTarget::Unix(_)),
                    verifies_name: plan.verifies_name,
                };
                let mut advice = advice::of_failure(failure, context);
                if let Some(alert) = &facts.tls_alert {
                    let _ = write!(advice, "; its alert is {alert}");
                }
                if let (Failure::GrpcNotServing, Some(status)) = (failure, watch.health_status()) {
                    let _ = write!(advice, "; the status is {}", status_name(status));
                }
                Some(advice)
            }
            Outcome::BodyBroken(_) => Some(advice::BROKEN_BODY.into()),
            Outcome::TlsRequired(_) => Some(advice::TLS_REQUIRED.into()),
            Outcome::GrpcError(code) => Some(advice::of_grpc_error(code, facts.address)),
            Outcome::Answered(status) if !facts.is_healthy => {
                Some(advice::of_status(status, watch.tls_state() != TlsState::Plaintext).into())
            }
            Outcome::UnexpectedStatus(status) => {
                Some(advice::of_status(status, watch.tls_state() != TlsState::Plaintext).into())
            }
            Outcome::Answered(_) | Outcome::Expected(_) | Outcome::Connected | Outcome::Serving => {
                None
            }
        };
        facts
    }

    /// `healthy 200 http://10.0.0.7:8080/healthz connect 0.3 ms, first byte 4.0 ms, done 4.1 ms`
    fn line(&self, watch: &Watch) -> String {
        let mut line = String::from(match self.is_healthy {
            true => "healthy",
            false => "failing",
        });
        // Writing to a string does not fail, here and below.
        let _ = match (self.status, self.reason) {
            (Some(status), Some("unhealthy_status") | None) => write!(line, " {status}"),
            (Some(status), Some(reason)) => write!(line, " {status} {reason}"),
            (None, Some(reason)) => write!(line, " {reason}"),
            (None, None) => write!(line, " {}", self.success_text),
        };
        let _ = write!(line, " {}", self.url);
        if let Some(address) = self.address.filter(|_| self.is_named) {
            let _ = write!(line, " at {address}");
        }
        let times = Phase::ALL
            .into_iter()
            .filter_map(|phase| Some((phase.label(), watch.time(phase)?)));
        for (index, (label, time)) in times.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let tenths = (time.as_micros() as u64 + 50) / 100;
            let (ms, tenth) = (tenths / 10, tenths % 10);
            let _ = write!(line, "{comma} {label} {ms}.{tenth} ms");
        }
        match watch.redirects() {
            0 => {}
            1 => line.push_str(", 1 redirect"),
            many => {
                let _ = write!(line, ", {many} redirects");
            }
        }
        if let Some(advice) = &self.advice {
            let _ = write!(line, ": {advice}");
        }
        if let (None, false, Some(status)) = (self.status, self.is_healthy, self.agent_status) {
            let _ = write!(line, " (the agent would answer kubelet with {status})");
        }
        line
    }

    fn json(&self, watch: &Watch) -> String {
        let mut text = format!(
            "{{\"healthy\":{},\"url\":{}",
            self.is_healthy,
            Quoted(self.url)
        );
        let mut member = |name: &str, value: Option<String>| {
            let value = value.as_deref().unwrap_or("null");
            let _ = write!(text, ",\"{name}\":{value}");
        };
        let address = self.address.map(|address| address.to_string());
        let number = |status: Option<u16>| status.map(|status| status.to_string());
        let string = |text: Option<&str>| text.map(|text| Quoted(text).to_string());
        member("address", string(address.as_deref()));
        member("status", number(self.status));
        member("reason", string(self.reason));
        let grpc_code = self.grpc_code.map(|code| code.to_string());
        member("grpc_code", string(grpc_code.as_deref()));
        member("tls_alert", string(self.tls_alert.as_deref()));
        member("agent_status", number(self.agent_status));
        member("advice", string(self.advice.as_deref()));
        member("redirects", Some(watch.redirects().to_string()));
        for phase in Phase::ALL {
            member(phase.member(), watch.time(phase).map(millis));
        }
        text.push('}');
        text
    }
}

/// The app's alert, in words.
fn tls_alert(plan: &Plan, failure: Failure) -> Option<String> {
    let is_of_alert = matches!(
        failure,
        Failure::TlsAlert
            | Failure::NoCommonCipher
            | Failure::ClientCertificateRequired
            | Failure::ClientCertificateRefused
    );
    let alert = plan.tls.last_alert().filter(|_| is_of_alert)?;
    Some(alert::name(alert).map_or_else(|| alert.to_string(), Into::into))
}

/// The name of a `HealthCheckResponse.ServingStatus`, or its number.
pub fn status_name(status: i32) -> String {
    match status {
        0 => "UNKNOWN".into(),
        1 => "SERVING".into(),
        2 => "NOT_SERVING".into(),
        3 => "SERVICE_UNKNOWN".into(),
        number => number.to_string(),
    }
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> String {
    let micros = time.as_micros() as u64;
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// The app's status code, or the text of a success that has none.
fn app_status(outcome: Outcome) -> (Option<u16>, &'static str) {
    match outcome {
        Outcome::Answered(status)
        | Outcome::BodyBroken(status)
        | Outcome::TlsRequired(status)
        | Outcome::Expected(status)
        | Outcome::UnexpectedStatus(status) => (Some(status), ""),
        Outcome::Connected => (None, "connected"),
        Outcome::Serving => (None, "SERVING"),
        Outcome::GrpcError(_) | Outcome::Failed(_) => (None, ""),
    }
}
