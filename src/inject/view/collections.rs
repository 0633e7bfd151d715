//! The collections of a pod that injection creates, fills or expands.

use crate::manifest::Pointer;

/// A list of the spec into which injection puts an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inject) enum SpecList {
    InitContainers,
    Containers,
    Volumes,
}

impl SpecList {
    pub(in crate::inject) const ALL: [Self; 3] =
        [Self::InitContainers, Self::Containers, Self::Volumes];
    /// The lists of containers, in the order in which kubelet starts them.
    pub(in crate::inject) const OF_CONTAINERS: [Self; 2] = [Self::InitContainers, Self::Containers];

    /// Its key in the spec.
    pub(in crate::inject) fn key(self) -> &'static str {
        match self {
            Self::InitContainers => "initContainers",
            Self::Containers => "containers",
            Self::Volumes => "volumes",
        }
    }

    /// Its pointer in the pod.
    pub(in crate::inject) fn pointer(self) -> Pointer {
        Pointer::root().join_keys(&["spec", self.key()])
    }
}

/// A collection of the pod that injection creates, fills or expands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::inject) enum Collection {
    Metadata,
    Annotations,
    List(SpecList),
}

impl Collection {
    pub(in crate::inject) const ALL: [Self; 5] = [
        Self::Metadata,
        Self::Annotations,
        Self::List(SpecList::InitContainers),
        Self::List(SpecList::Containers),
        Self::List(SpecList::Volumes),
    ];

    /// Its field path: `spec.volumes`.
    pub(in crate::inject) fn path(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Annotations => "metadata.annotations",
            Self::List(SpecList::InitContainers) => "spec.initContainers",
            Self::List(SpecList::Containers) => "spec.containers",
            Self::List(SpecList::Volumes) => "spec.volumes",
        }
    }

    /// The collection with this field path.
    pub(in crate::inject) fn from_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|collection| collection.path() == path)
    }

    /// Its pointer in the pod.
    pub(in crate::inject) fn pointer(self) -> Pointer {
        let root = Pointer::root();
        match self {
            Self::Metadata => root.join_key("metadata"),
            Self::Annotations => root.join_keys(&["metadata", "annotations"]),
            Self::List(list) => list.pointer(),
        }
    }
}
