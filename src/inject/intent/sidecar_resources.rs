//! The `resources` of the sidecar. Those of the settings are adjusted to the pod, so that the API server admits it and its
//! QoS class stays. Those of the pod's annotation are kept as written, with warnings. A pod that the API server would
//! refuse with its sidecar is refused.

use super::admission::Admission;
use super::pod_resources::{Amounts, PodResources, is_best_effort};
use super::resource_choice::{Choice, LEAST_MEMORY, RESOURCES_OF_SIDECAR, Resource};
use crate::inject::annotation_names::RESOURCES;
use crate::inject::container_bounds::is_huge_page;
use crate::inject::options::PodOptions;
use crate::inject::quantity::Quantity;
use crate::inject::view::PodView;
use serde_json::Value;

/// The resources that the sidecar may have in pods, without the bounds of LimitRanges: those of the settings, with the
/// limits that all containers of a pod state, with requests like the limits, as in a Guaranteed pod, or that of memory
/// alone, and with zero, which keeps the class of a pod; each also with ephemeral storage, and with none of it.
#[cfg(feature = "inject")]
pub(crate) fn possible_resources(settings: &Value) -> Vec<Value> {
    let mut with_limits = settings.clone();
    let mut guaranteed = settings.clone();
    let mut with_equal_memory = settings.clone();
    let mut with_zero = settings.clone();
    for resource in RESOURCES_OF_SIDECAR.iter().filter(|each| each.is_compute) {
        let name = resource.name;
        let Amounts { request, limit } = Amounts::of(settings, name);
        let with_limit = limit.unwrap_or_else(|| resource.limit_above(request));
        for resources in [&mut with_limits, &mut guaranteed, &mut with_equal_memory] {
            set(resources, "limits", name, limit, Some(with_limit));
        }
        set(&mut guaranteed, "requests", name, request, Some(with_limit));
        set_zero(&mut with_zero, name, settings);
        if resource.may_be_equal {
            set(
                &mut with_equal_memory,
                "requests",
                name,
                request,
                Some(with_limit),
            );
        }
    }
    let mut possible = vec![
        settings.clone(),
        with_limits,
        guaranteed,
        with_equal_memory,
        with_zero,
    ];
    for index in 0..possible.len() {
        let mut with_storage = possible[index].clone();
        let mut without_storage = possible[index].clone();
        for resource in RESOURCES_OF_SIDECAR.iter().filter(|each| !each.is_compute) {
            let name = resource.name;
            let Amounts { request, limit } = Amounts::of(settings, name);
            let with_limit = limit.unwrap_or_else(|| resource.limit_above(request));
            let with_request = request.unwrap_or_else(|| resource.default_request());
            set(&mut with_storage, "limits", name, limit, Some(with_limit));
            set(
                &mut with_storage,
                "requests",
                name,
                request,
                Some(with_request),
            );
            set_zero(&mut without_storage, name, settings);
        }
        possible.extend([with_storage, without_storage]);
    }
    possible
}

/// Writes a request and a limit of zero.
#[cfg(feature = "inject")]
fn set_zero(resources: &mut Value, name: &str, settings: &Value) {
    let Amounts { request, limit } = Amounts::of(settings, name);
    let zero = Some(Quantity::default());
    set(resources, "requests", name, request, zero);
    set(resources, "limits", name, limit, zero);
}

/// The sidecar's resources for a pod.
///
/// # Errors
/// The API server would refuse the pod with its sidecar.
pub(super) fn sidecar_resources(
    view: &PodView<'_>,
    options: &PodOptions,
    warnings: &mut Vec<Box<str>>,
) -> Result<Value, String> {
    let pod = PodResources::new(view);
    let admission = |resource: &Resource| Admission {
        name: resource.name,
        pod: &pod,
        bounds: &options.container_bounds,
        sidecar: options.sidecar,
        is_annotated: options.has_own_resources,
    };
    let keeps_best_effort = options.keeps_best_effort && pod.is_best_effort();
    if let Some(reason) = too_little_memory(&pod, options) {
        return Err(reason);
    }
    if options.has_own_resources {
        let [cpu, memory, storage] = RESOURCES_OF_SIDECAR.each_ref().map(admission);
        let admissions = [cpu, memory];
        warn_of_annotation(&admissions, &pod, &options.resources, warnings);
        if keeps_best_effort && !is_best_effort(&options.resources) {
            let what = format!("annotation {RESOURCES} makes the BestEffort pod Burstable");
            let advice = "write {}, or remove the annotation";
            warnings.push(format!("{what}, so a ResourceQuota may refuse it: {advice}").into());
        }
        for admission in admissions.iter().chain([&storage]) {
            let amounts = Amounts::of(&options.resources, admission.name);
            check(admission, amounts, warnings)?;
        }
        return Ok(options.resources.clone());
    }
    let mut resources = options.resources.clone();
    for resource in &RESOURCES_OF_SIDECAR {
        let name = resource.name;
        let stated = Amounts::of(&options.resources, name);
        let choice = Choice {
            resource,
            pod: &pod,
            admission: admission(resource),
            is_left_out: is_left_out(view, name),
            keeps_best_effort: keeps_best_effort && resource.is_compute,
        };
        let retained = added(view, name).without(stated);
        let with_added = choice.amounts(stated.or(retained));
        // Amounts that others have added stay if the pod allows them.
        let (amounts, added) = match with_added.includes(retained) {
            true => (with_added, retained),
            false => (choice.amounts(stated), Amounts::default()),
        };
        choice.warn_of_lowered(stated, amounts, warnings);
        check(&choice.admission, amounts.or(retained), warnings)?;
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
    let [cpu, memory, _] = RESOURCES_OF_SIDECAR.each_ref().map(admission);
    if makes_burstable_by_own(&[cpu, memory], &pod, &resources) {
        let what = "the sidecar makes the Guaranteed pod Burstable, because a LimitRange requires requests and limits of it";
        let advice = "write requests and limits of cpu and memory in spec.resources, with room for those of the sidecar";
        warnings.push(format!("{what}: {advice}").into());
    }
    let states = |resources: &Value, name: &str| Amounts::of(resources, name) != Amounts::default();
    // The API server refuses huge pages, also none of them, without CPU and memory (`pkg/apis/core/validation`:
    // `validateResourceRequirements`).
    let may_have_huge_pages = states(&resources, "cpu") || states(&resources, "memory");
    let defaulted = options.container_bounds.defaulted_resources_to_decline();
    for name in defaulted.filter(|name| may_have_huge_pages || !is_huge_page(name)) {
        if !states(&resources, name) {
            for group in ["requests", "limits"] {
                set(&mut resources, group, name, None, Some(Quantity::default()));
            }
        }
    }
    Ok(resources)
}

/// Refuses amounts with which the API server refuses the pod, and warns of those with which it may.
fn check(
    admission: &Admission<'_>,
    amounts: Amounts,
    warnings: &mut Vec<Box<str>>,
) -> Result<(), String> {
    match admission.objection(amounts) {
        Some(objection) if objection.is_certain => return Err(objection.text),
        Some(objection) => warnings.push(objection.text.into()),
        None => {}
    }
    Ok(())
}

/// Why the sidecar does not start in the pod, which then never starts either. A smaller limit of the sidecar alone, such as
/// the maximum of a LimitRange, does not count the pod's pause container, and may suffice.
fn too_little_memory(pod: &PodResources<'_>, options: &PodOptions) -> Option<String> {
    let least = Quantity::parse(LEAST_MEMORY)?;
    let written = match options.has_own_resources {
        true => Amounts::of(&options.resources, "memory").limit,
        false => Some(Quantity::default()),
    };
    let limit = pod.limit_by_own("memory", Some((written, options.sidecar)));
    let limit = limit.filter(|_| pod.has_own())?;
    (limit.is_positive() && limit < least).then(|| {
        format!(
            "the sidecar does not start with {limit} of memory: raise limits.memory in spec.resources to {least} or more"
        )
    })
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

/// Whether the sidecar changes the class that the pod has by `spec.resources`.
fn makes_burstable_by_own(
    admissions: &[Admission<'_>],
    pod: &PodResources<'_>,
    resources: &Value,
) -> bool {
    let stays = |admission: &Admission<'_>| {
        let filled = admission.filled(Amounts::of(resources, admission.name));
        filled.into_iter().all(|amounts| {
            pod.is_guaranteed_by_own(admission.name, Some((amounts, admission.sidecar)))
        })
    };
    pod.all_are_guaranteed_by_own() && !admissions.iter().all(stays)
}

/// Warns of resources of the annotation that harm the pod.
fn warn_of_annotation(
    admissions: &[Admission<'_>],
    pod: &PodResources<'_>,
    resources: &Value,
    warnings: &mut Vec<Box<str>>,
) {
    let annotation = format!("annotation {RESOURCES}");
    let filled = |admission: &Admission<'_>| {
        let amounts = Amounts::of(resources, admission.name);
        admission.filled(amounts).into_iter()
    };
    let mut all = admissions.iter().flat_map(filled);
    let makes_burstable = pod.is_guaranteed() && !all.all(Amounts::is_guaranteed)
        || makes_burstable_by_own(admissions, pod, resources);
    if makes_burstable {
        let advice = "write requests and limits of cpu and memory, and the same quantities in both, or remove the annotation";
        warnings.push(format!("{annotation} makes the Guaranteed pod Burstable: {advice}").into());
    }
    for admission in admissions {
        let name = admission.name;
        let has_request = filled(admission).all(|amounts| amounts.request.is_some());
        if name == "cpu" && !pod.has_own() && !has_request && pod.all_have_requests(name) {
            let effect = "so a HorizontalPodAutoscaler by CPU does not scale the pod, and a ResourceQuota may refuse it";
            warnings.push(
                format!("{annotation} has no CPU request, {effect}: add cpu to its requests")
                    .into(),
            );
        }
        let has_limit = filled(admission).all(|amounts| amounts.limit.is_some());
        let lacks_limit = !has_limit && pod.all_have_limits(name);
        if lacks_limit && !makes_burstable && !pod.has_own() {
            let what =
                format!("{annotation} has no limits.{name}, which every other container has");
            warnings.push(
                format!("{what}, so a ResourceQuota may refuse the pod: add {name} to its limits")
                    .into(),
            );
        }
    }
}
