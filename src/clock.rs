//! The one reader of time and of randomness.
//!
//! All waiting goes through tokio's clock, so that tests can pause it, and what
//! would have to change on a target without that clock stands in this file.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

pub(crate) use tokio::time::Instant;

/// Monotonic time now.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Wall time now, for what leaves the process.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Seconds since the Unix epoch, 0 for a clock set before it.
pub(crate) fn unix_seconds() -> u64 {
    wall()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What `future` gives, or `None` when `duration` went by first.
pub(crate) async fn within<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(duration, future).await.ok()
}

/// What `future` gives, or `None` when `deadline` came first.
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(deadline, future).await.ok()
}

/// Randomness for delays: from the system, or from a seed.
#[derive(Debug)]
pub(crate) struct Jitter(fastrand::Rng);

impl Jitter {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed))
    }

    /// Anything from nothing to `delay`: "full jitter".
    pub(crate) fn full(&mut self, delay: Duration) -> Duration {
        delay.mul_f64(self.0.f64())
    }

    /// `period` give or take `part` of it: 0.1 for ± 10 %.
    pub(crate) fn around(&mut self, period: Duration, part: f64) -> Duration {
        period.mul_f64(1.0 + part * (2.0 * self.0.f64() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_bounds_and_repeats_for_a_seed() {
        let second = Duration::from_secs(1);
        let mut one = Jitter::new(Some(7));
        let mut two = Jitter::new(Some(7));
        for _ in 0..1000 {
            let full = one.full(second);
            assert_eq!(full, two.full(second));
            assert!(full <= second);
            let around = one.around(second, 0.1);
            assert_eq!(around, two.around(second, 0.1));
            assert!(around >= second.mul_f64(0.9) && around <= second.mul_f64(1.1));
        }
    }
}
