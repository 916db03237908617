//! Results and their goals.

use std::fmt;

use crate::report::{Table, thousands};

/// A row: what was measured, the result, and the goal.
#[derive(Debug)]
pub(super) struct Measurement {
    name: String,
    result: String,
    goal: Option<Goal>,
}

#[derive(Debug)]
struct Goal {
    text: String,
    is_met: bool,
}

impl Measurement {
    /// Creates a measurement without a goal.
    pub(super) fn new(name: impl Into<String>, result: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            result: result.into(),
            goal: None,
        }
    }

    /// Sets the goal that `value` is at most `limit`.
    pub(super) fn at_most(mut self, value: f64, limit: f64, unit: &str) -> Self {
        self.goal = Some(Goal {
            text: format!("≤ {} {unit}", thousands(limit)),
            is_met: value <= limit,
        });
        self
    }

    /// Sets the goal that `count` equals `total`.
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

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.result)?;
        match &self.goal {
            Some(goal) => write!(f, " (goal: {})", goal.text),
            None => Ok(()),
        }
    }
}

/// Formats measurements as a table.
pub(super) fn table(measurements: &[Measurement]) -> Table {
    let mut table = Table::new(["", "measured", "goal", ""]);
    for measurement in measurements {
        let (goal, verdict) = match &measurement.goal {
            None => (String::new(), ""),
            Some(goal) if goal.is_met => (goal.text.clone(), "ok"),
            Some(goal) => (goal.text.clone(), "**missed**"),
        };
        let (name, result) = (measurement.name.clone(), measurement.result.clone());
        table.row([name, result, goal, verdict.to_owned()]);
    }
    table
}

/// Formats the median and the range of values.
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

/// Returns the smallest value that at least this part of all values does not exceed.
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
    fn quantiles_are_measured_values() {
        let mut values: Vec<_> = (1..=200).rev().map(f64::from).collect();
        for (part, value) in [(0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(quantile(&mut values, part), value);
        }
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn missing_values_miss_the_goal() {
        let measurement = Measurement::new("", "").at_most(f64::NAN, 1.0, "ms");
        assert!(measurement.is_missed());
        assert!(!Measurement::new("", "").at_most(1.0, 1.0, "ms").is_missed());
        assert!(Measurement::new("", "").all_of(1, 2).is_missed());
    }
}
