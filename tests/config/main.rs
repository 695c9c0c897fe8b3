//! Config: settings in code and in files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod build;
#[cfg(feature = "config")]
mod settings;
mod words;
