//! Compares the rows of a table and reports every difference at once.

use std::fmt::{Debug, Display};

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: usize,
    differing: Vec<String>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Compares the expected result of one row with the actual one.
    pub(crate) fn row(&mut self, sent: impl Debug, expected: impl Display, actual: impl Display) {
        self.rows += 1;
        let (expected, actual) = (expected.to_string(), actual.to_string());
        if expected != actual {
            let sent: String = format!("{sent:?}").chars().take(200).collect();
            self.differing.push(format!(
                "  sent      {sent}\n  expected  {expected}\n  actual    {actual}\n"
            ));
        }
    }

    /// Fails if a row differs, or if there are no rows.
    #[track_caller]
    pub(crate) fn finish(self) {
        assert_ne!(self.rows, 0, "the table has no rows");
        assert!(
            self.differing.is_empty(),
            "{} of {} rows differ:\n{}",
            self.differing.len(),
            self.rows,
            self.differing.join("\n")
        );
    }
}
