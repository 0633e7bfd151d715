//! `"all": [handler, ...]`: several handlers of one prober.

use crate::config::json::Kind;
use crate::config::members::Members;
use crate::config::probe_handler::{HandlerFields, ProberMember};
use crate::config::prober_input::Input;
use crate::config::{ProbeHandler, Rule};
use crate::limits;

/// Reads the list.
#[inline(never)]
pub(super) fn read_handlers(input: &mut Input<'_>) -> Vec<ProbeHandler> {
    let start = input.reader.clone();
    let field = ProberMember::All.name();
    input.expect_kind(Kind::Array, field, Rule::All);
    let mut array = input.reader.enter();
    let mut handlers = Vec::new();
    let mut count = 0;
    while array.next_item(&mut input.reader) && count <= limits::PROBE_HANDLERS {
        let mut members = Members::<ProberMember>::of(input, "the value", Rule::Handler);
        let mut fields = HandlerFields::default();
        while let Some(member) = members.next(input) {
            fields.read(input, member);
        }
        handlers.extend(fields.finish(input));
        if input.has_failed() {
            input.in_all(count, ProberMember::OF_HANDLER);
        }
        count += 1;
    }
    if !(2..=limits::PROBE_HANDLERS).contains(&count) {
        input.invalid_value(&start, field, Rule::All);
    }
    handlers
}
