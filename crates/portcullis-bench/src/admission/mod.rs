//! What admission costs, beside a layer that does nothing in the same place.

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

/// What may not be exceeded, above a layer that does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// Instructions, and allocations if they are limited.
    Instructions(f64, Option<f64>),

    /// So many times the instructions of the row of this name.
    Times(f64, &'static str),
}

/// A row, measured.
#[derive(Debug)]
pub(crate) struct Measured {
    row: &'static Row,
    /// Above a layer that does nothing.
    cost: Cost,
    /// In instructions and allocations.
    limit: Option<(f64, Option<f64>)>,
}

/// Measures every row whose name contains `filter`.
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
    Ok(cost.beside(&nothing))
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.name)
    }
}

/// The rows as a table.
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

/// The rows that are over their budget.
pub(crate) fn broken(rows: &[Measured]) -> Vec<&Measured> {
    // A figure is a quotient, and may be off by the last bit.
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

/// Where the instructions of these rows go, a table for each.
pub(crate) fn functions_of<'a>(rows: impl IntoIterator<Item = &'a Measured>) -> String {
    rows.into_iter()
        .map(|row| format!("### {}\n\n{}\n", row.row.name, functions(row)))
        .collect()
}

/// The most expensive functions of a row, without those that they call.
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
