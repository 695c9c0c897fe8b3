//! The example gateway, run as users run it: a process that serves HTTP.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_openai::{Client as OpenAi, config::OpenAIConfig};
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::timeout,
};

/// Turns a test that hangs into one that fails. Nothing in these tests is this slow.
const SAFETY: Duration = Duration::from_secs(30);

// ===== The process =====

struct Gateway {
    process: Child,
    address: SocketAddr,
    /// Kept open while the process may print.
    _stdout: Lines<BufReader<ChildStdout>>,
}

fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("GATEWAY_TEST_KEY", "key-of-the-lab")
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Gateway {
    async fn demo() -> Self {
        Self::start(&mut gateway()).await
    }

    async fn of_file(file: &Path) -> Self {
        Self::start(gateway().arg("--config").arg(file)).await
    }

    async fn start(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(SAFETY, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the gateway prints its address");
        let address = line.strip_prefix("listening on http://").expect(&line);
        Self {
            address: address.parse().unwrap(),
            process,
            _stdout: lines,
        }
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Response<Body> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let mut request = request.body(body.into()).unwrap();
        let uri = format!("http://{}{}", self.address, request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        let response = timeout(SAFETY, client.request(request)).await.unwrap();
        response.unwrap().map(Body::new)
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        whole(self.send(Request::get(path), Body::empty()).await).await
    }

    async fn chat(&self, body: impl Into<Body>) -> Response<Bytes> {
        let request = Request::post("/v1/chat/completions");
        whole(self.send(request, body).await).await
    }

    /// Waits until every provider is listed.
    async fn listing_all(self) -> Self {
        timeout(SAFETY, async {
            while self.status().await.values().any(|&models| models == 0) {
                yield_now().await;
            }
        })
        .await
        .unwrap();
        self
    }

    /// The number of listed models per provider.
    async fn status(&self) -> BTreeMap<String, u64> {
        let status = self.get("/status").await;
        let status = json_of(status.body());
        let providers = status["providers"].as_array().unwrap().iter();
        let models = |provider: &Value| {
            let name = provider["name"].as_str().unwrap().to_owned();
            (name, provider["models"].as_u64().unwrap())
        };
        providers.map(models).collect()
    }

    async fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
        timeout(SAFETY, self.process.wait()).await.unwrap().unwrap()
    }
}

async fn whole(response: Response<Body>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    let body = timeout(SAFETY, body.collect()).await.unwrap().unwrap();
    Response::from_parts(head, body.to_bytes())
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

// ===== A provider of the test =====

/// Lists its models, by default only `x:1`, and responds to each chat as the test defines.
struct Lab {
    base_url: String,
    /// The chats as received.
    chats: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    responses: mpsc::UnboundedSender<Response<Body>>,
    _server: JoinSet<()>,
}

type Answers = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Response<Body>>>>;

impl Lab {
    async fn open() -> Self {
        Self::listing(&["x:1"]).await
    }

    async fn listing(ids: &[&str]) -> Self {
        let chats = Arc::new(Mutex::new(Vec::new()));
        let (responses, given) = mpsc::unbounded_channel();
        let given: Answers = Arc::new(tokio::sync::Mutex::new(given));
        let seen = Arc::clone(&chats);
        let chat = move |State(given): State<Answers>, headers: HeaderMap, body: Bytes| async move {
            seen.lock().unwrap().push((headers, body));
            given.lock().await.recv().await.unwrap()
        };
        let models = ids.iter();
        let models = models.map(|id| json!({ "id": id, "object": "model" }));
        let list = json!({ "object": "list", "data": models.collect::<Vec<_>>() });
        let router = Router::new()
            .route("/v1/models", get(|| async { Json(list) }))
            .route("/v1/chat/completions", post(chat))
            .with_state(given);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            base_url,
            chats,
            responses,
            _server: server,
        }
    }

    fn table(&self) -> String {
        let base_url = &self.base_url;
        format!(
            "[[providers]]\nname = \"lab\"\nbase_url = \"{base_url}\"\n\
             api_key_env = \"GATEWAY_TEST_KEY\"\nheaders = {{ \"x-team\" = \"infra\" }}\n"
        )
    }

    async fn gateway(&self, test: &str) -> Gateway {
        let file = file(test, &self.table());
        Gateway::of_file(&file).await.listing_all().await
    }
}

fn file(test: &str, text: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

// ===== List =====

#[tokio::test]
async fn demo_lists_three_upstreams_exactly() {
    let gateway = Gateway::demo().await.listing_all().await;
    let response = gateway.get("/v1/models").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    let head = gateway.send(Request::head("/v1/models"), Body::empty());
    let head = whole(head.await).await;
    for header in ["content-length", "content-type", "etag", "cache-control"] {
        assert_eq!(head.headers()[header], response.headers()[header]);
    }
    assert!(head.body().is_empty());

    assert!(
        response
            .body()
            .starts_with(br#"{"object":"list","data":[{"#)
    );
    let list = json_of(response.body());
    assert_eq!(list.as_object().unwrap().len(), 2);
    let mut of_provider = BTreeMap::new();
    for model in list["data"].as_array().unwrap() {
        let id = model["id"].as_str().unwrap();
        assert_eq!(model["object"], "model");
        assert!(u32::try_from(model["created"].as_u64().unwrap()).is_ok());
        assert!(!model["owned_by"].as_str().unwrap().is_empty());
        let (provider, _) = id.split_once('/').unwrap_or_default();
        *of_provider.entry(provider.to_owned()).or_default() += 1;
    }
    // An alias and declared models have no provider prefix.
    let sizes = [("", 8), ("acme", 120), ("bazaar", 350), ("cellar", 5)];
    let sizes = sizes.map(|(name, size)| (name.to_owned(), size));
    assert_eq!(of_provider, BTreeMap::from(sizes));
}

#[tokio::test]
async fn async_openai_reads_every_demo_model() {
    let gateway = Gateway::demo().await.listing_all().await;
    let config = OpenAIConfig::new()
        .with_api_base(format!("http://{}/v1", gateway.address))
        .with_api_key("the-client's");
    let client = OpenAi::with_config(config);
    let list = client.models().list().await.unwrap();
    assert_eq!((list.object.as_str(), list.data.len()), ("list", 483));
    for model in list.data {
        // The client puts the id into the path unescaped, except for what its URL library
        // escapes.
        let mut id = model.id.replace('%', "%25");
        for (sign, escape) in [("?", "%3F"), ("#", "%23")] {
            id = id.replace(sign, escape);
        }
        let read = client.models().retrieve(&id).await.unwrap();
        assert_eq!(read, model);
    }
    let unknown = client.models().retrieve("acme/nothing").await;
    let unknown = unknown.expect_err("is not listed").to_string();
    assert!(unknown.contains("acme/nothing"), "{unknown}");
}

#[tokio::test]
async fn demo_serves_every_dialect() {
    let gateway = Gateway::demo().await.listing_all().await;
    for (path, header, list, id, first) in [
        ("/v1/models", "accept", "data", "id", "fast"),
        (
            "/v1/models?limit=1",
            "anthropic-version",
            "data",
            "id",
            "claude-100%",
        ),
        (
            "/v1beta/models?pageSize=1",
            "accept",
            "models",
            "name",
            "models/100%",
        ),
        (
            "/v1/models?pageSize=1",
            "x-goog-api-key",
            "models",
            "name",
            "models/100%",
        ),
        ("/api/tags", "accept", "models", "name", "fast"),
        (
            "/v1/models?client_version=0.169.0",
            "accept",
            "models",
            "slug",
            "fast",
        ),
    ] {
        let request = Request::get(path).header(header, "x");
        let response = whole(gateway.send(request, Body::empty()).await).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(json_of(response.body())[list][0][id], first, "{path}");
    }
    // Facts that no provider reported: from the catalog, and from an override.
    let of = |id: &str| format!("/v1/models/{id}");
    let known = json_of(gateway.get(&of("acme/quill-3-mini")).await.body());
    assert_eq!(known["context_length"], 192_000);
    assert_eq!(known["family"], "quill-3");
    assert_eq!(known["pricing"]["prompt"], "0.0000004");
    let known = json_of(gateway.get(&of("cellar/tern-embed:latest")).await.body());
    assert_eq!(
        known["architecture"]["output_modalities"],
        json!(["embeddings"])
    );
    let asked = json!({ "model": "bazaar/fernhill/moss-2" }).to_string();
    let shown = whole(gateway.send(Request::post("/api/show"), asked).await).await;
    let shown = json_of(shown.body());
    assert!(
        shown["capabilities"]
            .as_array()
            .unwrap()
            .contains(&json!("vision"))
    );
}

#[tokio::test]
async fn key_selects_view_of_list_and_chat() {
    let gateway = Gateway::demo().await.listing_all().await;
    for (header, key) in [
        ("authorization", "Bearer demo-acme-only"),
        ("x-api-key", "demo-acme-only"),
    ] {
        let list = Request::get("/v1/models").header(header, key);
        let list = whole(gateway.send(list, Body::empty()).await).await;
        let list = json_of(list.body());
        assert_eq!(list["data"].as_array().unwrap().len(), 121); // including the alias
        for (model, status) in [
            ("fast", 200),
            ("acme/quill-1-max", 200),
            ("cellar/ember:8b", 404),
        ] {
            let chat = Request::post("/v1/chat/completions").header(header, key);
            let body = json!({ "model": model, "messages": [] }).to_string();
            let response = whole(gateway.send(chat, body).await).await;
            assert_eq!(response.status(), status, "{model}");
        }
    }
    let list = Request::get("/v1/models").header("x-goog-api-key", "demo-free-only");
    let list = whole(
        gateway
            .send(list.header("anthropic-version", "1"), Body::empty())
            .await,
    );
    let list = json_of(list.await.body());
    assert_eq!(list["has_more"], true);
    assert_eq!(list["first_id"], "claude-bazaar/fernhill/flint-1:free");
    // A hidden model is indistinguishable from an unknown one.
    let send = |model: &str, key: &'static str| {
        let body = json!({ "model": model, "messages": [] }).to_string();
        let chat = Request::post("/v1/chat/completions").header("x-api-key", key);
        let response = gateway.send(chat, body);
        async { whole(response.await).await }
    };
    let hidden = send("cellar/ember:8b", "demo-acme-only").await;
    let unknown = send("cellar/ember:9b", "demo-acme-only").await;
    let text = |response: &Response<Bytes>| String::from_utf8(response.body().to_vec()).unwrap();
    assert_eq!(text(&hidden).replace(":8b", ":9b"), text(&unknown));
}

/// Regression: a model that a view excludes was reachable by an alias and by a `claude-` name, in
/// list, retrieval, show and chat; and those names of an included model were 404.
#[tokio::test]
async fn view_applies_to_every_name_of_a_model() {
    let lab = Lab::listing(&["secret", "other"]).await;
    let text = format!(
        r#"
        listen = "127.0.0.1:0"

        [static_models_cache]
        claude_aliases = true
        client_dialects = ["openai", "anthropic", "gemini", "ollama", "codex"]

        [static_models_cache.aliases]
        best = "house/secret"

        [static_models_cache.views.without]
        exclude = ["house/secret"]

        [static_models_cache.views.with]
        include = ["house/secret"]

        [[providers]]
        name = "house"
        base_url = "{}"

        [[keys]]
        key_env = "GATEWAY_KEY_WITHOUT"
        view = "without"

        [[keys]]
        key_env = "GATEWAY_KEY_WITH"
        view = "with"
        "#,
        lab.base_url
    );
    let file = file("names", &text);
    let mut command = gateway();
    command.arg("--config").arg(file);
    command.env("GATEWAY_KEY_WITHOUT", "without");
    command.env("GATEWAY_KEY_WITH", "with");
    let gateway = Gateway::start(&mut command).await.listing_all().await;
    let send = |request: http::request::Builder, body: Value| {
        let response = gateway.send(request, body.to_string());
        async { whole(response.await).await }
    };
    let own = ["house/secret", "best"];
    let led = ["claude-house/secret", "claude-best"];
    for (key, status) in [("without", 404), ("with", 200)] {
        let keyed = |request: http::request::Builder| request.header("x-api-key", key);
        for (path, header, listed) in [
            ("/v1/models", "accept", own),
            ("/v1/models", "anthropic-version", led),
            ("/v1beta/models", "accept", own),
            ("/api/tags", "accept", own),
            ("/v1/models?client_version=0.169.0", "accept", own),
        ] {
            let list = send(keyed(Request::get(path).header(header, "1")), json!(null)).await;
            let list = String::from_utf8(list.body().to_vec()).unwrap();
            for name in listed {
                let has = list.contains(&format!("{name}\""));
                assert_eq!(has, status == 200, "{key} {path} {name}: {list}");
            }
        }
        for name in own.into_iter().chain(led) {
            for (path, header) in [
                ("/v1/models", "accept"),
                ("/v1/models", "anthropic-version"),
                ("/v1beta/models", "accept"),
            ] {
                let request = Request::get(format!("{path}/{name}")).header(header, "1");
                let response = send(keyed(request), json!(null)).await;
                assert_eq!(response.status(), status, "{key} {path}/{name} {header}");
            }
            let shown = send(keyed(Request::post("/api/show")), json!({ "model": name })).await;
            assert_eq!(shown.status(), status, "{key} show {name}");

            lab.responses.send(Response::new(Body::from("{}"))).unwrap();
            let chat = || keyed(Request::post("/v1/chat/completions"));
            let response = send(chat(), json!({ "model": name })).await;
            assert_eq!(response.status(), status, "{key} chat {name}");
            if status == 404 {
                let unknown = name.replace("best", "bess").replace("secret", "secres");
                let other = send(chat(), json!({ "model": unknown })).await;
                let text = |response: &Response<Bytes>, name: &str| {
                    String::from_utf8_lossy(response.body()).replace(name, "ID")
                };
                assert_eq!(text(&response, name), text(&other, &unknown));
            }
        }
    }
    let chats = lab.chats.lock().unwrap();
    assert_eq!(chats.len(), own.len() + led.len());
    assert!(
        chats
            .iter()
            .all(|(_, body)| json_of(body)["model"] == "secret")
    );
}

#[tokio::test]
async fn chat_response_has_models_etag_for_codex() {
    let gateway = Gateway::demo().await.listing_all().await;
    let chat = json!({ "model": "fast", "messages": [] }).to_string();
    let list = gateway.get("/v1/models?client_version=0.169.0").await;
    let response = gateway.chat(chat).await;
    assert_eq!(response.headers()["x-models-etag"], list.headers()["etag"]);
}

#[tokio::test]
async fn request_without_configured_key_is_401() {
    let text = r#"
        listen = "127.0.0.1:0"

        [static_models_cache.views.small]
        include = ["house/small*"]

        [[providers]]
        name = "house"
        models = ["small", "large"]

        [[keys]]
        key_env = "GATEWAY_TEST_KEY"
        view = "small"
    "#;
    let gateway = Gateway::of_file(&file("keys", text)).await;
    let stranger = gateway.get("/v1/models").await;
    assert_eq!(stranger.status(), 401);
    assert!(json_of(stranger.body())["error"]["message"].is_string());
    let chat = json!({ "model": "house/small", "messages": [] }).to_string();
    assert_eq!(gateway.chat(chat).await.status(), 401);
    assert_eq!(gateway.get("/healthz").await.status(), 200);

    let list = Request::get("/v1/models").header("x-api-key", "key-of-the-lab");
    let list = whole(gateway.send(list, Body::empty()).await).await;
    let list = json_of(list.body());
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["id"], "house/small");
}

// ===== Chats =====

#[tokio::test]
async fn chat_is_routed_under_upstream_id() {
    let gateway = Gateway::demo().await.listing_all().await;
    for (listed, upstream_id, provider) in [
        ("acme/quill-3-mini", "quill-3-mini", "acme"),
        (
            "bazaar/fernhill/moss-2:free",
            "fernhill/moss-2:free",
            "bazaar",
        ),
        ("cellar/ember:8b", "ember:8b", "cellar"),
    ] {
        let said = format!("I am {upstream_id} of {provider}.");
        let response = gateway.chat(json!({ "model": listed }).to_string()).await;
        let response = json_of(response.body());
        assert_eq!(response["choices"][0]["message"]["content"], said);

        let streamed = json!({ "model": listed, "stream": true }).to_string();
        let response = gateway.chat(streamed).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events = str::from_utf8(response.body()).unwrap();
        let events: Vec<_> = events
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let (&end, chunks) = events.split_last().unwrap();
        assert_eq!(end, "[DONE]");
        let word = |chunk: &&str| {
            let delta = &json_of(chunk.as_bytes())["choices"][0]["delta"];
            delta["content"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(chunks.iter().map(word).collect::<String>(), said);
    }
}

#[tokio::test]
async fn stream_chunks_are_forwarded_as_received() {
    let lab = Lab::open().await;
    let gateway = lab.gateway("stream").await;
    let (parts, mut given) = mpsc::unbounded_channel::<&'static str>();
    let body = futures_util::stream::poll_fn(move |cx| {
        given
            .poll_recv(cx)
            .map(|part| part.map(Ok::<_, std::io::Error>))
    });
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-request-id", "17")
        .header("set-cookie", "of-the-lab=1")
        .body(Body::from_stream(body))
        .unwrap();
    lab.responses.send(response).unwrap();
    let request = Request::post("/v1/chat/completions");
    let response = gateway
        .send(request, r#"{"model":"lab/x:1","stream":true}"#)
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-request-id"], "17");
    assert!(!response.headers().contains_key("set-cookie"));
    let mut body = response.into_body();
    for part in ["data: 1\n\n", "data: 2\n", "\n", "da", "ta: [DONE]\n\n"] {
        // The next chunk is not sent before this one has arrived.
        parts.send(part).unwrap();
        let frame = timeout(SAFETY, body.frame()).await.unwrap();
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), part);
    }
    drop(parts);
    assert!(timeout(SAFETY, body.frame()).await.unwrap().is_none());
}

#[tokio::test]
async fn provider_gets_only_its_key_and_client_body() {
    let lab = Lab::open().await;
    let gateway = lab.gateway("key").await;
    lab.responses.send(Response::new(Body::from("{}"))).unwrap();
    let request = Request::post("/v1/chat/completions?key=the-client's")
        .header("authorization", "Bearer the-client's")
        .header("cookie", "the-client's")
        .header("x-api-key", "the-client's")
        .header("x-team", "the-client's")
        .header("idempotency-key", "5");
    let sent = r#" { "temperature" : 0.100000000000000000001, "model" : "lab\/x:1", "seed":1e2 }"#;
    let response = whole(gateway.send(request, sent).await).await;
    assert_eq!(response.body(), "{}");

    let chats = lab.chats.lock().unwrap();
    let [(headers, body)] = &chats[..] else {
        panic!("{} chats", chats.len());
    };
    assert_eq!(body, &sent.replace(r"lab\/x:1", "x:1"));
    assert_eq!(headers["authorization"], "Bearer key-of-the-lab");
    assert_eq!(headers["x-team"], "infra");
    assert_eq!(headers["idempotency-key"], "5");
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        !format!("{headers:?}").contains("the-client's"),
        "{headers:?}"
    );
}

#[tokio::test]
async fn unroutable_chat_is_openai_error() {
    let lab = Lab::open().await;
    let gateway = lab.gateway("refused").await;
    let refused = |status: u16, body: &'static str| {
        let response = Response::builder().status(status).header("location", "/x");
        lab.responses
            .send(response.body(Body::from(body)).unwrap())
            .unwrap();
    };
    let known = r#"{"model":"lab/x:1"}"#;
    let huge = format!(r#"{{"model":"lab/x:1","x":"{}"}}"#, "x".repeat(16 << 20));
    for (body, status, kind) in [
        (r#"{"model":"lab/y"}"#, 404, "invalid_request_error"),
        (r#"{"model":"x:1"}"#, 404, "invalid_request_error"),
        (r#"{"model":7}"#, 400, "invalid_request_error"),
        (r#"{"messages":[]}"#, 400, "invalid_request_error"),
        (
            r#"{"model":"lab/x:1","model":"lab/y"}"#,
            400,
            "invalid_request_error",
        ),
        ("[]", 400, "invalid_request_error"),
        (&huge, 413, "invalid_request_error"),
    ] {
        let response = gateway.chat(body.to_owned()).await;
        assert_eq!(response.status(), status, "{:.40}", body);
        assert_eq!(json_of(response.body())["error"]["type"], kind);
    }
    assert!(lab.chats.lock().unwrap().is_empty());

    // The client learns only that the provider refused the gateway.
    for status in [401, 403, 307] {
        refused(status, "no such key: key-of-the-lab");
        let response = gateway.chat(known).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(!format!("{response:?}").contains("key-of-the-lab"));
        assert_eq!(json_of(response.body())["error"]["type"], "api_error");
    }
    // An error about the client's own request is passed on.
    refused(429, r#"{"error":"slow down"}"#);
    let response = gateway.chat(known).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.body(), r#"{"error":"slow down"}"#);

    drop(lab);
    let response = gateway.chat(known).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(json_of(response.body())["error"]["code"], "bad_gateway");
}

// ===== Health =====

#[tokio::test]
async fn gateway_is_ready_after_first_provider() {
    let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = hung.local_addr().unwrap();
    let table = format!("[[providers]]\nname = \"hung\"\nbase_url = \"http://{address}\"\n");
    let gateway = Gateway::of_file(&file("hung", &table)).await;
    assert_eq!(gateway.get("/healthz").await.status(), StatusCode::OK);
    let response = gateway.get("/readyz").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        json_of(response.body()),
        json!({ "ready": false, "models": 0 })
    );
    // The model may belong to a provider that has no list yet.
    let response = gateway.chat(r#"{"model":"hung/x"}"#).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));

    let lab = Lab::open().await;
    let both = file("hung-and-lab", &format!("{table}{}", lab.table()));
    let gateway = Gateway::of_file(&both).await;
    timeout(SAFETY, async {
        while gateway.get("/readyz").await.status() != StatusCode::OK {
            yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(gateway.get("/healthz").await.status(), StatusCode::OK);
}

// ===== Shutdown =====

#[tokio::test]
async fn sigterm_ends_gateway_with_hung_provider() {
    let hung = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = hung.local_addr().unwrap();
    let lab = Lab::open().await;
    // Waiting for the hung provider would exceed the timeout of this test.
    let table = format!(
        "[static_models_cache]\nfetch_timeout = \"1h\"\n\
         [[providers]]\nname = \"hung\"\nbase_url = \"http://{address}\"\ntimeout = \"1h\"\n{}",
        lab.table()
    );
    let gateway = Gateway::of_file(&file("sigterm", &table)).await;
    let (_fetch, _) = timeout(SAFETY, hung.accept()).await.unwrap().unwrap();
    timeout(SAFETY, async {
        while gateway.status().await["lab"] == 0 {
            yield_now().await;
        }
    })
    .await
    .unwrap();

    // A client with an idle connection, one in the middle of a request, and an endless stream.
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut response = [0; 12];
    idle.read_exact(&mut response).await.unwrap();
    let mut slow = TcpStream::connect(gateway.address).await.unwrap();
    slow.write_all(b"GET /healthz HT").await.unwrap();
    let endless = futures_util::stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
    let endless = futures_util::StreamExt::chain(endless, futures_util::stream::pending());
    lab.responses
        .send(Response::new(Body::from_stream(endless)))
        .unwrap();
    let request = Request::post("/v1/chat/completions");
    let mut stream = gateway
        .send(request, r#"{"model":"lab/x:1"}"#)
        .await
        .into_body();
    assert!(stream.frame().await.unwrap().is_ok());

    assert_eq!(gateway.terminate().await.code(), Some(0));
}

// ===== Invalid files =====

async fn refused(test: &str, text: &str) -> Output {
    let mut command = gateway();
    let refused = command.arg("--config").arg(file(test, text)).output();
    timeout(SAFETY, refused).await.unwrap().unwrap()
}

#[tokio::test]
async fn invalid_file_exits_2_naming_line_and_field() {
    let provider = "[[providers]]\nname = \"lab\"\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    for (index, (text, line, field)) in [
        // Not TOML.
        (
            "listen = \"127.0.0.1:0\"\nproviders = [".to_owned(),
            2,
            "providers",
        ),
        ("listen =\n".to_owned(), 1, "listen"),
        // Unknown fields.
        ("\n\nlisten_on = 5\n".to_owned(), 3, "listen_on"),
        (
            format!("{provider}api_key = \"hunter2\"\n"),
            4,
            "providers[0].api_key",
        ),
        (
            "[static_models_cache]\nrefresh = \"5m\"".to_owned(),
            2,
            "static_models_cache.refresh",
        ),
        // Wrong types.
        ("listen = \"here\"".to_owned(), 1, "listen"),
        (
            format!("{provider}\n{provider}headers = \"hunter2\""),
            8,
            "providers[1].headers",
        ),
        (
            format!("{provider}models = [\n  \"a\",\n  7,\n]"),
            6,
            "providers[0].models",
        ),
        (
            format!("{provider}timeout = \"soon\"\n"),
            4,
            "providers[0].timeout",
        ),
        ("[[providers]]\nname = \"lab\"".to_owned(), 1, "base_url"),
        (
            "[[keys]]\nkey_env = \"GATEWAY_TEST_NO_KEY\"".to_owned(),
            2,
            "keys[0].key_env: GATEWAY_TEST_NO_KEY is not set",
        ),
        (
            "[[keys]]\nkey_env = \"GATEWAY_TEST_KEY\"\nview = \"none\"".to_owned(),
            3,
            "keys[0].view is \"none\", expected the name of a table",
        ),
        (
            "[static_models_cache.views.a]\ninclude = [\"[\"]".to_owned(),
            2,
            "static_models_cache.views.a.include",
        ),
        // Settings that cannot be built.
        (
            "[static_models_cache]\nrefresh_interval = \"5m\"\nmiss_timeout = \"0s\"\n".to_owned(),
            3,
            "static_models_cache.miss_timeout",
        ),
        (
            format!("{provider}{}", provider.replace("lab", "a/b")),
            5,
            "providers[1].name",
        ),
        (format!("{provider}\n\n{provider}"), 7, "providers[1].name"),
        (
            format!("{provider}include = [\"[\"]"),
            4,
            "providers[0].include",
        ),
        (
            provider.replace("http://", "http://user:hunter2@"),
            3,
            "providers[0].base_url",
        ),
        (
            format!("{provider}api_key_env = \"GATEWAY_TEST_NO_KEY\""),
            4,
            "providers[0].api_key_env",
        ),
        (
            format!("{provider}headers = {{ \"a b\" = \"hunter2\" }}"),
            4,
            "providers[0].headers",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let output = refused(&format!("bad-{index}"), &text).await;
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}\n{message}");
        assert!(output.stdout.is_empty(), "{text}\n{message}");
        let place = format!("bad-{index}.toml:{line}: ");
        assert!(message.contains(&place), "{text}\n{message}");
        let (_, what) = message.split_once(&place).unwrap();
        assert!(what.contains(field), "{text}\n{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn check_prints_provider_addresses() {
    let text = "[[providers]]\nname = \"lab\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
                models_path = \"/list?key=hunter2\"\n\
                [[providers]]\nname = \"openai\"\npreset = \"openai\"\n\
                api_key_env = \"GATEWAY_TEST_KEY\"\n\
                [[providers]]\nname = \"house\"\nmodels = [\"small\"]\n";
    let output = gateway()
        .args(["--check", "--config"])
        .arg(file("check", text))
        .output();
    let output = timeout(SAFETY, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let expected = "lab\thttp\thttp://127.0.0.1:9/list\n\
                    openai\thttp\thttps://api.openai.com/v1/models\n\
                    house\tdeclared\t-\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let bad = text.replace("/v1\"", "/v1/chat/completions\"");
    let output = gateway()
        .args(["--check", "--config"])
        .arg(file("check-bad", &bad))
        .output();
    let output = timeout(SAFETY, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("without /chat/completions"), "{message}");
}

#[tokio::test]
async fn missing_file_exits_2() {
    let output = gateway().args(["--config", "no-such-file.toml"]).output();
    let output = timeout(SAFETY, output).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("no-such-file.toml"), "{message}");
}

#[tokio::test]
async fn sample_file_is_valid() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateway.toml");
    let sample = std::fs::read_to_string(sample).unwrap();
    // The same file with unreachable addresses: no test calls the real providers.
    let sample = sample.replace("https://", "http://127.0.0.1:9/");
    let sample = sample.replace("localhost:11434", "127.0.0.1:9");
    for key in [Some("OPENAI_API_KEY"), None] {
        let mut command = gateway();
        command.arg("--config").arg(file("sample", &sample));
        command
            .env_remove("OPENAI_API_KEY")
            .env("OPENROUTER_API_KEY", "k");
        if let Some(key) = key {
            let gateway = Gateway::start(command.env(key, "k")).await;
            let providers = gateway.status().await.into_keys().collect::<Vec<_>>();
            assert_eq!(providers, ["lab", "openai", "openrouter"]);
        } else {
            let output = timeout(SAFETY, command.output()).await.unwrap().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains("OPENAI_API_KEY"), "{message}");
        }
    }
}

// ===== Reload =====

/// An upstream of two keys, each of which sees models of its own, that counts what came
/// with each.
#[derive(Clone, Default)]
struct Keyed(Arc<Mutex<BTreeMap<String, usize>>>);

impl Keyed {
    async fn start(&self) -> (String, JoinSet<()>) {
        let key = |headers: &HeaderMap| {
            let key = headers
                .get("authorization")
                .and_then(|key| key.to_str().ok());
            key.unwrap_or_default().to_owned()
        };
        let (lists, chats) = (self.clone(), self.clone());
        let list = move |headers: HeaderMap| async move {
            let key = key(&headers);
            lists.count(format!("list {key}"));
            let own = key.strip_prefix("Bearer ").unwrap_or("nobody").to_owned();
            Json(json!({ "object": "list", "data": [{ "id": "shared" }, { "id": own }] }))
        };
        let chat = move |headers: HeaderMap| async move {
            chats.count(format!("chat {}", key(&headers)));
            Json(json!({ "object": "chat.completion" }))
        };
        let router = Router::new()
            .route("/v1/models", get(list))
            .route("/v1/chat/completions", post(chat));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.unwrap() });
        (base_url, server)
    }

    fn count(&self, what: String) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    fn counted(&self, what: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .get(what)
            .copied()
            .unwrap_or_default()
    }
}

/// A regression: a rotated key took the provider out of list and routing until the first
/// fetch with the new one was over.
#[tokio::test]
async fn no_request_fails_while_a_key_is_rotated() {
    let upstream = Keyed::default();
    let (base_url, _server) = upstream.start().await;
    let table = |key: &str| {
        format!(
            "[[providers]]\nname = \"lab\"\nbase_url = \"{base_url}\"\n\
             headers = {{ authorization = \"Bearer {key}\" }}\n"
        )
    };
    let path = file("key_rotated", &table("old"));
    let gateway = Gateway::of_file(&path).await.listing_all().await;
    let gateway = Arc::new(gateway);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (gateway, done) = (Arc::clone(&gateway), Arc::clone(&done));
        load.spawn(async move {
            let mut requests = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let list = gateway.get("/v1/models").await;
                assert_eq!(list.status(), StatusCode::OK, "{list:?}");
                let list = json_of(list.body());
                assert!(list["data"].as_array().unwrap().len() >= 2, "{list}");
                let chat = gateway.chat(r#"{"model":"lab/shared"}"#).await;
                assert_eq!(chat.status(), StatusCode::OK, "{chat:?}");
                requests += 2;
            }
            requests
        });
    }
    let hangup = async || {
        let pid = gateway.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status().await;
        assert!(sent.unwrap().success());
    };
    let listed = async |id: &str| {
        let id = format!("/v1/models/lab/{id}");
        gateway.get(&id).await.status() == StatusCode::OK
    };
    for (old, new) in [("old", "new"), ("new", "newer")] {
        assert!(listed(old).await);
        std::fs::write(&path, table(new)).unwrap();
        hangup().await;
        timeout(SAFETY, async {
            while !listed(new).await || upstream.counted(&format!("chat Bearer {new}")) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
    // A file that is wrong changes nothing.
    std::fs::write(&path, "providers = 7").unwrap();
    hangup().await;
    for _ in 0..50 {
        assert!(listed("newer").await);
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let requests: usize = load.join_all().await.into_iter().sum();
    assert!(requests > 20, "{requests} requests are no load");
    assert_eq!(upstream.counted("list Bearer old"), 1);
}
