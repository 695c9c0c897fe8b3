//! Memory: allocations per request, and bytes held. The allocator counts for the whole process,
//! so these tests run one at a time.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../../benches/support/mod.rs"]
mod bench_support;
#[path = "../support/mod.rs"]
mod support;

mod allocations;
#[cfg(feature = "client")]
mod bombs;
mod lazy;
mod view_bounds;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Held by the test that counts.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
