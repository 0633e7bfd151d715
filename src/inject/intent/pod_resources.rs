//! What the containers of a pod state of their resources, without the sidecar, as quotas, limit ranges and the QoS class
//! count it.

use crate::inject::quantity::Quantity;
use crate::inject::settings::Sidecar;
use crate::inject::view::PodView;
use crate::inject::view::collections::SpecList;
use crate::inject::view::containers::Container;
#[cfg(feature = "inject")]
use crate::manifest::Pointer;
use serde_json::Value;

/// The request and the limit of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amounts {
    pub(super) request: Option<Quantity>,
    pub(super) limit: Option<Quantity>,
}

impl Amounts {
    /// The amounts in an object with `requests` and `limits`.
    pub(super) fn of(resources: &Value, name: &str) -> Self {
        let amount = |group: &str| Quantity::read(resources[group].get(name)?);
        Self {
            request: amount("requests"),
            limit: amount("limits"),
        }
    }

    /// The request, which the API server defaults to the limit (`pkg/apis/core/v1/defaults.go`: `SetDefaults_Pod`).
    pub(super) fn effective_request(self) -> Option<Quantity> {
        self.request.or(self.limit)
    }

    /// Whether the request equals the limit, and is not zero, as in a Guaranteed pod
    /// (`pkg/apis/core/v1/helper/qos/qos.go`: `resourceQOS`).
    pub(super) fn is_guaranteed(self) -> bool {
        let limit = self.limit.filter(|limit| limit.is_positive());
        limit.is_some() && self.effective_request() == limit
    }

    /// These amounts, and those of `others` that these do not state.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            request: self.request.or(others.request),
            limit: self.limit.or(others.limit),
        }
    }

    /// Whether the amounts that `others` state are the same here.
    pub(super) fn includes(self, others: Self) -> bool {
        others
            .request
            .is_none_or(|request| self.request == Some(request))
            && others.limit.is_none_or(|limit| self.limit == Some(limit))
    }

    /// The amounts that `others` do not state.
    pub(super) fn without(self, others: Self) -> Self {
        Self {
            request: self.request.filter(|_| others.request.is_none()),
            limit: self.limit.filter(|_| others.limit.is_none()),
        }
    }

    fn is_stated(self) -> bool {
        self.request.is_some() || self.limit.is_some()
    }
}

/// Whether resources are those of a container of a BestEffort pod (`pkg/apis/core/v1/helper/qos/qos.go`: `ComputePodQOS`).
pub(super) fn is_best_effort(resources: &Value) -> bool {
    let amounts = ["cpu", "memory"].map(|name| Amounts::of(resources, name));
    let mut amounts = amounts
        .iter()
        .flat_map(|amounts| [amounts.request, amounts.limit]);
    !amounts.any(|amount| amount.is_some_and(Quantity::is_positive))
}

/// Whether resources are those of a container of a Guaranteed pod.
fn is_guaranteed(resources: &Value) -> bool {
    let mut names = ["cpu", "memory"].into_iter();
    names.all(|name| Amounts::of(resources, name).is_guaranteed())
}

/// What the containers of a pod state of one resource together, `None` if none of them states it. The sidecar is added
/// as the first native sidecar, or as an ordinary container (`component-helpers/resource/helpers.go`:
/// `AggregateContainerRequests`).
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    /// Of containers and native sidecars.
    running: Option<Quantity>,
    /// The most that an init container states with the native sidecars before it.
    starting: Option<Quantity>,
}

impl Sum {
    /// The sum without the sidecar.
    pub(super) fn without_sidecar(self) -> Option<Quantity> {
        self.running.max(self.starting)
    }

    /// The sum with the sidecar's amount.
    pub(super) fn with(self, amount: Option<Quantity>, sidecar: Sidecar) -> Option<Quantity> {
        let running = added(self.running, amount);
        match (self.starting, sidecar) {
            (Some(_), Sidecar::Native) => running.max(added(self.starting, amount)),
            (starting, _) => running.max(starting),
        }
    }

    /// The greatest amount of the sidecar with which the sum is at most `most`.
    pub(super) fn room(self, most: Quantity, sidecar: Sidecar) -> Quantity {
        let beside = match sidecar {
            Sidecar::Native => self.without_sidecar(),
            Sidecar::Container => self.running,
        };
        most.saturating_sub(beside.unwrap_or_default())
    }
}

/// The request and the limit of one resource of a pod without the sidecar, and with one of these amounts.
#[cfg(feature = "inject")]
pub(crate) fn pod_sums(
    pod: &Value,
    own: [Option<Quantity>; 2],
    sidecar: Sidecar,
    name: &str,
) -> [[Option<Quantity>; 2]; 2] {
    let root = Pointer::root();
    let Ok(view) = PodView::read(pod, pod, &root) else {
        return Default::default();
    };
    let pod = PodResources::new(&view);
    let sums = [pod.sum_of_requests(name), pod.sum_of_limits(name)];
    let [own_request, own_limit] = own;
    let own = Amounts {
        request: own_request,
        limit: own_limit,
    };
    let own = [own.effective_request(), own.limit];
    [
        sums.map(Sum::without_sidecar),
        [sums[0].with(own[0], sidecar), sums[1].with(own[1], sidecar)],
    ]
}

fn added(one: Option<Quantity>, other: Option<Quantity>) -> Option<Quantity> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        _ => one.or(other),
    }
}

/// The resources of a pod and of its containers, without the sidecar.
pub(super) struct PodResources<'a> {
    view: &'a PodView<'a>,
    /// `spec.resources`, on by default since Kubernetes 1.34.
    of_pod: &'a Value,
}

impl<'a> PodResources<'a> {
    pub(super) fn new(view: &'a PodView<'a>) -> Self {
        Self {
            view,
            of_pod: &view.pod["spec"]["resources"],
        }
    }

    /// Whether the pod has pod-level resources (`spec.resources`). Then neither quotas nor the QoS class depend on its containers
    /// (`pkg/quota/v1/evaluator/core/pods.go`: `Constraints`).
    pub(super) fn has_own(&self) -> bool {
        let groups = ["requests", "limits"].into_iter();
        let mut groups = groups.filter_map(|group| self.of_pod[group].as_object());
        groups.any(|group| !group.is_empty())
    }

    /// The pod-level amounts of a resource.
    pub(super) fn own(&self, name: &str) -> Amounts {
        Amounts::of(self.of_pod, name)
    }

    /// Whether the pod is Guaranteed without the sidecar, by its containers.
    pub(super) fn is_guaranteed(&self) -> bool {
        let containers = &self.view.containers;
        !self.has_own()
            && !containers.is_empty()
            && containers
                .iter()
                .all(|container| is_guaranteed(&container.value["resources"]))
    }

    /// The limit of a pod with `spec.resources` and a sidecar with this limit, or without one. The API server defaults it to
    /// the sum of the containers' limits if all have one (since 1.37 `pkg/api/pod/util.go`: `defaultPodLevelLimits`).
    pub(super) fn limit_by_own(
        &self,
        name: &str,
        sidecar: Option<(Option<Quantity>, Sidecar)>,
    ) -> Option<Quantity> {
        let (own, limits) = (self.own(name), self.sum_of_limits(name));
        let (sum, has_limit) = match sidecar {
            None => (limits.without_sidecar(), true),
            Some((limit, sidecar)) => (limits.with(limit, sidecar), limit.is_some()),
        };
        let has_limits = has_limit && self.all_have_limits(name);
        own.limit.or(sum.max(own.request).filter(|_| has_limits))
    }

    /// Whether the pod has the class Guaranteed by `spec.resources`, as far as a resource decides that, with these amounts
    /// of a sidecar, or without one. The API server defaults a pod-level request to the sum of the containers' requests
    /// (`pkg/apis/core/v1/defaults.go`: `defaultPodRequests`).
    pub(super) fn is_guaranteed_by_own(
        &self,
        name: &str,
        sidecar: Option<(Amounts, Sidecar)>,
    ) -> bool {
        let requests = self.sum_of_requests(name);
        let requests = match sidecar {
            None => requests.without_sidecar(),
            Some((amounts, sidecar)) => requests.with(amounts.effective_request(), sidecar),
        };
        let sidecar = sidecar.map(|(amounts, sidecar)| (amounts.limit, sidecar));
        Amounts {
            request: self.own(name).request.or(requests),
            limit: self.limit_by_own(name, sidecar),
        }
        .is_guaranteed()
    }

    /// Whether the pod is Guaranteed without the sidecar by `spec.resources`.
    pub(super) fn all_are_guaranteed_by_own(&self) -> bool {
        let mut names = ["cpu", "memory"].into_iter();
        self.has_own() && names.all(|name| self.is_guaranteed_by_own(name, None))
    }

    /// Whether the pod is BestEffort without the sidecar, by its containers.
    pub(super) fn is_best_effort(&self) -> bool {
        let mut containers = self.view.containers.iter();
        !self.has_own() && containers.all(|container| is_best_effort(&container.value["resources"]))
    }

    /// Whether a container states a resource.
    pub(super) fn is_stated(&self, name: &str) -> bool {
        self.amounts(name).any(Amounts::is_stated)
    }

    /// Whether all containers have a limit, as a quota of limits requires of init containers, too.
    pub(super) fn all_have_limits(&self, name: &str) -> bool {
        let mut amounts = self.amounts(name).peekable();
        amounts.peek().is_some() && amounts.all(|amounts| amounts.limit.is_some())
    }

    /// Whether a container has a limit.
    pub(super) fn any_has_limit(&self, name: &str) -> bool {
        self.amounts(name).any(|amounts| amounts.limit.is_some())
    }

    /// Whether all containers have a request that equals their limit.
    pub(super) fn all_are_equal(&self, name: &str) -> bool {
        let mut amounts = self.amounts(name).peekable();
        amounts.peek().is_some() && amounts.all(Amounts::is_guaranteed)
    }

    /// Whether all containers have a request, apart from init containers that exit before the app starts: a
    /// HorizontalPodAutoscaler ignores these, and a quota of requests refuses the pod anyway if they have none.
    pub(super) fn all_have_requests(&self, name: &str) -> bool {
        let containers = self.view.containers.iter();
        let mut running = containers.filter(|each| each.is_probed()).peekable();
        running.peek().is_some()
            && running.all(|each| amounts_of(each, name).effective_request().is_some())
    }

    /// The requests of all containers together.
    pub(super) fn sum_of_requests(&self, name: &str) -> Sum {
        self.sum(name, Amounts::effective_request)
    }

    /// The limits of all containers together.
    pub(super) fn sum_of_limits(&self, name: &str) -> Sum {
        self.sum(name, |amounts| amounts.limit)
    }

    fn sum(&self, name: &str, amount: impl Fn(Amounts) -> Option<Quantity>) -> Sum {
        let mut sum = Sum::default();
        let mut sidecars = None;
        for container in &self.view.containers {
            let amount = amount(amounts_of(container, name));
            if container.list != SpecList::InitContainers {
                sum.running = added(sum.running, amount);
            } else if container.is_probed() {
                sidecars = added(sidecars, amount);
            } else {
                sum.starting = sum.starting.max(added(sidecars, amount));
            }
        }
        sum.running = added(sum.running, sidecars);
        sum
    }

    fn amounts(&self, name: &str) -> impl Iterator<Item = Amounts> {
        let containers = self.view.containers.iter();
        containers.map(move |container| amounts_of(container, name))
    }
}

fn amounts_of(container: &Container<'_>, name: &str) -> Amounts {
    Amounts::of(&container.value["resources"], name)
}
