//! Searches for pods that should be injected and are not, such as those that were created while the webhook was down, and counts
//! them. `event_writer` writes an Event on each, and `evictor` evicts some. Each replica searches.

use super::FIND_REMEDY;
use super::event_writer::EventWriter;
use super::evictor::Evictor;
use super::found_pod::{FoundPod, Injection, injection_of};
use super::lists::{ListError, ListItem, list};
use super::selector::{PodSelectors, SelectingWebhooks};
use crate::limits;
use crate::telemetry::{Level, RepeatFilter};
use crate::webhook::api_client::{ApiClient, ApiError, unexpected_status};
use crate::webhook::metrics::ListedResource;
use crate::webhook::options::NotInjectedPods;
use crate::webhook::server_state::ServerState;
use async_io::Timer;
use core::time::Duration;
use std::rc::Rc;
use std::time::Instant;

/// Pods that have not ended. `!=` and the comma are percent-encoded.
const RUNNING: &str = "fieldSelector=status.phase!%3DSucceeded%2Cstatus.phase!%3DFailed";

/// Searches again and again.
pub struct PodFinder {
    state: Rc<ServerState>,
    client: Rc<ApiClient>,
    configuration_path: String,
    events: EventWriter,
    /// Absent if no pod is evicted.
    evictor: Option<Evictor>,
    search_failures: RepeatFilter<ListError>,
}

/// The result of a search.
#[derive(Default)]
struct Findings {
    count: usize,
    /// Pods that have no Event yet, at most `limits::FIND_EVENTS`.
    new: Vec<FoundPod>,
}

impl PodFinder {
    /// A finder that reads the selectors of this MutatingWebhookConfiguration; `None` if pods are not searched.
    pub fn new(
        state: Rc<ServerState>,
        client: Rc<ApiClient>,
        configuration_path: String,
        task: NotInjectedPods,
    ) -> Option<PodFinder> {
        let evictor = match task {
            NotInjectedPods::Ignore => return None,
            NotInjectedPods::Find => None,
            NotInjectedPods::Repair => Some(Evictor::new(state.clone(), client.clone())),
        };
        Some(PodFinder {
            events: EventWriter::new(state.clone(), client.clone()),
            state,
            client,
            configuration_path,
            evictor,
            search_failures: RepeatFilter::default(),
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
        self.events.write(&findings.new).await;
        match &mut self.evictor {
            Some(evictor) => evictor.evict_pods().await,
            None => limits::FIND_INTERVAL,
        }
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
                    .field("remedy", FIND_REMEDY)
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
        self.events.forget_expired(now);
        if let Some(evictor) = &mut self.evictor {
            evictor.begin_search(now);
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
                if let Some(evictor) = &mut self.evictor {
                    evictor.observe_present(pod);
                }
            }
            Injection::Missing(details) => {
                let Some(found) = FoundPod::new(pod, details) else {
                    return;
                };
                findings.count += 1;
                if let Some(evictor) = &mut self.evictor {
                    evictor.observe_missing(pod, &found);
                }
                let is_new = self.events.is_new(&found);
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
}
