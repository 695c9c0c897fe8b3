//! From a request for the list or a model to its response: prepared bytes, or an error.

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

/// The parts of a request that determine its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelsRequest<'a> {
    pub(crate) target: Target,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// Which models the caller may see.
    pub(crate) view: &'a View,
}

/// Where a response comes from, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseSource {
    /// From memory.
    Hit,
    /// From memory, after waiting for providers.
    Awaited,
    /// From memory, after a refresh that the client requested.
    Refreshed,
}

impl ResponseSource {
    /// The reason for the wait: the `fwd` parameter (RFC 9211, section 2.2).
    fn forward_reason(self) -> Option<&'static str> {
        match self {
            Self::Hit => None,
            Self::Awaited => Some("miss"),
            Self::Refreshed => Some("request"),
        }
    }
}

/// A list that is not rendered yet, and has to be [prepared](prepare).
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotRendered {
    /// The caller's own list.
    Own,
    /// The list of all models, of which the response is a part.
    Whole,
}

type Responded = Result<Response<Prepared>, NotRendered>;

/// The response, from the lists that are rendered.
#[inline]
pub(crate) fn answer(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
) -> Responded {
    if request.is_plain() && is_servable(snapshot, cache) {
        return Ok(list(snapshot.variants(), request));
    }
    respond(cache, snapshot, request, None, ResponseSource::Hit)
}

/// The response to any request, including one that waited, or for which a list was
/// [prepared](prepare).
#[inline(never)]
pub(crate) fn respond(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
    source: ResponseSource,
) -> Responded {
    let mut response = respond_to(cache, snapshot, request, prepared)?;
    if let Some(reason) = source.forward_reason()
        && let Some(status) = response.headers_mut().get_mut(header::CACHE_STATUS)
    {
        *status = variants::forwarded_status(status, reason);
    }
    if request.method == Method::HEAD {
        // The body is empty, and `Content-Length` remains that of GET.
        *response.body_mut() = Prepared::default();
    }
    Ok(response)
}

impl ModelsRequest<'_> {
    /// Whether it is of the most frequent kind: a `GET` of the whole list in OpenAI's dialect.
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

    /// Whether the response depends on the providers. If not, the request never waits and
    /// causes no fetch.
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

    /// The requested id, decoded.
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
    let error = match &request.view.0 {
        Visibility::Denied(status) => Some(ErrorResponse::Denied(*status)),
        Visibility::Unknown => Some(ErrorResponse::NoView),
        Visibility::All | Visibility::Some(_) => None,
    };
    if let Some(error) = error {
        return Ok(respond_with_error(snapshot, request, error));
    }
    let dialect = request.target.dialect;
    match request.target.resource {
        Resource::Version => Ok(version(snapshot)),
        Resource::List if !may_serve(snapshot, cache, request.view) => {
            Ok(unavailable(cache, dialect))
        }
        Resource::List if request.is_for_all_in_openai() => Ok(list(snapshot.variants(), request)),
        Resource::List => {
            let respond = |representation: &Representation| match is_known(
                snapshot,
                representation,
                request.view,
            ) {
                true => list_or_page(snapshot, representation, request),
                false => unavailable(cache, dialect),
            };
            match prepared {
                Some(representation) => Ok(respond(representation)),
                None => {
                    representation(snapshot, request.view, dialect, respond).ok_or(NotRendered::Own)
                }
            }
        }
        Resource::Model { .. } => model(cache, snapshot, request, prepared),
    }
}

/// Renders a list that an [`answer`] needs. Returns the caller's own list, because the snapshot
/// may evict it before the response is made.
pub(crate) async fn prepare(
    cache: &Arc<Cache>,
    snapshot: &Arc<Snapshot>,
    view: &View,
    dialect: ClientDialect,
    missing: NotRendered,
) -> Result<Option<Representation>, Panicked> {
    match missing {
        NotRendered::Own => cache.prepare(snapshot, view, dialect).await.map(Some),
        NotRendered::Whole => {
            cache.prepare(snapshot, &View::all(), dialect).await?;
            Ok(None)
        }
    }
}

/// Applies `look` to a caller's list, if it is rendered.
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

/// The entity tag of a caller's list, if that is rendered and would be served.
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

/// Whether the requested model is listed and visible to the caller, so that the request need
/// not wait.
pub(crate) fn is_listed(cache: &Cache, request: ModelsRequest<'_>) -> bool {
    let id = request.id();
    let mut ids = id
        .iter()
        .flat_map(|id| id_candidates(request.target.dialect, id));
    ids.any(|id| is_seen(cache, request.view, id))
}

/// Whether a model is listed and visible in a view.
pub(crate) fn is_seen(cache: &Cache, view: &View, id: &str) -> bool {
    let snapshot = cache.load();
    snapshot.find(id).is_some_and(|model| view.allows(&model))
}

/// Whether the list may be served: it is complete, or it has models and a partial list may be
/// served.
#[inline]
fn is_servable(snapshot: &Snapshot, cache: &Cache) -> bool {
    let is_partial = || snapshot.models() > 0 && cache.config().serve_partial;
    snapshot.availability.complete || is_partial()
}

/// The same for a view. One that never has a model always has a list.
fn may_serve(snapshot: &Snapshot, cache: &Cache, view: &View) -> bool {
    view.sees_nothing() || is_servable(snapshot, cache)
}

/// Whether a caller's list is conclusive. An empty one is not while a provider has no list,
/// and is not served.
fn is_known(snapshot: &Snapshot, representation: &Representation, view: &View) -> bool {
    !representation.is_empty() || snapshot.availability.complete || view.sees_nothing()
}

/// Whether a model that is missing in a caller's list gets a 404: exactly while the list itself
/// is served. This is the same for hidden and for unknown models.
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

/// The list, or the requested page of it.
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
        return respond_with_error(snapshot, request, ErrorResponse::PageToken);
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

/// One model: a slice of the bytes of the whole list.
fn model(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
) -> Responded {
    let dialect = request.target.dialect;
    let id = request.id();
    let ids = id.iter().flat_map(|id| id_candidates(dialect, id));
    for id in ids {
        let Some(model_index) = snapshot.model_index(id) else {
            continue;
        };
        match request.view.judge(&snapshot.listed(model_index)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return Ok(respond_with_error(snapshot, request, ErrorResponse::NoView)),
        }
        let slice = snapshot.slice(dialect, model_index);
        let mut response = slice_response(slice.ok_or(NotRendered::Whole)?, request);
        if matches!(request.view.0, Visibility::Some(_)) {
            snapshot.tell_view(model_index, response.headers_mut());
        }
        return Ok(response);
    }
    not_found(snapshot, cache, request, prepared)
}

/// The ids that a path may refer to: as it is, and without Gemini's `models/` and a trailing
/// slash.
fn id_candidates(dialect: ClientDialect, id: &str) -> impl Iterator<Item = &str> {
    let bare = match dialect {
        ClientDialect::Gemini => id.strip_prefix("models/"),
        _ => None,
    };
    let whole = [Some(id), bare];
    let without_slash = [
        id.strip_suffix('/'),
        bare.and_then(|id| id.strip_suffix('/')),
    ];
    whole.into_iter().chain(without_slash).flatten()
}

fn slice_response(slice: Slice<'_>, request: ModelsRequest<'_>) -> Response<Prepared> {
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

/// The response for a model that is unknown, not known yet, or hidden, which are
/// indistinguishable.
#[cold]
fn not_found(
    snapshot: &Snapshot,
    cache: &Cache,
    request: ModelsRequest<'_>,
    prepared: Option<&Representation>,
) -> Responded {
    if !knows_missing(snapshot, cache, request.view, prepared)? {
        return Ok(unavailable(cache, request.target.dialect));
    }
    let id = request.id().unwrap_or_default();
    let error = ErrorResponse::NotFound(&id);
    Ok(respond_with_error(snapshot, request, error))
}

// ===== Others =====

/// The response to a `POST /api/show`. `id` is `None` if the request names no model.
pub(crate) fn ollama_show(
    cache: &Cache,
    snapshot: &Snapshot,
    view: &View,
    id: Option<&str>,
    prepared: Option<&Representation>,
) -> Responded {
    let ollama = ClientDialect::Ollama;
    let error = match (&view.0, id) {
        (Visibility::Denied(status), _) => ErrorResponse::Denied(*status),
        (Visibility::Unknown, _) => ErrorResponse::NoView,
        (_, None) => ErrorResponse::NoModel,
        (visibility, Some(id)) => {
            let model_index = snapshot.model_index(id);
            match model_index
                .map(|model_index| (model_index, view.judge(&snapshot.listed(model_index))))
            {
                Some((model_index, Ok(true))) => {
                    let status = match visibility {
                        Visibility::Some(_) => snapshot.status_for(model_index),
                        _ => snapshot.variants().cache_status().clone(),
                    };
                    return Ok(json_response(snapshot, snapshot.show(model_index), status));
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
    let status = error_cache_status(snapshot, view, error);
    Ok(error_response(ollama, error, status))
}

/// The response to `/api/version`, which is independent of the providers.
fn version(snapshot: &Snapshot) -> Response<Prepared> {
    json_response(snapshot, render::version(), variants::HIT)
}

/// A 200 that is not a list, with the `Cache-Control` of lists.
fn json_response(snapshot: &Snapshot, body: Vec<u8>, status: HeaderValue) -> Response<Prepared> {
    let control = snapshot.settings().variants.cache_control.clone();
    let head = base_headers(&body, control, status);
    response(StatusCode::OK, head, Bytes::from(body).into())
}

/// The 503 that replaces an empty list while a provider has no list.
#[cold]
fn unavailable(cache: &Cache, dialect: ClientDialect) -> Response<Prepared> {
    let wait = cache.next_attempt().map_or(Duration::ZERO, |next| {
        next.saturating_duration_since(clock::now())
    });
    // Whole seconds, from 1 to 60.
    let seconds = (wait.as_secs() + 1).min(60);
    let mut response = match cache.has_refresher_ended() {
        true => error_response(dialect, ErrorResponse::Stopped, variants::STOPPED),
        false => error_response(dialect, ErrorResponse::Unavailable, variants::UNAVAILABLE),
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

/// The 406 for a client that accepts no available coding, not even identity.
#[cold]
fn not_acceptable(variants: &Variants, request: ModelsRequest<'_>) -> Response<Prepared> {
    let status = variants.cache_status().clone();
    let dialect = request.target.dialect;
    let mut response = error_response(dialect, ErrorResponse::NotAcceptable, status);
    let vary = variants.vary().cloned().into_iter();
    response
        .headers_mut()
        .extend(vary.map(|vary| (header::VARY, vary)));
    response
}

fn respond_with_error(
    snapshot: &Snapshot,
    request: ModelsRequest<'_>,
    error: ErrorResponse<'_>,
) -> Response<Prepared> {
    let status = error_cache_status(snapshot, request.view, error);
    error_response(request.target.dialect, error, status)
}

/// The `Cache-Status` of an error. With a view it only reveals whether a provider has no list.
/// To a refused caller it reveals nothing.
fn error_cache_status(snapshot: &Snapshot, view: &View, error: ErrorResponse<'_>) -> HeaderValue {
    match (error, &view.0) {
        (ErrorResponse::Denied(_), _) => variants::DENIED,
        (ErrorResponse::NoView, _) => variants::FAILED,
        (_, Visibility::All) => snapshot.variants().cache_status().clone(),
        _ if snapshot.availability.complete || view.sees_nothing() => variants::HIT,
        _ => variants::PARTIAL,
    }
}

fn error_response(
    dialect: ClientDialect,
    error: ErrorResponse<'_>,
    status: HeaderValue,
) -> Response<Prepared> {
    let body = dialect.problem(&error);
    let mut head = base_headers(&body, NO_STORE, status);
    if error.status() == StatusCode::UNAUTHORIZED {
        head.insert(header::WWW_AUTHENTICATE, BEARER);
    }
    response(error.status(), head, Bytes::from(body).into())
}

/// The challenge of a 401 (RFC 9110, section 15.5.2). All of these clients can send keys so.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The headers of a response that is not a list.
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
