//! `StaticModelsCache<S>`: is it ours? Respond, wait, or forward.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, request::Parts};
use tower_service::Service;

use crate::{
    answer::{self, ModelsRequest, NotRendered, ResponseSource},
    body::{Prepared, ResponseBody},
    cache::{Cache, Wait},
    future::{OwnResponse, ResponseFuture},
    handle::ModelsCache,
    hook::Hooks,
    render::ClientDialect,
    request::{Paths, Route, Target},
    snapshot::{Representation, Snapshot, View},
};

// ===== Responder =====

/// What answers the requests that are ours. Cloning it is one reference count.
#[derive(Clone)]
pub(crate) struct Responder(Arc<Inner>);

struct Inner {
    cache: Arc<Cache>,
    paths: Paths,
    hooks: Hooks,
}

impl Responder {
    pub(crate) fn new(cache: Arc<Cache>, paths: Paths, hooks: Hooks) -> Self {
        Self(Arc::new(Inner {
            cache,
            paths,
            hooks,
        }))
    }

    pub(crate) fn cache(&self) -> ModelsCache {
        ModelsCache(Arc::clone(&self.0.cache))
    }

    /// The tag of a caller's list, where that is prepared and would be served.
    pub(crate) fn etag(&self, view: &View, dialect: ClientDialect) -> Option<HeaderValue> {
        answer::etag(&self.0.cache, view, dialect)
    }

    /// Which models a caller may see.
    pub(crate) fn view(&self, parts: &Parts) -> View {
        self.0.hooks.view(parts)
    }

    /// Whether this is where Ollama's clients ask about a model.
    pub(crate) fn is_show(&self, path: &str) -> bool {
        self.0.paths.is_show(path)
    }

    /// What Ollama's clients are shown of a model.
    pub(crate) async fn show(&self, view: &View, id: Option<&str>) -> Response<Prepared> {
        let cache = &self.0.cache;
        // Before anything looks at the schedule, which begins what is due.
        if let Some(id) = id.filter(|_| !view.sees_nothing())
            && let Some(wait) = cache.check_schedule()
            && (wait.is_for_what_is_listed() || !answer::is_seen(cache, view, id))
        {
            wait.over(cache).await;
        }
        let snapshot = cache.snapshot().0;
        let show = |view: &View, prepared: Option<&Representation>| {
            answer::ollama_show(cache, &snapshot, view, id, prepared)
        };
        let dialect = ClientDialect::Ollama;
        self.0.prepared(&snapshot, view, dialect, show).await
    }

    /// Where the request goes, when its path is one of ours.
    #[inline]
    fn route<B>(&self, request: &Request<B>) -> Option<Route> {
        self.0.paths.route(request.method(), request.uri())
    }

    /// What the request asks for there, when it is ours.
    #[inline]
    fn target<B>(&self, route: Route, request: &Request<B>) -> Option<Target> {
        let (uri, headers) = (request.uri(), request.headers());
        self.0.paths.target(route, uri, headers)
    }

    #[inline]
    fn answer<B>(&self, target: Target, request: Request<B>) -> OwnResponse {
        if self.0.hooks.are_set() {
            let (parts, _) = request.into_parts();
            return self.answer_to_caller(target, &parts);
        }
        self.answer_to(ModelsRequest {
            target,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            view: &const { View::all() },
        })
    }

    /// Answers as the operator's hooks say.
    fn answer_to_caller(&self, target: Target, parts: &Parts) -> OwnResponse {
        let view = self.view(parts);
        let request = ModelsRequest {
            target,
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            view: &view,
        };
        if request.needs_providers()
            && self.0.hooks.allows_refresh(parts)
            && let Some(wait) = self.0.cache.refresh_all()
        {
            return self.answer_after(Some((wait, ResponseSource::Renewed)), request);
        }
        self.answer_to(request)
    }

    #[inline]
    fn answer_to(&self, request: ModelsRequest<'_>) -> OwnResponse {
        let cache = &self.0.cache;
        // First of all: to look at the schedule begins what is due.
        if request.needs_providers()
            && let Some(wait) = cache.check_schedule()
            && (wait.is_for_what_is_listed() || !answer::is_listed(cache, request))
        {
            return self.answer_after(Some((wait, ResponseSource::Awaited)), request);
        }
        match answer::answer(cache, &cache.load(), request) {
            Ok(response) => OwnResponse::Ready(Some(response)),
            Err(_) => self.answer_after(None, request),
        }
    }

    /// Answers from what is there once the wait is over, and the list prepared that nobody
    /// has asked for before. The head of the request is kept until then, its body is not.
    #[cold]
    fn answer_after(
        &self,
        wait: Option<(Wait, ResponseSource)>,
        request: ModelsRequest<'_>,
    ) -> OwnResponse {
        let target = request.target;
        let method = request.method.clone();
        let uri = request.uri.clone();
        let headers = request.headers.clone();
        let view = request.view.clone();
        let answers = Arc::clone(&self.0);
        OwnResponse::Awaited(Box::pin(async move {
            let served = match wait {
                Some((wait, served)) => {
                    wait.over(&answers.cache).await;
                    served
                }
                None => ResponseSource::Hit,
            };
            // One snapshot from here on: what is prepared is prepared in it.
            let snapshot = answers.cache.snapshot().0;
            let answer = |view: &View, prepared: Option<&Representation>| {
                let request = ModelsRequest {
                    target,
                    method: &method,
                    uri: &uri,
                    headers: &headers,
                    view,
                };
                answer::respond(&answers.cache, &snapshot, request, prepared, served)
            };
            let answer = answers.prepared(&snapshot, &view, target.dialect, answer);
            answer.await
        }))
    }
}

impl Inner {
    /// An answer to a caller, with what it lacks prepared before.
    async fn prepared(
        &self,
        snapshot: &Arc<Snapshot>,
        view: &View,
        dialect: ClientDialect,
        answer: impl Fn(&View, Option<&Representation>) -> Result<Response<Prepared>, NotRendered>,
    ) -> Response<Prepared> {
        let mut view = view.clone();
        let mut own = None;
        loop {
            let lacking = match answer(&view, own.as_ref()) {
                Ok(response) => return response,
                Err(lacking) => lacking,
            };
            match answer::prepare(&self.cache, snapshot, &view, dialect, lacking).await {
                Ok(representation) => own = representation.or(own),
                Err(_) => view = View::unknown(), // and so it hides
            }
        }
    }
}

// ===== StaticModelsCache =====

/// Service that answers the list of models from memory, and leaves all other
/// requests to the one inside.
///
/// Its readiness is the inner service's: behind a limit that is exhausted the list
/// waits like everything else. Put the layer outside of limits, or give the list a
/// route of its own with a [`ModelsService`](crate::ModelsService). An inner service
/// that reserves something when it is ready, as `ConcurrencyLimit` does, keeps it
/// reserved while the list is answered, until the next request through the same clone.
#[derive(Clone)]
pub struct StaticModelsCache<S> {
    inner: S,
    responder: Responder,
}

impl<S> StaticModelsCache<S> {
    pub(crate) fn new(inner: S, responder: Responder) -> Self {
        Self { inner, responder }
    }

    /// A handle on the cache, to look at the list and to steer what renews it.
    pub fn cache(&self) -> ModelsCache {
        self.responder.cache()
    }

    /// Gets a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Gets a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes this service and returns the inner one.
    pub fn into_inner(self) -> S {
        self.inner
    }

    // Not inlined, and given the whole request: one that goes elsewhere then passes by
    // without a copy, and without the room on the stack that this takes. For the same
    // reason nothing before this looks at the headers.
    #[inline(never)]
    fn call_at<B>(&mut self, route: Route, request: Request<B>) -> ResponseFuture<S::Future>
    where
        S: Service<Request<B>>,
    {
        match self.responder.target(route, &request) {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(target) => ResponseFuture::ours(self.responder.answer(target, request)),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for StaticModelsCache<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.responder.route(&request) {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(route) => self.call_at(route, request),
        }
    }
}

impl<S> fmt::Debug for StaticModelsCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticModelsCache")
            .field("cache", &self.cache())
            .finish_non_exhaustive()
    }
}
