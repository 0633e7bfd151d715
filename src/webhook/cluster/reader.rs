//! Lists nodes, namespaces, LimitRanges and ResourceQuotas while the webhook runs. A list that fails keeps the last values.

use super::lists::{ListError, ListItem, list};
use super::namespaces::{LimitRanges, NamespaceAnnotations, QosQuotas};
use super::nodes::{OldestNode, kubelet_version};
use crate::limits;
use crate::pem::unix_now;
use crate::telemetry::{Level, RepeatFilter};
use crate::webhook::api_client::{ApiClient, ApiError};
use crate::webhook::metrics::ListedResource;
use crate::webhook::server_state::ServerState;
use crate::webhook::stream_io::timeout_at;
use async_io::Timer;
use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// Lists what the settings of pods depend on.
pub struct ClusterReader {
    state: Rc<ServerState>,
    client: Rc<ApiClient>,
    oldest_node: RefCell<OldestNode>,
    nodes: PolledList,
    namespaces: PolledList,
    limit_ranges: PolledList,
    quotas: PolledList,
}

/// A list that is requested again and again.
struct PolledList {
    resource: ListedResource,
    path: &'static str,
    /// What does not work without it.
    effect: &'static str,
    failures: RefCell<RepeatFilter<ListError>>,
    /// Items left out at the last success.
    ignored: Cell<usize>,
    next: Cell<Instant>,
}

/// How to grant the permission to list.
const LIST_REMEDY: &str = "grant the permission as deploy/webhook does: readCluster of the chart, common/cluster-reader.yaml of kustomize";

impl PolledList {
    fn new(resource: ListedResource, path: &'static str, effect: &'static str) -> PolledList {
        PolledList {
            resource,
            path,
            effect,
            failures: RefCell::default(),
            ignored: Cell::new(0),
            next: Cell::new(Instant::now()),
        }
    }
}

impl ClusterReader {
    /// Lists with this client.
    pub fn new(state: Rc<ServerState>, client: Rc<ApiClient>) -> ClusterReader {
        ClusterReader {
            state,
            client,
            oldest_node: RefCell::default(),
            nodes: PolledList::new(
                ListedResource::Nodes,
                "/api/v1/nodes",
                "the API server's version selects the kind of sidecar, even if nodes are older",
            ),
            namespaces: PolledList::new(
                ListedResource::Namespaces,
                "/api/v1/namespaces",
                "annotations of namespaces have no effect",
            ),
            limit_ranges: PolledList::new(
                ListedResource::LimitRanges,
                "/api/v1/limitranges",
                "LimitRanges do not adjust the sidecar's resources",
            ),
            quotas: PolledList::new(
                ListedResource::ResourceQuotas,
                "/api/v1/resourcequotas",
                "a BestEffort pod becomes Burstable where a ResourceQuota has the scope BestEffort or NotBestEffort",
            ),
        }
    }

    /// Lists everything once, within [`limits::CLUSTER_START_TIMEOUT`]: a slow API server does not delay the start.
    pub async fn wait_until_ready(&self) {
        let deadline = Instant::now() + limits::CLUSTER_START_TIMEOUT;
        timeout_at(deadline, self.refresh()).await;
    }

    /// Lists again and again until it is dropped.
    pub async fn run(&self) {
        loop {
            let all = [
                &self.nodes,
                &self.namespaces,
                &self.limit_ranges,
                &self.quotas,
            ];
            let next = all.map(|list| list.next.get()).into_iter().min();
            Timer::at(next.unwrap_or_else(Instant::now)).await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let now = Instant::now();
        if now >= self.nodes.next.get() {
            self.refresh_nodes().await;
        }
        if now >= self.namespaces.next.get() {
            self.refresh_namespaces().await;
        }
        if now >= self.limit_ranges.next.get() {
            self.refresh_limit_ranges().await;
        }
        if now >= self.quotas.next.get() {
            self.refresh_quotas().await;
        }
    }

    async fn refresh_nodes(&self) {
        if !self.state.settings.borrow().needs_version() {
            let next = Instant::now() + limits::CLUSTER_POLL_INTERVAL;
            self.nodes.next.set(next);
            return;
        }
        let (mut oldest, now) = (None, unix_now());
        let observe = |node: ListItem| {
            oldest = [oldest, kubelet_version(&node.object, now)]
                .into_iter()
                .flatten()
                .min();
        };
        let listed = list(&self.client, self.nodes.path, "", observe).await;
        if !self.record(&self.nodes, listed, 0) {
            return;
        }
        let changed = self
            .oldest_node
            .borrow_mut()
            .observe(oldest, Instant::now());
        if let Some(version) = changed {
            self.state.settings.borrow_mut().set_oldest_node(version);
            self.state
                .log
                .line(Level::Info, "oldest node detected")
                .field("version", version)
                .field("native_sidecars", version.supports_native_sidecars());
        }
    }

    async fn refresh_namespaces(&self) {
        let mut annotations = NamespaceAnnotations::default();
        let observe = |namespace: ListItem| annotations.add(&namespace.object);
        let listed = list(&self.client, self.namespaces.path, "", observe).await;
        if self.record(&self.namespaces, listed, annotations.ignored()) {
            self.state
                .namespaces
                .borrow_mut()
                .set_resources(annotations);
        }
    }

    async fn refresh_limit_ranges(&self) {
        let mut limit_ranges = LimitRanges::default();
        let observe = |limit_range: ListItem| limit_ranges.add(&limit_range.object);
        let listed = list(&self.client, self.limit_ranges.path, "", observe).await;
        if self.record(&self.limit_ranges, listed, limit_ranges.ignored()) {
            self.state
                .namespaces
                .borrow_mut()
                .set_limit_ranges(limit_ranges);
        }
    }

    async fn refresh_quotas(&self) {
        let mut quotas = QosQuotas::default();
        let observe = |quota: ListItem| quotas.add(&quota.object);
        let listed = list(&self.client, self.quotas.path, "", observe).await;
        if self.record(&self.quotas, listed, quotas.ignored()) {
            self.state.namespaces.borrow_mut().set_quotas(quotas);
        }
    }

    /// Counts a list and logs its failure once. `ignored` is the number of items that were left out. Returns whether it is
    /// complete.
    fn record(&self, list: &PolledList, listed: Result<(), ListError>, ignored: usize) -> bool {
        let PolledList {
            resource, effect, ..
        } = list;
        let (log, metrics) = (&self.state.log, &self.state.metrics);
        metrics.count_list(*resource, listed.is_ok());
        let interval = match &listed {
            Err(ListError::Forbidden(_)) => limits::FORBIDDEN_POLL_INTERVAL,
            Err(ListError::Failed(_)) | Ok(()) => limits::CLUSTER_POLL_INTERVAL,
        };
        list.next.set(Instant::now() + interval);
        let Err(error) = listed else {
            list.failures.borrow_mut().clear();
            if list.ignored.replace(ignored) != ignored && ignored > 0 {
                log.line(
                    Level::Warn,
                    "some items of a list are too large and are ignored",
                )
                .field("resource", resource.label())
                .field("items", ignored);
            }
            return true;
        };
        if list.failures.borrow_mut().observe_error(&error) {
            match &error {
                ListError::Forbidden(ApiError(error)) => log
                    .line(Level::Info, "list forbidden")
                    .field("resource", resource.label())
                    .field("effect", effect)
                    .field("remedy", LIST_REMEDY)
                    .field("error", error),
                ListError::Failed(error) => log
                    .line(Level::Warn, "list failed, keeping previous values")
                    .field("resource", resource.label())
                    .field("error", error),
            };
        }
        false
    }
}
