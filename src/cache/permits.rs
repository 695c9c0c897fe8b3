//! `Permits`: limits how many tasks start at once.
//!
//! A permit is a lease. After it expires another task may start, even if the permit was not
//! dropped. So a hung provider, or a task that was lost with its runtime, delays another
//! provider by at most one lease.

use std::{
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::clock::{self, Instant};

#[derive(Debug)]
pub(super) struct Permits {
    max: NonZeroUsize,
    leases: Mutex<Leases>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Leases {
    current: Vec<Lease>,
    last_number: u64,
}

#[derive(Debug)]
struct Lease {
    number: u64,
    end: Instant,
}

/// Ends its lease when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Arc<Permits>,
    number: u64,
}

impl Permits {
    /// The duration of a lease.
    pub(super) const LEASE: Duration = Duration::from_millis(250);

    pub(super) fn new(max: NonZeroUsize) -> Self {
        Self {
            max,
            leases: Mutex::default(),
            released: Notify::new(),
        }
    }

    /// The longest wait for a permit behind this many other tasks.
    pub(super) fn max_wait(&self, before: usize) -> Duration {
        let rounds = before / self.max;
        Self::LEASE.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Waits until fewer than `max` leases are active.
    ///
    /// # Cancel safety
    ///
    /// A caller that is dropped holds no permit.
    pub(super) async fn acquire(self: &Arc<Self>) -> Permit {
        loop {
            let mut released = pin!(self.released.notified());
            released.as_mut().enable(); // before `try_acquire`, so that no release is missed
            match self.try_acquire(clock::now()) {
                Ok(permit) => return permit,
                Err(end) => _ = clock::until(end, released).await,
            }
        }
    }

    /// Returns a permit, or when the first of the active leases ends.
    fn try_acquire(self: &Arc<Self>, now: Instant) -> Result<Permit, Instant> {
        let mut leases = self.leases();
        leases.current.retain(|lease| now < lease.end);
        if leases.current.len() >= self.max.get() {
            let ends = leases.current.iter().map(|lease| lease.end);
            return Err(ends.min().unwrap_or(now));
        }
        leases.last_number += 1;
        let number = leases.last_number;
        let end = now + Self::LEASE;
        leases.current.push(Lease { number, end });
        Ok(Permit {
            permits: Arc::clone(self),
            number,
        })
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut leases = self.permits.leases();
        leases.current.retain(|lease| lease.number != self.number);
        drop(leases);
        self.permits.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(max: usize) -> Arc<Permits> {
        Arc::new(Permits::new(NonZeroUsize::new(max).expect("is not zero")))
    }

    #[tokio::test(start_paused = true)]
    async fn permit_expires_if_never_released() {
        let permits = permits(2);
        let began = clock::now();
        for _ in 0..2 {
            std::mem::forget(permits.acquire().await);
        }
        assert_eq!(clock::now(), began);
        let _third = permits.acquire().await;
        assert_eq!(clock::now() - began, Permits::LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn released_permit_is_reused_at_once() {
        let permits = permits(1);
        let began = clock::now();
        let first = permits.acquire().await;
        let second = async {
            let _second = permits.acquire().await;
            clock::now()
        };
        let release = async { drop(first) };
        let (at, ()) = tokio::join!(second, release);
        assert_eq!(at, began);
    }

    #[test]
    fn max_wait_grows_by_one_lease_per_round() {
        let permits = permits(16);
        assert_eq!(permits.max_wait(15), Duration::ZERO);
        assert_eq!(permits.max_wait(16), Permits::LEASE);
        assert_eq!(permits.max_wait(160), 10 * Permits::LEASE);
    }
}
