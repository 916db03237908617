//! Tokens, good and bad, and what becomes of them. One binary; a file for each subject.

mod audience;
mod differential;
mod keys;
mod matrix;
mod rotation;
mod support;
mod vectors;
mod verifier;
