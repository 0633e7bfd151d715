//! Handlers of probes and hooks on their way between a port of the app's and one of the agent's.

use super::merge::{Entry, Merge, Row};
use super::original::{Kept, plain_key};
use super::plan::Goal;
use super::probes::Slot;
use serde_json::Value;

impl Merge<'_> {
    /// A probe or hook. Its handler's members first, then the key it stands under.
    pub(super) fn slot(&mut self, slot: &Slot<'_>) {
        let goal = self.plan.and_then(|plan| plan.probes.get(&slot.key));
        let is_left = self.present.is_left(slot);
        let Some((kind, fields)) = slot.handler().filter(|_| is_left || goal.is_some()) else {
            return;
        };
        let place = format!("{}.httpGet", slot.key);
        let kept = self.old(&place).filter(|_| is_left);
        let key = kept.and_then(|kept| kept.key.as_deref());
        let kind_was = key.map_or_else(|| kind.into(), plain_key);
        let mut has_path = false;
        for (name, value) in fields {
            let kept = self.old(&format!("{place}.{name}")).filter(|_| is_left);
            let was = before(kept, name, value);
            let wanted = was.as_ref().map(|was| wanted_field(goal, &kind_was, was));
            has_path |= wanted.as_ref().is_some_and(|(name, _)| &**name == "path");
            let now = Some((Box::from(&**name), value.clone()));
            let row = Row {
                was,
                now,
                wanted,
                kept,
            };
            // What injection added is looked at below, as it may be wanted again.
            if row.was.is_some() || name != "path" {
                self.row(&slot.at.key(kind), &place, row);
            }
        }
        if !has_path {
            self.added_path(slot, kind, &place, goal, is_left);
        }
        let kind_wanted = goal.map_or(&*kind_was, |_| "httpGet");
        let entry = |name: &str| Some((Box::from(name), Value::Null));
        let row = Row {
            was: entry(&kind_was),
            now: entry(kind),
            wanted: entry(kind_wanted),
            kept,
        };
        self.row(&slot.at, &slot.key, row);
    }

    /// The path of a handler that had none.
    fn added_path(
        &mut self,
        slot: &Slot<'_>,
        kind: &str,
        place: &str,
        goal: Option<&Goal>,
        is_left: bool,
    ) {
        let kept = self.old(&format!("{place}.path")).filter(|_| is_left);
        let is_ours = kept.is_some_and(Kept::is_new);
        let now = slot.value[kind].get("path").filter(|_| is_ours);
        let wanted = match goal {
            Some(Goal::Rewritten { path, .. }) => Some(("path".into(), (&**path).into())),
            _ => None,
        };
        let row = Row {
            was: None,
            now: now.map(|path| ("path".into(), path.clone())),
            wanted,
            kept: None,
        };
        self.row(&slot.at.key(kind), place, row);
    }
}

/// How an entry of a handler was, by what is kept of it.
fn before(kept: Option<&Kept>, name: &str, value: &Value) -> Option<Entry> {
    let Some(kept) = kept else {
        return Some((name.into(), value.clone()));
    };
    if kept.is_new() {
        return None;
    }
    let name = kept.key.as_deref().map_or_else(|| name.into(), plain_key);
    let value = kept.was.as_ref().map_or(value, |was| &was.value);
    Some((name, value.clone()))
}

/// What becomes of an entry of a handler that was of this kind.
fn wanted_field(goal: Option<&Goal>, kind: &str, (name, value): &Entry) -> Entry {
    let is = |word: &str| {
        value
            .as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let (name, value): (&str, Value) = match (goal, kind, &**name) {
        (Some(Goal::Forwarded(to)), _, "port") => ("port", (*to).into()),
        (Some(Goal::Rewritten { port, .. }), _, "port") => ("port", (*port).into()),
        (Some(Goal::Rewritten { path, .. }), "httpGet", "path")
        | (Some(Goal::Rewritten { path, .. }), "grpc", "service") => ("path", (&**path).into()),
        (Some(Goal::Rewritten { .. }), "httpGet", "scheme") if is("HTTPS") => {
            ("scheme", "HTTP".into())
        }
        (Some(Goal::Rewritten { .. }), "httpGet", "protocol") if is("HTTP2") => {
            ("protocol", "HTTP1".into())
        }
        (Some(Goal::Rewritten { .. }), "grpc", "mode") => ("scheme", "HTTP".into()),
        (_, _, name) => (name, value.clone()),
    };
    (name.into(), value)
}
