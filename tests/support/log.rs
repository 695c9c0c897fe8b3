//! Collects everything that is logged in the test process, by every crate, at every level.
//!
//! One subscriber serves the whole process: a subscriber per thread misses events that another
//! thread logged first, because `tracing` caches the interest in an event for all threads.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part of it, and fails by panicking"
)]

use std::{
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
    thread::{self, ThreadId},
};

use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// Collects from its first use on.
pub static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    // Events that other tests logged meanwhile were cached as disabled.
    tracing::callsite::rebuild_interest_cache();
    log
});

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Written>>>);

type Written = (ThreadId, Vec<u8>);

impl Log {
    pub fn text(&self) -> String {
        self.of(|_| true)
    }

    /// The log of this thread, which is all of a test on a single-threaded runtime.
    pub fn of_this_thread(&self) -> String {
        let here = thread::current().id();
        self.of(|thread| thread == here)
    }

    fn of(&self, counts: impl Fn(ThreadId) -> bool) -> String {
        let written = self.0.lock().unwrap();
        let bytes = written.iter().filter(|(thread, _)| counts(*thread));
        let bytes: Vec<u8> = bytes.flat_map(|(_, bytes)| bytes).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (thread::current().id(), bytes.to_vec());
        self.0.lock().unwrap().push(written);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
