//! From what is asked to the response: the prepared bytes, or an error.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    body::Prepared,
    cache::Cache,
    clock, conditional,
    page::PageRequest,
    render::{self, ClientDialect, ErrorResponse, Pagination},
    request::{Resource, Target, decode_id},
    snapshot::{Panicked, PreparedView, Representation, Slice, Snapshot, View, Visibility},
    variants::{self, JSON, Variants},
};

/// What of a request decides the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelsRequest<'a> {
    pub(crate) target: Target,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// Which models the caller may see.
    pub(crate) view: &'a View,
}

/// Where an answer comes from (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseSource {
    /// From memory.
    Hit,
    /// From memory, after the providers were waited for.
    Awaited,
    /// From memory, after the providers were asked because the client wanted it.
    Renewed,
}

impl ResponseSource {
    /// Why the providers were waited for.
    fn forwarded(self) -> Option<&'static str> {
        match self {
            Self::Hit => None,
            Self::Awaited => Some("miss"),
            Self::Renewed => Some("request"),
        }
    }
}

/// A list that nobody has asked for before: it has to be [prepared](prepare).
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotRendered {
    /// The caller's own.
    Own,
    /// The list of all models, of which the answer is a part.
    Whole,
}

type Responded = Result<Response<Prepared>, NotRendered>;

/// The answer, from what is there.
#[inline]
pub(crate) fn answer(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
) -> Responded {
    if request.is_plain() && is_whole(snapshot, cache) {
        return Ok(list(snapshot.variants(), request));
    }
    respond(cache, snapshot, request, None, ResponseSource::Hit)
}

/// The answer to anything: also to a request for which something was
/// [prepared](prepare), or that waited.
#[inline(never)]
pub(crate) fn respond(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
    served: ResponseSource,
) -> Responded {
    let mut response = respond_to(cache, snapshot, request, prepared)?;
    if let Some(why) = served.forwarded()
        && let Some(status) = response.headers_mut().get_mut(header::CACHE_STATUS)
    {
        *status = variants::forwarded_status(status, why);
    }
    if request.method == Method::HEAD {
        // An empty body, and the length that GET's has, as prepared.
        *response.body_mut() = Prepared::default();
    }
    Ok(response)
}

impl ModelsRequest<'_> {
    /// Whether it is for what nearly all requests are for.
    #[inline]
    fn is_plain(&self) -> bool {
        self.target.resource == Resource::List
            && *self.method == Method::GET
            && self.is_for_all_in_openai()
    }

    #[inline]
    fn is_for_all_in_openai(&self) -> bool {
        self.target.dialect == ClientDialect::OpenAi && matches!(self.view.0, Visibility::All)
    }

    /// Whether the answer depends on what providers offer. One that does not waits for
    /// none of them, and causes no fetch.
    #[inline]
    pub(crate) fn needs_providers(&self) -> bool {
        self.target.resource != Resource::Version && !self.view.sees_nothing()
    }

    /// The header fields, where one of them is `Accept-Encoding`.
    #[inline]
    fn accept_encoding(&self) -> Option<&HeaderMap> {
        let has = self.target.fields.accept_encoding;
        has.then_some(self.headers)
    }

    /// Whether the client has the response with this entity-tag already.
    #[inline]
    fn none_match_hits(&self, etag: &[u8]) -> bool {
        self.target.fields.if_none_match && conditional::none_match_hits(self.headers, etag)
    }

    /// The id that is asked for, decoded.
    fn id(&self) -> Option<std::borrow::Cow<'_, str>> {
        decode_id(self.target.resource.id(self.uri)?)
    }
}

fn respond_to(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
) -> Responded {
    let problem = match &request.view.0 {
        Visibility::Denied(status) => Some(ErrorResponse::Denied(*status)),
        Visibility::Unknown => Some(ErrorResponse::NoView),
        Visibility::All | Visibility::Some(_) => None,
    };
    if let Some(problem) = problem {
        return Ok(failure(snapshot, request, problem));
    }
    let dialect = request.target.dialect;
    match request.target.resource {
        Resource::Version => Ok(version(snapshot)),
        Resource::List if !may_serve(snapshot, cache, request.view) => {
            Ok(unavailable(cache, dialect))
        }
        Resource::List if request.is_for_all_in_openai() => Ok(list(snapshot.variants(), request)),
        Resource::List => {
            let answer = |representation: &Representation| match is_known(
                snapshot,
                representation,
                request.view,
            ) {
                true => list_or_page(snapshot, representation, request),
                false => unavailable(cache, dialect),
            };
            match prepared {
                Some(representation) => Ok(answer(representation)),
                None => {
                    representation(snapshot, request.view, dialect, answer).ok_or(NotRendered::Own)
                }
            }
        }
        Resource::Model { .. } => model(cache, snapshot, request, prepared),
    }
}

/// Prepares what an [`answer`] lacked. The caller's own list may be gone from the snapshot
/// again when the answer is made, so it is handed on.
pub(crate) async fn prepare(
    cache: &Arc<Cache>,
    snapshot: &Arc<Snapshot>,
    view: &View,
    dialect: ClientDialect,
    lacking: NotRendered,
) -> Result<Option<Representation>, Panicked> {
    match lacking {
        NotRendered::Own => cache.prepare(snapshot, view, dialect).await.map(Some),
        NotRendered::Whole => {
            cache.prepare(snapshot, &View::all(), dialect).await?;
            Ok(None)
        }
    }
}

/// Looks at a caller's list, if it is prepared.
fn representation<T>(
    snapshot: &Snapshot,
    view: &View,
    dialect: ClientDialect,
    look: impl FnOnce(&Representation) -> T,
) -> Option<T> {
    match &view.0 {
        Visibility::All => snapshot.representations().get(dialect).map(look),
        Visibility::Some(config) => snapshot
            .views()
            .with(config, |seen| seen.representations.get(dialect).map(look))
            .flatten(),
        Visibility::Denied(_) | Visibility::Unknown => None,
    }
}

/// The tag of a caller's list, where that is prepared and would be served.
pub(crate) fn etag(cache: &Cache, view: &View, dialect: ClientDialect) -> Option<HeaderValue> {
    let snapshot = cache.load();
    let is_served = |representation: &Representation| {
        may_serve(&snapshot, cache, view) && is_known(&snapshot, representation, view)
    };
    let tag = |representation: &Representation| {
        is_served(representation).then(|| representation.variants().etag_value().clone())
    };
    representation(&snapshot, view, dialect, tag).flatten()
}

/// Whether the model that is asked for is there already, and for this caller: then
/// nothing is waited for.
pub(crate) fn is_listed(cache: &Cache, request: ModelsRequest<'_>) -> bool {
    let id = request.id();
    let mut ids = id.iter().flat_map(|id| forms(request.target.dialect, id));
    ids.any(|id| is_seen(cache, request.view, id))
}

/// Whether a model is there, and seen.
pub(crate) fn is_seen(cache: &Cache, view: &View, id: &str) -> bool {
    let snapshot = cache.load();
    snapshot.find(id).is_some_and(|model| view.allows(&model))
}

/// Whether there is a list to serve: with the models of all providers, or with some where
/// a partial list is served.
#[inline]
fn is_whole(snapshot: &Snapshot, cache: &Cache) -> bool {
    let is_partial = || snapshot.models() > 0 && cache.config().serve_partial;
    snapshot.availability.complete || is_partial()
}

/// The same for a caller: a view that never holds a model has a list at all times.
fn may_serve(snapshot: &Snapshot, cache: &Cache, view: &View) -> bool {
    view.sees_nothing() || is_whole(snapshot, cache)
}

/// Whether a caller's list can be told. While a provider is missing, nobody knows whether
/// one that is empty would be: it is not served.
fn is_known(snapshot: &Snapshot, representation: &Representation, view: &View) -> bool {
    !representation.is_empty() || snapshot.availability.complete || view.sees_nothing()
}

/// Whether what a caller's list does not hold is known not to be in it: exactly while the
/// list itself is served. It is the same for a model that is hidden and for one that is not
/// there.
fn knows_missing(
    snapshot: &Snapshot,
    cache: &Cache,
    view: &View,
    prepared: Option<&Representation>,
) -> Result<bool, NotRendered> {
    if !may_serve(snapshot, cache, view) {
        return Ok(false);
    }
    let Visibility::Some(config) = &view.0 else {
        return Ok(true);
    };
    if snapshot.availability.complete || view.sees_nothing() {
        return Ok(true);
    }
    let sees_any = match prepared {
        Some(representation) => Some(!representation.is_empty()),
        None => snapshot
            .views()
            .with(config, PreparedView::sees_any)
            .flatten(),
    };
    sees_any.ok_or(NotRendered::Own)
}

// ===== Lists =====

#[inline]
fn list(variants: &Variants, request: ModelsRequest<'_>) -> Response<Prepared> {
    let Some(variant) = variants.select(request.accept_encoding()) else {
        return not_acceptable(variants, request);
    };
    if request.none_match_hits(variant.etag_bytes()) {
        return response(
            StatusCode::NOT_MODIFIED,
            variant.not_modified.clone(),
            Bytes::new().into(),
        );
    }
    response(
        StatusCode::OK,
        variant.ok_headers.clone(),
        variant.body().clone().into(),
    )
}

/// A list, or the page of it that is asked for.
fn list_or_page(
    snapshot: &Snapshot,
    representation: &Representation,
    request: ModelsRequest<'_>,
) -> Response<Prepared> {
    let variants = representation.variants();
    let Pagination::Pages { default } = request.target.dialect.pagination() else {
        return list(variants, request);
    };
    let query = request.uri.query().unwrap_or_default();
    let page_request = match request.target.dialect {
        ClientDialect::Gemini => PageRequest::gemini(query, default),
        _ => Some(PageRequest::anthropic(query, default)),
    };
    let Some(page_request) = page_request else {
        return failure(snapshot, request, ErrorResponse::PageToken);
    };
    let Some(page) = representation.page(snapshot, &page_request) else {
        return list(variants, request);
    };
    if request.none_match_hits(page.etag.as_bytes()) {
        let head = variants.page_not_modified_headers(page.etag);
        return response(StatusCode::NOT_MODIFIED, head, Prepared::default());
    }
    let head = variants.page_ok_headers(page.etag.clone(), page.len());
    let body = Prepared::pieces([page.head, page.records, page.tail]);
    response(StatusCode::OK, head, body)
}

// ===== Models =====

/// One model: a slice of the bytes of the list of all.
fn model(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
) -> Responded {
    let dialect = request.target.dialect;
    let id = request.id();
    let ids = id.iter().flat_map(|id| forms(dialect, id));
    for id in ids {
        let Some(model_index) = snapshot.model_index(id) else {
            continue;
        };
        match request.view.judge(&snapshot.listed(model_index)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return Ok(failure(snapshot, request, ErrorResponse::NoView)),
        }
        let slice = snapshot.slice(dialect, model_index);
        let mut found = found(slice.ok_or(NotRendered::Whole)?, request);
        if matches!(request.view.0, Visibility::Some(_)) {
            snapshot.tell_view(model_index, found.headers_mut());
        }
        return Ok(found);
    }
    no_model(snapshot, cache, request, prepared)
}

/// The forms in which an id may stand in a path.
fn forms(dialect: ClientDialect, id: &str) -> impl Iterator<Item = &str> {
    let bare = match dialect {
        ClientDialect::Gemini => id.strip_prefix("models/"),
        _ => None,
    };
    let whole = [Some(id), bare];
    let ends = [
        id.strip_suffix('/'),
        bare.and_then(|id| id.strip_suffix('/')),
    ];
    whole.into_iter().chain(ends).flatten()
}

fn found(slice: Slice<'_>, request: ModelsRequest<'_>) -> Response<Prepared> {
    let Slice {
        body,
        tags,
        index,
        variants,
    } = slice;
    if request.none_match_hits(tags.etag_bytes(index)) {
        let head = variants.model_not_modified_headers(tags, index);
        return response(StatusCode::NOT_MODIFIED, head, Prepared::default());
    }
    let head = variants.model_ok_headers(tags, index, body.len());
    response(StatusCode::OK, head, body.into())
}

/// A model that is not listed: unknown, not known yet, or not for this caller, all of
/// which look the same.
#[cold]
fn no_model(
    snapshot: &Snapshot,
    cache: &Cache,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
) -> Responded {
    if !knows_missing(snapshot, cache, request.view, prepared)? {
        return Ok(unavailable(cache, request.target.dialect));
    }
    let id = request.id().unwrap_or_default();
    Ok(failure(snapshot, request, ErrorResponse::NotFound(&id)))
}

// ===== Others =====

/// What Ollama's clients are shown of a model; `None`: they named none.
pub(crate) fn ollama_show(
    cache: &Cache,
    snapshot: &Snapshot,
    view: &View,
    id: Option<&str>,
    prepared: Option<&Representation>,
) -> Responded {
    let ollama = ClientDialect::Ollama;
    let problem = match (&view.0, id) {
        (Visibility::Denied(status), _) => ErrorResponse::Denied(*status),
        (Visibility::Unknown, _) => ErrorResponse::NoView,
        (_, None) => ErrorResponse::NoModel,
        (sight, Some(id)) => {
            let model_index = snapshot.model_index(id);
            match model_index
                .map(|model_index| (model_index, view.judge(&snapshot.listed(model_index))))
            {
                Some((model_index, Ok(true))) => {
                    let status = match sight {
                        Visibility::Some(_) => snapshot.status_for(model_index),
                        _ => snapshot.variants().cache_status().clone(),
                    };
                    return Ok(fact(snapshot, snapshot.show(model_index), status));
                }
                Some((_, Err(_))) => ErrorResponse::NoView,
                Some((_, Ok(false))) | None => {
                    if !knows_missing(snapshot, cache, view, prepared)? {
                        return Ok(unavailable(cache, ollama));
                    }
                    ErrorResponse::NotFound(id)
                }
            }
        }
    };
    Ok(refuse(ollama, problem, status_of(snapshot, view, problem)))
}

/// The version that an Ollama server would be of: whatever the providers offer.
fn version(snapshot: &Snapshot) -> Response<Prepared> {
    fact(snapshot, render::version(), variants::HIT)
}

/// What is no list, and may be kept as lists are.
fn fact(snapshot: &Snapshot, body: Vec<u8>, status: HeaderValue) -> Response<Prepared> {
    let control = snapshot.settings().variants.cache_control.clone();
    let head = base_headers(&body, control, status);
    response(StatusCode::OK, head, Bytes::from(body).into())
}

/// There is nothing to show, and a provider is missing: an empty list would be a lie.
#[cold]
fn unavailable(cache: &Cache, dialect: ClientDialect) -> Response<Prepared> {
    let wait = cache.next_attempt().map_or(Duration::ZERO, |next| {
        next.saturating_duration_since(clock::now())
    });
    // Whole seconds, at least one; and in a minute much may have changed.
    let seconds = (wait.as_secs() + 1).min(60);
    let mut response = match cache.has_refresher_ended() {
        true => refuse(dialect, ErrorResponse::Stopped, variants::STOPPED),
        false => refuse(dialect, ErrorResponse::Unavailable, variants::UNAVAILABLE),
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

/// The client refuses every coding there is, and no coding at all.
#[cold]
fn not_acceptable(variants: &Variants, request: ModelsRequest<'_>) -> Response<Prepared> {
    let status = variants.cache_status().clone();
    let dialect = request.target.dialect;
    let mut response = refuse(dialect, ErrorResponse::NotAcceptable, status);
    let vary = variants.vary().cloned().into_iter();
    response
        .headers_mut()
        .extend(vary.map(|vary| (header::VARY, vary)));
    response
}

fn failure(
    snapshot: &Snapshot,
    request: ModelsRequest<'_>,
    problem: ErrorResponse<'_>,
) -> Response<Prepared> {
    let status = status_of(snapshot, request.view, problem);
    refuse(request.target.dialect, problem, status)
}

/// What an error says of itself. To callers who do not see all, no more of the providers
/// than whether all are there; to those who are refused, nothing.
fn status_of(snapshot: &Snapshot, view: &View, problem: ErrorResponse<'_>) -> HeaderValue {
    match (problem, &view.0) {
        (ErrorResponse::Denied(_), _) => variants::DENIED,
        (ErrorResponse::NoView, _) => variants::FAILED,
        (_, Visibility::All) => snapshot.variants().cache_status().clone(),
        _ if snapshot.availability.complete || view.sees_nothing() => variants::HIT,
        _ => variants::PARTIAL,
    }
}

fn refuse(
    dialect: ClientDialect,
    problem: ErrorResponse<'_>,
    status: HeaderValue,
) -> Response<Prepared> {
    let body = dialect.problem(&problem);
    let mut head = base_headers(&body, NO_STORE, status);
    if problem.status() == StatusCode::UNAUTHORIZED {
        head.insert(header::WWW_AUTHENTICATE, BEARER);
    }
    response(problem.status(), head, Bytes::from(body).into())
}

/// What a 401 has to say (RFC 9110, section 15.5.2): how all of these clients send keys, or
/// can.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The headers of an answer that is no list.
fn base_headers(body: &[u8], control: HeaderValue, status: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, JSON),
        (header::CONTENT_LENGTH, body.len().into()),
        (header::CACHE_CONTROL, control),
        (header::CACHE_STATUS, status),
    ])
}

#[inline]
fn response(status: StatusCode, head: HeaderMap, body: Prepared) -> Response<Prepared> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}
