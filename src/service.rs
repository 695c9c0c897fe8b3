//! `StaticModelsCache<S>`: is it ours? Answer, wait, or forward.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    answer::{self, Asked, Served},
    body::ResponseBody,
    cache::{Cache, Wait},
    future::{Answer, ResponseFuture},
    handle::ModelsCache,
    request::{Paths, Target},
};

// ===== Answerer =====

/// What answers the requests that are ours. Cloning it is one reference count.
#[derive(Clone)]
pub(crate) struct Answerer(Arc<Answers>);

struct Answers {
    cache: Arc<Cache>,
    paths: Paths,
}

impl Answerer {
    pub(crate) fn new(cache: Arc<Cache>, paths: Paths) -> Self {
        Self(Arc::new(Answers { cache, paths }))
    }

    pub(crate) fn cache(&self) -> ModelsCache {
        ModelsCache(Arc::clone(&self.0.cache))
    }

    /// What the request asks for, when it is ours.
    #[inline]
    fn target<B>(&self, request: &Request<B>) -> Option<Target> {
        self.0.paths.classify(request.method(), request.uri())
    }

    // Not inlined, and given the whole request: one that is not ours then passes by
    // without a copy, and without the room on the stack that this takes.
    #[inline(never)]
    fn answer<B>(&self, target: Target, request: Request<B>) -> Answer {
        let asked = Asked {
            target,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        };
        if let Some(wait) = self.0.cache.attend()
            && (wait.is_for_what_is_listed() || !answer::is_listed(&self.0.cache, asked))
        {
            return self.answer_after(wait, asked);
        }
        Answer::Ready(Some(answer::answer(&self.0.cache, asked, Served::Hit)))
    }

    /// Answers from what is there once the wait is over. The head of the
    /// request is kept until then, its body is not.
    #[cold]
    fn answer_after(&self, wait: Wait, asked: Asked<'_>) -> Answer {
        let target = asked.target;
        let method = asked.method.clone();
        let uri = asked.uri.clone();
        let headers = asked.headers.clone();
        let answers = Arc::clone(&self.0);
        Answer::Awaited(Box::pin(async move {
            wait.over().await;
            let asked = Asked {
                target,
                method: &method,
                uri: &uri,
                headers: &headers,
            };
            answer::answer(&answers.cache, asked, Served::Awaited)
        }))
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
    answerer: Answerer,
}

impl<S> StaticModelsCache<S> {
    pub(crate) fn new(inner: S, answerer: Answerer) -> Self {
        Self { inner, answerer }
    }

    /// A handle on the cache, to look at the list and to steer what renews it.
    pub fn cache(&self) -> ModelsCache {
        self.answerer.cache()
    }

    /// The service inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The service inside, without the list.
    pub fn into_inner(self) -> S {
        self.inner
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
        match self.answerer.target(&request) {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(target) => ResponseFuture::ours(self.answerer.answer(target, request)),
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
