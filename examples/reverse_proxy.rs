//! A reverse proxy in front of one upstream, with the list of models from memory.
//!
//! The layer wraps the proxy and also fetches the list through it, so adding the layer
//! takes two lines. All other requests go to the upstream as before.
//!
//! ```text
//! cargo run --example reverse_proxy [ADDRESS]
//! UPSTREAM=http://127.0.0.1:11434 cargo run --example reverse_proxy
//! ```
//!
//! Without `UPSTREAM` it starts a small local one: no keys, no network.
#![expect(clippy::disallowed_methods, reason = "the rule is the library's own")]

use std::{convert::Infallible, env, error::Error, future::ready, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode, Uri, Version, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, signal::ctrl_c, time};
use tower::service_fn;
use tower_models_cache::{Provider, StaticModelsCacheLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = TcpListener::bind(address).await?;
    let upstream = match env::var("UPSTREAM") {
        Ok(upstream) => upstream,
        Err(_) => start_upstream().await?,
    };
    let upstream: Uri = upstream.parse()?;
    if upstream.scheme_str() != Some("http") {
        return Err("UPSTREAM must be an http:// URL".into());
    }

    let client = Client::builder(TokioExecutor::new()).build_http();
    let proxy = service_fn({
        let upstream = upstream.clone();
        move |request| forward(client.clone(), upstream.clone(), request)
    });

    // The two lines. If the list needs a key, set it with `Provider::header`: a client's
    // key is never sent with a fetch.
    let provider = Provider::http("upstream", proxy.clone()).prefix(false);
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .provider(provider)
        .spawn()?;

    let app = Router::new().fallback_service(proxy).layer(layer);

    let at = listener.local_addr()?;
    println!("listening on http://{at}, proxying {upstream} (Ctrl-C to stop). Try:");
    println!("  curl -i http://{at}/v1/models");
    println!("  curl -i http://{at}/v1/models/org/tiny:1b");
    println!("  curl -N -d '{{}}' http://{at}/v1/chat/completions");
    let ended = async { ctrl_c().await.expect("a signal handler") };
    axum::serve(listener, app)
        .with_graceful_shutdown(ended)
        .await?;
    refresher.shutdown().await;
    Ok(())
}

/// The proxy: forwards a request to the upstream, and streams both bodies.
async fn forward(
    client: Client<HttpConnector, Body>,
    upstream: Uri,
    mut request: Request,
) -> Result<Response, Infallible> {
    let mut to = upstream.into_parts();
    to.path_and_query = request.uri().path_and_query().cloned();
    let Ok(to) = Uri::from_parts(to) else {
        return Ok(StatusCode::BAD_REQUEST.into_response());
    };
    *request.uri_mut() = to;
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(header::HOST);
    remove_hop_by_hop(request.headers_mut());
    let mut response = match client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            eprintln!("the upstream is unreachable: {error}");
            return Ok(StatusCode::BAD_GATEWAY.into_response());
        }
    };
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// Removes hop-by-hop headers (RFC 9110, section 7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// A slow upstream: it delays the list, and each word.
async fn start_upstream() -> Result<String, Box<dyn Error>> {
    let list = || async {
        time::sleep(Duration::from_millis(500)).await;
        r#"{"object":"list","data":[{"id":"large"},{"id":"org/tiny:1b"}]}"#
    };
    let chat = || {
        let words = stream::iter(["One", "word", "at", "a", "time.", "[DONE]"]);
        let words = words.then(|word| async move {
            time::sleep(Duration::from_millis(200)).await;
            Ok::<_, Infallible>(Event::default().data(word))
        });
        ready(Sse::new(words))
    };
    let app = Router::new()
        .route("/v1/models", get(list))
        .route("/v1/chat/completions", post(chat));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}
