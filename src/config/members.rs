//! Reads the members of objects in the probers' JSON, with errors that name the member.

use super::json::{Container, Kind};
use super::prober_input::Input;
use super::{Problem, Rule};
use core::marker::PhantomData;

/// Declares the known members of an object as an enum, with the names that errors use: dotted, and compared by their
/// last part.
macro_rules! members {
    ($(#[$doc:meta])* $vis:vis $members:ident: $($member:ident = $name:expr,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $members {
            $($member,)*
        }

        impl $crate::config::members::Member for $members {
            const NAMES: &[&str] = &[$($name),*];
            const ALL: &[Self] = &[$($members::$member),*];
        }

        impl $members {
            $vis fn name(self) -> &'static str {
                <Self as $crate::config::members::Member>::NAMES[self as usize]
            }
        }
    };
}
pub(super) use members;

/// The known members of an object; made by [`members!`].
pub(super) trait Member: Copy + 'static {
    /// The names of the members.
    const NAMES: &[&str];
    /// The members, in the order of their names.
    const ALL: &[Self];
}

/// The members of one object that are known, in the order of the text.
pub(super) struct Members<M> {
    seen: SeenMembers,
    members: PhantomData<M>,
}

/// The part of [`Members`] that does not depend on the kind of object.
struct SeenMembers {
    /// The object's name in errors.
    field: &'static str,
    /// A bit for each known member that was read.
    known: u8,
    object: Container,
}

impl<M: Member> Members<M> {
    /// Enters the object that must be next.
    pub(super) fn of(input: &mut Input<'_>, field: &'static str, rule: Rule) -> Self {
        Members {
            seen: SeenMembers::of(input, field, rule),
            members: PhantomData,
        }
    }

    /// The next member that is known and not null.
    pub(super) fn next(&mut self, input: &mut Input<'_>) -> Option<M> {
        let index = self.seen.next(input, M::NAMES)?;
        Some(M::ALL[index])
    }
}

impl SeenMembers {
    #[inline(never)]
    fn of(input: &mut Input<'_>, field: &'static str, rule: Rule) -> SeenMembers {
        input.expect_kind(Kind::Object, field, rule);
        SeenMembers {
            field,
            known: 0,
            object: input.reader.enter(),
        }
    }

    #[inline(never)]
    fn next(&mut self, input: &mut Input<'_>, names: &'static [&'static str]) -> Option<usize> {
        while let Some(key) = self.object.next_key(&mut input.reader) {
            let is_key = |name: &&str| {
                name.rsplit('.')
                    .next()
                    .is_some_and(|last| last.eq_ignore_ascii_case(&key))
            };
            let Some(index) = names.iter().position(is_key) else {
                input.check_unknown(self.field, &key, names);
                input.reader.raw_value();
                continue;
            };
            if self.known & 1 << index != 0 {
                input.fail(Problem::Repeated(names[index]));
            }
            self.known |= 1 << index;
            if input.reader.kind() != Kind::Null {
                return Some(index);
            }
            input.reader.raw_value();
        }
        None
    }
}
