//! Searches for pods that should be injected and are not, such as those that were created while the webhook was down. Writes an
//! Event on each, counts and logs them, and evicts some if it repairs.
//!
//! Each replica searches. The name of an Event depends on the pod's UID alone and an Eviction names the UID, so that replicas
//! neither write an Event twice nor evict the new pod. Each has its own trials; a leader would need a Lease, and the rights to it.

use super::found_pod::{
    FoundPod, Injection, allows_eviction, creation_time, has_failing_probes, has_ready_containers,
    injection_of, replacing_owner,
};
use super::lists::{ListError, ListItem, list};
use super::repair::{FailedTrial, Repair, TrialFailure};
use super::selector::{PodSelectors, SelectingWebhooks};
use crate::limits;
use crate::pem::unix_now;
use crate::telemetry::{Level, RateLimit, RepeatFilter};
use crate::webhook::api_client::{ApiClient, ApiError, RequestBody, unexpected_status};
use crate::webhook::metrics::ListedResource;
use crate::webhook::options::NotInjectedPods;
use crate::webhook::server_state::ServerState;
use async_io::Timer;
use core::time::Duration;
use serde_json::Value;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

/// Pods that have not ended. `!=` and the comma are percent-encoded.
const RUNNING: &str = "fieldSelector=status.phase!%3DSucceeded%2Cstatus.phase!%3DFailed";

/// How to grant the rights.
const REMEDY: &str = "grant the rights as deploy/webhook does: findPods and repair of the chart, the components find-pods and \
     repair of kustomize";

/// Searches again and again.
pub struct PodFinder {
    state: Rc<ServerState>,
    client: Rc<ApiClient>,
    configuration_path: String,
    /// Absent if no pod is evicted.
    repair: Option<Repair>,
    started: Instant,
    remembered: RememberedPods,
    search_failures: RepeatFilter<ListError>,
    event_limit: RateLimit,
    eviction_limit: RateLimit,
    pod_limit: RateLimit,
}

/// Pods that have an Event.
#[derive(Default)]
struct RememberedPods {
    uids: HashSet<Box<str>>,
    /// When the set is emptied.
    expiry: Option<Instant>,
}

/// The result of a search.
#[derive(Default)]
struct Findings {
    count: usize,
    /// Pods that have no Event yet, at most `limits::FIND_EVENTS`.
    new: Vec<FoundPod>,
}

/// The result of writing an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventResult {
    /// It is new.
    Created,
    /// It exists, or this pod gets none.
    Ignored,
    /// Events of other pods are not written either before the next search.
    Forbidden,
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

impl RememberedPods {
    fn forget_expired(&mut self, now: Instant) {
        if self.expiry.is_none_or(|expiry| now >= expiry) {
            self.uids.clear();
            self.expiry = Some(now + limits::FIND_REMEMBERED_TIME);
        }
    }

    fn insert(&mut self, uid: &str) {
        if self.uids.len() < limits::FIND_REMEMBERED_PODS {
            self.uids.insert(uid.into());
        }
    }
}

impl PodFinder {
    /// A finder that reads the selectors of this MutatingWebhookConfiguration; `None` if pods are not searched.
    pub fn new(
        state: Rc<ServerState>,
        client: Rc<ApiClient>,
        configuration_path: String,
        task: NotInjectedPods,
    ) -> Option<PodFinder> {
        let repair = match task {
            NotInjectedPods::Ignore => return None,
            NotInjectedPods::Find => None,
            NotInjectedPods::Repair => Some(Repair::default()),
        };
        Some(PodFinder {
            state,
            client,
            configuration_path,
            repair,
            started: Instant::now(),
            remembered: RememberedPods::default(),
            search_failures: RepeatFilter::default(),
            event_limit: RateLimit::default(),
            eviction_limit: RateLimit::default(),
            pod_limit: RateLimit::default(),
        })
    }

    /// Searches until it is dropped.
    pub async fn run(mut self) {
        loop {
            let interval = self.search_once().await;
            Timer::after(interval).await;
        }
    }

    /// Searches, writes Events and evicts. Returns the time to the next search.
    async fn search_once(&mut self) -> Duration {
        self.state.reload_settings();
        let searched = self.search().await;
        let metrics = &self.state.metrics;
        metrics.count_list(ListedResource::Pods, searched.is_ok());
        let findings = match searched {
            Ok(findings) => findings,
            Err(error) => return self.record_failure(&error),
        };
        self.search_failures.clear();
        let previous = metrics.not_injected_pods.replace(Some(findings.count));
        if previous.unwrap_or(0) != findings.count {
            let level = match findings.count {
                0 => Level::Info,
                _ => Level::Warn,
            };
            self.state
                .log
                .line(level, "searched for pods that are not injected")
                .field("pods", findings.count);
        }
        for pod in &findings.new {
            match self.write_event(pod).await {
                EventResult::Created => self.log_pod(pod),
                EventResult::Ignored => {}
                EventResult::Forbidden => break,
            }
        }
        self.evict_pods().await
    }

    fn record_failure(&mut self, error: &ListError) -> Duration {
        let is_new = self.search_failures.observe_error(error);
        let log = &self.state.log;
        match error {
            ListError::Forbidden(error) => {
                if is_new {
                    log.line(
                        Level::Warn,
                        "search for pods that are not injected is forbidden",
                    )
                    .field("remedy", REMEDY)
                    .field("error", error);
                }
                limits::FORBIDDEN_POLL_INTERVAL
            }
            ListError::Failed(error) => {
                if is_new {
                    log.line(Level::Warn, "search for pods that are not injected failed")
                        .field("error", error);
                }
                limits::FIND_INTERVAL
            }
        }
    }

    /// Lists the pods of all namespaces that the webhook selects.
    async fn search(&mut self) -> Result<Findings, ListError> {
        let now = Instant::now();
        self.remembered.forget_expired(now);
        if let Some(repair) = &mut self.repair {
            repair.begin_search(now);
        }
        let selectors = self.selectors().await?;
        let namespaces = self.namespaces(&selectors).await?;
        let mut findings = Findings::default();
        let client = self.client.clone();
        for (namespace, webhooks) in namespaces {
            let collection = format!("/api/v1/namespaces/{namespace}/pods");
            let observe = |pod: ListItem| {
                if selectors.selects(webhooks, &pod.object["metadata"]["labels"]) {
                    self.observe(pod, &mut findings);
                }
            };
            list(&client, &collection, RUNNING, observe).await?;
        }
        Ok(findings)
    }

    async fn selectors(&self) -> Result<PodSelectors, ListError> {
        let path = &self.configuration_path;
        let sent = self.client.send("GET", path, None).await;
        let (status, configuration) = sent.map_err(ListError::Failed)?;
        let error = || unexpected_status("GET", path, status, &configuration);
        match status {
            200 => {}
            403 => return Err(ListError::Forbidden(error())),
            _ => return Err(ListError::Failed(error())),
        }
        let selectors = PodSelectors::of_configuration(&configuration);
        if selectors.is_empty() {
            let why = format!(
                "{path} has no webhook for pods whose selectors can be evaluated: matchConditions are not supported"
            );
            return Err(ListError::Failed(ApiError(why.into())));
        }
        Ok(selectors)
    }

    /// The namespaces that the webhook selects.
    async fn namespaces(
        &self,
        selectors: &PodSelectors,
    ) -> Result<Vec<(Box<str>, SelectingWebhooks)>, ListError> {
        let mut namespaces = Vec::new();
        let observe = |namespace: ListItem| {
            let metadata = &namespace.object["metadata"];
            if let Some(name) = metadata["name"].as_str()
                && let Some(webhooks) = selectors.in_namespace(&metadata["labels"])
                && namespaces.len() < limits::FIND_NAMESPACES
            {
                namespaces.push((name.into(), webhooks));
            }
        };
        list(&self.client, "/api/v1/namespaces", "", observe).await?;
        Ok(namespaces)
    }

    fn observe(&mut self, mut item: ListItem, findings: &mut Findings) {
        let injection = self.injection_of(&mut item);
        let pod = &item.object;
        match injection {
            Injection::NotNeeded => {}
            Injection::Present => {
                if let Some(repair) = &mut self.repair
                    && let Some(owner) = replacing_owner(pod)
                {
                    repair.observe_present(&owner, creation_time(pod), has_ready_containers(pod));
                }
            }
            Injection::Missing(details) => {
                let Some(found) = FoundPod::new(pod, details) else {
                    return;
                };
                findings.count += 1;
                if let Some(repair) = &mut self.repair
                    && let Some(owner) = replacing_owner(pod)
                {
                    let may_evict = allows_eviction(pod) && has_failing_probes(pod, unix_now());
                    repair.observe_missing(&found, owner, creation_time(pod), may_evict);
                }
                let is_new = !self.remembered.uids.contains(&found.uid);
                if is_new && findings.new.len() < limits::FIND_EVENTS {
                    findings.new.push(found);
                }
            }
        }
    }

    /// The state of injection of a pod, with the settings of its namespace, as a review has them.
    fn injection_of(&self, item: &mut ListItem) -> Injection {
        let (settings, namespaces) = (self.state.settings.borrow(), self.state.namespaces.borrow());
        let namespace = item.object["metadata"]["namespace"].as_str();
        let namespace = namespace.unwrap_or_default();
        let settings = namespaces.apply(namespace, settings.settings(), &mut Vec::new());
        injection_of(item, &settings)
    }

    fn log_pod(&mut self, pod: &FoundPod) {
        self.state
            .log
            .limited_line(&mut self.pod_limit, Level::Warn, "pod is not injected")
            .field("pod", format_args!("{}/{}", pod.namespace, pod.name))
            .field(
                "detail",
                format_args!("injection would rewrite {}", pod.details),
            );
    }

    /// Writes the Event of a pod. It may exist: another replica has written it, or this one before it restarted.
    async fn write_event(&mut self, pod: &FoundPod) -> EventResult {
        let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
        let event = pod.event(unix_now());
        let body = Some(RequestBody::json(&event));
        let (result, error) = match self.client.send("POST", &path, body).await {
            Ok((200..=202, _)) => {
                self.remembered.insert(&pod.uid);
                return EventResult::Created;
            }
            Ok((409, _)) => {
                self.remembered.insert(&pod.uid);
                return EventResult::Ignored;
            }
            // The namespace is gone.
            Ok((404, _)) => return EventResult::Ignored,
            Ok((403, body)) if has_cause(&body, "NamespaceTerminating") => {
                return EventResult::Ignored;
            }
            Ok((403, body)) => {
                let error = unexpected_status("POST", &path, 403, &body);
                (EventResult::Forbidden, error)
            }
            Ok((status, body)) => {
                let error = unexpected_status("POST", &path, status, &body);
                (EventResult::Ignored, error)
            }
            Err(error) => (EventResult::Ignored, error),
        };
        let message = "event of a pod that is not injected cannot be written";
        self.state
            .log
            .limited_line(&mut self.event_limit, Level::Warn, message)
            .maybe("remedy", remedy_of(result == EventResult::Forbidden))
            .field("error", error);
        result
    }

    /// Evicts pods one after the other. Returns the time to the next search.
    async fn evict_pods(&mut self) -> Duration {
        let Some(repair) = &mut self.repair else {
            return limits::FIND_INTERVAL;
        };
        let searched = Instant::now();
        let reviews = self.state.metrics.review_count();
        for failed in repair.finish_search(searched, reviews) {
            self.log_failed_trial(&failed);
        }
        if self.repair.as_ref().is_some_and(Repair::has_candidates)
            && self.wait_until_reachable().await
        {
            // Pods have changed meanwhile.
            return Duration::ZERO;
        }
        let mut next_search = limits::FIND_INTERVAL;
        let (mut evicted, mut pause) = (0, Duration::ZERO);
        while evicted < limits::REPAIR_EVICTIONS
            && let Some(repair) = &mut self.repair
            && let reviews = self.state.metrics.review_count()
            && let Some(candidate) = repair.next_candidate(Instant::now(), reviews)
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
                    if let Some(repair) = &mut self.repair {
                        repair.record_evicted(&candidate.owner, Instant::now());
                    }
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

    /// Waits until the API server reaches this replica: it is shown by a review, or likely a while after the start. The new pod of
    /// one that is evicted earlier would not be injected. Returns whether it has waited.
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

fn remedy_of(is_forbidden: bool) -> Option<&'static str> {
    is_forbidden.then_some(REMEDY)
}

/// Whether a Status has a cause with this reason.
fn has_cause(status: &Value, reason: &str) -> bool {
    let causes = status["details"]["causes"].as_array();
    causes
        .into_iter()
        .flatten()
        .any(|cause| cause["reason"] == reason)
}
