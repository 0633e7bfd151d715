//! Kinds that `--kind-template` or `kindTemplates` of the ConfigMap make known, and pod templates in resources of unknown
//! kinds.

use crate::manifest::Segment;
use core::fmt;
use serde_json::Value;

/// What to write in `--kind-template`.
pub(super) const EXAMPLE: &str = "RESOURCE.GROUP=PATH, such as rollouts.argoproj.io=spec.template or \
     rayclusters.ray.io=spec.workerGroupSpecs[*].template; PATH none ignores the kind";

/// What to write instead of a kind of Knative.
pub(super) const KNATIVE: &str = "another kind: Knative rejects init containers and more than one port; label the namespace \
     for the webhook, which injects the pods";

/// The group of Knative's kinds with pod templates. Its validation allows no init container and one port in all
/// (`pkg/apis/serving/k8s_validation.go`).
pub(super) const KNATIVE_GROUP: &str = "serving.knative.dev";

/// The path that says that a kind has no pods.
const NO_PODS: &str = "none";

/// The kinds that the settings make known, in addition to those that are always known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindTemplates(Vec<KindTemplate>);

/// A kind, and the path of one of its pod templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KindTemplate {
    pub(super) kind: KindName,
    /// None: the kind has no pods, whatever its resources look like.
    path: Option<TemplatePath>,
}

/// The name of a kind as users write it, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KindName {
    /// `rollouts` or `rollout`
    resource: Box<str>,
    /// Empty for the core group.
    pub(super) group: Box<str>,
}

/// The path from a resource to a pod template, such as `spec.template` or `spec.tasks[*].template`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TemplatePath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(Box<str>),
    EachItem,
}

/// A pod template in a resource.
pub(super) struct FoundTemplate {
    pub(super) path: TemplatePath,
    /// Relative to the resource.
    pub(super) pointer: Vec<Segment>,
}

impl KindTemplates {
    /// Adds a kind.
    pub(super) fn push(&mut self, kind: KindTemplate) {
        self.0.push(kind);
    }

    /// The kinds.
    #[cfg(feature = "inject")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &KindTemplate> {
        self.0.iter()
    }

    /// Adds the kinds of `others` that these do not name.
    #[must_use]
    pub(super) fn or(mut self, others: Self) -> Self {
        let is_new = |other: &KindTemplate| !self.0.iter().any(|own| own.kind == other.kind);
        let others: Vec<KindTemplate> = others.0.into_iter().filter(is_new).collect();
        self.0.extend(others);
        self
    }

    /// The paths of the pod templates of a kind; empty if it has no pods, `None` if it is not known.
    pub(super) fn paths_of(&self, kind: &str, group: Option<&str>) -> Option<Vec<&TemplatePath>> {
        let entries = self.0.iter().filter(|entry| entry.kind.is(kind, group));
        let entries: Vec<&KindTemplate> = entries.collect();
        let paths: Vec<&TemplatePath> = entries
            .iter()
            .filter_map(|entry| entry.path.as_ref())
            .collect();
        // A pod template within another one would be edited twice.
        let is_outermost = |path: &&TemplatePath| {
            let mut others = paths.iter();
            !others.any(|other| path.0.len() > other.0.len() && path.0.starts_with(&other.0))
        };
        let mut outermost: Vec<&TemplatePath> = Vec::new();
        for path in paths.iter().copied().filter(is_outermost) {
            if !outermost.contains(&path) {
                outermost.push(path);
            }
        }
        (!entries.is_empty()).then_some(outermost)
    }
}

impl KindTemplate {
    /// Parses `rollouts.argoproj.io=spec.template`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, path) = text.split_once('=')?;
        let path = match path.trim() {
            NO_PODS => None,
            path => Some(TemplatePath::parse(path)?),
        };
        let kind = KindName::parse(kind.trim())?;
        Some(Self { kind, path })
    }

    /// Whether its pod template is at this path.
    pub(super) fn is_at(&self, keys: &[&str]) -> bool {
        let is_key = |(step, key): (&Step, &&str)| matches!(step, Step::Key(own) if **own == **key);
        self.path
            .as_ref()
            .is_some_and(|path| path.0.len() == keys.len() && path.0.iter().zip(keys).all(is_key))
    }

    /// Whether the kind has no pods.
    pub(super) fn has_no_pods(&self) -> bool {
        self.path.is_none()
    }
}

impl KindName {
    /// The name of a kind, such as `rollouts.argoproj.io` of `Rollout`.
    pub(super) fn of(kind: &str, group: Option<&str>) -> Self {
        Self {
            resource: plural(&kind.to_lowercase()).into(),
            group: group.unwrap_or_default().into(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let is_label = |label: &str| {
            let mut chars = label.chars();
            !label.is_empty() && chars.all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        let is_valid = text.split('.').all(is_label);
        let (resource, group) = text.split_once('.').unwrap_or((&text, ""));
        is_valid.then(|| Self {
            resource: resource.into(),
            group: group.into(),
        })
    }

    /// Whether it names a kind, of any group if the resource has no `apiVersion`.
    pub(super) fn is(&self, kind: &str, group: Option<&str>) -> bool {
        let kind = kind.to_lowercase();
        let is_group = group.is_none_or(|group| group.eq_ignore_ascii_case(&self.group));
        is_group && is_name_of(&self.resource, &kind)
    }
}

/// The usual plural of a kind in lower case.
fn plural(kind: &str) -> String {
    let consonant_before_y = |stem: &&str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    let is_sibilant = || {
        let mut endings = ["s", "x", "z", "ch", "sh"].into_iter();
        endings.any(|ending| kind.ends_with(ending))
    };
    match kind.strip_suffix('y').filter(consonant_before_y) {
        Some(stem) => format!("{stem}ies"),
        None if is_sibilant() => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// Whether a resource has the name of a kind, both in lower case. A definition of a kind may have any plural: the regular
/// one, the one that kubectl guesses (`meta.UnsafeGuessKindToResource` of apimachinery), or a Latin one.
fn is_name_of(resource: &str, kind: &str) -> bool {
    const ENDINGS: [(&str, &str); 7] = [
        ("", ""),
        ("", "s"),
        ("", "es"),
        ("y", "ies"),
        ("ex", "ices"),
        ("ix", "ices"),
        ("is", "es"),
    ];
    ENDINGS.into_iter().any(|(singular, plural)| {
        let stem = kind.strip_suffix(singular);
        stem.is_some() && stem == resource.strip_suffix(plural)
    })
}

impl fmt::Display for KindTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path } = self;
        match path {
            None => write!(f, "{kind}={NO_PODS}"),
            Some(path) => write!(f, "{kind}={path}"),
        }
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.group {
            "" => f.write_str(&self.resource),
            group => write!(f, "{}.{group}", self.resource),
        }
    }
}

impl TemplatePath {
    /// Parses keys separated by dots, each followed by `[*]` if its items have templates. `.` is the resource itself.
    fn parse(text: &str) -> Option<Self> {
        let keys = text.strip_prefix('.');
        let mut steps = Vec::new();
        let parts = keys.unwrap_or(text).split('.');
        let parts = parts.filter(|_| keys != Some(""));
        for part in parts {
            let key = part.trim_end_matches("[*]");
            steps.push(Step::Key(is_plain(key).then(|| key.into())?));
            let items = (part.len() - key.len()) / "[*]".len();
            steps.extend((0..items).map(|_| Step::EachItem));
        }
        Some(Self(steps))
    }

    /// Whether it can be written in `--kind-template`.
    pub(super) fn is_writable(&self) -> bool {
        let is_none = matches!(&*self.0, [Step::Key(key)] if **key == *NO_PODS);
        let mut steps = self.0.iter();
        !is_none
            && steps.all(|step| {
                matches!(step, Step::EachItem) || matches!(step, Step::Key(key) if is_plain(key))
            })
    }

    /// Whether it is that of the resource itself.
    pub(super) fn is_resource(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of one pod template, with the indexes of items: `spec.tasks[0].template`.
    pub(super) fn describe(pointer: &[Segment]) -> String {
        let mut path = String::new();
        for segment in pointer {
            match segment {
                Segment::Key(key) if path.is_empty() => path += key,
                Segment::Key(key) => path += &format!(".{key}"),
                Segment::Index(index) => path += &format!("[{index}]"),
            }
        }
        path
    }

    /// The pointers of its pod templates in a resource, relative to it.
    pub(super) fn pointers(&self, resource: &Value) -> Vec<Vec<Segment>> {
        let mut found = Vec::new();
        expand(resource, &self.0, &mut Vec::new(), &mut found);
        found
    }
}

fn expand(
    value: &Value,
    steps: &[Step],
    pointer: &mut Vec<Segment>,
    found: &mut Vec<Vec<Segment>>,
) {
    let Some((step, steps)) = steps.split_first() else {
        found.push(pointer.clone());
        return;
    };
    match (step, value) {
        (Step::Key(key), Value::Object(members)) => {
            if let Some(member) = members.get(&**key) {
                pointer.push(Segment::Key(key.clone()));
                expand(member, steps, pointer, found);
                pointer.pop();
            }
        }
        (Step::EachItem, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push(Segment::Index(index));
                expand(item, steps, pointer, found);
                pointer.pop();
            }
        }
        _ => {}
    }
}

/// Whether a key needs no quotes in a path.
fn is_plain(key: &str) -> bool {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || ".[]=,'\"".contains(c);
    !key.is_empty() && !key.contains(is_special)
}

impl fmt::Display for TemplatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_resource() {
            return f.write_str(".");
        }
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::EachItem => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

/// The pod templates in a resource of an unknown kind: objects with `spec.containers`. `metadata` and `status` have none,
/// and neither has a pod template.
pub(super) fn find_templates(resource: &Value) -> Vec<FoundTemplate> {
    let mut found = Vec::new();
    let pointer = &mut Vec::new();
    if is_pod_template(resource) {
        add(pointer, &mut found);
        return found;
    }
    for (key, member) in resource.as_object().into_iter().flatten() {
        if key != "metadata" && key != "status" {
            search_below(
                || Segment::Key((&**key).into()),
                member,
                pointer,
                &mut found,
            );
        }
    }
    found
}

/// The recursion is bounded by `limits::DOCUMENT_NESTING`.
fn search(value: &Value, pointer: &mut Vec<Segment>, found: &mut Vec<FoundTemplate>) {
    if is_pod_template(value) {
        add(pointer, found);
        return;
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        search_below(|| Segment::Key((&**key).into()), member, pointer, found);
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        search_below(|| Segment::Index(index), item, pointer, found);
    }
}

fn search_below(
    segment: impl Fn() -> Segment,
    value: &Value,
    pointer: &mut Vec<Segment>,
    found: &mut Vec<FoundTemplate>,
) {
    if value.is_object() || value.is_array() {
        pointer.push(segment());
        search(value, pointer, found);
        pointer.pop();
    }
}

fn is_pod_template(value: &Value) -> bool {
    let spec = value.get("spec").and_then(|spec| spec.get("containers"));
    let containers = spec.and_then(Value::as_array);
    containers.is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

fn add(pointer: &[Segment], found: &mut Vec<FoundTemplate>) {
    let step = |segment: &Segment| match segment {
        Segment::Key(key) => Step::Key(key.clone()),
        Segment::Index(_) => Step::EachItem,
    };
    found.push(FoundTemplate {
        path: TemplatePath(pointer.iter().map(step).collect()),
        pointer: pointer.to_vec(),
    });
}
