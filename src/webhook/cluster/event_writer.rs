//! Writes an Event on each pod that should be injected and is not, and logs it.
//!
//! The name of an Event depends on the pod's UID alone, so that replicas do not write one twice.

use super::found_pod::FoundPod;
use super::{has_cause, remedy_of};
use crate::limits;
use crate::pem::unix_now;
use crate::telemetry::{Level, RateLimit};
use crate::webhook::api_client::{ApiClient, RequestBody, unexpected_status};
use crate::webhook::server_state::ServerState;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

/// Writes Events.
pub(super) struct EventWriter {
    state: Rc<ServerState>,
    client: Rc<ApiClient>,
    remembered: RememberedPods,
    event_limit: RateLimit,
    pod_limit: RateLimit,
}

/// Pods that have an Event.
#[derive(Default)]
struct RememberedPods {
    uids: HashSet<Box<str>>,
    /// When the set is emptied.
    expiry: Option<Instant>,
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

impl EventWriter {
    /// A writer that has not written any.
    pub(super) fn new(state: Rc<ServerState>, client: Rc<ApiClient>) -> EventWriter {
        EventWriter {
            state,
            client,
            remembered: RememberedPods::default(),
            event_limit: RateLimit::default(),
            pod_limit: RateLimit::default(),
        }
    }

    /// Forgets for which pods there are Events, after [`limits::FIND_REMEMBERED_TIME`]: Events expire.
    pub(super) fn forget_expired(&mut self, now: Instant) {
        self.remembered.forget_expired(now);
    }

    /// Whether a pod has no Event yet, as far as this replica knows.
    pub(super) fn is_new(&self, pod: &FoundPod) -> bool {
        !self.remembered.uids.contains(&pod.uid)
    }

    /// Writes an Event on each pod.
    pub(super) async fn write(&mut self, pods: &[FoundPod]) {
        for pod in pods {
            match self.write_event(pod).await {
                EventResult::Created => self.log_pod(pod),
                EventResult::Ignored => {}
                EventResult::Forbidden => break,
            }
        }
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
}
