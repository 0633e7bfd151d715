//! One resource of a pod with its sidecar, as the API server sees it when it admits the pod: with the defaults of all
//! LimitRanges, and added to the other containers.

use super::pod_resources::{Amounts, PodResources};
use crate::inject::annotation_names::RESOURCES;
use crate::inject::container_bounds::{Bound, BoundScope, ContainerBounds};
use crate::inject::quantity::Quantity;
use crate::inject::settings::Sidecar;

/// What the API server compares the sidecar's amounts of one resource with.
pub(super) struct Admission<'a> {
    /// The name of the resource: `cpu`.
    pub(super) name: &'static str,
    pub(super) pod: &'a PodResources<'a>,
    pub(super) bounds: &'a ContainerBounds,
    pub(super) sidecar: Sidecar,
    /// Whether the amounts are those of the pod's annotation, and no choice.
    pub(super) is_annotated: bool,
}

/// Why the API server refuses the pod with its sidecar, and does not refuse it without.
pub(super) struct Objection {
    /// The reason, and what to write instead.
    pub(super) text: String,
    /// Whether it refuses the pod in any case.
    pub(super) is_certain: bool,
}

impl Admission<'_> {
    /// The amounts with the defaults. Of several LimitRanges with a default, the first in the API server's cache fills the
    /// amount in, and their order is not defined: all combinations of the least and the greatest default.
    pub(super) fn filled(&self, amounts: Amounts) -> [Amounts; 4] {
        let defaults = |default: fn(&Bound) -> Option<Quantity>| {
            let defaults = || self.containers().filter_map(default);
            [defaults().min(), defaults().max()]
        };
        let [least_request, most_request] = match amounts.effective_request() {
            None => defaults(|bound| bound.default_request),
            request => [request; 2],
        };
        let [least_limit, most_limit] = match amounts.limit {
            None => defaults(|bound| bound.default_limit),
            limit => [limit; 2],
        };
        [
            (least_request, least_limit),
            (least_request, most_limit),
            (most_request, least_limit),
            (most_request, most_limit),
        ]
        .map(|(request, limit)| Amounts { request, limit })
    }

    /// The objection to amounts of the sidecar.
    pub(super) fn objection(&self, amounts: Amounts) -> Option<Objection> {
        let filled = self.filled(amounts);
        let reasons = filled.iter().map(|filled| self.reason(*filled));
        let is_certain = reasons.clone().all(|reason| reason.is_some());
        let reason = reasons.flatten().next();
        // The API server does not compare the limits of init containers, which later versions may.
        let reason = reason.or_else(|| filled.iter().find_map(|filled| self.above_limit(*filled)));
        let refuses = match is_certain {
            true => "would refuse",
            false => "may refuse",
        };
        reason.map(|reason| Objection {
            text: format!("the API server {refuses} the pod with its sidecar, because {reason}"),
            is_certain,
        })
    }

    /// The bounds of each container.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.of(BoundScope::Container, self.name)
    }

    /// Why the API server refuses the pod with filled amounts of the sidecar, and what to write instead.
    fn reason(&self, amounts: Amounts) -> Option<String> {
        let own = self.pod.own(self.name);
        let of_containers = self.containers().find_map(|bound| {
            let requirement = bound.violation(amounts.request, amounts.limit)?;
            let requirement = format!("{requirement} of each container");
            Some(match self.least_of_pod(own, amounts) {
                Some(least) => format!(
                    "LimitRange {} requires {requirement}: raise {} in spec.resources to {least}",
                    bound.limit_range, self.name
                ),
                None => violated(bound, &requirement),
            })
        });
        of_containers
            .or_else(|| self.request_above_limit(amounts))
            .or_else(|| self.of_pod(amounts))
            .or_else(|| self.above(own.request, amounts))
            .or_else(|| match self.sidecar {
                Sidecar::Container => self.above_limit(amounts),
                Sidecar::Native => None,
            })
            // Without a pod-level request, the API server makes the sum one, which may not be above the limit
            // (`pkg/apis/core/v1/defaults.go`: `defaultPodRequests`).
            .or_else(|| match own.request {
                None => self.above(own.limit, amounts),
                Some(_) => None,
            })
    }

    /// The least pod-level amount that leaves room for the minimum of a container, where the present one lowers the sidecar's
    /// request below it.
    fn least_of_pod(&self, own: Amounts, amounts: Amounts) -> Option<Quantity> {
        let min = self.containers().filter_map(|bound| bound.min).max()?;
        let is_lowered = !self.is_annotated && amounts.request.is_some_and(|request| request < min);
        let requests = self.pod.sum_of_requests(self.name);
        let least = requests.with(Some(min), self.sidecar)?;
        (is_lowered && own.request.or(own.limit)? < least).then_some(least)
    }

    /// A request above the default of the limit: amounts that are stated are validated before.
    fn request_above_limit(&self, amounts: Amounts) -> Option<String> {
        let Self { name, .. } = self;
        let (request, limit) = (amounts.request?, amounts.limit?);
        (request > limit).then(|| {
            let what = format!("its {name} request of {request} is more than the limit of {limit}");
            let advice =
                format!("write a {name} limit in annotation {RESOURCES} of the pod template");
            format!("{what}, the default of a LimitRange: {advice}")
        })
    }

    /// A bound of the pod that only the sidecar breaks. Pod-level amounts count in place of the sums.
    fn of_pod(&self, amounts: Amounts) -> Option<String> {
        let own = self.pod.own(self.name);
        let requests = self.pod.sum_of_requests(self.name);
        let limits = self.pod.sum_of_limits(self.name);
        let mut bounds = self.bounds.of(BoundScope::Pod, self.name);
        bounds.find_map(|bound| {
            let without = bound.violation(
                own.request.or(requests.without_sidecar()),
                own.limit.or(limits.without_sidecar()),
            );
            let requirement = bound.violation(
                own.request
                    .or_else(|| requests.with(amounts.request, self.sidecar)),
                own.limit
                    .or_else(|| limits.with(amounts.limit, self.sidecar)),
            )?;
            let requirement = format!("{requirement} of the pod with its sidecar");
            without.is_none().then(|| violated(bound, &requirement))
        })
    }

    /// A sum of requests above a pod-level amount (`pkg/apis/core/validation`: `validatePodResourceConsistency`).
    fn above(&self, most: Option<Quantity>, amounts: Amounts) -> Option<String> {
        let (name, most) = (self.name, most?);
        let requests = self.pod.sum_of_requests(name);
        let sum = requests.with(amounts.request, self.sidecar)?;
        let is_kept_without = requests.without_sidecar() <= Some(most);
        (sum > most && is_kept_without).then(|| {
            let what = format!("the {name} requests of its containers are {sum}, more than {most} in spec.resources");
            let needs_request = |bound: &Bound| bound.min.or(bound.max_ratio).is_some();
            if self.containers().any(needs_request) {
                return format!("{what}: raise it there to {sum}, because a LimitRange requires a request of the sidecar");
            }
            let group = format!("the requests of annotation {RESOURCES} of the pod template");
            format!("{what}: write \"{name}\": 0 in {group}")
        })
    }

    /// A limit above the pod-level one, which the same function compares with those of ordinary containers.
    fn above_limit(&self, amounts: Amounts) -> Option<String> {
        let Self { name, .. } = self;
        let (limit, most) = (amounts.limit?, self.pod.own(name).limit?);
        (limit > most).then(|| {
            let what = format!("its {name} limit is {limit}, more than {most} in spec.resources");
            format!("{what}: lower it in annotation {RESOURCES} of the pod template")
        })
    }
}

/// What a LimitRange requires, and what to change.
fn violated(bound: &Bound, requirement: &str) -> String {
    let Bound {
        limit_range,
        resource,
        ..
    } = bound;
    let what = format!("LimitRange {limit_range} requires {requirement}");
    let place = format!("annotation {RESOURCES} of the pod template, or the LimitRange");
    format!("{what}: change {resource} of the sidecar's resources in {place}")
}
