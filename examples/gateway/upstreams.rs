//! Three providers of our own, so that there is something to look at without a key.
//!
//! They are sized like real ones: `acme` like a vendor, `bazaar` like a reseller of
//! other vendors' models, and slow; `cellar` like a server in the house, which fails
//! now and then. All of their models are made up.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tower_models_cache::{Provider, Secret, StaticModelsCacheLayer};

use crate::{
    gateway::{LISTEN, Setup},
    proxy::Route,
};

/// Starts the three, on loopback ports that are free. They end when the set is dropped.
pub(crate) async fn start() -> io::Result<(JoinSet<io::Result<()>>, Setup)> {
    let mut servers = JoinSet::new();
    let mut models = StaticModelsCacheLayer::builder().refresh_interval(Duration::from_secs(10)); // so that `/status` has something to tell
    let mut routes = HashMap::new();
    for upstream in [acme(), bazaar(), cellar()] {
        let (name, key) = (upstream.name, upstream.key);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let server = upstream.router();
        servers.spawn(async move { axum::serve(listener, server).await });

        let provider = Provider::openai(name, &base_url, Secret::new(key));
        models = models.provider(provider);
        let bearer = HeaderValue::try_from(format!("Bearer {key}")).expect("is plain text");
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let route = Route::new(&base_url, headers).expect("an address makes a URL");
        routes.insert(name.to_owned(), route);
    }
    let listen = LISTEN;
    let setup = Setup {
        listen,
        models,
        routes,
    };
    Ok((servers, setup))
}

pub(crate) fn print_what_to_try(gateway: SocketAddr) {
    print!(
        r#"
Three providers of its own stand behind it. Try:

  curl -s {gateway}/v1/models
  curl -si {gateway}/v1/models/acme/quill-3-mini
  curl -sI {gateway}/v1/models
  curl -sN {gateway}/v1/chat/completions -d '{{"model":"bazaar/fernhill/moss-2:free","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  curl -s {gateway}/v1/chat/completions -d '{{"model":"cellar/ember:8b","messages":[]}}'
  curl -s {gateway}/readyz
  curl -s {gateway}/status

Ctrl-C ends it.
"#
    );
}

// ===== The three =====

#[derive(Debug)]
struct Upstream {
    name: &'static str,
    key: &'static str,
    models: Vec<Value>,
    /// How long the list takes.
    pause: Duration,
    /// Every how manieth request for the list fails.
    fails: Option<usize>,
    lists: AtomicUsize,
}

impl Upstream {
    fn new(name: &'static str, key: &'static str, models: Vec<Value>) -> Self {
        Self {
            name,
            key,
            models,
            pause: Duration::ZERO,
            fails: None,
            lists: AtomicUsize::new(0),
        }
    }
}

/// A vendor: 120 models of its own, and nothing said of them but who and when.
fn acme() -> Upstream {
    let mut models = Vec::new();
    for generation in 1..=5 {
        for size in ["nano", "mini", "base", "large", "max", "code"] {
            for variant in ["", "-preview", "-audio", "-2025-06-30"] {
                models.push(json!({
                    "id": format!("quill-{generation}-{size}{variant}"),
                    "object": "model",
                    "created": 1_650_000_000 + 20_000_000 * generation + models.len(),
                    "owned_by": "acme",
                }));
            }
        }
    }
    Upstream::new("acme", "key-of-acme", models)
}

/// A reseller: 350 models of seven vendors, each described at length. It is slow.
fn bazaar() -> Upstream {
    let vendors = [
        "fernhill", "gannet", "halyard", "isobar", "juniper", "kestrel", "lantern",
    ];
    let families = ["moss", "slate", "reed", "flint", "heron"];
    let tags = ["", ":free", ":fast", ":extended", ":thinking"];
    let mut models = Vec::new();
    for vendor in vendors {
        for family in families {
            for version in 1..=2 {
                for tag in tags {
                    models.push(json!({
                        "id": format!("{vendor}/{family}-{version}{tag}"),
                        "name": format!("{vendor}: {family} {version}{tag}"),
                        "created": 1_700_000_000 + 3600 * models.len(),
                        "description": "A model that was made up for this example. ".repeat(12),
                        "context_length": 32_768 * version,
                        "pricing": { "prompt": "0.0000004", "completion": "0.0000016" },
                    }));
                }
            }
        }
    }
    Upstream {
        pause: Duration::from_secs(1),
        ..Upstream::new("bazaar", "key-of-bazaar", models)
    }
}

/// A server in the house: five models. Every third request for its list fails.
fn cellar() -> Upstream {
    let ids = [
        "ember:1b",
        "ember:8b",
        "ember:8b-q4",
        "tern-embed:latest",
        "larch-vision:3b",
    ];
    let models = ids.map(|id| json!({ "id": id, "object": "model", "owned_by": "library" }));
    Upstream {
        fails: Some(3),
        ..Upstream::new("cellar", "key-of-cellar", models.into())
    }
}

// ===== What they answer =====

impl Upstream {
    fn router(self) -> Router {
        let shared = Arc::new(self);
        Router::new()
            .route("/v1/models", get(list))
            .route("/v1/chat/completions", post(chat))
            .layer(middleware::from_fn_with_state(shared.clone(), authorize))
            .with_state(shared)
    }
}

/// Only the key of this provider opens it.
async fn authorize(
    State(upstream): State<Arc<Upstream>>,
    request: Request,
    next: Next,
) -> Response {
    let bearer = format!("Bearer {}", upstream.key);
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) if value == bearer.as_str() => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn list(State(upstream): State<Arc<Upstream>>) -> Response {
    let number = upstream.lists.fetch_add(1, Ordering::Relaxed) + 1;
    sleep(upstream.pause).await;
    if upstream.fails.is_some_and(|every| number % every == 0) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(json!({ "object": "list", "data": upstream.models })).into_response()
}

async fn chat(State(upstream): State<Arc<Upstream>>, Json(chat): Json<Value>) -> Response {
    let model = &chat["model"];
    if !upstream.models.iter().any(|known| known["id"] == *model) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let words = [
        "I ",
        "am ",
        model.as_str().unwrap_or_default(),
        " of ",
        upstream.name,
        ".",
    ];
    if chat["stream"] != true {
        let message = json!({ "role": "assistant", "content": words.concat() });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        return Json(json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model,
            "choices": [choice],
        }))
        .into_response();
    }
    let chunk = |delta: Value, finish_reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": [choice],
        });
        Event::default().data(chunk.to_string())
    };
    let mut events: Vec<_> = words
        .map(|word| chunk(json!({ "content": word }), None))
        .into();
    events.push(chunk(json!({}), Some("stop")));
    events.push(Event::default().data("[DONE]"));
    let spoken = stream::iter(events).then(|event| async {
        sleep(Duration::from_millis(100)).await; // so that one sees it stream
        Ok::<_, Infallible>(event)
    });
    Sse::new(spoken).into_response()
}
