//! The annotation by which `kubectl logs` and `kubectl exec` take the app's container: an ordinary sidecar is the first of the
//! containers, which they take otherwise (kubectl: `podcmd.FindOrDefaultContainerByName`). Istio's template writes it as well,
//! unless the pod has it.

use crate::inject::annotation_names::DEFAULT_CONTAINER;
use crate::inject::settings::Sidecar;
use crate::inject::view::PodView;
use crate::inject::view::collections::SpecList;

/// The member of the saved settings that has the written value.
pub(super) const MEMBER: &str = "defaultContainer";

/// The value to write; none if the owner or another injector has written one, or if the sidecar is not one of the containers.
pub(super) fn default_container(view: &PodView<'_>, sidecar: Sidecar) -> Option<Box<str>> {
    let written = written(view);
    let is_of_others = view.annotation(DEFAULT_CONTAINER).is_some() && written.is_none();
    if sidecar == Sidecar::Native || is_of_others {
        return None;
    }
    let containers = view.containers.iter();
    let containers = containers.filter(|container| container.list == SpecList::Containers);
    let mut names = containers.clone().map(|container| container.name);
    // Another webhook may have changed the order since.
    let kept = names.find(|name| written == Some(*name));
    let mut apps = containers.filter(|container| !container.is_injected_sidecar());
    let first = apps.next().map(|container| container.name);
    kept.or(first).map(Into::into)
}

/// The value that injection wrote, unless somebody has replaced it.
pub(in crate::inject) fn written<'a>(view: &PodView<'a>) -> Option<&'a str> {
    let current = view.annotation(DEFAULT_CONTAINER)?;
    let applied = view.saved.as_ref()?.applied.as_ref()?;
    (applied.get(MEMBER) == Some(current)).then(|| current.as_str())?
}
