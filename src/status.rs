//! How the providers stand: a read-only view, for people and for alerts.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{
    cache::{Attempt, Cache, RefreshMode},
    clock,
    enrich::Described,
    error::{ListErrorKind, ProviderError},
    model::FlawCount,
};

/// How the cache and its providers stand at one moment.
///
/// It names providers, so it is for operators and not for clients. Serialised, a
/// duration is a number of seconds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// What makes lists be fetched again.
    pub refreshing: Refreshing,
    /// How many models are listed.
    pub models: usize,
    /// The strong entity tag of the list.
    pub etag: String,
    /// Every provider, in the order of declaration.
    pub providers: Vec<ProviderStatus>,
    /// The catalogue by which models are described, if one was set (feature `catalog`).
    pub catalog: Option<CatalogStatus>,
    /// Every alias, in the order in which they were given.
    pub aliases: Vec<AliasStatus>,
    /// Every override, in the order in which they were given.
    pub overrides: Vec<OverrideStatus>,
    /// How many views are prepared.
    pub views: usize,
    /// How many bytes their lists take, in all dialects and codings.
    pub view_bytes: usize,
}

/// What makes the lists of a cache be fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refreshing {
    /// A [refresher](crate::Refresher), in the background.
    Background,
    /// Requests: the first one after a list is due.
    OnDemand,
    /// Every request: [caching is off](crate::Builder::without_cache).
    PerRequest,
    /// Nothing: the cache was shut down, or its refresher dropped.
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

/// What became of an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AliasStatus {
    /// The further name.
    pub name: String,
    /// The listed id of the model that it stands for.
    pub target: String,
    /// Whether that is listed, and so the alias.
    pub listed: bool,
}

/// What an [override](crate::Builder::override_model) comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverrideStatus {
    /// The name of the model, as `provider/id`, or the globs.
    pub models: Vec<String>,
    /// How many of the providers' models it matches. An alias is no model: an override of one
    /// matches nothing.
    pub matched: usize,
}

/// How one provider stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProviderStatus {
    /// The provider's name.
    pub name: String,
    /// The name that a person is shown, if another was set.
    pub display_name: Option<String>,
    /// Where the list of an HTTP provider is requested: scheme, host, port and path. Never
    /// userinfo, query or credentials.
    pub address: Option<String>,
    /// How many of its models are listed.
    pub models: usize,
    /// How many are not, because a provider declared before it, or an alias, has their
    /// names.
    pub shadowed: usize,
    /// How many are behind their provider's prefix only because another provider lists
    /// their ids: of a provider that is prefixed [on conflict](crate::Prefix::OnConflict).
    pub prefixed: usize,
    /// In which dialect its list was, such as `openai`, if it came over HTTP: what
    /// [`Dialect::Auto`](crate::Dialect::Auto) has found, where that was set.
    pub dialect: Option<&'static str>,
    /// Records of its list that could not be read or served.
    pub skipped: usize,
    /// What was wrong with records, those that could be served included.
    pub flaws: Vec<FlawCount>,
    /// Records of its list that gave way to another of the same id.
    pub duplicates: usize,
    /// How many of the models that it offered its [filter](crate::Provider::filter) left
    /// out. When `models` is 0 and this is not, the filter matches nothing.
    pub filtered: usize,
    /// Of how many of its models the catalogue knows something.
    pub catalogued: usize,
    /// At how many of its models an [enricher](crate::Enrich) panicked.
    pub enrich_panics: usize,
    /// Whether its list is a declared one and not its own.
    pub declared: bool,
    /// Whether its list was fetched before its credential or an option changed, and has not
    /// been confirmed since.
    pub superseded: bool,
    /// How long ago its list was last confirmed; `None`: there is no list.
    #[serde(serialize_with = "seconds")]
    pub confirmed: Option<Duration>,
    /// The last attempt that is over.
    pub last_attempt: Option<AttemptStatus>,
    /// Failures since the last success.
    pub failures: u32,
    /// Whether a fetch is in the air.
    pub fetching: bool,
    /// How long until the next attempt may begin; `None`: one is under way, or the
    /// list is declared.
    #[serde(serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
}

/// How the catalogue stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CatalogStatus {
    /// Where it is requested, if it is fetched over HTTP: as of a
    /// [provider](ProviderStatus::address).
    pub address: Option<String>,
    /// How many models it has, of all providers.
    pub models: usize,
    /// How many of the providers' models it describes.
    pub described: usize,
    /// Records of it that could not be read.
    pub skipped: usize,
    /// How long ago it was last confirmed; `None`: it was never read.
    #[serde(serialize_with = "seconds")]
    pub confirmed: Option<Duration>,
    /// Why the last attempt gave none; `None`: it did, or there was no attempt yet.
    #[serde(serialize_with = "kind")]
    pub error: Option<ListErrorKind>,
    /// Failures since the last success.
    pub failures: u32,
    /// Whether a fetch is in the air.
    pub fetching: bool,
    /// How long until the next attempt may begin; `None`: one is under way.
    #[serde(serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
}

/// How an attempt at a provider's list ended.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptStatus {
    /// How long ago it ended.
    #[serde(serialize_with = "some_seconds")]
    pub ended: Duration,
    /// How long it took.
    #[serde(serialize_with = "some_seconds")]
    pub took: Duration,
    /// Why it gave no list; `None`: it did.
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
        let overrides = overrides.map(|(over, matched)| OverrideStatus {
            models: over.models(),
            matched,
        });
        let (views, view_bytes) = snapshot.0.views().size();
        Self {
            refreshing: Refreshing::of(cache),
            catalog,
            aliases: aliases.collect(),
            overrides: overrides.collect(),
            views,
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
