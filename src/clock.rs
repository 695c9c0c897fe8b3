//! The only module that reads time and randomness.
//!
//! All waiting uses tokio's clock, so that tests can pause it. A target without that clock
//! has to replace only this file.

use std::{
    future::Future,
    panic::catch_unwind,
    time::{Duration, SystemTime},
};

use tokio::runtime::Handle;
pub(crate) use tokio::time::Instant;

/// The current monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The current wall-clock time, for values that leave the process.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Seconds since the Unix epoch, or 0 if the clock is set before it.
pub(crate) fn unix_seconds() -> u64 {
    wall()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whether timers work here: inside a tokio runtime whose time driver is enabled.
///
/// tokio offers no way to check except to create a timer, which panics without a driver.
/// Use this on slow paths only, and keep the result.
pub(crate) fn has_timer() -> bool {
    let create = || drop(tokio::time::sleep(Duration::ZERO));
    Handle::try_current().is_ok() && catch_unwind(create).is_ok()
}

/// Returns the output of `future`, or `None` if `duration` elapses first.
pub(crate) async fn within<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(duration, future).await.ok()
}

/// Returns the output of `future`, or `None` if `deadline` passes first.
///
/// In a runtime without a timer the deadline has no effect.
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    if !has_timer() {
        return Some(future.await);
    }
    tokio::time::timeout_at(deadline, future).await.ok()
}

/// Detects that the machine was suspended, by comparing the wall clock with the monotonic
/// clock.
///
/// On most systems the monotonic clock stops while the machine is suspended, so a list
/// would be served as fresh after two days of sleep. The wall clock continues, but is also
/// set by hand and by NTP. So only a large gap counts, and a clock that is set back is
/// ignored.
#[derive(Debug)]
pub(crate) struct SuspendDetector {
    monotonic: Instant,
    wall: SystemTime,
}

impl SuspendDetector {
    /// A smaller gap may be clock drift.
    const MIN_GAP: Duration = Duration::from_secs(60);

    pub(crate) fn new(monotonic: Instant, wall: SystemTime) -> Self {
        Self { monotonic, wall }
    }

    /// Returns the time since the last call that the monotonic clock did not count, if it
    /// is large enough. Each gap is reported once.
    pub(crate) fn gap(&mut self, monotonic: Instant, wall: SystemTime) -> Option<Duration> {
        let counted = monotonic.saturating_duration_since(self.monotonic);
        let passed = wall.duration_since(self.wall).unwrap_or_default();
        let gap = passed.saturating_sub(counted);
        if gap < Self::MIN_GAP && counted <= passed {
            return None; // small gaps add up
        }
        *self = Self::new(monotonic, wall);
        (gap >= Self::MIN_GAP).then_some(gap)
    }
}

/// Randomness for delays, from the system or from a seed.
#[derive(Debug)]
pub(crate) struct Jitter(fastrand::Rng);

impl Jitter {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed))
    }

    /// Returns at least half of `delay`, and at most all of it.
    pub(crate) fn upper_half(&mut self, delay: Duration) -> Duration {
        delay.mul_f64(0.5 + 0.5 * self.0.f64())
    }

    /// Returns `period` plus or minus up to `part` of it: 0.1 for ± 10 %.
    pub(crate) fn around(&mut self, period: Duration, part: f64) -> Duration {
        period.mul_f64(1.0 + part * (2.0 * self.0.f64() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_bounded_and_repeats_for_a_seed() {
        let second = Duration::from_secs(1);
        let mut one = Jitter::new(Some(7));
        let mut two = Jitter::new(Some(7));
        for _ in 0..1000 {
            let upper = one.upper_half(second);
            assert_eq!(upper, two.upper_half(second));
            assert!(upper >= second / 2 && upper <= second);
            let around = one.around(second, 0.1);
            assert_eq!(around, two.around(second, 0.1));
            assert!(around >= second.mul_f64(0.9) && around <= second.mul_f64(1.1));
        }
    }

    #[test]
    fn only_clock_gaps_count_as_suspension() {
        let (mono, wall) = (now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut detector = SuspendDetector::new(mono, wall);
        let mut gap = |mono_at, wall_at: i64| {
            let ahead = wall + minutes(wall_at.unsigned_abs());
            let behind = wall - minutes(wall_at.unsigned_abs());
            detector.gap(
                mono + minutes(mono_at),
                if wall_at < 0 { behind } else { ahead },
            )
        };
        assert_eq!(gap(1, 1), None, "both clocks advance");
        assert_eq!(gap(2, 62), Some(minutes(60)), "an hour asleep");
        assert_eq!(gap(3, 63), None, "reported once");
        assert_eq!(gap(4, -100), None, "the wall clock is set back");
        assert_eq!(gap(5, -99), None, "and advances from there");
        assert_eq!(gap(100, 100), Some(minutes(200 - 96)), "or is corrected");
    }

    #[test]
    fn small_gaps_add_up() {
        let (mono, wall) = (now(), SystemTime::UNIX_EPOCH);
        let mut detector = SuspendDetector::new(mono, wall);
        let second = Duration::from_secs(1);
        let mut gaps = (1..=3).map(|n| detector.gap(mono, wall + 25 * n * second));
        assert_eq!(gaps.next(), Some(None));
        assert_eq!(gaps.next(), Some(None));
        assert_eq!(gaps.next(), Some(Some(75 * second)));
    }
}
