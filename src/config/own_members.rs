//! Reads the members of a prober that Istio's do not have: `redirects` and `expect`.

use super::members::{Members, members};
use super::prober_input::Input;
use super::{BodyText, Expect, Rule, StatusList};

members! {
    ExpectMember:
    Status = "expect.status",
    Body = "expect.body",
}

/// `"redirects": "none"`. Returns whether redirects are followed.
#[inline(never)]
pub(super) fn read_redirects(input: &mut Input<'_>, field: &'static str) -> bool {
    input.one_of(field, Rule::Redirects, &["none"]);
    false
}

/// `expect`
#[inline(never)]
pub(super) fn read_expect(input: &mut Input<'_>, field: &'static str) -> Box<Expect> {
    let start = input.reader.clone();
    let mut members = Members::<ExpectMember>::of(input, field, Rule::Expect);
    let mut expect = Box::<Expect>::default();
    let mut is_empty = true;
    while let Some(member) = members.next(input) {
        is_empty = false;
        let before = input.reader.clone();
        let text = input.string(member.name());
        let broken = match member {
            ExpectMember::Status => match StatusList::parse(&text) {
                Some(list) => {
                    expect.status = list;
                    continue;
                }
                None => Rule::ExpectStatus,
            },
            ExpectMember::Body => {
                expect.body = BodyText::new(&text);
                match expect.body {
                    Some(_) => continue,
                    None => Rule::ExpectBody,
                }
            }
        };
        input.invalid_value(&before, member.name(), broken);
    }
    if is_empty {
        input.invalid_value(&start, field, Rule::Expect);
    }
    expect
}
