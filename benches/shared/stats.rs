//! Medians, quartiles and verdicts on bounds. A mean would depend on a single preempted round.

/// The middle half of a figure's samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the samples are below.
    pub q1: f64,
    /// Half of the samples are below.
    pub median: f64,
    /// Three quarters of the samples are below.
    pub q3: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Spread {
    /// The spread of `samples`; `None` without samples.
    pub fn of(samples: &[f64]) -> Option<Spread> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            q1: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            q3: quantile(&sorted, 0.75)?,
            samples: sorted.len(),
        })
    }

    /// A figure without a spread: a single reading, or a constant.
    pub fn exact(value: f64) -> Spread {
        Spread {
            q1: value,
            median: value,
            q3: value,
            samples: 1,
        }
    }
}

/// The median; `None` without samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    Spread::of(samples).map(|spread| spread.median)
}

/// The value that this fraction of the sorted samples is below: linear interpolation between the two nearest ranks.
/// `None` without samples.
pub fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = fraction * last as f64;
    let below = rank.floor() as usize;
    let above = rank.ceil() as usize;
    let part = rank - below as f64;
    Some(sorted[below] + (sorted[above] - sorted[below]) * part)
}

/// The ratios of `these` to `those` within each round, in which a busy machine slows down both.
pub fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these.iter().zip(those).map(|(a, b)| a / b).collect()
}

/// A bound of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// Whether a figure is within its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The middle half of the samples is within the bound.
    Met,
    /// The middle half of the samples is beyond the bound.
    NotMet,
    /// The quartiles are on both sides of the bound, so this run does not decide.
    NotDistinguishable,
}

impl Bound {
    /// Compares a spread with the bound.
    pub fn verdict(self, spread: Spread) -> Verdict {
        let (all_within, all_beyond) = match self {
            Bound::AtMost(bound) => (spread.q3 <= bound, spread.q1 > bound),
            Bound::AtLeast(bound) => (spread.q1 >= bound, spread.q3 < bound),
        };
        if all_within {
            Verdict::Met
        } else if all_beyond {
            Verdict::NotMet
        } else {
            Verdict::NotDistinguishable
        }
    }
}

impl Verdict {
    /// The verdict as text.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::NotMet => "NOT MET",
            Verdict::NotDistinguishable => "not distinguishable",
        }
    }
}
