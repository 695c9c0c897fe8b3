//! Which contenders take part in which measurement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use crate::{
    case::Case,
    contenders::{self as with, Behind, Constant, ETAG, Ours},
    gateway::{Gateway, Origin},
    request::{self, CHAT, LIST, MODEL, request},
    upstream::{PROVIDERS, Upstream, upstreams},
};

/// `http-cache-tower` accepts only absolute URIs.
const ABSOLUTE_LIST: &str = "http://127.0.0.1:8080/v1/models";
const ABSOLUTE_CHAT: &str = "http://127.0.0.1:8080/v1/chat/completions";

/// The cases of a table, floors first, and remarks on contenders that cannot take part.
#[derive(Debug)]
pub struct Table {
    pub title: String,
    pub cases: Vec<Case>,
    pub remarks: Vec<(&'static str, String)>,
}

/// The list, with this many models.
pub fn lists(runtime: &Runtime, models: usize) -> Table {
    let setting = Setting::new(runtime, models);
    let Setting { ours, body, .. } = &setting;
    let gateway = &setting.gateway;
    let mut table = Table {
        title: format!("GET /v1/models, {models} models over {PROVIDERS} providers"),
        cases: vec![
            Case::new("constant", Constant::plain(body.clone()), || get(LIST)),
            Case::new(
                "constant-etag",
                Constant::new(body.clone(), setting.head.clone()),
                || get(LIST),
            ),
            Case::new("**ours**, hit", ours.clone(), || get(LIST)),
        ],
        remarks: Vec::new(),
    };
    let validator = setting.head[header::ETAG].to_str().unwrap().to_owned();
    let conditional = move || {
        request::with::<Full<Bytes>>(request("GET", LIST), header::IF_NONE_MATCH, &validator)
    };
    table.cases.extend([
        Case::new("**ours**, 304", ours.clone(), conditional),
        Case::new("**ours**, one model", ours.clone(), || get(MODEL)),
    ]);

    // Each peer: warmed up, checked, and probed for other HTTP features.
    let hand = with::axum_arc_swap(gateway.clone(), body.clone());
    table.add::<_, AxumBody, _>(&setting, "axum handler over arc-swap", hand, LIST);
    let hand = with::axum_moka(gateway.clone());
    table.add::<_, AxumBody, _>(&setting, "axum handler over moka", hand, LIST);
    let cache = with::tower_http_cache(Behind(gateway.clone()));
    table.add::<_, Full<Bytes>, _>(&setting, "tower-http-cache", cache, LIST);
    let cache = with::axum_response_cache(Behind(gateway.clone()));
    table.add::<_, AxumBody, _>(&setting, "axum-response-cache", cache, LIST);
    let cache = with::http_cache_tower(Behind(gateway.clone()));
    table.add::<_, Full<Bytes>, _>(&setting, "http-cache-tower", cache, ABSOLUTE_LIST);
    let origin = with::origin(Origin::new(&setting.upstreams));
    let name = "original gateway: lock, clone, prefix, serialise";
    table.add::<_, AxumBody, _>(&setting, name, origin, LIST);
    let name = "no cache: fetch, parse, merge, serialise";
    table.add::<_, AxumBody, _>(&setting, name, with::no_cache(gateway.clone()), LIST);
    table
}

/// Pass-through requests. The first two cases are the floors.
pub fn pass_through(runtime: &Runtime) -> Table {
    let setting = Setting::new(runtime, 500);
    let bare = || Constant::plain("{}".into());
    let chat = || request::<Full<Bytes>>("POST", CHAT);
    let absolute = || request::<Full<Bytes>>("POST", ABSOLUTE_CHAT);
    let router = || with::axum_arc_swap(setting.gateway.clone(), setting.body.clone());
    Table {
        title: "POST /v1/chat/completions".to_owned(),
        cases: vec![
            Case::new("the bare inner service", bare(), chat),
            Case::new("**ours**", setting.ours.clone(), chat),
            Case::new("tower-http-cache", with::tower_http_cache(bare()), chat),
            Case::new("http-cache-tower", with::http_cache_tower(bare()), absolute),
            Case::new("an axum router with both routes", router(), || {
                request::<AxumBody>("POST", CHAT)
            }),
        ],
        remarks: vec![(
            "axum-response-cache",
            "does not take part: it serves a POST from its cache, whatever its body".to_owned(),
        )],
    }
}

/// The layer and the floors, for one number of models.
struct Setting<'a> {
    runtime: &'a Runtime,
    upstreams: Vec<Upstream>,
    calls: Arc<AtomicUsize>,
    gateway: Gateway,
    ours: Ours,
    body: Bytes,
    head: HeaderMap,
    models: usize,
}

impl<'a> Setting<'a> {
    fn new(runtime: &'a Runtime, models: usize) -> Self {
        let (upstreams, calls) = upstreams(models, Duration::ZERO);
        let ours = with::ours(runtime, &upstreams);
        runtime.block_on(ours.cache().refresh()).unwrap();
        let snapshot = ours.cache().snapshot();
        assert_eq!(snapshot.len(), models);
        let (_, head, body) = response_of(runtime, ours.clone(), get(LIST));
        assert_eq!(body, snapshot.body());
        let (status, ..) = response_of(runtime, ours.clone(), get(MODEL));
        assert_eq!(status, StatusCode::OK);
        Self {
            gateway: Gateway::new(&upstreams),
            runtime,
            upstreams,
            calls,
            ours,
            body,
            head,
            models,
        }
    }
}

impl Table {
    /// Adds a peer after checking that it responds with the list.
    fn add<S, ReqBody, ResBody>(
        &mut self,
        setting: &Setting<'_>,
        name: &'static str,
        service: S,
        uri: &'static str,
    ) where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + 'static,
        S::Error: std::fmt::Debug,
        ReqBody: From<Bytes> + 'static,
        ResBody: http_body::Body<Error: std::fmt::Debug> + 'static,
    {
        let send = |request| response_of(setting.runtime, service.clone(), request);
        let list = || {
            let before = setting.calls.load(Ordering::Relaxed);
            let (status, _, body) = send(request("GET", uri));
            let list: Ids = serde_json::from_slice(&body).unwrap();
            let seen = (status.as_u16(), list.data.len());
            assert_eq!(seen, (200, setting.models), "{name}");
            setting.calls.load(Ordering::Relaxed) - before
        };
        list();
        let requested = list();
        let conditional = request::with(request("GET", uri), header::IF_NONE_MATCH, ETAG);
        let (conditional, ..) = send(conditional);
        let (head, _, body) = send(request("HEAD", uri));
        list();
        let (one, ..) = send(request("GET", &format!("{uri}{}", &MODEL[LIST.len()..])));
        let [conditional, head, one] = [conditional, head, one].map(|status| status.as_u16());
        self.remarks.push((
            name,
            format!(
                "the second request fetches from {requested} providers; If-None-Match: {conditional}; \
                 HEAD: {head} with {} bytes of body; one model: {one}",
                body.len(),
            ),
        ));
        self.cases
            .push(Case::new(name, service, move || request("GET", uri)));
    }
}

/// The part of a list that is checked.
#[derive(serde::Deserialize)]
struct Ids {
    data: Vec<serde::de::IgnoredAny>,
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    request("GET", uri)
}

fn response_of<S, ReqBody, ResBody>(
    runtime: &Runtime,
    service: S,
    request: Request<ReqBody>,
) -> (StatusCode, HeaderMap, Bytes)
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: std::fmt::Debug,
    ResBody: http_body::Body<Error: std::fmt::Debug>,
{
    runtime.block_on(async {
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, body)
    })
}
