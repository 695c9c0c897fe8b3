//! Serving: what requests get, on every HTTP stack and in every state of the list.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod axum;
mod conditional;
mod http_properties;
mod hyper;
mod ids;
mod names;
mod negotiation;
mod pass_through;
mod properties;
mod refused;
mod serve;
mod stack;
mod torn;
mod view_health;
mod view_properties;
mod view_races;
mod views;
