//! What else answers `GET /v1/models`, beside tower-models-cache.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml` prints it all as tables.
//! Every contender answers the same request with the same list, in process, and
//! its response is dropped inside of the measurement.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a bench: it measures real time, and it stops where something is wrong"
)]

pub mod case;
pub mod contenders;
pub mod gateway;
pub mod herd;
pub mod request;
pub mod tables;
pub mod upstream;
