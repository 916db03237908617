//! Integration tests, one module for each subject.

mod audience;
mod differential;
mod keys;
mod logging;
mod matrix;
mod rotation;
mod support;
mod vectors;
mod verifier;
