//! Caching: when providers are fetched, and what happens to their responses.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod backoff;
mod ended;
mod fallback;
mod find;
mod flights;
mod freshness;
mod independence;
mod readiness;
mod reconfigure;
mod refresh;
mod refresh_by_request;
mod review;
mod rotation;
mod shutdown;
mod single_flight;
mod subscribers;
mod write_back;
