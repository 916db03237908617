//! A figure, the goal that it has, and whether it is met.

use std::fmt;

use crate::report::{Table, thousands};

/// One row: what was measured, and what it should have been.
#[derive(Debug)]
pub(super) struct Figure {
    what: String,
    measured: String,
    goal: Option<Goal>,
}

#[derive(Debug)]
struct Goal {
    text: String,
    is_met: bool,
}

impl Figure {
    /// A figure that has no goal, and gives sense to those that have one.
    pub(super) fn told(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            goal: None,
        }
    }

    /// The goal that `value` is to be no more than `limit`.
    pub(super) fn at_most(mut self, value: f64, limit: f64, unit: &str) -> Self {
        self.goal = Some(Goal {
            text: format!("≤ {} {unit}", thousands(limit)),
            is_met: value <= limit,
        });
        self
    }

    /// The goal that all of `total` are among `count`.
    pub(super) fn all_of(mut self, count: usize, total: usize) -> Self {
        self.goal = Some(Goal {
            text: format!("all {}", thousands(total as f64)),
            is_met: count == total,
        });
        self
    }

    pub(super) fn is_missed(&self) -> bool {
        self.goal.as_ref().is_some_and(|goal| !goal.is_met)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.measured)?;
        match &self.goal {
            Some(goal) => write!(f, ", and not {}", goal.text),
            None => Ok(()),
        }
    }
}

pub(super) fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new(["", "measured", "goal", ""]);
    for figure in figures {
        let (goal, verdict) = match &figure.goal {
            None => (String::new(), ""),
            Some(goal) if goal.is_met => (goal.text.clone(), "ok"),
            Some(goal) => (goal.text.clone(), "**missed**"),
        };
        let (what, measured) = (figure.what.clone(), figure.measured.clone());
        table.row([what, measured, goal, verdict.to_owned()]);
    }
    table
}

/// The middle of some values, and their ends.
pub(super) fn spread(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = crate::report::median(values.to_vec()).unwrap_or(f64::NAN);
    format!(
        "{} ({}–{})",
        thousands(middle),
        thousands(low),
        thousands(high)
    )
}

/// The value that this part of all values does not exceed.
pub(super) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut values: Vec<_> = (1..=200).rev().map(f64::from).collect();
        for (part, value) in [(0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(quantile(&mut values, part), value);
        }
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn what_was_never_measured_meets_no_goal() {
        let figure = Figure::told("", "").at_most(f64::NAN, 1.0, "ms");
        assert!(figure.is_missed());
        assert!(!Figure::told("", "").at_most(1.0, 1.0, "ms").is_missed());
        assert!(Figure::told("", "").all_of(1, 2).is_missed());
    }
}
