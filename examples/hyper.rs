//! The layer on bare hyper, without axum: HTTP/1.1, HTTP/2 and a graceful shutdown.
//!
//! ```text
//! cargo run --example hyper [ADDRESS]
//! ```
//!
//! It needs no keys and no network: the provider is a local server that it starts itself.
#![expect(clippy::disallowed_methods, reason = "the rule is the library's own")]

use std::{convert::Infallible, env, error::Error, net::SocketAddr, pin::pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal::ctrl_c, time};
use tower::ServiceBuilder;
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = TcpListener::bind(address).await?;
    let upstream = start_upstream().await?;

    // The list: the models of the upstream, and one that is declared here. Any Tower HTTP
    // service can be a provider; this one is hyper-util's client.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .provider(Provider::http("lab", client).base_url(format!("http://{upstream}/v1")))
        .provider(Provider::fixed("house", [Model::new("small")]))
        .spawn()?;
    let service = ServiceBuilder::new().layer(layer).service_fn(handle);

    let at = listener.local_addr()?;
    println!("listening on http://{at} (Ctrl-C to stop). Try:");
    println!("  curl -i http://{at}/v1/models");
    println!("  curl -i http://{at}/v1/models/lab/large");
    println!("  curl -I --http2-prior-knowledge http://{at}/v1/models");
    println!("  curl -i -d hello http://{at}/v1/chat/completions");

    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut ended = pin!(ctrl_c());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => TokioIo::new(stream),
                Err(error) => {
                    // Probably out of file descriptors: wait for connections to close.
                    eprintln!("cannot accept: {error}");
                    time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            ended = &mut ended => break ended?,
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection_with_upgrades(stream, service);
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async {
            if let Err(error) = connection.await {
                eprintln!("connection error: {error}");
            }
        });
    }

    // Stop accepting and fetching; requests in progress get ten seconds.
    drop(listener);
    refresher.shutdown().await;
    let ended = time::timeout(Duration::from_secs(10), connections.shutdown());
    if ended.await.is_err() {
        eprintln!("closing connections that are still open");
    }
    Ok(())
}

/// The inner service: handles everything but the list.
async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method(), request.uri().path());
    let text = format!("{method} {path} reached the inner service\n");
    Ok(Response::new(Full::from(text)))
}

/// The provider: takes half a second to list two models.
async fn start_upstream() -> Result<SocketAddr, Box<dyn Error>> {
    let list = |_: Request<Incoming>| async {
        time::sleep(Duration::from_millis(500)).await;
        let list = r#"{"object":"list","data":[{"id":"large"},{"id":"org/tiny:1b"}]}"#;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(list)))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new();
            let connection = connection.serve_connection(TokioIo::new(stream), service_fn(list));
            let _ = connection.await; // one connection at a time is enough here
        }
    });
    Ok(address)
}
