//! SIGHUP reads the file again: providers, their keys and routes are replaced without a
//! restart. What else the file says takes one.

use std::{collections::HashMap, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use tower_models_cache::ModelsCache;

use crate::{file, gateway::Setup, proxy::Route};

/// Where the chats of each provider go.
pub(crate) type Routes = Arc<ArcSwap<HashMap<String, Route>>>;

/// Reloads the file for as long as it is polled, once per signal.
#[cfg(unix)]
pub(crate) async fn on_hangup(path: &Path, cache: ModelsCache, routes: Routes) {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "SIGHUP does not reload the file"),
    };
    while hangup.recv().await.is_some() {
        match file::read(path) {
            Ok(setup) => apply(setup, &cache, &routes).await,
            Err(error) => tracing::error!(%error, "the file is not reloaded"),
        }
    }
}

#[cfg(not(unix))]
pub(crate) async fn on_hangup(_: &Path, _: ModelsCache, _: Routes) {
    std::future::pending().await
}

async fn apply(setup: Setup, cache: &ModelsCache, routes: &Routes) {
    let Setup {
        providers,
        routes: next,
        ..
    } = setup;
    let count = providers.len();
    // A model that is listed always has a route: the new ones come before the new list, and
    // the old ones go after it.
    let mut both = HashMap::clone(&routes.load());
    both.extend(next.clone());
    routes.store(Arc::new(both));
    match cache.set_providers(providers).await {
        Ok(()) => {
            routes.store(Arc::new(next));
            tracing::info!(providers = count, "the file is reloaded");
        }
        Err(error) => tracing::error!(%error, "the file is not reloaded"),
    }
}
