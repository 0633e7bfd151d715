//! The `resources` of the sidecar. Those of the settings are adjusted to the pod, so that the API server admits it and its
//! QoS class stays. Those of the pod's annotation are kept as written, with warnings.

use super::pod_resources::{Amounts, PodResources, is_guaranteed};
use crate::inject::container_bounds::{Bound, BoundScope, ContainerBounds};
use crate::inject::options::PodOptions;
use crate::inject::options::annotations::RESOURCES;
use crate::inject::quantity::Quantity;
use crate::inject::view::PodView;
use serde_json::Value;

/// A resource that the sidecar states where the pod demands it and the settings leave it out.
struct Resource {
    name: &'static str,
    request: &'static str,
    limit: &'static str,
}

/// The CPU limit is the least of 10m, 20m, 50m and 100m under which three simultaneous HTTPS probes with a client
/// certificate are not throttled (`cargo bench --bench probe -- cpu-limit`), and under which a pod is ready as soon as
/// without a limit. It is not a whole CPU, which kubelet's static policy would assign exclusively. The memory limit is that
/// of the default settings.
const RESOURCES_OF_SIDECAR: [Resource; 2] = [
    Resource {
        name: "cpu",
        request: "1m",
        limit: "50m",
    },
    Resource {
        name: "memory",
        request: "2Mi",
        limit: "16Mi",
    },
];

impl Resource {
    fn default_request(&self) -> Quantity {
        Quantity::parse(self.request).unwrap_or_default()
    }

    fn default_limit(&self) -> Quantity {
        Quantity::parse(self.limit).unwrap_or_default()
    }
}

/// The resources that the sidecar may have in pods, without the bounds of LimitRanges: those of the settings, with the
/// limits that all containers of a pod state, and with requests like the limits, as in a Guaranteed pod.
pub(crate) fn possible_resources(settings: &Value) -> [Value; 3] {
    let mut with_limits = settings.clone();
    let mut guaranteed = settings.clone();
    for resource in &RESOURCES_OF_SIDECAR {
        let name = resource.name;
        let Amounts { request, limit } = Amounts::of(settings, name);
        let least = resource.default_limit();
        let with_limit =
            limit.unwrap_or_else(|| request.map_or(least, |request| request.max(least)));
        for resources in [&mut with_limits, &mut guaranteed] {
            set(resources, "limits", name, limit, Some(with_limit));
        }
        set(&mut guaranteed, "requests", name, request, Some(with_limit));
    }
    [settings.clone(), with_limits, guaranteed]
}

/// The sidecar's resources for a pod.
pub(super) fn sidecar_resources(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) -> Value {
    let pod = PodResources::new(view);
    let bounds = &options.container_bounds;
    if options.has_own_resources {
        warn_of_annotation(&pod, &options.resources, bounds, warnings);
        return options.resources.clone();
    }
    let mut resources = options.resources.clone();
    for resource in &RESOURCES_OF_SIDECAR {
        let name = resource.name;
        let stated = Amounts::of(&options.resources, name);
        let choice = Choice {
            resource,
            pod: &pod,
            bounds,
            is_left_out: is_left_out(view, name),
        };
        let added = added(view, name).without(stated);
        let with_added = choice.amounts(stated.or(added));
        // Amounts that others have added stay if the pod allows them.
        let (amounts, added) = match with_added.includes(added) {
            true => (with_added, added),
            false => (choice.amounts(stated), Amounts::default()),
        };
        choice.warn(stated, amounts, warnings);
        // Reconciliation retains them, and the annotation does not save them as the injector's.
        let written = amounts.without(added);
        set(
            &mut resources,
            "requests",
            name,
            stated.request,
            written.request,
        );
        set(&mut resources, "limits", name, stated.limit, written.limit);
    }
    resources
}

/// Whether the sidecar of an earlier injection does not state a resource.
fn is_left_out(view: &PodView<'_>, name: &str) -> bool {
    let current = view.sidecar;
    current.is_some_and(|current| Amounts::of(&current["resources"], name) == Amounts::default())
}

/// The amounts of the current sidecar that an earlier injection did not write, without a request that the API server
/// has copied from the limit.
fn added(view: &PodView<'_>, name: &str) -> Amounts {
    let applied = view.saved.as_ref().and_then(|saved| saved.applied.as_ref());
    let (Some(current), Some(applied)) = (view.sidecar, applied) else {
        return Amounts::default();
    };
    let current = Amounts::of(&current["resources"], name);
    let request = current.request.filter(|_| current.request != current.limit);
    let current = Amounts { request, ..current };
    current.without(Amounts::of(&applied["resources"], name))
}

/// Writes an amount that differs from the stated one.
fn set(
    resources: &mut Value,
    group: &str,
    name: &str,
    stated: Option<Quantity>,
    amount: Option<Quantity>,
) {
    if stated == amount {
        return;
    }
    let mut members = resources[group].as_object().cloned().unwrap_or_default();
    match amount {
        Some(amount) => drop(members.insert(name.into(), amount.to_string().into())),
        None => drop(members.remove(name)),
    }
    resources[group] = Value::from(members);
}

/// The choice of the amounts of one resource.
struct Choice<'a> {
    resource: &'a Resource,
    pod: &'a PodResources<'a>,
    bounds: &'a ContainerBounds,
    /// Whether an earlier injection left the resource out.
    is_left_out: bool,
}

impl Choice<'_> {
    /// The amounts for those of the settings.
    fn amounts(&self, stated: Amounts) -> Amounts {
        let amounts = match self.pod.has_own() {
            true => self.within_pod(stated),
            false => self.like_the_containers(stated),
        };
        self.within_bounds(amounts)
    }

    /// Amounts that exceed neither the requests nor the limits of the pod. A request of zero is written out: an absent
    /// one would become the limit, or the default of a LimitRange.
    fn within_pod(&self, stated: Amounts) -> Amounts {
        let name = self.resource.name;
        let own = self.pod.own(name);
        if own == Amounts::default() {
            return stated;
        }
        // Without any request of a container, the API server defaults the pod's request to its limit (`defaults.go`:
        // `defaultPodRequests`). A request of zero would prevent that.
        let defaults_to_limit =
            own.request.is_none() || self.is_left_out && own.request == own.limit;
        if defaults_to_limit && !self.pod.is_stated(name) {
            return Amounts::default();
        }
        let limit = stated.limit;
        Amounts {
            request: Some(Quantity::default()),
            limit: limit.map(|limit| own.limit.map_or(limit, |most| limit.min(most))),
        }
    }

    /// The amounts that every container states, as a quota may demand them, and a Guaranteed pod.
    fn like_the_containers(&self, stated: Amounts) -> Amounts {
        let name = self.resource.name;
        let Amounts { request, limit } = stated;
        let is_guaranteed = self.pod.is_guaranteed();
        // kubelet sets no limit for one of zero.
        let limit = limit.filter(|limit| !is_guaranteed || limit.is_positive());
        let limit = limit.or_else(|| {
            let is_demanded = is_guaranteed || self.pod.all_have_limits(name);
            is_demanded.then(|| self.limit_above(request))
        });
        if is_guaranteed {
            let limit = limit.map(|limit| self.below_whole_cpu(limit));
            return Amounts {
                request: limit,
                limit,
            };
        }
        let is_demanded = request.is_none() && self.pod.all_have_requests(name);
        Amounts {
            request: match is_demanded
                || request.is_none() && stated.limit.is_none() && limit.is_some()
            {
                true => Some(self.request_below(limit)),
                false => request,
            },
            limit,
        }
    }

    /// The amounts within the bounds of the containers of the namespace, as far as they are not contradictory.
    fn within_bounds(&self, amounts: Amounts) -> Amounts {
        let Amounts {
            mut request,
            mut limit,
        } = amounts;
        let name = self.resource.name;
        let (min, max, ratio) = (self.min(), self.max(), self.ratio());
        let default_limit = self
            .containers()
            .filter_map(|bound| bound.default_limit)
            .min();
        // A ratio demands a limit that is not zero.
        let has_ratio = self.container_ratio().is_some();
        limit = limit.filter(|limit| !has_ratio || limit.is_positive());
        if limit.is_none() {
            let is_default_unfit = default_limit.is_some_and(|default| {
                request.is_some_and(|request| request > default)
                    || max.is_some_and(|max| default > max)
            });
            let is_demanded = max.is_some() && default_limit.is_none();
            if is_default_unfit || is_demanded || has_ratio {
                limit = Some(self.limit_above(request));
            }
        }
        if let Some(min) = min {
            let least = request
                .or(limit)
                .unwrap_or_else(|| self.request_below(limit));
            request = Some(least.max(min));
            limit = limit.map(|limit| limit.max(min));
        }
        if let Some(max) = max {
            limit = limit.map(|limit| limit.min(max));
            request = request.map(|request| request.min(max));
        }
        if let (Some(most), Some(ratio)) = (limit, ratio) {
            let least = most.divided_by(ratio, self.step());
            request = Some(request.unwrap_or(most).max(least).min(most));
        }
        let is_guaranteed = self.pod.is_guaranteed() && amounts.request == amounts.limit;
        if is_guaranteed {
            request = limit.max(request);
            limit = request;
        }
        if let (Some(least), Some(most)) = (request, limit) {
            limit = Some(most.max(least));
        }
        if let Some(most) = self.pod.own(name).request {
            let room = most.saturating_sub(self.pod.sum_of_requests(name));
            request = request.map(|request| request.min(room));
        }
        Amounts { request, limit }
    }

    /// Warns of what an adjustment costs, and of bounds that cannot be kept.
    fn warn(&self, stated: Amounts, amounts: Amounts, warnings: &mut Vec<Box<str>>) {
        let name = self.resource.name;
        let wanted = stated.limit.filter(|_| amounts.limit < stated.limit);
        if let (Some(wanted), Some(limit), false) = (wanted, amounts.limit, self.pod.has_own()) {
            for bound in self.containers().filter(|bound| bound.max == Some(limit)) {
                let what = format!(
                    "LimitRange {} lowers the sidecar's {name} limit from {wanted} to {limit}",
                    bound.limit_range
                );
                let effect = match name {
                    "memory" => "it may be killed at its start",
                    _ => "probes may time out",
                };
                let advice = format!("raise its max.{name}");
                warnings.push(format!("{what}, so {effect}: {advice}").into());
            }
        }
        warn_of_bounds(
            self.pod,
            name,
            amounts,
            self.bounds,
            "the settings",
            warnings,
        );
    }

    fn limit_above(&self, request: Option<Quantity>) -> Quantity {
        let limit = self.resource.default_limit();
        request.map_or(limit, |request| request.max(limit))
    }

    fn request_below(&self, limit: Option<Quantity>) -> Quantity {
        let request = self.resource.default_request();
        limit.map_or(request, |limit| limit.min(request))
    }

    /// A limit that is not a whole number of CPUs, which kubelet's static policy would assign exclusively
    /// (`pkg/kubelet/cm/cpumanager/policy_static.go`: `guaranteedCPUs`).
    fn below_whole_cpu(&self, limit: Quantity) -> Quantity {
        match self.resource.name == "cpu" && limit.is_integer() {
            true => limit.saturating_sub(self.step()),
            false => limit,
        }
    }

    /// The least difference of two amounts: a thousandth of a CPU, or a byte.
    fn step(&self) -> Quantity {
        let step = if self.resource.name == "cpu" {
            "1m"
        } else {
            "1"
        };
        Quantity::parse(step).unwrap_or_default()
    }

    fn containers(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.of(BoundScope::Container, self.resource.name)
    }

    fn min(&self) -> Option<Quantity> {
        self.containers().filter_map(|bound| bound.min).max()
    }

    fn max(&self) -> Option<Quantity> {
        self.containers().filter_map(|bound| bound.max).min()
    }

    fn container_ratio(&self) -> Option<Quantity> {
        self.containers().filter_map(|bound| bound.max_ratio).min()
    }

    /// The least ratio. The sum of the containers has a ratio if each of them has.
    fn ratio(&self) -> Option<Quantity> {
        let of_pod = self.bounds.of(BoundScope::Pod, self.resource.name);
        let of_pod = of_pod.filter_map(|bound| bound.max_ratio).min();
        [self.container_ratio(), of_pod].into_iter().flatten().min()
    }
}

/// Warns of resources of the annotation that harm the pod.
fn warn_of_annotation(
    pod: &PodResources<'_>,
    resources: &Value,
    bounds: &ContainerBounds,
    warnings: &mut Vec<Box<str>>,
) {
    let annotation = format!("annotation {RESOURCES}");
    let makes_burstable = pod.is_guaranteed() && !is_guaranteed(resources);
    if makes_burstable {
        let advice = "write requests and limits of cpu and memory, and the same quantities in both, or remove the annotation";
        warnings.push(format!("{annotation} makes the Guaranteed pod Burstable: {advice}").into());
    }
    for Resource { name, .. } in &RESOURCES_OF_SIDECAR {
        let amounts = Amounts::of(resources, name);
        let has_request = amounts.effective_request().is_some();
        if *name == "cpu" && !pod.has_own() && !has_request && pod.all_have_requests(name) {
            let effect = "so a HorizontalPodAutoscaler by CPU does not scale the pod, and a ResourceQuota may refuse it";
            warnings.push(
                format!("{annotation} has no CPU request, {effect}: add cpu to its requests")
                    .into(),
            );
        }
        let lacks_limit = amounts.limit.is_none() && pod.all_have_limits(name);
        if lacks_limit && !makes_burstable && !pod.has_own() {
            let what =
                format!("{annotation} has no limits.{name}, which every other container has");
            warnings.push(
                format!("{what}, so a ResourceQuota may refuse the pod: add {name} to its limits")
                    .into(),
            );
        }
        warn_of_pod_level(pod, name, amounts, warnings);
        warn_of_bounds(pod, name, amounts, bounds, &annotation, warnings);
    }
}

/// Warns of amounts that exceed the pod's own (`pkg/apis/core/validation`: `validatePodResourceConsistency`).
fn warn_of_pod_level(
    pod: &PodResources<'_>,
    name: &str,
    amounts: Amounts,
    warnings: &mut Vec<Box<str>>,
) {
    let own = pod.own(name);
    let request = amounts.effective_request().unwrap_or_default();
    let sum = pod.sum_of_requests(name).saturating_add(request);
    if let Some(most) = own
        .request
        .filter(|most| request.is_positive() && sum > *most)
    {
        let what =
            format!("annotation {RESOURCES} brings the {name} requests of the containers to {sum}");
        let effect =
            format!("more than {most} in spec.resources, so that the API server refuses the pod");
        warnings.push(format!("{what}, {effect}: write \"{name}\": 0 in its requests").into());
    }
    if let (Some(limit), Some(most)) = (amounts.limit, own.limit)
        && limit > most
    {
        let what = format!("annotation {RESOURCES} has a {name} limit of {limit}");
        let effect = format!(
            "more than {most} in spec.resources, so that the API server may refuse the pod"
        );
        warnings.push(format!("{what}, {effect}: lower it").into());
    }
}

/// Warns of each bound that the amounts do not keep.
fn warn_of_bounds(
    pod: &PodResources<'_>,
    name: &str,
    amounts: Amounts,
    bounds: &ContainerBounds,
    origin: &str,
    warnings: &mut Vec<Box<str>>,
) {
    for bound in bounds.of(BoundScope::Container, name) {
        let filled = Amounts {
            request: amounts.effective_request().or(bound.default_request),
            limit: amounts.limit.or(bound.default_limit),
        };
        if let Some(demand) = bound.violation(filled.request, filled.limit) {
            warnings.push(refusal(
                bound,
                &format!("{demand} of each container"),
                origin,
            ));
        }
    }
    for bound in bounds.of(BoundScope::Pod, name) {
        // The pod's own amounts count in place of the sums.
        let own = pod.own(name);
        let sum = |of_containers: Quantity, own: Option<Quantity>, amount: Option<Quantity>| {
            own.or_else(|| amount.map(|amount| of_containers.saturating_add(amount)))
        };
        let (requests, limits) = (pod.sum_of_requests(name), pod.sum_of_limits(name));
        let is_kept_without = bound.violation(Some(requests), Some(limits)).is_none();
        let with_sidecar = bound.violation(
            sum(requests, own.request, amounts.effective_request()),
            sum(
                limits,
                own.limit,
                amounts.limit.or(Some(Quantity::default())),
            ),
        );
        if let (Some(demand), true) = (with_sidecar, is_kept_without) {
            warnings.push(refusal(
                bound,
                &format!("{demand} of the pod with its sidecar"),
                origin,
            ));
        }
    }
}

fn refusal(bound: &Bound, demand: &str, origin: &str) -> Box<str> {
    let Bound {
        limit_range,
        resource,
        ..
    } = bound;
    let what = format!(
        "LimitRange {limit_range} demands {demand}, so that the API server refuses the pod"
    );
    let advice =
        format!("change {resource} of the sidecar's resources in {origin}, or the LimitRange");
    format!("{what}: {advice}").into()
}
