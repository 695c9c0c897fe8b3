//! User code never runs under a lock: a `tracing` subscriber may use the cache whose event it
//! handles.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_models_cache::{Model, ModelsCache, Provider, error::ListErrorKind};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use crate::support::{MODES, ScriptedSource, SharedList, builder, get, send, settle};

/// Uses every method of the cache that takes its lock, on each event of the crate.
#[derive(Clone, Default)]
struct CacheUser {
    cache: Arc<OnceLock<ModelsCache>>,
    events: Arc<AtomicUsize>,
}

impl<S: Subscriber> Layer<S> for CacheUser {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(cache) = self.cache.get() else {
            return;
        };
        if !event.metadata().target().starts_with("tower_models_cache") {
            return;
        }
        if self.events.fetch_add(1, Ordering::SeqCst) > 1_000 {
            return; // its own calls are logged as well
        }
        cache.status();
        cache.snapshot();
        cache.invalidate("lab");
        cache.is_ready(tower_models_cache::Readiness::AnyProvider);
    }
}

/// Regression: a subscriber that read the status on an event deadlocked the process.
#[tokio::test(start_paused = true)]
async fn subscriber_may_use_the_cache() {
    for mode in MODES {
        let user = CacheUser::default();
        let subscriber = tracing_subscriber::registry().with(user.clone());
        let _default = tracing::subscriber::set_default(subscriber);
        tracing::callsite::rebuild_interest_cache();
        let shared = SharedList::new(["a"]);
        let provider = Provider::source("lab", ScriptedSource::shared(&shared));
        let (layer, refresher) = mode.start(builder([provider]));
        let _ = user.cache.set(layer.cache());
        send(&layer, get("/v1/models")).await;
        shared.set(Err(ListErrorKind::Timeout));
        sleep(Duration::from_secs(1_000)).await;
        send(&layer, get("/v1/models")).await;
        settle().await;
        sleep(Duration::from_secs(25 * 3600)).await; // older than `max_stale`
        send(&layer, get("/v1/models")).await;
        let fixed = Provider::fixed("house", [Model::new("x")]);
        layer.cache().set_providers([fixed]).await.unwrap();
        drop(refresher);
        settle().await;
        assert!(user.events.load(Ordering::SeqCst) > 2, "{mode:?}");
    }
}
