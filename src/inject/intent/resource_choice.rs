//! The choice of the sidecar's amounts of one resource: those of the settings, adjusted to the pod and to the bounds of the
//! namespace.

use super::admission::Admission;
use super::pod_resources::{Amounts, PodResources};
use crate::inject::container_bounds::BoundScope;
use crate::inject::quantity::Quantity;

/// A resource that the sidecar states where the pod requires it and the settings leave it out.
pub(super) struct Resource {
    pub(super) name: &'static str,
    pub(super) request: &'static str,
    pub(super) limit: &'static str,
    /// What a limit below that of the settings may cause.
    pub(super) effect_of_low_limit: &'static str,
    /// Whether the QoS class depends on it, quotas require it of each container, and it may be a pod-level resource.
    pub(super) is_compute: bool,
    /// Whether its request equals its limit if that is so in all other containers, as policies require it of memory. A CPU
    /// request of 50m for each pod would cost more than it is worth.
    pub(super) may_be_equal: bool,
}

/// The CPU limit is the least of 10m, 20m, 50m and 100m under which three simultaneous HTTPS probes with a client
/// certificate are not throttled (`cargo bench --bench probe -- cpu-limit`), and under which a pod is ready as soon as
/// without a limit. It is not a whole CPU, which kubelet's static policy would assign exclusively. The memory limit is that
/// of the default settings. kubelet counts the logs of a container as its ephemeral storage, by default at most five files
/// of 10 MiB, and evicts a pod of which a container exceeds its limit.
pub(super) const RESOURCES_OF_SIDECAR: [Resource; 3] = [
    Resource {
        name: "cpu",
        request: "1m",
        limit: "50m",
        effect_of_low_limit: "probes may time out",
        is_compute: true,
        may_be_equal: false,
    },
    Resource {
        name: "memory",
        request: "2Mi",
        limit: "16Mi",
        effect_of_low_limit: "it may be killed at its start",
        is_compute: true,
        may_be_equal: true,
    },
    Resource {
        name: "ephemeral-storage",
        request: "1Mi",
        limit: "64Mi",
        effect_of_low_limit: "kubelet may evict the pod",
        is_compute: false,
        may_be_equal: false,
    },
];

/// The least memory with which a container starts under runc, as Docker requires it (`daemon/daemon_unix.go`:
/// `linuxMinMemory`). In a pod with 5Mi the sidecar does not start, though it needs less than 1Mi once it runs.
pub(super) const LEAST_MEMORY: &str = "6Mi";

impl Resource {
    pub(super) fn default_request(&self) -> Quantity {
        Quantity::parse(self.request).unwrap_or_default()
    }

    /// The limit of a sidecar that needs one, which is not below its request.
    pub(super) fn limit_above(&self, request: Option<Quantity>) -> Quantity {
        let limit = Quantity::parse(self.limit).unwrap_or_default();
        request.map_or(limit, |request| request.max(limit))
    }
}

/// The choice of the amounts of one resource.
pub(super) struct Choice<'a> {
    pub(super) resource: &'a Resource,
    pub(super) pod: &'a PodResources<'a>,
    pub(super) admission: Admission<'a>,
    /// Whether an earlier injection left the resource out.
    pub(super) is_left_out: bool,
    /// Whether an amount would change the QoS class of a BestEffort pod, by which a quota counts it.
    pub(super) keeps_best_effort: bool,
}

impl Choice<'_> {
    /// The amounts for those of the settings.
    pub(super) fn amounts(&self, stated: Amounts) -> Amounts {
        if self.keeps_best_effort {
            return self.none_or_zero();
        }
        let amounts = match (self.resource.is_compute, self.pod.has_own()) {
            (false, _) => {
                let like_the_containers = self.within_bounds(self.like_the_containers(stated));
                match (self.pod.all_have_requests(self.resource.name) || self.counts_for_pod())
                    && self.is_admitted(like_the_containers)
                {
                    true => like_the_containers,
                    false => self.below_default(stated),
                }
            }
            (true, true) => self.within_pod(stated),
            (true, false) => self.like_the_containers(stated),
        };
        self.within_bounds(amounts)
    }

    /// No amounts, or those of zero if every container has them: zero counts as none in the QoS class.
    fn none_or_zero(&self) -> Amounts {
        let name = self.resource.name;
        let zero = |is_stated: bool| is_stated.then(Quantity::default);
        Amounts {
            request: zero(self.pod.all_have_requests(name)),
            limit: zero(self.pod.all_have_limits(name)),
        }
    }

    /// Amounts of zero where a LimitRange requires amounts, or has a default: that is meant for apps, and may be as much as its
    /// maximum. kubelet sets no limit for one of zero (`pkg/kubelet/eviction`: `containerEphemeralStorageLimitEviction`).
    fn below_default(&self, stated: Amounts) -> Amounts {
        let mut bounds = self.admission.containers();
        let is_needed = bounds.any(|bound| {
            let default = bound.default_request.or(bound.default_limit);
            default.or(bound.max_ratio).is_some()
        });
        match is_needed && stated == Amounts::default() {
            true => Amounts {
                request: Some(Quantity::default()),
                limit: Some(Quantity::default()),
            },
            false => stated,
        }
    }

    /// Amounts that exceed neither the requests nor the limits of the pod. A request of zero is written out: an absent
    /// one would become the limit, or the default of a LimitRange.
    fn within_pod(&self, stated: Amounts) -> Amounts {
        let name = self.resource.name;
        let own = self.pod.own(name);
        // Since Kubernetes 1.37, the API server defaults a limit of the pod to the sum of the limits, if each container has one
        // (`pkg/api/pod/util.go`: `defaultPodLevelLimits`). A limit of zero keeps that sum, and so the QoS class.
        if own.limit.is_none() && self.pod.all_have_limits(name) {
            return Amounts {
                request: Some(Quantity::default()),
                limit: Some(Quantity::default()),
            };
        }
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

    /// The amounts that every container states, as a quota or a policy may require them, and a Guaranteed pod.
    fn like_the_containers(&self, stated: Amounts) -> Amounts {
        let name = self.resource.name;
        let Amounts { request, limit } = stated;
        let is_equal = self.is_equal();
        // kubelet sets no limit for one of zero.
        let limit = limit.filter(|limit| !is_equal || limit.is_positive());
        let limit = limit.or_else(|| {
            let is_required = is_equal || self.pod.all_have_limits(name) || self.counts_for_pod();
            is_required.then(|| self.resource.limit_above(request))
        });
        if is_equal {
            return Amounts {
                request: limit,
                limit,
            };
        }
        let is_required = request.is_none() && self.pod.all_have_requests(name);
        Amounts {
            request: match is_required
                || request.is_none() && stated.limit.is_none() && limit.is_some()
            {
                true => Some(self.request_below(limit)),
                false => request,
            },
            limit,
        }
    }

    /// Whether kubelet compares what all containers use with the sum of the limits that some have: without a limit, the
    /// sidecar's log would use up theirs (`pkg/kubelet/eviction`: `podEphemeralStorageLimitEviction`).
    fn counts_for_pod(&self) -> bool {
        !self.resource.is_compute && self.pod.any_has_limit(self.resource.name)
    }

    /// Whether the request equals the limit: in a Guaranteed pod, if `spec.resources` does not state them, or if all other
    /// containers have it so.
    fn is_equal(&self) -> bool {
        let counts_for_class = || match self.pod.has_own() {
            true => {
                self.pod.own(self.resource.name) == Amounts::default()
                    && self.pod.all_are_guaranteed_by_own()
            }
            false => self.pod.is_guaranteed(),
        };
        self.resource.is_compute && counts_for_class()
            || self.resource.may_be_equal
                && !self.pod.has_own()
                && self.pod.all_are_equal(self.resource.name)
    }

    /// Amounts that the API server admits, as close to these as possible; if it admits none, adjusted ones.
    fn within_bounds(&self, amounts: Amounts) -> Amounts {
        // A ratio requires a limit that is not zero.
        let has_ratio = self.container_ratio().is_some();
        let limit = amounts
            .limit
            .filter(|limit| !has_ratio || limit.is_positive());
        let limit = limit.unwrap_or_else(|| self.resource.limit_above(amounts.request));
        let with_limit = self.adjusted(Amounts {
            request: match self.is_equal() {
                true => Some(limit),
                false => amounts.request,
            },
            limit: Some(limit),
        });
        let mut candidates = [amounts, self.adjusted(amounts), with_limit].into_iter();
        let admitted = candidates.find(|amounts| self.is_admitted(*amounts));
        self.off_whole_cpu(admitted.unwrap_or(with_limit))
    }

    fn is_admitted(&self, amounts: Amounts) -> bool {
        self.admission.objection(amounts).is_none()
    }

    /// Stated amounts raised and lowered to the bounds of the namespace and of the pod, as far as they are not
    /// contradictory.
    fn adjusted(&self, amounts: Amounts) -> Amounts {
        let Amounts {
            mut request,
            mut limit,
        } = amounts;
        let name = self.resource.name;
        let own = self.pod.own(name);
        if let Some(min) = self.min() {
            let least = request
                .or(limit)
                .unwrap_or_else(|| self.request_below(limit));
            request = Some(least.max(min));
            // Zero is no limit, and a small one keeps the sidecar from starting.
            let limit_of = |limit: Quantity| match limit.is_positive() {
                true => limit,
                false => self.resource.limit_above(request),
            };
            limit = limit.map(|limit| limit_of(limit).max(min));
        }
        if let Some(max) = self.max() {
            limit = limit.map(|limit| limit.min(max));
            request = request.map(|request| request.min(max));
        }
        limit = limit.map(|limit| own.limit.map_or(limit, |most| limit.min(most)));
        if let (Some(most), Some(ratio)) = (limit, self.ratio()) {
            let least = most.divided_by(ratio, self.step());
            request = Some(request.unwrap_or(most).max(least).min(most));
        }
        if self.is_equal() && amounts.request == amounts.limit {
            request = limit.max(request);
            limit = request;
        }
        if let (Some(least), Some(most)) = (request, limit) {
            limit = Some(most.max(least));
        }
        if let Some(most) = own.request {
            let requests = self.pod.sum_of_requests(name);
            let room = requests.room(most, self.admission.sidecar);
            request = request.map(|request| request.min(room));
        }
        Amounts { request, limit }
    }

    /// The nearest amounts that are not a whole number of CPUs, which kubelet's static policy would assign exclusively in
    /// a Guaranteed pod (`pkg/kubelet/cm/cpumanager/policy_static.go`: `guaranteedCPUs`).
    fn off_whole_cpu(&self, amounts: Amounts) -> Amounts {
        let request = amounts.effective_request();
        let is_whole = |request: &Quantity| request.is_positive() && request.is_integer();
        let may_be_guaranteed = self.pod.is_guaranteed() || self.pod.has_own();
        let (Some(request), "cpu", true) = (
            request.filter(is_whole),
            self.resource.name,
            may_be_guaranteed,
        ) else {
            return amounts;
        };
        let with = |other: Quantity| Amounts {
            request: Some(other),
            limit: amounts.limit.map(|limit| match limit == request {
                true => other,
                false => limit.max(other),
            }),
        };
        let step = self.step();
        let [below, above] = [request.saturating_sub(step), request.saturating_add(step)];
        let mut others = [with(below), with(above)].into_iter();
        let admitted = others.find(|amounts| self.is_admitted(*amounts));
        admitted.unwrap_or(amounts)
    }

    /// Warns of a limit that a LimitRange lowers.
    pub(super) fn warn_of_lowered(
        &self,
        stated: Amounts,
        amounts: Amounts,
        warnings: &mut Vec<Box<str>>,
    ) {
        let name = self.resource.name;
        let (Some(wanted), Some(limit)) = (stated.limit, amounts.limit) else {
            return;
        };
        let lowers = |max: Quantity| max < wanted && limit <= max;
        let is_lowered = limit < wanted && !self.pod.has_own();
        let bounds = self.admission.containers();
        for bound in bounds.filter(|bound| is_lowered && bound.max.is_some_and(lowers)) {
            let what = format!(
                "LimitRange {} lowers the sidecar's {name} limit from {wanted} to {limit}",
                bound.limit_range
            );
            let effect = self.resource.effect_of_low_limit;
            let advice = format!("raise its max.{name}");
            warnings.push(format!("{what}, so {effect}: {advice}").into());
        }
    }

    fn request_below(&self, limit: Option<Quantity>) -> Quantity {
        let request = self.resource.default_request();
        limit.map_or(request, |limit| limit.min(request))
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

    fn min(&self) -> Option<Quantity> {
        self.admission
            .containers()
            .filter_map(|bound| bound.min)
            .max()
    }

    fn max(&self) -> Option<Quantity> {
        self.admission
            .containers()
            .filter_map(|bound| bound.max)
            .min()
    }

    fn container_ratio(&self) -> Option<Quantity> {
        self.admission
            .containers()
            .filter_map(|bound| bound.max_ratio)
            .min()
    }

    /// The least ratio. The sum of the containers has a ratio if each of them has.
    fn ratio(&self) -> Option<Quantity> {
        let of_pod = self
            .admission
            .bounds
            .of(BoundScope::Pod, self.resource.name);
        let of_pod = of_pod.filter_map(|bound| bound.max_ratio).min();
        [self.container_ratio(), of_pod].into_iter().flatten().min()
    }
}
