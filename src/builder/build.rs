//! Validates all settings and builds the layer.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::Builder;
use crate::{
    cache::{Cache, CacheConfig, RefreshMode},
    entry::{Bounds, has_glob},
    error::BuildError,
    layer::StaticModelsCacheLayer,
    provider::{LONGEST, check_duration},
    refresher::Refresher,
    render::ClientDialect,
    request::Paths,
    service::Responder,
    snapshot::{Aliases, ListingSettings, Naming, ViewBounds},
    tasks::Tasks,
    variants::{self, Vary},
};

impl Builder {
    /// Builds the layer without a refresher. The first request after a list is due starts its
    /// fetch, and is served the current list without waiting.
    ///
    /// This needs no tokio runtime and spawns no task. Fetches are spawned on the runtime of
    /// the request that starts them, which needs a timer; outside such a runtime nothing is
    /// fetched.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid or has no effect. It names the setting, its
    /// value, and what to write instead.
    pub fn build(self) -> Result<StaticModelsCacheLayer, BuildError> {
        let responder = self.responder(RefreshMode::OnDemand, None)?;
        Ok(StaticModelsCacheLayer::new(responder))
    }

    /// Builds the layer and spawns the refresher, which starts to fetch at once.
    ///
    /// Does not wait for the first lists: for that, use [`ModelsCache::ready`].
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build), and if this is not called inside a tokio runtime with a
    /// timer.
    ///
    /// [`ModelsCache::ready`]: crate::ModelsCache::ready
    pub fn spawn(self) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        self.spawn_tracked(None)
    }

    /// Builds the layer and spawns the refresher, and tracks every task of the cache in
    /// `tracker`.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_on(
        self,
        tracker: &TaskTracker,
    ) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        self.spawn_tracked(Some(tracker.clone()))
    }

    fn spawn_tracked(
        self,
        tracker: Option<TaskTracker>,
    ) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        let responder = self.responder(RefreshMode::Background, tracker)?;
        if let Err(found) = Tasks::check_runtime() {
            let expected = "a tokio runtime with a timer: call `spawn` inside one, or use `build`";
            return Err(BuildError::hidden("runtime", found, expected));
        }
        let refresher = Refresher::spawn(&responder.cache().0);
        Ok((StaticModelsCacheLayer::new(responder), refresher))
    }

    fn responder(
        self,
        refresh_mode: RefreshMode,
        tracker: Option<TaskTracker>,
    ) -> Result<Responder, BuildError> {
        for (field, value) in [
            ("refresh_interval", self.refresh_interval),
            ("miss_timeout", self.miss_timeout),
            ("fetch_timeout", self.fetch_timeout),
            ("backoff", self.backoff),
        ] {
            check_duration(field, Some(value))?;
        }
        check_duration("max_stale", self.max_stale)?;
        if let Some(share) = self.max_shrink.filter(|share| !(0.0..1.0).contains(share)) {
            let expected = "at least 0 and less than 1, such as 0.8";
            return Err(BuildError::new("max_shrink", share, expected));
        }
        if !self.without_cache {
            check_age(self.max_stale, self.refresh_interval)?;
        }
        if self.max_retry_after > LONGEST {
            let expected = "at most 365 days";
            return Err(BuildError::new(
                "max_retry_after",
                self.max_retry_after,
                expected,
            ));
        }
        check_aliases(&self.aliases)?;
        let bounds = check_bounds(self.bounds)?;
        check_view_bounds(self.view_bounds)?;
        self.check_effect()?;
        let paths = Paths::new(self.mounts, self.dialects)?;
        let dialects = ClientDialect::ALL.into_iter();
        let dialects = dialects.filter(|dialect| self.dialects.has(*dialect));
        let view_headers = Some(self.view_headers).filter(|_| self.hooks.has_views());
        let listing = ListingSettings {
            variants: variants::HeaderSettings {
                cache_control: self.cache_control,
                expose_incomplete: self.expose_incomplete,
                vary: Vary {
                    dialect: dialects.filter_map(ClientDialect::header).collect(),
                    view: view_headers.unwrap_or_default(),
                },
            },
            naming: Naming {
                aliases: Arc::new(Aliases::new(self.aliases)?),
                claude: self.claude_aliases,
            },
            codex_options: self.codex_options,
            views: self.view_bounds,
        };
        let enrichment = self.enrichment.checked()?;
        let config = CacheConfig {
            refresh_mode: if self.without_cache {
                RefreshMode::PerRequest
            } else {
                refresh_mode
            },
            refresh_interval: self.refresh_interval,
            miss_timeout: self.miss_timeout,
            fetch_timeout: self.fetch_timeout,
            headers_timeout: self.headers_timeout,
            backoff: self.backoff,
            longest_retry_after: self.max_retry_after,
            max_stale: self.max_stale,
            accept_empty: self.accept_empty,
            max_shrink: self.max_shrink,
            serve_partial: self.serve_partial,
            fetches_at_once: NonZeroUsize::new(self.max_concurrent_fetches)
                .filter(|fetches| fetches.get() <= MAX_FETCHES)
                .ok_or_else(|| {
                    let value = self.max_concurrent_fetches;
                    let expected = format!("1 to {MAX_FETCHES}");
                    BuildError::new("max_concurrent_fetches", value, expected)
                })?,
            bounds,
            listing: Arc::new(listing),
            enrichment: Arc::new(enrichment),
        };
        let stop = self.token.unwrap_or_default().child_token();
        let tasks = Tasks::new(stop, tracker);
        let cache = Cache::new(
            self.providers,
            self.catalog,
            config,
            tasks,
            self.jitter_seed,
        )?;
        Ok(Responder::new(cache, paths, self.hooks))
    }
}

impl Builder {
    /// Checks that every setting that was set has an effect.
    fn check_effect(&self) -> Result<(), BuildError> {
        const LISTS: [ClientDialect; 4] = [
            ClientDialect::OpenAi,
            ClientDialect::Anthropic,
            ClientDialect::Gemini,
            ClientDialect::Codex,
        ];
        let is_on = |dialect| self.dialects.has(dialect);
        let without_cache = (
            "set while caching is off",
            "either this setting or without_cache",
        );
        let no_views = (
            "set while all callers see all models",
            "a hook for views, set with Builder::views",
        );
        for setter in &self.explicit {
            let (works, (value, expected)) = match *setter {
                "refresh_interval" | "allow_refresh" => (!self.without_cache, without_cache),
                "view_headers" | "max_views" | "max_view_bytes" => {
                    (self.hooks.has_views(), no_views)
                }
                "paths" => {
                    let expected = "openai, anthropic, gemini or codex in client_dialects";
                    let on = LISTS.into_iter().any(is_on);
                    (on, ("set while no enabled dialect uses it", expected))
                }
                "gemini_paths" => {
                    let off = ("set while gemini is off", "gemini in client_dialects");
                    (is_on(ClientDialect::Gemini), off)
                }
                "ollama_paths" => {
                    let off = ("set while ollama is off", "ollama in client_dialects");
                    (is_on(ClientDialect::Ollama), off)
                }
                "codex_instructions" => {
                    let off = ("set while codex is off", "codex in client_dialects");
                    (is_on(ClientDialect::Codex), off)
                }
                _ => continue,
            };
            if !works {
                return Err(BuildError::hidden(*setter, value, expected));
            }
        }
        Ok(())
    }
}

/// Checks that no alias is a glob. A target may look like one, because some providers list such
/// ids.
fn check_aliases(aliases: &[(String, String)]) -> Result<(), BuildError> {
    match aliases.iter().find(|(name, _)| has_glob(name)) {
        Some((name, _)) => {
            let expected = "the name of one model: aliases do not support globs";
            Err(BuildError::new("aliases", name, expected))
        }
        None => Ok(()),
    }
}

/// Checks that a list is due for a refresh before it expires, jitter included.
fn check_age(max_stale: Option<Duration>, interval: Duration) -> Result<(), BuildError> {
    match max_stale {
        Some(age) if age <= interval.mul_f64(1.1) => {
            let expected = format!("more than 1.1 times the refresh_interval of {interval:?}");
            Err(BuildError::new("max_stale", age, expected))
        }
        _ => Ok(()),
    }
}

const MAX_FETCHES: usize = 65_536;

fn check_view_bounds(bounds: ViewBounds) -> Result<(), BuildError> {
    for (field, value) in [
        ("max_views", bounds.views),
        ("max_view_bytes", bounds.bytes),
    ] {
        if value == 0 {
            return Err(BuildError::new(field, value, "at least 1"));
        }
    }
    Ok(())
}

fn check_bounds(bounds: Bounds) -> Result<Bounds, BuildError> {
    const MAX: usize = 1 << 30;
    for (field, value) in [
        ("max_bytes", bounds.body),
        ("max_models", bounds.models),
        ("max_pages", bounds.pages),
    ] {
        if value == 0 || value > MAX {
            return Err(BuildError::new(field, value, format!("1 to {MAX}")));
        }
    }
    Ok(bounds)
}
