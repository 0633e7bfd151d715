//! What the LimitRange objects of a namespace require of the resources of a container and of a pod. The API server
//! refuses a pod that does not comply (`plugin/pkg/admission/limitranger/admission.go`).

use super::quantity::Quantity;
use super::resources::HUGE_PAGES;
use serde_json::{Map, Value};

/// The bounds of all LimitRange objects of a namespace; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerBounds {
    bounds: Vec<Bound>,
}

/// What an item of a LimitRange requires of one resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    /// The name of the LimitRange.
    pub(super) limit_range: Box<str>,
    pub(super) scope: BoundScope,
    /// The name of the resource: `cpu`.
    pub(super) resource: Box<str>,
    /// The least request and limit.
    pub(super) min: Option<Quantity>,
    /// The greatest limit and request. A limit is required.
    pub(super) max: Option<Quantity>,
    /// The greatest limit, as a multiple of the request. Both are required.
    pub(super) max_ratio: Option<Quantity>,
    /// The limit of a container without one.
    pub(super) default_limit: Option<Quantity>,
    /// The request of a container without one.
    pub(super) default_request: Option<Quantity>,
}

/// What a bound applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoundScope {
    /// Each container.
    Container,
    /// The sum of the containers.
    Pod,
}

impl ContainerBounds {
    /// Reads LimitRange objects of one namespace, in the JSON of the API server. Ignores what is not a quantity, and items
    /// for other types than containers and pods.
    pub fn from_limit_ranges(limit_ranges: &[Value]) -> Self {
        let bounds = limit_ranges.iter().flat_map(|limit_range| {
            let name = limit_range["metadata"]["name"].as_str();
            let items = limit_range["spec"]["limits"].as_array();
            let items = items.into_iter().flatten();
            items.flat_map(move |item| item_bounds(name.unwrap_or_default(), item))
        });
        Self {
            bounds: bounds.collect(),
        }
    }

    /// Extended resources, such as `nvidia.com/gpu`, and huge pages that the API server requests for a container that does not
    /// state them, and of which it accepts an amount of zero.
    pub(super) fn defaulted_resources_to_decline(&self) -> impl Iterator<Item = &str> {
        let is_scarce =
            |bound: &&Bound| bound.resource.contains('/') || is_huge_page(&bound.resource);
        let of_containers = self
            .bounds
            .iter()
            .filter(|bound| bound.scope == BoundScope::Container);
        let accepts_zero = |resource: &str| {
            let mut bounds = self.of(BoundScope::Container, resource);
            bounds.all(|bound| {
                bound.max_ratio.is_none() && !bound.min.is_some_and(Quantity::is_positive)
            })
        };
        let defaulted = of_containers
            .filter(is_scarce)
            .filter(|bound| bound.default_request.or(bound.default_limit).is_some());
        defaulted
            .map(|bound| &*bound.resource)
            .filter(move |resource| accepts_zero(resource))
    }

    /// The bounds of one resource.
    pub(super) fn of<'a>(
        &'a self,
        scope: BoundScope,
        resource: &'a str,
    ) -> impl Iterator<Item = &'a Bound> {
        let bounds = self.bounds.iter();
        bounds.filter(move |bound| bound.scope == scope && &*bound.resource == resource)
    }
}

impl Bound {
    /// What the bound requires and the amounts of a container or a pod do not fulfil: `a request of at least 10m`.
    pub(super) fn violation(
        &self,
        request: Option<Quantity>,
        limit: Option<Quantity>,
    ) -> Option<String> {
        let resource = &self.resource;
        if let Some(min) = self.min
            && (request.is_none_or(|request| request < min)
                || limit.is_some_and(|limit| limit < min))
        {
            return Some(format!(
                "a request and a limit of at least {min} {resource}"
            ));
        }
        if let Some(max) = self.max
            && (limit.is_none_or(|limit| limit > max)
                || request.is_some_and(|request| request > max))
        {
            return Some(format!("a limit of at most {max} {resource}"));
        }
        let ratio = self.max_ratio?;
        let is_kept = match (request, limit) {
            (Some(request), Some(limit)) => {
                request.is_positive()
                    && limit.is_positive()
                    && limit.divided_by(ratio, Quantity::NANO) <= request
            }
            _ => false,
        };
        let article = match resource.starts_with(['a', 'e', 'i', 'o', 'u']) {
            true => "an",
            false => "a",
        };
        (!is_kept)
            .then(|| format!("{article} {resource} limit of at most {ratio} times its request"))
    }
}

/// Whether a resource is huge pages: `hugepages-2Mi`.
pub(super) fn is_huge_page(resource: &str) -> bool {
    resource.starts_with(HUGE_PAGES)
}

fn item_bounds(limit_range: &str, item: &Value) -> Vec<Bound> {
    let scope = match item["type"].as_str() {
        Some("Container") => BoundScope::Container,
        Some("Pod") => BoundScope::Pod,
        _ => return Vec::new(),
    };
    let groups = [
        "min",
        "max",
        "maxLimitRequestRatio",
        "default",
        "defaultRequest",
    ];
    let groups = groups
        .into_iter()
        .filter_map(|group| item[group].as_object());
    let mut resources: Vec<&str> = groups.flat_map(Map::keys).map(|name| &**name).collect();
    resources.sort_unstable();
    resources.dedup();
    let bound = |resource: &str| {
        let quantity = |group: &str| Quantity::read(item[group].get(resource)?);
        Bound {
            limit_range: limit_range.into(),
            scope,
            resource: resource.into(),
            min: quantity("min"),
            max: quantity("max"),
            max_ratio: quantity("maxLimitRequestRatio"),
            default_limit: quantity("default"),
            default_request: quantity("defaultRequest"),
        }
    };
    resources.into_iter().map(bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_of_containers_and_pods_are_read_from_every_limit_range() {
        let bounds = ContainerBounds::from_limit_ranges(&[
            json!({"metadata": {"name": "a"}, "spec": {"limits": [
                {"type": "Container", "min": {"cpu": "10m"}, "default": {"cpu": "1", "memory": "64Mi"}},
                {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
            ]}}),
            json!({"metadata": {"name": "b"}, "spec": {"limits": [
                {"type": "Pod", "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": 4}},
                {"type": "Container", "max": {"cpu": "nonsense"}},
            ]}}),
            json!({"spec": null}),
        ]);
        let cpu: Vec<_> = bounds.of(BoundScope::Container, "cpu").collect();
        assert_eq!(cpu[0].min, Quantity::parse("10m"));
        assert_eq!(cpu[0].default_limit, Quantity::parse("1"));
        assert_eq!((&*cpu[1].limit_range, cpu[1].max), ("b", None));
        let pod: Vec<_> = bounds.of(BoundScope::Pod, "cpu").collect();
        assert_eq!(
            (pod[0].max, pod[0].max_ratio),
            (Quantity::parse("2"), Quantity::parse("4"))
        );
        assert_eq!(bounds.of(BoundScope::Container, "memory").count(), 1);
        assert_eq!(bounds.of(BoundScope::Container, "storage").count(), 0);
        assert_eq!(
            ContainerBounds::from_limit_ranges(&[]),
            ContainerBounds::default()
        );
    }
}
