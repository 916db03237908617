//! The cost of admission, compared with a layer that does nothing in the same place.

mod case;
mod cookies;
mod handshake;
mod opening;
mod peers;
mod rows;
mod tokens;

use std::error::Error;
use std::fmt;

pub(crate) use self::case::run;
pub(crate) use self::opening::table as opening_table;
pub(crate) use self::peers::check_bearer;
use self::rows::{ROWS, Row};
pub(crate) use self::tokens::{TOKEN, base64url};
use crate::callgrind::{self, Cost};
use crate::report::{Table, thousands};

/// A limit for the cost above a layer that does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// Instructions, and allocations if they are limited.
    Instructions(f64, Option<f64>),

    /// A multiple of the instructions of another row.
    Times(f64, &'static str),
}

/// A row and its cost.
#[derive(Debug)]
pub(crate) struct Measured {
    row: &'static Row,
    /// The cost above a layer that does nothing.
    cost: Cost,
    /// The limits for instructions and allocations.
    limit: Option<(f64, Option<f64>)>,
}

/// Measures every row with `filter` in its name.
pub(crate) fn measure(filter: &str) -> Result<Vec<Measured>, Box<dyn Error>> {
    let mut measured: Vec<Measured> = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.contains(filter)) {
        eprintln!("counting: {}", row.name);
        let cost = cost_of(row)?;
        let limit = match row.budget {
            None => None,
            Some(Budget::Instructions(instructions, allocations)) => {
                Some((instructions, allocations))
            }
            Some(Budget::Times(factor, name)) => {
                let base = measured.iter().find(|other| other.row.name == name);
                base.map(|base| (factor * base.cost.instructions, None))
            }
        };
        measured.push(Measured { row, cost, limit });
    }
    Ok(measured)
}

fn cost_of(row: &Row) -> Result<Cost, Box<dyn Error>> {
    let cost = callgrind::count(&["rounds", row.name])?;
    if !row.is_request {
        return Ok(cost);
    }
    let nothing = callgrind::count(&["rounds", "--nothing", row.name])?;
    Ok(cost.minus(&nothing))
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.name)
    }
}

/// Formats the rows as a table.
pub(crate) fn table(rows: &[Measured]) -> Table {
    let mut table = Table::new(["", "instructions", "budget", "allocations", "budget "]);
    for measured in rows {
        let (instructions, allocations) = match measured.limit {
            None => (String::new(), String::new()),
            Some((instructions, allocations)) => (
                thousands(instructions),
                allocations.map(thousands).unwrap_or_default(),
            ),
        };
        table.row([
            measured.row.name.to_owned(),
            thousands(measured.cost.instructions),
            instructions,
            thousands(measured.cost.allocations),
            allocations,
        ]);
    }
    table
}

/// Returns the rows that exceed their budget.
pub(crate) fn exceeded(rows: &[Measured]) -> Vec<&Measured> {
    // The cost is a quotient and may have a rounding error.
    let is_over = |cost: f64, limit: f64| cost > limit + 1e-6;
    rows.iter()
        .filter(|row| match row.limit {
            None => false,
            Some((instructions, allocations)) => {
                is_over(row.cost.instructions, instructions)
                    || allocations.is_some_and(|limit| is_over(row.cost.allocations, limit))
            }
        })
        .collect()
}

/// Formats a table for each row with its instructions by function.
pub(crate) fn functions_of<'a>(rows: impl IntoIterator<Item = &'a Measured>) -> String {
    rows.into_iter()
        .map(|row| format!("### {}\n\n{}\n", row.row.name, functions(row)))
        .collect()
}

/// Returns the most expensive functions of a row, without the functions that they call.
fn functions(measured: &Measured) -> Table {
    const SHOWN: usize = 12;

    let mut functions: Vec<_> = measured.cost.functions.iter().collect();
    functions.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let mut table = Table::new(["function", "instructions"]);
    for (name, instructions) in functions.into_iter().take(SHOWN) {
        table.row([format!("`{name}`"), thousands(*instructions)]);
    }
    table
}
