//! `StaticModelsCache<S>`: responds to requests for the list, and forwards all others.

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

/// Responds to requests for the list and for models. Cloning it increments one reference count.
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

    /// The entity tag of a caller's list, if that is rendered and would be served.
    pub(crate) fn etag(&self, view: &View, dialect: ClientDialect) -> Option<HeaderValue> {
        answer::etag(&self.0.cache, view, dialect)
    }

    /// Which models a caller may see.
    pub(crate) fn view(&self, parts: &Parts) -> View {
        self.0.hooks.view(parts)
    }

    /// Whether this is the path at which Ollama's clients request one model.
    pub(crate) fn is_show(&self, path: &str) -> bool {
        self.0.paths.is_show(path)
    }

    /// The response to a `POST /api/show` for a model. `None` if the request names none.
    pub(crate) async fn show(&self, view: &View, id: Option<&str>) -> Response<Prepared> {
        let cache = &self.0.cache;
        // Refused callers first: `check_schedule` starts fetches that are due.
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

    /// The route of a request, if its path and method match.
    #[inline]
    fn route<B>(&self, request: &Request<B>) -> Option<Route> {
        self.0.paths.route(request.method(), request.uri())
    }

    /// The target of a request on a route, if its dialect is on.
    #[inline]
    fn target<B>(&self, route: Route, request: &Request<B>) -> Option<Target> {
        let (uri, headers) = (request.uri(), request.headers());
        self.0.paths.target(route, uri, headers)
    }

    #[inline]
    fn respond<B>(&self, target: Target, request: Request<B>) -> OwnResponse {
        if self.0.hooks.are_set() {
            let (parts, _) = request.into_parts();
            return self.respond_with_hooks(target, &parts);
        }
        self.respond_to(ModelsRequest {
            target,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            view: &const { View::all() },
        })
    }

    /// Calls the operator's hooks, and responds accordingly.
    fn respond_with_hooks(&self, target: Target, parts: &Parts) -> OwnResponse {
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
            return self.respond_after(Some((wait, ResponseSource::Refreshed)), request);
        }
        self.respond_to(request)
    }

    #[inline]
    fn respond_to(&self, request: ModelsRequest<'_>) -> OwnResponse {
        let cache = &self.0.cache;
        // In this order: `check_schedule` starts fetches that are due, which a request that
        // needs no providers must not.
        if request.needs_providers()
            && let Some(wait) = cache.check_schedule()
            && (wait.is_for_what_is_listed() || !answer::is_listed(cache, request))
        {
            return self.respond_after(Some((wait, ResponseSource::Awaited)), request);
        }
        match answer::answer(cache, &cache.load(), request) {
            Ok(response) => OwnResponse::Ready(Some(response)),
            Err(_) => self.respond_after(None, request),
        }
    }

    /// Responds from the snapshot after the wait, and after rendering a list that was not
    /// requested before. Keeps the head of the request until then, but not its body.
    #[cold]
    fn respond_after(
        &self,
        wait: Option<(Wait, ResponseSource)>,
        request: ModelsRequest<'_>,
    ) -> OwnResponse {
        let target = request.target;
        let method = request.method.clone();
        let uri = request.uri.clone();
        let headers = request.headers.clone();
        let view = request.view.clone();
        let inner = Arc::clone(&self.0);
        OwnResponse::Awaited(Box::pin(async move {
            let source = match wait {
                Some((wait, source)) => {
                    wait.over(&inner.cache).await;
                    source
                }
                None => ResponseSource::Hit,
            };
            // One snapshot from here on, in which lists are rendered.
            let snapshot = inner.cache.snapshot().0;
            let respond = |view: &View, prepared: Option<&Representation>| {
                let request = ModelsRequest {
                    target,
                    method: &method,
                    uri: &uri,
                    headers: &headers,
                    view,
                };
                answer::respond(&inner.cache, &snapshot, request, prepared, source)
            };
            let response = inner.prepared(&snapshot, &view, target.dialect, respond);
            response.await
        }))
    }
}

impl Inner {
    /// Renders the lists that `respond` reports as missing until it succeeds. If a rendering
    /// fails, the view is unknown.
    async fn prepared(
        &self,
        snapshot: &Arc<Snapshot>,
        view: &View,
        dialect: ClientDialect,
        respond: impl Fn(&View, Option<&Representation>) -> Result<Response<Prepared>, NotRendered>,
    ) -> Response<Prepared> {
        let mut view = view.clone();
        let mut own = None;
        loop {
            let missing = match respond(&view, own.as_ref()) {
                Ok(response) => return response,
                Err(missing) => missing,
            };
            match answer::prepare(&self.cache, snapshot, &view, dialect, missing).await {
                Ok(representation) => own = representation.or(own),
                Err(_) => view = View::unknown(), // fails closed
            }
        }
    }
}

// ===== StaticModelsCache =====

/// Service of a [`StaticModelsCacheLayer`](crate::StaticModelsCacheLayer): serves the list of
/// models from memory, and forwards all other requests to the inner service.
///
/// Readiness and errors are those of the inner service. If the inner service is at its
/// concurrency limit, the list waits as well: put the layer outside limits, or serve the list
/// from its own route with a [`ModelsService`](crate::ModelsService). An inner service that
/// reserves capacity when it is ready, as `ConcurrencyLimit` does, keeps the reservation while
/// the list is served, until the next request through the same clone.
#[derive(Clone)]
pub struct StaticModelsCache<S> {
    inner: S,
    responder: Responder,
}

impl<S> StaticModelsCache<S> {
    pub(crate) fn new(inner: S, responder: Responder) -> Self {
        Self { inner, responder }
    }

    /// Returns a handle to the cache, to read the list and to control its refresh.
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

    // Not inlined, and takes the whole request, so that a request for the inner service costs
    // neither a copy nor this function's stack space. For the same reason nothing before this
    // reads the headers.
    #[inline(never)]
    fn call_at<B>(&mut self, route: Route, request: Request<B>) -> ResponseFuture<S::Future>
    where
        S: Service<Request<B>>,
    {
        match self.responder.target(route, &request) {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(target) => ResponseFuture::own(self.responder.respond(target, request)),
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
