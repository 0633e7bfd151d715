//! The process's limit of file descriptors. Containers often start with a soft limit far below the hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to `wanted` descriptors if it is lower, as far as the hard limit permits. Returns the limit.
pub fn raise_descriptor_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let descriptors = |limit: Option<u64>| limit.map_or(usize::MAX, |n| n as usize);
    let available = descriptors(limit.current);
    if available >= wanted {
        return available;
    }
    let raised = wanted.min(descriptors(limit.maximum));
    let current = Some(raised as u64);
    match setrlimit(Resource::Nofile, Rlimit { current, ..limit }) {
        Ok(()) => raised,
        Err(_) => available,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_at_most_to_the_hard_limit_and_never_lowered() {
        let available = raise_descriptor_limit(1);
        assert!(available >= 1);
        assert_eq!(raise_descriptor_limit(1), available);
        let raised = raise_descriptor_limit(available + 1);
        let hard = getrlimit(Resource::Nofile).maximum;
        let hard = hard.map_or(usize::MAX, |n| n as usize);
        assert_eq!(raised, hard.min(available + 1));
    }
}
