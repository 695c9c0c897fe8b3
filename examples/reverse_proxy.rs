//! Wrapping one upstream: a reverse proxy whose list of models comes from memory.
//!
//! The proxy is both what the layer wraps and what the list is fetched through, so
//! two lines put the layer in front of it. All else goes to the upstream as before.
//!
//! ```text
//! cargo run --example reverse_proxy [ADDRESS]
//! UPSTREAM=http://127.0.0.1:11434 cargo run --example reverse_proxy
//! ```
//!
//! Without `UPSTREAM` it starts a small one of its own: no keys, no network.
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
        return Err("UPSTREAM is not an http:// URL".into());
    }

    let client = Client::builder(TokioExecutor::new()).build_http();
    let proxy = service_fn({
        let upstream = upstream.clone();
        move |request| forward(client.clone(), upstream.clone(), request)
    });

    // These are the two lines. A key that the list needs is the provider's own,
    // set by `Provider::header`: that of a client never reaches it.
    let provider = Provider::http("upstream", proxy.clone()).prefix(false);
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .provider(provider)
        .spawn()?;

    let app = Router::new().fallback_service(proxy).layer(layer);

    let at = listener.local_addr()?;
    println!("listening on http://{at} for {upstream}, Ctrl-C ends it; try:");
    println!("  curl -i http://{at}/v1/models");
    println!("  curl -i http://{at}/v1/models/org/tiny:1b");
    println!("  curl -N -d '{{}}' http://{at}/v1/chat/completions");
    let ended = async { ctrl_c().await.expect("Ctrl-C can be listened for") };
    axum::serve(listener, app)
        .with_graceful_shutdown(ended)
        .await?;
    refresher.shutdown().await;
    Ok(())
}

/// The proxy: sends a request on to the upstream, bodies streaming both ways.
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
            eprintln!("the upstream did not answer: {error}");
            return Ok(StatusCode::BAD_GATEWAY.into_response());
        }
    };
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// What is meant for the next hop alone (RFC 9110, section 7.6.1).
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

/// An upstream that takes its time: for the list, and for each word.
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
