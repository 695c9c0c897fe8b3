//! `Slot`: one provider's state: its last good list, its last attempt, the fetch in flight,
//! and when the next one is due.
//!
//! A pure state machine: time and randomness are arguments.
//!
//! Invariants:
//!
//! - The entry and the attempt are independent facts. Only a good list, or the declared
//!   fallback of a provider that never returned one, replaces the entry; a failure changes
//!   only the attempt.
//! - A result is recorded only for the fetch that is in flight, by its number.
//! - Replaced values are returned, not dropped, because the caller holds the table's lock.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::DropGuard;

use super::CacheConfig;
use crate::{
    clock::{Instant, Jitter},
    entry::{Entry, ListStats},
    error::{ListError, ListErrorKind, ProviderError},
    flight::Flight,
    provider::{DynSource, Provider, Validator},
    snapshot::{Health, ProviderListing},
};

/// How a fetch ended, as its waiters see it.
pub(crate) type Outcome = Result<(), ProviderError>;

pub(crate) struct Slot {
    pub(crate) provider: Provider,
    source: Arc<dyn DynSource>,
    /// The declared list, used until the provider returns a list of its own.
    fallback: Option<Arc<Entry>>,
    last_good: Option<LastGood>,
    attempt: Option<Attempt>,
    flight: Option<InFlight>,
    /// When the next attempt may start. `None` for a declared list, which is never fetched.
    due: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    /// Whether the provider has returned a list, and one with models.
    had_own: bool,
    had_models: bool,
    /// Whether the last list was rejected because it had shrunk.
    shrunk: bool,
    /// Whether the list was fetched before the credential or an option changed.
    superseded: bool,
}

/// The last good list, and when it was last confirmed.
#[derive(Debug)]
pub(super) struct LastGood {
    pub(super) entry: Arc<Entry>,
    /// Statistics of the last response. It may have the same content as the earlier
    /// `entry`.
    stats: ListStats,
    confirmed: Instant,
    /// Sent with the next fetch, so that the provider can reply that nothing changed.
    validator: Option<Validator>,
}

/// A good response: a list, and the validator that came with it.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) entry: Arc<Entry>,
    pub(crate) validator: Option<Validator>,
}

impl Fetched {
    fn confirmed(self, now: Instant) -> LastGood {
        LastGood {
            stats: self.entry.stats().clone(),
            entry: self.entry,
            confirmed: now,
            validator: self.validator,
        }
    }
}

/// The last attempt that ended.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) ended: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
    /// The provider asked for no request before this time (`Retry-After`).
    not_before: Option<Instant>,
}

/// The fetch in progress.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) flight: Flight<Outcome>,
    /// Identifies the fetch, so that a late result is not recorded.
    pub(super) number: u64,
    pub(super) began: Instant,
    /// After this, the fetch counts as ended, whatever its task does.
    pub(super) deadline: Instant,
    /// Cancels the task when dropped.
    _stop: DropGuard,
    /// Whether the result is recorded, so that only its publication is outstanding.
    settled: bool,
    /// Whether requests wait for it. They keep waiting after the result is recorded,
    /// because nothing can be served before it is published.
    awaited: bool,
    /// Whether the list was invalidated after the fetch started, so that its result may be
    /// outdated.
    outdated: bool,
}

/// A flight that a request waits for, and until when.
pub(crate) type PendingFlight = (Flight<Outcome>, Instant);

/// The result of a fetch, for the log.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) outcome: Outcome,
    /// Whether the result has to be published.
    pub(super) changed: bool,
    /// What is no longer needed, to be dropped after the table is unlocked: a list, the
    /// attempt before, whose error may be a user's, and an error that is none.
    pub(super) garbage: (Option<Arc<Entry>>, Option<Attempt>, Option<ListError>),
}

impl Slot {
    pub(super) fn new(
        provider: Provider,
        source: Arc<dyn DynSource>,
        fallback: Option<Arc<Entry>>,
        now: Instant,
    ) -> Self {
        Self {
            provider,
            source,
            fallback,
            last_good: None,
            attempt: None,
            flight: None,
            due: Some(now),
            failures: 0,
            had_own: false,
            had_models: false,
            shrunk: false,
            superseded: false,
        }
    }

    /// Sets a declared list. The slot is never due.
    pub(super) fn declare(&mut self, entry: Arc<Entry>, now: Instant) {
        self.last_good = Some(declared(entry, now));
        self.attempt = Some(Attempt {
            ended: now,
            took: Duration::ZERO,
            outcome: Ok(()),
            not_before: None,
        });
        self.due = None;
    }

    pub(crate) fn source(&self) -> &Arc<dyn DynSource> {
        &self.source
    }

    pub(super) fn listing(&self) -> ProviderListing {
        ProviderListing {
            provider: self.provider.clone(),
            entry: self.entry(),
            described: None,
            health: self.health(),
        }
    }

    /// The last good list.
    pub(crate) fn entry(&self) -> Option<Arc<Entry>> {
        let last_good = self.last_good.as_ref()?;
        Some(Arc::clone(&last_good.entry))
    }

    pub(super) fn health(&self) -> Health {
        match (&self.attempt, &self.last_good) {
            (None, None) => Health::Pending,
            (Some(_), None) => Health::Missing,
            (Some(Attempt { outcome: Ok(_), .. }), Some(_)) if !self.superseded => Health::Fresh,
            (_, Some(_)) => Health::Stale,
        }
    }

    // ----- reconfiguration -----

    /// Replaces the provider with one that offers the same models: only its settings for
    /// naming and fetching may differ. Returns the replaced values, to be dropped after the
    /// table is unlocked.
    pub(super) fn adopt(
        &mut self,
        provider: Provider,
        source: Arc<dyn DynSource>,
        config: &CacheConfig,
        now: Instant,
    ) -> impl Send + use<> {
        let provider = std::mem::replace(&mut self.provider, provider);
        let source = std::mem::replace(&mut self.source, source);
        // `Retry-After` still holds; a changed interval applies at once.
        let latest = now + self.longest_pause(config);
        let not_before = self.attempt.as_ref().and_then(|last| last.not_before);
        let due = |due: Instant| due.min(latest).max(not_before.unwrap_or(due.min(latest)));
        self.due = self.due.map(due);
        (provider, source)
    }

    /// Replaces the provider with one of the same name and address, whose credential or
    /// options have changed. Its list is kept and fetched again at once. A fetch in flight
    /// is dropped, because it uses the old settings.
    pub(super) fn supersede(
        &mut self,
        provider: Provider,
        source: Arc<dyn DynSource>,
        fallback: Option<Arc<Entry>>,
        entry: Option<Arc<Entry>>,
        now: Instant,
    ) -> impl Send + use<> {
        let provider = std::mem::replace(&mut self.provider, provider);
        let source = std::mem::replace(&mut self.source, source);
        let fallback = std::mem::replace(&mut self.fallback, fallback);
        let flight = self.flight.take();
        let before = self.last_good.take();
        let confirmed = before.as_ref().map_or(now, |before| before.confirmed);
        self.last_good = entry.map(|entry| {
            Fetched {
                entry,
                validator: None,
            }
            .confirmed(confirmed)
        });
        self.superseded = self.last_good.is_some();
        // Without a list, requests wait for the first attempt with the new credential.
        let attempt = self.attempt.take_if(|_| !self.superseded);
        self.failures = 0;
        self.shrunk = false;
        self.due = Some(now);
        (provider, source, fallback, flight, before, attempt)
    }

    // ----- flights -----

    /// The fetch in progress, if any. A flight ends when its task is lost with its runtime,
    /// so a lost task does not block the next fetch.
    pub(super) fn in_flight(&self) -> Option<&InFlight> {
        let flight = self.flight.as_ref();
        flight.filter(|in_flight| in_flight.flight.is_running())
    }

    pub(crate) fn is_fetching(&self) -> bool {
        self.in_flight().is_some()
    }

    pub(super) fn begin(
        &mut self,
        flight: Flight<Outcome>,
        number: u64,
        deadline: Instant,
        stop: DropGuard,
        config: &CacheConfig,
        now: Instant,
    ) -> Option<InFlight> {
        self.flight.replace(InFlight {
            flight,
            number,
            began: now,
            deadline,
            _stop: stop,
            settled: false,
            awaited: self.is_awaited(config),
            outdated: false,
        })
    }

    /// Whether this fetch is in flight here and its result is not recorded yet.
    pub(super) fn awaits(&self, number: u64) -> bool {
        let flight = self.flight.as_ref();
        flight.is_some_and(|in_flight| in_flight.number == number && !in_flight.settled)
    }

    /// Ends a fetch whose list is published.
    pub(super) fn finish(&mut self, number: u64) -> Option<InFlight> {
        self.flight.take_if(|in_flight| in_flight.number == number)
    }

    /// Ends a fetch that is past its deadline, whatever its task does. Counts as a failure,
    /// unless only the publication is outstanding.
    pub(super) fn end_overdue(
        &mut self,
        config: &CacheConfig,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Option<(Option<Settled>, InFlight)> {
        let in_flight = self.in_flight().filter(|flight| now >= flight.deadline)?;
        let settled = (!in_flight.settled)
            .then(|| self.settle(Err(ListErrorKind::Timeout.into()), config, jitter, now));
        Some((settled, self.flight.take()?))
    }

    /// Whether requests wait for the next attempt: for the first one, and, if caching is
    /// off, for every one that does not follow a failure.
    fn is_awaited(&self, config: &CacheConfig) -> bool {
        match &self.attempt {
            None => self.last_good.is_none(),
            Some(last) => config.refresh_mode.is_per_request() && last.outcome.is_ok(),
        }
    }

    /// Whether an attempt may start now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now) && self.in_flight().is_none()
    }

    /// Whether the first attempt may start and has not.
    pub(super) fn awaits_first(&self, now: Instant) -> bool {
        self.health() == Health::Pending && self.is_due(now)
    }

    /// When the next attempt may start, after the one in progress.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// When the next attempt may start, unless one is in progress.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        self.due.filter(|_| self.in_flight().is_none())
    }

    /// When this slot next needs work: an attempt may start, the one in progress exceeds
    /// its deadline, or the list expires.
    pub(super) fn next_deadline(&self, config: &CacheConfig) -> Option<Instant> {
        let attempt = match self.in_flight() {
            Some(in_flight) => Some(in_flight.deadline),
            None => self.due,
        };
        attempt.into_iter().chain(self.expires(config)).min()
    }

    /// What an ordinary request waits for here, if anything.
    pub(super) fn pending(&self, config: &CacheConfig, now: Instant) -> Option<PendingFlight> {
        let awaited = self.in_flight()?.awaited || self.is_awaited(config);
        self.pending_any(config, now).filter(|_| awaited)
    }

    /// What a request waits for here that forces a refresh.
    pub(super) fn pending_any(&self, config: &CacheConfig, now: Instant) -> Option<PendingFlight> {
        let in_flight = self.in_flight()?;
        let end = in_flight.began + config.miss_timeout;
        (now < end).then(|| (in_flight.flight.clone(), end))
    }

    // ----- results -----

    /// Records the result of a fetch. The fetch stays in flight until the result is
    /// published.
    pub(super) fn settle(
        &mut self,
        fetched: Result<Fetched, ListError>,
        config: &CacheConfig,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Settled {
        let (began, outdated) = match &mut self.flight {
            Some(in_flight) => {
                in_flight.settled = true;
                (in_flight.began, in_flight.outdated)
            }
            None => (now, false),
        };
        let before = self.health();
        let mut not_before = None;
        let (outcome, confirmed) = match fetched.and_then(|fetched| self.validate(fetched, config))
        {
            Ok(fetched) => {
                self.failures = 0;
                self.shrunk = false;
                self.superseded = false;
                self.had_own = true;
                self.had_models |= fetched.entry.stats().offered > 0;
                self.due = Some(if outdated || config.refresh_mode.is_per_request() {
                    now
                } else {
                    now + jitter.around(self.interval(config), 0.1)
                });
                (Ok(()), self.confirm(fetched, now))
            }
            Err(error) => self.fail(error, config, jitter, now, &mut not_before),
        };
        let attempt = self.attempt.replace(Attempt {
            ended: now,
            took: now.duration_since(began),
            outcome: outcome.clone(),
            not_before,
        });
        Settled {
            outcome,
            changed: confirmed.differs || self.health() != before,
            garbage: (confirmed.garbage, attempt, confirmed.error),
        }
    }

    /// Rejects an empty list if the provider had models or has a fallback, and a list that
    /// shrank too much until a second fetch confirms it.
    fn validate(&mut self, fetched: Fetched, config: &CacheConfig) -> Result<Fetched, ListError> {
        let offered = fetched.entry.stats().offered;
        let may_fall_back = self.fallback.is_some() && !self.had_own;
        if offered == 0 && (may_fall_back || (self.had_models && !config.accept_empty)) {
            return Err(ListErrorKind::Empty.into());
        }
        let own = self.last_good.as_ref().filter(|_| self.had_own);
        let before = own.map_or(0, |last| last.stats.offered);
        // Rejected once only: if the next list is as short, the provider means it.
        if config.has_shrunk(before, offered) && !self.shrunk {
            self.shrunk = true;
            return Err(ListErrorKind::Shrunk.into());
        }
        Ok(fetched)
    }

    /// Records a failure. The declared fallback is used if the provider never returned a
    /// list. If it also responds that it has no list endpoint, that is not a failure.
    fn fail(
        &mut self,
        error: ListError,
        config: &CacheConfig,
        jitter: &mut Jitter,
        now: Instant,
        not_before: &mut Option<Instant>,
    ) -> (Outcome, Confirmed) {
        let fallback = self.fallback.clone().filter(|_| !self.had_own);
        let has_no_list = fallback.is_some() && error.says_there_is_no_list();
        let mut confirmed = match fallback {
            Some(entry) => {
                let validator = None;
                self.confirm(Fetched { entry, validator }, now)
            }
            None => Confirmed::default(),
        };
        if has_no_list {
            self.failures = 0;
            self.superseded = false;
            self.due = Some(now + jitter.around(self.interval(config), 0.1));
            confirmed.error = Some(error);
            return (Ok(()), confirmed);
        }
        self.failures = self.failures.saturating_add(1);
        let retry_after = error.retry_after();
        let retry_after =
            retry_after.map(|retry_after| retry_after.min(config.longest_retry_after));
        *not_before = retry_after.map(|retry_after| now + retry_after);
        let pause = self.pause(error.kind(), config, jitter);
        self.due = Some(now + pause.max(retry_after.unwrap_or_default()));
        let name = Arc::clone(self.provider.shared_name());
        (Err(ProviderError::new(name, error)), confirmed)
    }

    /// Stores a good list, unless its content is the same.
    fn confirm(&mut self, fetched: Fetched, now: Instant) -> Confirmed {
        match &mut self.last_good {
            Some(last) if last.is_same(&fetched.entry) => {
                // After a 304 the records are those of the same entry, so the statistics
                // stay.
                if !Arc::ptr_eq(&last.entry, &fetched.entry) {
                    last.stats = fetched.entry.stats().clone();
                }
                last.validator = fetched.validator;
                last.confirmed = now;
                Confirmed {
                    differs: false,
                    garbage: Some(fetched.entry),
                    error: None,
                }
            }
            last => Confirmed {
                differs: true,
                garbage: last.replace(fetched.confirmed(now)).map(|last| last.entry),
                error: None,
            },
        }
    }

    /// The current list and its validator, for a conditional fetch.
    pub(super) fn known(&self) -> Option<Fetched> {
        let last = self.last_good.as_ref()?;
        Some(Fetched {
            entry: Arc::clone(&last.entry),
            validator: Some(last.validator.clone()?),
        })
    }

    /// The delay after another failure. It doubles from `backoff`; once it reaches the
    /// interval it equals the delay after a success. A rejected credential waits for at
    /// least the interval from the first failure.
    fn pause(&self, kind: ListErrorKind, config: &CacheConfig, jitter: &mut Jitter) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(31);
        let backoff = config.backoff.saturating_mul(1 << doublings);
        let interval = self.interval(config);
        let backoff = backoff.min(self.longest_pause(config));
        let is_refused = matches!(
            kind,
            ListErrorKind::Status(401 | 403) | ListErrorKind::Credential
        );
        if is_refused || backoff >= interval {
            jitter.around(backoff.max(interval), 0.1)
        } else {
            jitter.upper_half(backoff)
        }
    }

    fn longest_pause(&self, config: &CacheConfig) -> Duration {
        self.interval(config).max(config.backoff)
    }

    fn interval(&self, config: &CacheConfig) -> Duration {
        let own = self.provider.options.refresh_interval;
        own.unwrap_or(config.refresh_interval)
    }

    // ----- age -----

    /// When the list becomes too old to be served. A declared list never does.
    pub(super) fn expires(&self, config: &CacheConfig) -> Option<Instant> {
        let last = self.last_good.as_ref()?;
        if last.stats.declared {
            return None;
        }
        Some(last.confirmed + config.max_stale?)
    }

    /// Drops a list that is older than `max_stale`. If the last attempt succeeded, nothing
    /// was tried since, so the next attempt counts as the first again: requests wait for
    /// it, because there is nothing to serve.
    pub(super) fn expire(&mut self, config: &CacheConfig, now: Instant) -> Option<LastGood> {
        if self.expires(config).is_none_or(|end| now < end) {
            return None;
        }
        let succeeded = |last: &Attempt| last.outcome.is_ok();
        if self.attempt.as_ref().is_some_and(succeeded) {
            self.attempt = None;
            self.due = Some(now);
        }
        self.superseded = false;
        self.last_good.take()
    }

    /// Makes the next attempt due, unless the provider is in backoff. A fetch in progress
    /// may have read the list before the invalidation, so another one follows it.
    pub(super) fn invalidate(&mut self, now: Instant) {
        if let Some(in_flight) = &mut self.flight {
            in_flight.outdated = true;
        }
        self.make_due(now);
    }

    /// Makes the next attempt due, unless the provider is in backoff.
    pub(super) fn make_due(&mut self, now: Instant) {
        if self.failures == 0 {
            self.due = self.due.map(|due| due.min(now));
        }
    }

    /// Accounts for time that the monotonic clock did not count: moves every instant of
    /// this slot back by `gap`.
    pub(super) fn advance(&mut self, gap: Duration) {
        let back = |at: &mut Instant| *at = at.checked_sub(gap).unwrap_or(*at);
        self.due.iter_mut().for_each(back);
        if let Some(last) = &mut self.last_good {
            back(&mut last.confirmed);
        }
        if let Some(last) = &mut self.attempt {
            back(&mut last.ended);
            last.not_before.iter_mut().for_each(back);
        }
        if let Some(in_flight) = &mut self.flight {
            back(&mut in_flight.began);
            back(&mut in_flight.deadline);
        }
    }

    // ----- status -----

    /// Statistics of the last good response, and when the list was last confirmed.
    pub(crate) fn last_good(&self) -> Option<(&ListStats, Instant)> {
        let last = self.last_good.as_ref()?;
        Some((&last.stats, last.confirmed))
    }

    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    /// Whether the last attempt brought a list.
    pub(super) fn has_succeeded(&self) -> bool {
        let attempt = self.attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.outcome.is_ok())
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded
    }
}

impl LastGood {
    fn is_same(&self, entry: &Arc<Entry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
            || (self.entry.same_content(entry) && self.stats.declared == entry.stats().declared)
    }
}

/// The effect of a good list on the stored one.
#[derive(Default)]
struct Confirmed {
    differs: bool,
    garbage: Option<Arc<Entry>>,
    /// Of a provider that has no list, which is no failure.
    error: Option<ListError>,
}

fn declared(entry: Arc<Entry>, now: Instant) -> LastGood {
    Fetched {
        entry,
        validator: None,
    }
    .confirmed(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, model::Model};

    fn fixed() -> Slot {
        let provider = Provider::fixed("lab", [Model::new("a")]);
        let source = provider.open().expect("nothing is wrong with it");
        Slot::new(provider, source, None, clock::now())
    }

    #[test]
    fn suspended_time_counts_towards_age_and_due() {
        let now = clock::now() + Duration::from_secs(1 << 20);
        let hour = Duration::from_secs(3600);
        let mut slot = fixed();
        slot.attempt = Some(Attempt {
            ended: now,
            took: Duration::ZERO,
            outcome: Ok(()),
            not_before: Some(now + 2 * hour),
        });
        slot.due = Some(now + hour);
        slot.advance(hour);
        assert!(slot.is_due(now));
        let attempt = slot.attempt().expect("is there");
        assert_eq!(attempt.ended, now - hour);
        assert_eq!(attempt.not_before, Some(now + hour));
    }
}
