//! Health endpoints, for load balancers and operators.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tower_models_cache::{ModelsCache, Readiness, status::Status};

/// The process is alive. Providers do not count, because a restart would not repair them.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// There is a list to serve, or every provider was tried once. That stays true: failing
/// providers must not take all replicas out of the load balancer at once.
pub(crate) async fn ready(State(cache): State<ModelsCache>) -> (StatusCode, Json<Value>) {
    let ready = [Readiness::AnyProvider, Readiness::Attempted];
    let ready = ready.into_iter().any(|readiness| cache.is_ready(readiness));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let models = cache.snapshot().len();
    (status, Json(json!({ "ready": ready, "models": models })))
}

/// The state of each provider: when its list was confirmed, and why the last attempt
/// failed.
pub(crate) async fn status(State(cache): State<ModelsCache>) -> Json<Status> {
    Json(cache.status())
}
