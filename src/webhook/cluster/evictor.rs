//! Evicts pods that should be injected and are not, one after the other, as `repair` allows it.
//!
//! An Eviction names the pod's UID, so that replicas do not evict the new pod. Each has its own trials; a leader would need a
//! Lease, and the permissions for it.

use super::found_pod::{
    FoundPod, allows_eviction, creation_time, has_failing_probes, has_ready_containers,
    replacing_owner,
};
use super::repair::{FailedTrial, Repair, TrialFailure};
use super::{has_cause, remedy_of};
use crate::limits;
use crate::pem::unix_now;
use crate::telemetry::{Level, RateLimit};
use crate::webhook::api_client::{ApiClient, RequestBody, unexpected_status};
use crate::webhook::server_state::ServerState;
use async_io::Timer;
use core::time::Duration;
use serde_json::Value;
use std::rc::Rc;
use std::time::Instant;

/// Evicts pods.
pub(super) struct Evictor {
    state: Rc<ServerState>,
    client: Rc<ApiClient>,
    repair: Repair,
    started: Instant,
    eviction_limit: RateLimit,
}

/// The result of an Eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EvictionResult {
    /// The pod ends.
    Evicted,
    /// The pod has changed since the search.
    Changed,
    /// Not this pod.
    Failed,
    /// No pod before the next search.
    Stopped,
}

impl Evictor {
    /// An evictor that begins after a while, or once there is a review.
    pub(super) fn new(state: Rc<ServerState>, client: Rc<ApiClient>) -> Evictor {
        Evictor {
            state,
            client,
            repair: Repair::default(),
            started: Instant::now(),
            eviction_limit: RateLimit::default(),
        }
    }

    /// Begins the observation of all pods.
    pub(super) fn begin_search(&mut self, now: Instant) {
        self.repair.begin_search(now);
    }

    /// Observes a pod with the sidecar.
    pub(super) fn observe_present(&mut self, pod: &Value) {
        if let Some(owner) = replacing_owner(pod) {
            let is_ready = has_ready_containers(pod);
            self.repair
                .observe_present(&owner, creation_time(pod), is_ready);
        }
    }

    /// Observes a pod that should have the sidecar and has not.
    pub(super) fn observe_missing(&mut self, pod: &Value, found: &FoundPod) {
        if let Some(owner) = replacing_owner(pod) {
            let may_evict = allows_eviction(pod) && has_failing_probes(pod, unix_now());
            self.repair
                .observe_missing(found, owner, creation_time(pod), may_evict);
        }
    }

    /// Evicts pods one after the other. Returns the time to the next search.
    pub(super) async fn evict_pods(&mut self) -> Duration {
        let searched = Instant::now();
        let reviews = self.state.metrics.review_count();
        for failed in self.repair.finish_search(searched, reviews) {
            self.log_failed_trial(&failed);
        }
        if self.repair.has_candidates() && self.wait_until_reachable().await {
            // Pods have changed meanwhile.
            return Duration::ZERO;
        }
        let mut next_search = limits::FIND_INTERVAL;
        let (mut evicted, mut pause) = (0, Duration::ZERO);
        while evicted < limits::REPAIR_EVICTIONS
            && let reviews = self.state.metrics.review_count()
            && let Some(candidate) = self.repair.next_candidate(Instant::now(), reviews)
        {
            Timer::after(pause).await;
            // The new pod of an evicted one needs the webhook.
            if self.state.is_draining() || Instant::now() >= searched + limits::REPAIR_EVICTION_TIME
            {
                break;
            }
            pause = limits::REPAIR_ATTEMPT_INTERVAL;
            match self.evict(&candidate.pod, &candidate.owner.name).await {
                EvictionResult::Evicted => {
                    evicted += 1;
                    pause = limits::REPAIR_INTERVAL;
                    next_search = limits::REPAIR_FIND_INTERVAL;
                    self.repair.record_evicted(&candidate.owner, Instant::now());
                }
                EvictionResult::Changed => next_search = limits::REPAIR_FIND_INTERVAL,
                EvictionResult::Failed => {}
                EvictionResult::Stopped => break,
            }
        }
        next_search
    }

    fn log_failed_trial(&self, failed: &FailedTrial) {
        let FailedTrial { owner, failure } = failed;
        let log = &self.state.log;
        let line = match failure {
            TrialFailure::NotInjected => log.line(
                Level::Warn,
                "repair stopped: a new pod is not injected either",
            ),
            TrialFailure::NotReady => log
                .line(Level::Warn, "repair stopped: no new pod is ready")
                .field(
                    "remedy",
                    format_args!(
                        "kubectl get pods,events -n {}: the new pod may be rejected, or may not start",
                        owner.namespace
                    ),
                ),
        };
        line.field("namespace", &owner.namespace)
            .field("owner", &owner.name)
            .field("hours", limits::REPAIR_OWNER_TIME.as_secs() / 3600);
    }

    /// Waits until the API server reaches this replica: a review shows it; otherwise it is assumed after
    /// [`limits::REPAIR_START_DELAY`]. The new pod of one that is evicted earlier would not be injected. Returns whether it has
    /// waited.
    async fn wait_until_reachable(&self) -> bool {
        let deadline = self.started + limits::REPAIR_START_DELAY;
        let is_unknown = || self.state.metrics.review_count() == 0;
        let is_waiting = || is_unknown() && Instant::now() < deadline;
        if !is_waiting() {
            return false;
        }
        while is_waiting() {
            Timer::after(limits::REPAIR_POLL_INTERVAL).await;
        }
        if is_unknown() {
            self.state
                .log
                .line(Level::Warn, "repair begins although there was no review");
        }
        true
    }

    async fn evict(&mut self, pod: &FoundPod, owner: &str) -> EvictionResult {
        let (namespace, name) = (&pod.namespace, &pod.name);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        let eviction = pod.eviction();
        let sent = self
            .client
            .send("POST", &path, Some(RequestBody::json(&eviction)))
            .await;
        let evictions = &self.state.metrics.evictions;
        let mut is_forbidden = false;
        let (result, error) = match sent {
            Ok((200..=202, _)) => {
                evictions.evicted.increment();
                self.state
                    .log
                    .line(Level::Info, "evicted a pod that is not injected")
                    .field("pod", format_args!("{namespace}/{name}"))
                    .field("owner", owner);
                return EvictionResult::Evicted;
            }
            // Another replica has evicted it, or it has changed, or another pod has its name.
            Ok((404 | 409, _)) => return EvictionResult::Changed,
            Ok((429, body)) => {
                evictions.refused.increment();
                let error = unexpected_status("POST", &path, 429, &body);
                // Without the cause, the API server is overloaded.
                match has_cause(&body, "DisruptionBudget") {
                    true => (EvictionResult::Failed, error),
                    false => (EvictionResult::Stopped, error),
                }
            }
            Ok((status, body)) => {
                evictions.failed.increment();
                is_forbidden = status == 403;
                let error = unexpected_status("POST", &path, status, &body);
                match is_forbidden {
                    true => (EvictionResult::Stopped, error),
                    false => (EvictionResult::Failed, error),
                }
            }
            Err(error) => {
                evictions.failed.increment();
                (EvictionResult::Failed, error)
            }
        };
        let message = "eviction failed, retrying after the next search";
        self.state
            .log
            .limited_line(&mut self.eviction_limit, Level::Warn, message)
            .field("pod", format_args!("{namespace}/{name}"))
            .maybe("remedy", remedy_of(is_forbidden))
            .field("error", error);
        result
    }
}
