//! `Status`: the state of the cache and its providers, for operators and alerts.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{
    cache::{Attempt, Cache, RefreshMode},
    clock,
    enrich::Described,
    error::{ListErrorKind, ProviderError},
    model::FlawCount,
};

/// The state of a cache and its providers at one moment, from
/// [`ModelsCache::status`](crate::ModelsCache::status).
///
/// It names providers, so show it to operators and not to clients. Durations are serialised as
/// seconds, with fractions.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// What triggers a refresh of the lists.
    pub refreshing: Refreshing,
    /// The number of listed names: models and aliases.
    pub models: usize,
    /// The strong entity tag of the list in OpenAI's dialect, with quotes.
    pub etag: String,
    /// Every provider, in the order of declaration.
    pub providers: Vec<ProviderStatus>,
    /// The catalogue, if one is set (feature `catalog`).
    pub catalog: Option<CatalogStatus>,
    /// Every alias, in the order of declaration.
    pub aliases: Vec<AliasStatus>,
    /// Every override, in the order of declaration.
    pub overrides: Vec<OverrideStatus>,
    /// The number of views that are kept rendered.
    pub views: usize,
    /// The prepared views that show no model, such as `globs:["best"] without []`: their globs
    /// or predicates match nothing. Not [`View::none`](crate::View::none).
    pub empty_views: Vec<String>,
    /// The size of their lists in bytes, in all dialects and codings.
    pub view_bytes: usize,
}

/// What triggers a refresh of the lists of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refreshing {
    /// A [refresher](crate::Refresher) in the background.
    Background,
    /// The first request after a list is due.
    OnDemand,
    /// Every request, because [caching is off](crate::Builder::without_cache).
    PerRequest,
    /// Nothing, because the cache was shut down or its refresher was dropped.
    Ended,
}

impl Refreshing {
    fn of(cache: &Cache) -> Self {
        match cache.config().refresh_mode {
            _ if cache.tasks().stopped() => Self::Ended,
            RefreshMode::Background => Self::Background,
            RefreshMode::OnDemand => Self::OnDemand,
            RefreshMode::PerRequest => Self::PerRequest,
        }
    }
}

/// The state of an [alias](crate::Builder::alias).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AliasStatus {
    /// The alias.
    pub name: String,
    /// The listed id of the model that it refers to.
    pub target: String,
    /// Whether the target, and with it the alias, is listed.
    pub listed: bool,
}

/// The state of an [override](crate::Builder::override_model).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverrideStatus {
    /// The name of the model, as `provider/id`, or the globs.
    pub models: Vec<String>,
    /// The number of models that it matches. It matches the providers' own ids, never aliases.
    pub matched: usize,
}

/// The state of one provider.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProviderStatus {
    /// The provider's name.
    pub name: String,
    /// The display name, if one was set.
    pub display_name: Option<String>,
    /// The address of an HTTP provider's list: scheme, host, port and path. Never userinfo,
    /// query or credentials.
    pub address: Option<String>,
    /// The number of its models that are listed.
    pub models: usize,
    /// The number of its models that are not listed, because an alias or a provider that was
    /// declared earlier has their names.
    pub shadowed: usize,
    /// The number of its models that are listed as `provider/id` only because another provider
    /// lists their ids. Always 0 unless it is prefixed
    /// [on conflict](crate::provider::Prefix::OnConflict).
    pub prefixed: usize,
    /// The dialect of its list, such as `openai`, if it was fetched over HTTP. With
    /// [`Dialect::Auto`](crate::provider::Dialect::Auto) the detected one.
    pub dialect: Option<&'static str>,
    /// The number of records of its list that were skipped because they could not be read or
    /// served.
    pub skipped: usize,
    /// Counts of what was wrong with its records, including records that are served.
    pub flaws: Vec<FlawCount>,
    /// The number of records that were dropped for another record of the same id.
    pub duplicates: usize,
    /// The number of its models that its [filter](crate::Provider::filter) excluded. If this is
    /// not 0 and `models` and `shadowed` are, the filter keeps none.
    pub filtered: usize,
    /// The number of its models that the catalogue describes.
    pub catalogued: usize,
    /// The number of its models for which an [enricher](crate::enrich::Enrich) panicked.
    pub enrich_panics: usize,
    /// Whether its list is declared, as a fixed list or a fallback, rather than fetched.
    pub declared: bool,
    /// Whether its list was fetched before its credential or an option changed, and has not
    /// been confirmed since.
    pub superseded: bool,
    /// The time since its list was last confirmed. `None` if there is no list.
    #[serde(serialize_with = "seconds")]
    pub confirmed: Option<Duration>,
    /// The last attempt that has ended.
    pub last_attempt: Option<AttemptStatus>,
    /// The number of failures since the last success.
    pub failures: u32,
    /// Whether a fetch is in flight.
    pub fetching: bool,
    /// The time until the next attempt may start. `None` if one is in flight, or if the list is
    /// declared.
    #[serde(serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
}

/// The state of the catalogue.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CatalogStatus {
    /// Its address, if it is fetched over HTTP, as for a [provider](ProviderStatus::address).
    pub address: Option<String>,
    /// The number of models in it, of all providers.
    pub models: usize,
    /// The number of the providers' models that it describes.
    pub described: usize,
    /// The number of its records that could not be read.
    pub skipped: usize,
    /// The time since it was last confirmed. `None` if it was never read.
    #[serde(serialize_with = "seconds")]
    pub confirmed: Option<Duration>,
    /// Why the last attempt failed. `None` if it succeeded, or if there was none yet.
    #[serde(serialize_with = "kind")]
    pub error: Option<ListErrorKind>,
    /// The number of failures since the last success.
    pub failures: u32,
    /// Whether a fetch is in flight.
    pub fetching: bool,
    /// The time until the next attempt may start. `None` if one is in flight.
    #[serde(serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
}

/// The result of an attempt to fetch a provider's list.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptStatus {
    /// The time since it ended.
    #[serde(serialize_with = "some_seconds")]
    pub ended: Duration,
    /// How long it took, until the list was checked or the fetch failed.
    #[serde(serialize_with = "some_seconds")]
    pub took: Duration,
    /// Why it failed. `None` if it succeeded.
    #[serde(serialize_with = "text")]
    pub error: Option<ProviderError>,
}

impl Status {
    pub(crate) fn of(cache: &Cache) -> Self {
        let snapshot = cache.snapshot();
        let now = clock::now();
        let providers = cache.inspect(|slot| {
            let good = slot.last_good();
            let counts = snapshot.0.counts(slot.provider.name());
            let described = snapshot.0.described(slot.provider.name());
            ProviderStatus {
                name: slot.provider.name().to_owned(),
                display_name: slot
                    .provider
                    .options
                    .display_name
                    .as_deref()
                    .map(str::to_owned),
                address: slot.source().address().map(str::to_owned),
                models: counts.listed,
                shadowed: counts.shadowed,
                prefixed: counts.prefixed,
                dialect: good.and_then(|(stats, _)| stats.dialect),
                skipped: good.map_or(0, |(stats, _)| stats.flaws.skipped()),
                flaws: good.map_or(Vec::new(), |(stats, _)| stats.flaws.counts().to_vec()),
                duplicates: good.map_or(0, |(stats, _)| stats.duplicates),
                filtered: good.map_or(0, |(stats, _)| stats.filtered),
                catalogued: described.map_or(0, Described::catalogued),
                enrich_panics: described.map_or(0, Described::panics),
                declared: good.is_some_and(|(stats, _)| stats.declared),
                superseded: slot.is_superseded(),
                confirmed: good.map(|(_, confirmed)| now.duration_since(confirmed)),
                last_attempt: slot
                    .attempt()
                    .map(|attempt| AttemptStatus::of(attempt, now)),
                failures: slot.failures(),
                fetching: slot.is_fetching(),
                next_attempt: slot
                    .next_attempt()
                    .map(|next| next.saturating_duration_since(now)),
            }
        });
        let catalog = cache.inspect_catalog(|slot| {
            let good = slot.last_good();
            let parts = snapshot.0.parts();
            let described = parts.filter_map(|part| part.described.as_deref());
            let outcome = slot.attempt().map(|attempt| &attempt.outcome);
            CatalogStatus {
                address: slot.source().address().map(str::to_owned),
                models: good.map_or(0, |(stats, _)| stats.models),
                described: described.map(Described::catalogued).sum(),
                skipped: good.map_or(0, |(stats, _)| stats.flaws.skipped()),
                confirmed: good.map(|(_, confirmed)| now.duration_since(confirmed)),
                error: outcome.and_then(|outcome| Some(outcome.as_ref().err()?.kind())),
                failures: slot.failures(),
                fetching: slot.is_fetching(),
                next_attempt: slot
                    .next_attempt()
                    .map(|next| next.saturating_duration_since(now)),
            }
        });
        let aliases = snapshot.0.aliases();
        let aliases = aliases.map(|(name, target, listed)| AliasStatus {
            name: name.to_owned(),
            target: target.to_owned(),
            listed,
        });
        let overrides = &cache.config().enrichment.overrides;
        let mut matched = vec![0; overrides.len()];
        let described = snapshot
            .0
            .parts()
            .filter_map(|part| part.described.as_deref());
        for position in described.flat_map(Described::overridden) {
            matched[position as usize] += 1;
        }
        let overrides = overrides.iter().zip(matched);
        let overrides = overrides.map(|(declared, matched)| OverrideStatus {
            models: declared.models(),
            matched,
        });
        let (views, view_bytes) = snapshot.0.views().size();
        Self {
            refreshing: Refreshing::of(cache),
            catalog,
            aliases: aliases.collect(),
            overrides: overrides.collect(),
            views,
            empty_views: snapshot.0.views().empty_names(),
            view_bytes,
            models: snapshot.len(),
            etag: snapshot.etag().to_owned(),
            providers,
        }
    }
}

impl AttemptStatus {
    fn of(attempt: &Attempt, now: clock::Instant) -> Self {
        Self {
            ended: now.duration_since(attempt.ended),
            took: attempt.took,
            error: attempt.outcome.clone().err(),
        }
    }
}

fn seconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(to)
}

fn some_seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    duration.as_secs_f64().serialize(to)
}

fn text<S: Serializer>(error: &Option<ProviderError>, to: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(to)
}

fn kind<S: Serializer>(kind: &Option<ListErrorKind>, to: S) -> Result<S::Ok, S::Error> {
    kind.map(|kind| kind.to_string()).serialize(to)
}
