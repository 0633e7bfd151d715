//! Errors that repeat at every poll or retry: one log line is enough. Not in `rate_limit`, because this code is in the
//! cold section (`.cargo/layout.ld`).

/// Reports an error only if it differs from the last one.
#[derive(Clone, Debug)]
pub struct RepeatFilter<E>(Option<E>);

impl<E> Default for RepeatFilter<E> {
    fn default() -> Self {
        RepeatFilter(None)
    }
}

impl<E: Clone + PartialEq> RepeatFilter<E> {
    /// Records an error. Returns whether it differs from the last one.
    pub fn observe_error(&mut self, error: &E) -> bool {
        let is_new = self.0.as_ref() != Some(error);
        if is_new {
            self.0 = Some(error.clone());
        }
        is_new
    }

    /// Records a success: the next error is reported.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether the last result was an error.
    pub fn has_error(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::RepeatFilter;

    #[test]
    fn an_error_is_reported_if_it_differs_from_the_last_one_or_follows_a_success() {
        let mut filter = RepeatFilter::default();
        let reported = [1, 1, 2, 1].map(|error| filter.observe_error(&error));
        assert_eq!(reported, [true, false, true, true]);
        assert!(filter.has_error());
        filter.clear();
        assert!(!filter.has_error());
        assert!(filter.observe_error(&1));
    }
}
