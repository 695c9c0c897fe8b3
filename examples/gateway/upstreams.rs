//! Local demo providers, so that the gateway runs without a key.
//!
//! They have realistic sizes, and each uses another dialect: `acme` is a vendor with
//! Anthropic's pages; `bazaar` is a slow reseller of other vendors' models, with
//! OpenRouter's records; `cellar` is a local server with Ollama's tags that fails
//! regularly. All models are made up. A fourth provider, `house`, is declared.

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
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
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
use tower::service_fn;
use tower_models_cache::{
    Catalog, ClientDialect, Model, Provider, Secret, StaticModelsCacheLayer, View,
    model::Modality,
    provider::{Dialect, Prefix},
};

use crate::{
    access::Access,
    gateway::{LISTEN, Setup},
    proxy::Route,
};

/// The key of a caller who sees only one provider's models.
const ACME_ONLY: &str = "demo-acme-only";
/// The key of a caller who sees only models that are free of charge.
const FREE_ONLY: &str = "demo-free-only";

/// Starts the three servers on free loopback ports. They stop when the set is dropped.
pub(crate) async fn start() -> io::Result<(JoinSet<io::Result<()>>, Setup)> {
    let mut servers = JoinSet::new();
    let mut models = StaticModelsCacheLayer::builder()
        .client_dialects([
            ClientDialect::OpenAi,
            ClientDialect::Anthropic,
            ClientDialect::Gemini,
            ClientDialect::Ollama,
            ClientDialect::Codex,
        ])
        .alias("fast", "acme/quill-5-nano")
        .catalog(catalog())
        .override_model(
            "cellar/tern-embed:latest",
            Model::description().with_output([Modality::Embeddings]),
        )
        .claude_aliases(true)
        .refresh_interval(Duration::from_secs(10)); // short, so that `/status` changes soon
    let mut routes = HashMap::new();
    for upstream in [acme(), bazaar(), cellar()] {
        let (name, dialect) = (upstream.name, upstream.form.dialect());
        let (header, key) = upstream.credential();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base_url = format!("http://{}/v1", listener.local_addr()?);
        let server = upstream.router();
        servers.spawn(async move { axum::serve(listener, server).await });

        let provider = Provider::client(name, &base_url)
            .dialect(dialect)
            .secret_header(header.clone(), Secret::new(&*key));
        models = models.provider(provider);
        let key = HeaderValue::try_from(key).expect("is plain text");
        let headers = HeaderMap::from_iter([(header, key)]);
        let route = Route::new(&base_url, headers).expect("an address makes a URL");
        routes.insert(name.to_owned(), route);
    }
    let acme = View::named("acme", |model| model.provider() == "acme");
    let free = View::globs(["bazaar/*:free", "cellar/*"], [""; 0]).expect("are good globs");
    let setup = Setup {
        listen: LISTEN,
        models: models.provider(house()),
        providers: Vec::new(), // there is no file to reload
        routes,
        access: Access::open([(ACME_ONLY.to_owned(), acme), (FREE_ONLY.to_owned(), free)]),
    };
    Ok((servers, setup))
}

pub(crate) fn print_what_to_try(gateway: SocketAddr) {
    print!(
        r#"
It serves three demo providers and a declared list. Try:

  curl -s {gateway}/v1/models
  curl -s '{gateway}/v1/models?limit=3' -H 'anthropic-version: 2023-06-01'
  curl -s '{gateway}/v1beta/models?pageSize=3'
  curl -s {gateway}/api/tags
  curl -s '{gateway}/v1/models?client_version=0.169.0'
  curl -s {gateway}/v1/models -H 'authorization: Bearer {ACME_ONLY}'
  curl -s {gateway}/v1/models -H 'authorization: Bearer {FREE_ONLY}'
  curl -si {gateway}/v1/models/acme/quill-3-mini
  curl -sI {gateway}/v1/models
  curl -sN {gateway}/v1/chat/completions -d '{{"model":"bazaar/fernhill/moss-2:free","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}'
  curl -s {gateway}/v1/chat/completions -d '{{"model":"fast","messages":[]}}'
  curl -s {gateway}/readyz
  curl -s {gateway}/status

Press Ctrl-C to stop.
"#
    );
}

// ===== The three providers =====

#[derive(Debug)]
struct Upstream {
    name: &'static str,
    form: Form,
    models: Vec<Value>,
    /// The delay of each page of the list.
    pause: Duration,
    /// Every n-th request for the list fails.
    fails: Option<usize>,
    lists: AtomicUsize,
}

/// The dialect of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Anthropic,
    OpenRouter,
    Ollama,
}

impl Form {
    fn dialect(self) -> Dialect {
        match self {
            Self::Anthropic => Dialect::Anthropic,
            Self::OpenRouter => Dialect::OpenRouter,
            Self::Ollama => Dialect::Ollama,
        }
    }

    /// The field of a record that holds the model's id.
    fn id(self) -> &'static str {
        match self {
            Self::Anthropic | Self::OpenRouter => "id",
            Self::Ollama => "name",
        }
    }

    /// The number of models per page.
    fn page(self) -> usize {
        match self {
            Self::Anthropic => 50,
            Self::OpenRouter => 200,
            Self::Ollama => usize::MAX,
        }
    }
}

impl Upstream {
    fn new(name: &'static str, form: Form, models: Vec<Value>) -> Self {
        Self {
            name,
            form,
            models,
            pause: Duration::ZERO,
            fails: None,
            lists: AtomicUsize::new(0),
        }
    }

    /// The header of its key, and the header's value.
    fn credential(&self) -> (HeaderName, String) {
        match self.form {
            Form::Anthropic => (
                HeaderName::from_static("x-api-key"),
                format!("key-of-{}", self.name),
            ),
            _ => (
                header::AUTHORIZATION,
                format!("Bearer key-of-{}", self.name),
            ),
        }
    }
}

/// A vendor: 120 models of its own, with only names and dates. A catalogue has the rest.
fn acme() -> Upstream {
    let mut models = Vec::new();
    for generation in 1..=5 {
        for size in ["nano", "mini", "base", "large", "max", "code"] {
            for variant in ["", "-preview", "-audio", "-2025-06-30"] {
                models.push(json!({
                    "type": "model",
                    "id": format!("quill-{generation}-{size}{variant}"),
                    "display_name": format!("Quill {generation} {size}{variant}"),
                    "created_at": format!("202{generation}-0{}-01T00:00:00Z", 1 + models.len() % 9),
                }));
            }
        }
    }
    Upstream::new("acme", Form::Anthropic, models)
}

/// The catalogue with facts that the vendor does not list, in the format of models.dev.
fn catalog() -> Catalog {
    let record = |id: &str| {
        let generation = id["quill-".len()..].chars().next();
        let generation = u64::from(generation.and_then(|digit| digit.to_digit(10)).unwrap_or(1));
        json!({
            "family": format!("quill-{generation}"), "tool_call": true, "open_weights": false,
            "limit": { "context": 64_000 * generation, "output": 8_000 },
            "modalities": { "input": ["text"], "output": ["text"] },
            "cost": { "input": 0.4, "output": 1.6 },
        })
    };
    let models = acme().models.into_iter().filter_map(|model| {
        let id = model["id"].as_str()?.to_owned();
        let record = record(&id);
        Some((id, record))
    });
    let models: serde_json::Map<_, _> = models.collect();
    let body = json!({ "acme": { "id": "acme", "name": "Acme", "models": models } }).to_string();
    Catalog::http(service_fn(move |_: Request| {
        let response = Response::new(Body::from(body.clone()));
        async { Ok::<_, Infallible>(response) }
    }))
}

/// A reseller: 350 models of seven vendors, with long descriptions. It is slow.
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
                        "architecture": { "input_modalities": ["text", "image"], "output_modalities": ["text"] },
                        "supported_parameters": ["max_tokens", "tools"],
                        "pricing": { "prompt": "0.0000004", "completion": "0.0000016" },
                    }));
                }
            }
        }
    }
    Upstream {
        pause: Duration::from_millis(500),
        ..Upstream::new("bazaar", Form::OpenRouter, models)
    }
}

/// A local server: five models. Every third request for its list fails.
fn cellar() -> Upstream {
    let ids = [
        "ember:1b",
        "ember:8b",
        "ember:8b-q4",
        "tern-embed:latest",
        "larch-vision:3b",
    ];
    let model = |id| {
        json!({
            "name": id, "model": id, "modified_at": "2026-01-15T09:30:00.1234567+01:00",
            "size": 5_200_000_000_u64, "digest": "0a1b2c",
            "details": { "format": "gguf", "family": "ember", "parameter_size": "8B" },
        })
    };
    Upstream {
        fails: Some(3),
        ..Upstream::new("cellar", Form::Ollama, ids.map(model).into())
    }
}

/// A declared list with unusual ids. It accepts no chats, and is listed without a prefix.
fn house() -> Provider {
    let ids = [
        "tea pot 418",
        "grüße-8b",
        "100%",
        "50%2Foff",
        "a+b=c&d",
        "who?what#where",
        "at@home:latest",
    ];
    Provider::fixed("house", ids.map(Model::new)).prefix(Prefix::OnConflict)
}

// ===== Responses =====

impl Upstream {
    fn router(self) -> Router {
        let list_path = match self.form {
            Form::Anthropic | Form::OpenRouter => "/v1/models",
            Form::Ollama => "/api/tags",
        };
        let shared = Arc::new(self);
        Router::new()
            .route(list_path, get(list))
            .route("/v1/chat/completions", post(chat))
            .layer(middleware::from_fn_with_state(shared.clone(), authorize))
            .with_state(shared)
    }
}

/// Requires this provider's key.
async fn authorize(
    State(upstream): State<Arc<Upstream>>,
    request: Request,
    next: Next,
) -> Response {
    let (header, key) = upstream.credential();
    match request.headers().get(header) {
        Some(value) if value == key.as_str() => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn list(
    State(upstream): State<Arc<Upstream>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let number = upstream.lists.fetch_add(1, Ordering::Relaxed) + 1;
    sleep(upstream.pause).await;
    if upstream.fails.is_some_and(|every| number % every == 0) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(upstream.page(&query)).into_response()
}

impl Upstream {
    /// A page of the list, in the provider's dialect.
    fn page(&self, query: &HashMap<String, String>) -> Value {
        let all = &self.models;
        let is = |id: &String| all.iter().position(|model| model["id"] == **id);
        let from = match self.form {
            Form::Anthropic => query.get("after_id").and_then(is).map_or(0, |at| at + 1),
            _ => query
                .get("offset")
                .and_then(|at| at.parse().ok())
                .unwrap_or(0),
        };
        let from = from.min(all.len());
        let to = from.saturating_add(self.form.page()).min(all.len());
        let (page, more) = (&all[from..to], to < all.len());
        match self.form {
            Form::Anthropic => json!({
                "data": page, "has_more": more,
                "first_id": page.first().map(|model| &model["id"]),
                "last_id": page.last().map(|model| &model["id"]),
            }),
            Form::OpenRouter => json!({
                "data": page, "total_count": all.len(),
                "links": { "next": more.then(|| format!("/v1/models?offset={to}")) },
            }),
            Form::Ollama => json!({ "models": page }),
        }
    }
}

async fn chat(State(upstream): State<Arc<Upstream>>, Json(chat): Json<Value>) -> Response {
    let model = &chat["model"];
    let id = upstream.form.id();
    if !upstream.models.iter().any(|known| known[id] == *model) {
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
        sleep(Duration::from_millis(100)).await; // makes the stream visible
        Ok::<_, Infallible>(event)
    });
    Sse::new(spoken).into_response()
}
