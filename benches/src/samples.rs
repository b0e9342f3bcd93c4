//! Measured values of one subject, one a round, and what can be said of them.

use serde::Serialize;

/// What a subject did in each round, in the order of the rounds.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one; of an even number the mean of the middle two. Not a number without values.
    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The least and the greatest.
    pub(crate) fn range(&self) -> (f64, f64) {
        let fold = |pick: fn(f64, f64) -> f64| self.0.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        (fold(f64::min), fold(f64::max))
    }

    /// What these are more than the others, round by round.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect())
    }

    /// The median over the rounds of this subject's value over the other's in the same round: what both had to share, a busy
    /// machine above all, is in neither.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "halves and small whole numbers are exact")]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn medians_and_ranges() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(samples(&[]).median().is_nan());
        assert_eq!(samples(&[3.0, 1.0, 2.0]).range(), (1.0, 3.0));
    }

    #[test]
    fn a_difference_is_of_rounds() {
        assert_eq!(samples(&[3.0, 1.0]).over(&samples(&[1.0, 2.0])), samples(&[2.0, -1.0]));
    }

    #[test]
    fn a_ratio_is_of_rounds_and_not_of_medians() {
        // A machine that was slow in one round was so for both.
        let (a, b) = (samples(&[10.0, 1.0, 10.0]), samples(&[20.0, 2.0, 10.0]));
        assert_eq!((a.ratio_to(&b), b.ratio_to(&a)), (0.5, 2.0));
    }
}
