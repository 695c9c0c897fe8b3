//! One provider's state: its entry, its last attempt, the flight in the air, and
//! when it is due. Pure: time and chance come in as arguments.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Policy;
use crate::{
    clock::{Instant, Jitter},
    entry::{Entry, Tally},
    error::{ListError, ListErrorKind, ProviderError},
    flight::Flight,
    provider::{Erased, Provider, Validator},
    snapshot::{Health, Part},
};

/// What a fetch of a provider comes to, for those who wait for it.
pub(crate) type Outcome = Result<(), ProviderError>;

pub(crate) struct Slot {
    pub(crate) provider: Provider,
    pub(crate) source: Arc<dyn Erased>,
    /// Tells a flight of this slot from one of a slot that was here before.
    pub(crate) generation: u64,
    /// Ends the slot's flight when the slot goes.
    stop: DropGuard,
    entry: Option<Good>,
    attempt: Option<Attempt>,
    flight: Option<Aloft>,
    /// When the next attempt may begin; never, for a list that is declared.
    due: Option<Instant>,
    /// Failures since the last success, and how long to wait after the next.
    failures: u32,
    backoff: Option<ExponentialBackoff>,
}

/// The last good list, and when it was last confirmed.
#[derive(Debug)]
struct Good {
    entry: Arc<Entry>,
    /// Of the last answer, which may list the same as an earlier one, `entry`.
    tally: Tally,
    confirmed: Instant,
    /// By which the provider can be asked whether the list is still this one.
    validator: Option<Validator>,
}

/// A good answer: a list, and the validator that came with it.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) entry: Arc<Entry>,
    pub(crate) validator: Option<Validator>,
}

impl Fetched {
    fn confirmed(self, now: Instant) -> Good {
        Good {
            tally: self.entry.tally().clone(),
            entry: self.entry,
            confirmed: now,
            validator: self.validator,
        }
    }
}

/// The last attempt that is over.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) ended: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// The attempt that is under way.
#[derive(Clone, Debug)]
struct Aloft {
    flight: Flight<Outcome>,
    began: Instant,
    /// Whether requests wait for it, which its end does not change: there is nothing
    /// to serve before what it brought is published.
    awaited: bool,
    /// Whether the list was invalidated since it began: what it brings may be older.
    outdated: bool,
}

/// A flight that a request may wait for, and until when.
pub(crate) type Window = (Flight<Outcome>, Instant);

impl Slot {
    pub(crate) fn new(
        provider: Provider,
        source: Arc<dyn Erased>,
        generation: u64,
        stop: &CancellationToken,
        now: Instant,
    ) -> Self {
        Self {
            provider,
            source,
            generation,
            stop: stop.child_token().drop_guard(),
            entry: None,
            attempt: None,
            flight: None,
            due: Some(now),
            failures: 0,
            backoff: None,
        }
    }

    /// Puts a declared list in, once and for all: it is never due.
    pub(crate) fn declare(&mut self, entry: Entry, now: Instant) {
        let declared = Fetched {
            entry: Arc::new(entry),
            validator: None,
        };
        self.entry = Some(declared.confirmed(now));
        self.attempt = Some(Attempt {
            ended: now,
            took: Duration::ZERO,
            outcome: Ok(()),
        });
        self.due = None;
    }

    /// Takes over how the provider is listed and asked; what it offers is the same.
    pub(crate) fn adopt(
        &mut self,
        provider: Provider,
        source: Arc<dyn Erased>,
        policy: &Policy,
        now: Instant,
    ) {
        self.provider = provider;
        self.source = source;
        // What the provider asked for, or its failures cost it, still holds.
        if self.failures == 0 {
            let soonest = now + self.interval(policy);
            self.due = self.due.map(|due| due.min(soonest));
        }
    }

    pub(crate) fn part(&self) -> Part {
        Part {
            provider: self.provider.clone(),
            entry: self.entry(),
            described: None,
            health: self.health(),
        }
    }

    /// The last good list.
    pub(crate) fn entry(&self) -> Option<Arc<Entry>> {
        self.entry.as_ref().map(|good| Arc::clone(&good.entry))
    }

    pub(crate) fn health(&self) -> Health {
        match (&self.attempt, &self.entry) {
            (None, _) => Health::Pending,
            (Some(_), None) => Health::Missing,
            (Some(Attempt { outcome: Ok(_), .. }), Some(_)) => Health::Fresh,
            (Some(_), Some(_)) => Health::Stale,
        }
    }

    // ----- flights -----

    /// The flight in the air, if there is one.
    pub(crate) fn aloft(&self) -> Option<Flight<Outcome>> {
        let aloft = self.aloft_entry()?;
        Some(aloft.flight.clone())
    }

    fn aloft_entry(&self) -> Option<&Aloft> {
        // A task that was lost with its runtime never lands: it does not block the next.
        self.flight
            .as_ref()
            .filter(|aloft| aloft.flight.is_in_the_air())
    }

    pub(crate) fn begin(
        &mut self,
        flight: Flight<Outcome>,
        policy: &Policy,
        now: Instant,
    ) -> CancellationToken {
        self.flight = Some(Aloft {
            flight,
            began: now,
            awaited: self.is_awaited(policy),
            outdated: false,
        });
        self.stop.token().clone()
    }

    /// What requests wait for: the first attempt, and every attempt when each
    /// request asks; never one that follows a failure.
    fn is_awaited(&self, policy: &Policy) -> bool {
        match &self.attempt {
            None => true,
            Some(last) => policy.renewal.is_per_request() && last.outcome.is_ok(),
        }
    }

    /// Whether an attempt may begin now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now) && self.aloft_entry().is_none()
    }

    /// When the next attempt may begin, once the one under way has landed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// When the next attempt may begin, unless one is under way.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        self.due.filter(|_| self.aloft_entry().is_none())
    }

    /// What a request waits for here, if there is something.
    pub(crate) fn window(&self, policy: &Policy, now: Instant) -> Option<Window> {
        let awaited = self.aloft_entry()?.awaited || self.is_awaited(policy);
        self.any_window(policy, now).filter(|_| awaited)
    }

    /// What a request waits for here that waits for everything.
    pub(crate) fn any_window(&self, policy: &Policy, now: Instant) -> Option<Window> {
        let aloft = self.aloft_entry()?;
        let end = aloft.began + policy.miss_timeout;
        (now < end).then(|| (aloft.flight.clone(), end))
    }

    /// Takes a fetch's end in, and says whether what is published has changed. The
    /// flight is in the air until it lands, which is after the publication.
    pub(crate) fn settle(
        &mut self,
        fetched: Result<Fetched, ListError>,
        policy: &Policy,
        jitter: &mut Jitter,
        now: Instant,
    ) -> (Outcome, bool) {
        let aloft = self.flight.as_ref();
        let began = aloft.map_or(now, |aloft| aloft.began);
        let outdated = aloft.is_some_and(|aloft| aloft.outdated);
        let before = self.health();
        let had_models = self
            .entry
            .as_ref()
            .is_some_and(|good| good.tally.offered > 0);
        let fetched = fetched.and_then(|fetched| {
            if fetched.entry.tally().offered == 0 && had_models && !policy.believe_empty {
                return Err(ListErrorKind::Empty.into());
            }
            Ok(fetched)
        });
        let (outcome, replaced) = match fetched {
            Ok(fetched) => {
                self.failures = 0;
                self.backoff = None;
                self.due = Some(if outdated || policy.renewal.is_per_request() {
                    now
                } else {
                    now + jitter.around(self.interval(policy), 0.1)
                });
                (Ok(()), self.confirm(fetched, now))
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.due = Some(now + self.pause(error.retry_after(), policy, jitter));
                let name = Arc::clone(self.provider.shared_name());
                (Err(ProviderError::new(name, error)), false)
            }
        };
        self.attempt = Some(Attempt {
            ended: now,
            took: now.duration_since(began),
            outcome: outcome.clone(),
        });
        (outcome, replaced || self.health() != before)
    }

    /// Puts a good list in, and says whether it differs from the one before.
    fn confirm(&mut self, fetched: Fetched, now: Instant) -> bool {
        let differs = |good: &Good| {
            !Arc::ptr_eq(&good.entry, &fetched.entry) && !good.entry.same_content(&fetched.entry)
        };
        match &mut self.entry {
            Some(good) if !differs(good) => {
                // One that the provider only confirmed tells nothing new of its records.
                if !Arc::ptr_eq(&good.entry, &fetched.entry) {
                    good.tally = fetched.entry.tally().clone();
                }
                good.validator = fetched.validator;
                good.confirmed = now;
                false
            }
            slot => {
                *slot = Some(fetched.confirmed(now));
                true
            }
        }
    }

    /// The list there is, where the provider can be asked whether it still holds.
    pub(crate) fn known(&self) -> Option<Fetched> {
        let good = self.entry.as_ref()?;
        Some(Fetched {
            entry: Arc::clone(&good.entry),
            validator: Some(good.validator.clone()?),
        })
    }

    /// How long to leave the provider alone after another failure.
    fn pause(
        &mut self,
        retry_after: Option<Duration>,
        policy: &Policy,
        jitter: &mut Jitter,
    ) -> Duration {
        let longest = self.interval(policy).max(policy.backoff);
        let backoff = self.backoff.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(policy.backoff)
                .with_max_delay(longest)
                .without_max_times()
                .build()
        });
        let pause = jitter.full(backoff.next().unwrap_or(longest));
        pause.max(
            retry_after
                .unwrap_or_default()
                .min(policy.longest_retry_after),
        )
    }

    fn interval(&self, policy: &Policy) -> Duration {
        let own = self.provider.options.refresh_interval;
        own.unwrap_or(policy.refresh_interval)
    }

    // ----- age -----

    /// When the list grows too old to be served.
    pub(crate) fn expires(&self, policy: &Policy) -> Option<Instant> {
        let good = self.entry.as_ref()?;
        self.due?; // a declared list does not age
        Some(good.confirmed + policy.max_stale?)
    }

    /// Drops a list that no success has confirmed for too long. If nobody asked
    /// for it in the meantime, the next attempt counts as the first again: it is
    /// waited for, because there is nothing to serve.
    pub(crate) fn expire(&mut self, policy: &Policy, now: Instant) -> bool {
        if self.expires(policy).is_none_or(|end| now < end) {
            return false;
        }
        self.entry = None;
        if self
            .attempt
            .as_ref()
            .is_some_and(|last| last.outcome.is_ok())
        {
            self.attempt = None;
            self.due = Some(now);
        }
        true
    }

    /// Makes the next attempt due, unless the provider is being left alone. One that
    /// is under way may have read the list before: it does not count.
    pub(crate) fn invalidate(&mut self, now: Instant) {
        if let Some(aloft) = &mut self.flight {
            aloft.outdated = true;
        }
        self.hasten(now);
    }

    /// Makes the next attempt due, unless the provider is being left alone or one is
    /// under way: that is soon enough.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if self.failures == 0 {
            self.due = self.due.map(|due| due.min(now));
        }
    }

    // ----- status -----

    /// What the last good answer held, and when it came.
    pub(crate) fn last_good(&self) -> Option<(&Tally, Instant)> {
        let good = self.entry.as_ref()?;
        Some((&good.tally, good.confirmed))
    }

    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}
