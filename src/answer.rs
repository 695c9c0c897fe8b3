//! From what is asked to the response: the prepared bytes, or an error.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    cache::Cache,
    clock, conditional,
    document::{self, JSON},
    render::openai,
    request::{Target, decode_id},
    snapshot::Snapshot,
};

/// What of a request decides the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) target: Target,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
}

/// Where an answer comes from (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// From memory.
    Hit,
    /// From memory, after the providers were waited for.
    Awaited,
}

/// The answer, from what is there.
#[inline]
pub(crate) fn answer(cache: &Cache, asked: Asked<'_>, served: Served) -> Response<Bytes> {
    let snapshot = cache.load();
    let mut response = match asked.target.id(asked.uri) {
        None if is_whole(&snapshot, cache) => list(&snapshot, asked),
        None => unavailable(cache),
        Some(raw) => {
            model(&snapshot, raw, asked).unwrap_or_else(|| no_model(&snapshot, cache, raw))
        }
    };
    if served == Served::Awaited
        && let Some(status) = response.headers_mut().get_mut(header::CACHE_STATUS)
    {
        *status = document::forwarded_status(status);
    }
    if asked.method == Method::HEAD {
        // An empty body, and the length that GET's has, as prepared.
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Whether the model that is asked for is there already: then nothing is waited for.
pub(crate) fn is_listed(cache: &Cache, asked: Asked<'_>) -> bool {
    let id = asked.target.id(asked.uri).and_then(decode_id);
    id.is_some_and(|id| cache.load().find(&id).is_some())
}

/// Whether there is a list to serve: some provider's, and all of them where a
/// partial list is not to be served.
#[inline]
fn is_whole(snapshot: &Snapshot, cache: &Cache) -> bool {
    let standing = &snapshot.standing;
    standing.complete || (standing.listing && cache.policy().serve_partial)
}

#[inline]
fn list(snapshot: &Snapshot, asked: Asked<'_>) -> Response<Bytes> {
    let document = snapshot.document();
    let Some(variant) = document.select(asked.headers) else {
        return not_acceptable(document.cache_status());
    };
    if conditional::none_match_hits(asked.headers, variant.etag_bytes()) {
        return respond(
            StatusCode::NOT_MODIFIED,
            variant.not_modified.clone(),
            Bytes::new(),
        );
    }
    respond(
        StatusCode::OK,
        variant.found.clone(),
        variant.body().clone(),
    )
}

/// One model: a slice of the list's bytes.
fn model(snapshot: &Snapshot, raw: &str, asked: Asked<'_>) -> Option<Response<Bytes>> {
    let id = decode_id(raw)?;
    let slice = snapshot
        .slice(&id)
        .or_else(|| snapshot.slice(id.strip_suffix('/')?))?;
    let document = snapshot.document();
    if conditional::none_match_hits(asked.headers, slice.tags.etag_bytes(slice.index)) {
        let head = document.model_not_modified(&slice.tags, slice.index);
        return Some(respond(StatusCode::NOT_MODIFIED, head, Bytes::new()));
    }
    let head = document.model_found(&slice.tags, slice.index, slice.body.len());
    Some(respond(StatusCode::OK, head, slice.body))
}

/// A model that is not listed: unknown, or not known yet.
#[cold]
fn no_model(snapshot: &Snapshot, cache: &Cache, raw: &str) -> Response<Bytes> {
    // Of a model that is not in a list that is not to be served nobody knows.
    if !is_whole(snapshot, cache) {
        return unavailable(cache);
    }
    let id = decode_id(raw).unwrap_or_default();
    let status = snapshot.document().cache_status().clone();
    failure(StatusCode::NOT_FOUND, openai::not_found(&id), status)
}

/// Nothing was ever had, and there are providers: an empty list would be a lie.
#[cold]
fn unavailable(cache: &Cache) -> Response<Bytes> {
    let wait = cache.next_attempt().map_or(Duration::ZERO, |next| {
        next.saturating_duration_since(clock::now())
    });
    // Whole seconds, at least one; and in a minute much may have changed.
    let seconds = (wait.as_secs() + 1).min(60);
    let mut response = failure(
        StatusCode::SERVICE_UNAVAILABLE,
        openai::unavailable(),
        document::UNAVAILABLE,
    );
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

/// The client refuses every coding there is, and no coding at all.
#[cold]
fn not_acceptable(status: &HeaderValue) -> Response<Bytes> {
    let body = openai::not_acceptable();
    let mut response = failure(StatusCode::NOT_ACCEPTABLE, body, status.clone());
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().insert(header::VARY, vary);
    response
}

fn failure(status: StatusCode, body: Vec<u8>, cache_status: HeaderValue) -> Response<Bytes> {
    let head = HeaderMap::from_iter([
        (header::CONTENT_TYPE, JSON),
        (header::CONTENT_LENGTH, body.len().into()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CACHE_STATUS, cache_status),
    ]);
    respond(status, head, body.into())
}

#[inline]
fn respond(status: StatusCode, head: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}
