//! `StaticModelsCache<S>`: is it ours? Answer, wait, or forward.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
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
    fn target<'a, B>(&self, request: &'a Request<B>) -> Option<Target<'a>> {
        self.0.paths.classify(request.method(), request.uri())
    }

    // Not inlined, and so not generic: a request that is not ours passes by
    // without the room on the stack that this takes.
    #[inline(never)]
    fn answer(&self, asked: Asked<'_>, uri: &Uri) -> Answer {
        if let Some(wait) = self.0.cache.attend()
            && (wait.is_for_what_is_listed() || !answer::is_listed(&self.0.cache, asked.target))
        {
            return self.answer_after(wait, asked, uri);
        }
        Answer::Ready(Some(answer::answer(&self.0.cache, asked, Served::Hit)))
    }

    /// Answers from what is there once the wait is over. The head of the
    /// request is kept until then, its body is not.
    #[cold]
    fn answer_after(&self, wait: Wait, asked: Asked<'_>, uri: &Uri) -> Answer {
        let method = asked.method.clone();
        let uri = uri.clone();
        let headers = asked.headers.clone();
        let answers = Arc::clone(&self.0);
        Answer::Awaited(Box::pin(async move {
            wait.over().await;
            let target = answers.paths.classify(&method, &uri);
            let asked = Asked {
                target: target.expect("the request was ours when it came"),
                method: &method,
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
        let Some(target) = self.answerer.target(&request) else {
            return ResponseFuture::inner(self.inner.call(request));
        };
        let asked = Asked {
            target,
            method: request.method(),
            headers: request.headers(),
        };
        ResponseFuture::ours(self.answerer.answer(asked, request.uri()))
    }
}

impl<S> fmt::Debug for StaticModelsCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticModelsCache")
            .field("cache", &self.cache())
            .finish_non_exhaustive()
    }
}
