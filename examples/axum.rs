//! The README's program: `cargo run --features client --example axum`.

use axum::{Router, routing::post};
use tower_models_cache::{Model, Preset, Provider, Secret, StaticModelsCacheLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut models = StaticModelsCacheLayer::builder()
        .provider(Provider::preset(Preset::OpenRouter, None))
        .provider(Provider::preset(Preset::Ollama, None).with_name("lab"))
        .provider(Provider::fixed("house", [Model::new("house-small")]));
    if let Ok(key) = Secret::from_env("ANTHROPIC_API_KEY") {
        models = models.provider(Provider::preset(Preset::Anthropic, key));
    }
    let (layer, refresher) = models.spawn()?;

    let app = Router::new()
        .route("/v1/chat/completions", post(|| async { "your gateway" }))
        .layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.expect("a signal handler") })
        .await?;
    refresher.shutdown().await; // does not wait for providers
    Ok(())
}
