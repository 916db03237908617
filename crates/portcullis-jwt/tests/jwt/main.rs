//! Tokens, good and bad, and what becomes of them. One binary; a file for each table.

mod audience;
mod differential;
mod keys;
mod matrix;
mod rotation;
mod support;
mod vectors;
