//! Members of a prober that probelet does not know: ignored as by Istio's agent, unless the prober says by other members of
//! probelet's which response it expects, or the name is one of these misspelt. `target` is none of these: injection writes
//! it beside fields of the pod.

use super::Problem;
use super::json::{Kind, Reader};
use super::prober_input::Input;
use crate::text::suggest;

/// The members with which a prober may have no unknown ones.
const OWN: [&str; 3] = ["redirects", "expect", "all"];
/// A handler of kubelet's that is near to `expect`.
const EXEC: &str = "exec";

impl Input<'_> {
    /// Checks an unknown member of `object`, which is the prober or a part of it.
    #[cold]
    #[inline(never)]
    pub(super) fn check_unknown(
        &mut self,
        object: &'static str,
        member: &str,
        known: &'static [&'static str],
    ) {
        let has_own = *self
            .has_own
            .get_or_insert_with(|| has_own(self.entry.clone()));
        let is_misspelt = || {
            let name = member.to_ascii_lowercase();
            let is_prober = known.contains(&OWN[0]);
            is_prober && name != EXEC && suggest(&name, OWN.into_iter()).is_some()
        };
        if has_own || is_misspelt() {
            self.fail(Problem::UnknownMember {
                object,
                member: member.into(),
                known,
            });
        }
    }
}

/// Whether a prober has one of [`OWN`]. A syntax error is found where it is.
fn has_own(mut reader: Reader<'_>) -> bool {
    if reader.kind() != Kind::Object {
        return false;
    }
    let mut object = reader.enter();
    while let Some(key) = object.next_key(&mut reader) {
        let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(&key));
        if is_own && reader.kind() != Kind::Null {
            return true;
        }
        reader.raw_value();
    }
    false
}
