//! Checks of the source text: the imports between modules, the public API and its documentation, the
//! length of files, and words that the project does not use.

mod api;
mod exports;
mod files;
mod imports;
mod names;
mod print;
mod source;
mod summary;
mod tests;
mod words;
