//! Makes slots from providers: at construction, and when providers are replaced.
//!
//! Everything is validated and compared before the table is locked: filters are user code,
//! and declared lists may be large.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Cache, CacheConfig, Slot};
use crate::{
    clock::{self, Instant},
    entry::Entry,
    error::BuildError,
    model::ModelList,
    provider::{DynSource, Provider},
};

/// A valid provider, and what its slot is made of.
struct Checked {
    provider: Provider,
    source: Arc<dyn DynSource>,
    /// The list of a provider that is never fetched.
    declared: Option<Arc<Entry>>,
    /// The declared list, used until the provider returns one of its own.
    fallback: Option<Arc<Entry>>,
}

/// What happens to the slot of an earlier provider of the same name.
enum Change {
    /// Keep the slot: only settings for naming and fetching may differ.
    Adopt,
    /// Keep the list, and fetch it again with the new settings.
    Supersede(Option<Arc<Entry>>),
    /// Start without a list: this is another provider.
    Replace,
}

impl Cache {
    /// Atomically replaces all providers. The next publication updates the snapshot.
    pub(crate) fn replace(self: &Arc<Self>, providers: Vec<Provider>) -> Result<(), BuildError> {
        let checked = self.config.check(providers)?;
        loop {
            // Copies, so that they can be compared without the lock.
            let (replacements, before) = {
                let table = self.table();
                let slots = table.slots.iter();
                let pairs = slots.map(|slot| (slot.provider.clone(), slot.entry()));
                (table.replacements, pairs.collect::<Vec<_>>())
            };
            let change = |checked: &Checked| {
                let same_name =
                    |(before, _): &&(Provider, _)| before.name() == checked.provider.name();
                match before.iter().find(same_name) {
                    Some((provider, entry)) => checked.change(provider, entry.as_ref()),
                    None => Ok(Change::Replace),
                }
            };
            let changes = checked.iter().map(change);
            let changes = changes.collect::<Result<Vec<_>, BuildError>>()?;
            let entries = before.into_iter().map(|(_, entry)| entry).collect();
            if self.apply(replacements, entries, &checked, changes) {
                return Ok(());
            }
        }
    }

    /// Returns `false` if the providers or a list changed in the meantime.
    fn apply(
        self: &Arc<Self>,
        replacements: u64,
        entries: Vec<Option<Arc<Entry>>>,
        checked: &[Checked],
        changes: Vec<Change>,
    ) -> bool {
        let now = clock::now();
        self.update(now, |table, follow_up| {
            let same = |(slot, entry): (&Slot, &Option<Arc<Entry>>)| match (slot.entry(), entry) {
                (Some(a), Some(b)) => Arc::ptr_eq(&a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            if table.replacements != replacements || !table.slots.iter().zip(&entries).all(same) {
                follow_up.drop_later((entries, changes));
                return false;
            }
            let mut before = std::mem::take(&mut table.slots);
            for (checked, change) in checked.iter().zip(changes) {
                let same_name = |slot: &Slot| slot.provider.name() == checked.provider.name();
                let position = before.iter().position(same_name);
                let slot = position.map(|position| before.swap_remove(position));
                table.slots.push(match (slot, change) {
                    (Some(mut slot), Change::Adopt) => {
                        let Checked {
                            provider, source, ..
                        } = checked;
                        follow_up.drop_later(slot.adopt(
                            provider.clone(),
                            Arc::clone(source),
                            &self.config,
                            now,
                        ));
                        slot
                    }
                    (Some(mut slot), Change::Supersede(entry)) => {
                        let Checked {
                            provider,
                            source,
                            fallback,
                            ..
                        } = checked;
                        follow_up.drop_later(slot.supersede(
                            provider.clone(),
                            Arc::clone(source),
                            fallback.clone(),
                            entry,
                            now,
                        ));
                        slot
                    }
                    (slot, _) => {
                        follow_up.drop_later(slot);
                        checked.slot(now)
                    }
                });
            }
            follow_up.drop_later((before, entries));
            follow_up.wake = true;
            table.replacements += 1;
            table.changes += 1;
            true
        })
    }
}

impl Checked {
    fn slot(&self, now: Instant) -> Slot {
        let Self {
            provider,
            source,
            declared,
            fallback,
        } = self;
        let mut slot = Slot::new(provider.clone(), Arc::clone(source), fallback.clone(), now);
        if let Some(entry) = declared {
            slot.declare(Arc::clone(entry), now);
        }
        slot
    }

    /// Decides what happens to the slot of `before`, a provider of the same name.
    fn change(&self, before: &Provider, entry: Option<&Arc<Entry>>) -> Result<Change, BuildError> {
        if let Some(declared) = &self.declared {
            let same = |entry: &Arc<Entry>| entry.same_content(declared);
            let is_same = before.is_fixed() && entry.is_some_and(same);
            return Ok(if is_same {
                Change::Adopt
            } else {
                Change::Replace
            });
        }
        if before.offers_the_same(&self.provider) {
            return Ok(Change::Adopt);
        }
        if !before.has_same_address(&self.provider) {
            return Ok(Change::Replace);
        }
        let entry = match entry {
            None => None,
            // A declared list is a setting, not something that the provider returned.
            Some(entry) if entry.stats().declared => self.fallback.clone(),
            Some(entry) if before.has_same_filter(&self.provider) => Some(Arc::clone(entry)),
            // Models that the new filter excludes are removed at once.
            Some(entry) => {
                let filtered = || entry.filtered(|model| self.provider.keeps(model));
                let filtered = catch_unwind(AssertUnwindSafe(filtered));
                Some(Arc::new(
                    filtered.map_err(|_| filter_panicked(&self.provider))?,
                ))
            }
        };
        Ok(Change::Supersede(entry))
    }
}

impl CacheConfig {
    /// Makes the slots of these providers.
    pub(super) fn slots(
        &self,
        providers: Vec<Provider>,
        now: Instant,
    ) -> Result<Vec<Slot>, BuildError> {
        let checked = self.check(providers)?;
        Ok(checked.iter().map(|checked| checked.slot(now)).collect())
    }

    /// Validates all providers before anything changes.
    fn check(&self, providers: Vec<Provider>) -> Result<Vec<Checked>, BuildError> {
        let mut checked: Vec<Checked> = Vec::with_capacity(providers.len());
        for provider in providers {
            let source = provider.open()?;
            let name = provider.name();
            if checked.iter().any(|other| other.provider.name() == name) {
                let expected = "a name that no other provider has";
                return Err(BuildError::new("providers.name", name, expected));
            }
            self.check_interval(&provider)?;
            let entry = |list: Option<ModelList>, field| {
                list.map(|list| self.declared(&provider, list, field))
                    .transpose()
            };
            // The fallback is validated now, not when it is needed.
            let fallback = entry(provider.fallback_list(), "fallback")?;
            let declared = entry(provider.declared(), "models")?;
            checked.push(Checked {
                source,
                declared,
                fallback,
                provider,
            });
        }
        Ok(checked)
    }

    /// Checks that a list is refreshed before it expires, jitter included.
    fn check_interval(&self, provider: &Provider) -> Result<(), BuildError> {
        if self.refresh_mode.is_per_request() && provider.options.refresh_interval.is_some() {
            let (value, expected) = (
                "set while caching is off",
                "only one of refresh_interval and without_cache",
            );
            let error = BuildError::hidden("refresh_interval", value, expected);
            return Err(error.within(format_args!("providers.{}", provider.name())));
        }
        match (provider.options.refresh_interval, self.max_stale) {
            (Some(own), Some(age)) if age <= own.mul_f64(1.1) => {
                let expected = format!("less than max_stale, {age:?}, by more than a tenth");
                let error = BuildError::new("refresh_interval", own, expected);
                Err(error.within(format_args!("providers.{}", provider.name())))
            }
            _ => Ok(()),
        }
    }

    /// Makes the entry of the list that is declared in this field.
    fn declared(
        &self,
        provider: &Provider,
        list: ModelList,
        field: &str,
    ) -> Result<Arc<Entry>, BuildError> {
        let offered = list.models().len();
        let entry = || Entry::new(list, &self.bounds, 0, |model| provider.keeps(model));
        let entry = catch_unwind(AssertUnwindSafe(entry)).map_err(|_| filter_panicked(provider))?;
        match entry {
            Ok(entry) if entry.stats().flaws.counts().is_empty() => Ok(Arc::new(entry)),
            _ => {
                let expected = format!(
                    "at most {} models, with ids of 1 to {} bytes, and no control characters in ids and names",
                    self.bounds.models, self.bounds.id
                );
                let field = format!("providers.{}.{field}", provider.name());
                Err(BuildError::new(field, offered, expected))
            }
        }
    }
}

fn filter_panicked(provider: &Provider) -> BuildError {
    let field = format!("providers.{}.filter", provider.name());
    BuildError::hidden(
        field,
        "a closure that panicked",
        "one that returns for every model",
    )
}
