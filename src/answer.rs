//! From what is asked to the response: the prepared bytes, or an error.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    body::Prepared,
    cache::Cache,
    clock, conditional,
    document::{self, Document, JSON},
    page::Window,
    render::{self, ClientDialect, Problem, Reach},
    request::{Target, What, decode_id},
    snapshot::{Face, Panicked, Seen, Sight, Slice, Snapshot, View},
};

/// What of a request decides the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) target: Target,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    /// Which models the caller may see.
    pub(crate) view: &'a View,
}

/// Where an answer comes from (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// From memory.
    Hit,
    /// From memory, after the providers were waited for.
    Awaited,
    /// From memory, after the providers were asked because the client wanted it.
    Renewed,
}

impl Served {
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
pub(crate) enum Unprepared {
    /// The caller's own.
    Own,
    /// The list of all models, of which the answer is a part.
    Whole,
}

type Answer = Result<Response<Prepared>, Unprepared>;

/// The answer, from what is there.
#[inline]
pub(crate) fn answer(cache: &Cache, snapshot: &Arc<Snapshot>, asked: Asked<'_>) -> Answer {
    if asked.is_plain() && is_whole(snapshot, cache) {
        return Ok(list(snapshot.document(), asked));
    }
    uncommon(cache, snapshot, asked, None, Served::Hit)
}

/// The answer to anything: also to a request for which something was
/// [prepared](prepare), or that waited.
#[inline(never)]
pub(crate) fn uncommon(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    asked: Asked<'_>,
    prepared: Option<&Face>,
    served: Served,
) -> Answer {
    let mut response = respond_to(cache, snapshot, asked, prepared)?;
    if let Some(why) = served.forwarded()
        && let Some(status) = response.headers_mut().get_mut(header::CACHE_STATUS)
    {
        *status = document::forwarded_status(status, why);
    }
    if asked.method == Method::HEAD {
        // An empty body, and the length that GET's has, as prepared.
        *response.body_mut() = Prepared::default();
    }
    Ok(response)
}

impl Asked<'_> {
    /// Whether it is for what nearly all requests are for.
    #[inline]
    fn is_plain(&self) -> bool {
        self.target.what == What::List && *self.method == Method::GET && self.is_for_all_in_openai()
    }

    #[inline]
    fn is_for_all_in_openai(&self) -> bool {
        self.target.dialect == ClientDialect::OpenAi && matches!(self.view.0, Sight::All)
    }

    /// Whether the answer depends on what providers offer. One that does not waits for
    /// none of them, and causes no fetch.
    #[inline]
    pub(crate) fn needs_providers(&self) -> bool {
        self.target.what != What::Version && !self.view.sees_nothing()
    }

    /// The id that is asked for, decoded.
    fn id(&self) -> Option<std::borrow::Cow<'_, str>> {
        decode_id(self.target.what.id(self.uri)?)
    }
}

fn respond_to(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    asked: Asked<'_>,
    prepared: Option<&Face>,
) -> Answer {
    let problem = match &asked.view.0 {
        Sight::Denied(status) => Some(Problem::Denied(*status)),
        Sight::Unknown => Some(Problem::NoView),
        Sight::All | Sight::Some(_) => None,
    };
    if let Some(problem) = problem {
        return Ok(failure(snapshot, asked, problem));
    }
    let dialect = asked.target.dialect;
    match asked.target.what {
        What::Version => Ok(version(snapshot)),
        What::List if !may_serve(snapshot, cache, asked.view) => Ok(unavailable(cache, dialect)),
        What::List if asked.is_for_all_in_openai() => Ok(list(snapshot.document(), asked)),
        What::List => {
            let answer = |face: &Face| match is_known(snapshot, face, asked.view) {
                true => face_of(snapshot, face, asked),
                false => unavailable(cache, dialect),
            };
            match prepared {
                Some(face) => Ok(answer(face)),
                None => face(snapshot, asked.view, dialect, answer).ok_or(Unprepared::Own),
            }
        }
        What::Model { .. } => model(cache, snapshot, asked, prepared),
    }
}

/// Prepares what an [`answer`] lacked. The caller's own list may be gone from the snapshot
/// again when the answer is made, so it is handed on.
pub(crate) async fn prepare(
    cache: &Arc<Cache>,
    snapshot: &Arc<Snapshot>,
    view: &View,
    dialect: ClientDialect,
    lacking: Unprepared,
) -> Result<Option<Face>, Panicked> {
    match lacking {
        Unprepared::Own => cache.prepare(snapshot, view, dialect).await.map(Some),
        Unprepared::Whole => {
            cache.prepare(snapshot, &View::all(), dialect).await?;
            Ok(None)
        }
    }
}

/// Looks at a caller's list, if it is prepared.
fn face<T>(
    snapshot: &Snapshot,
    view: &View,
    dialect: ClientDialect,
    look: impl FnOnce(&Face) -> T,
) -> Option<T> {
    match &view.0 {
        Sight::All => snapshot.faces().get(dialect).map(look),
        Sight::Some(policy) => snapshot
            .views()
            .with(policy, |seen| seen.faces.get(dialect).map(look))
            .flatten(),
        Sight::Denied(_) | Sight::Unknown => None,
    }
}

/// The tag of a caller's list, where that is prepared and would be served.
pub(crate) fn etag(cache: &Cache, view: &View, dialect: ClientDialect) -> Option<HeaderValue> {
    let snapshot = cache.load();
    let is_served =
        |face: &Face| may_serve(&snapshot, cache, view) && is_known(&snapshot, face, view);
    let tag = |face: &Face| is_served(face).then(|| face.document().etag_value().clone());
    face(&snapshot, view, dialect, tag).flatten()
}

/// Whether the model that is asked for is there already, and for this caller: then
/// nothing is waited for.
pub(crate) fn is_listed(cache: &Cache, asked: Asked<'_>) -> bool {
    let id = asked.id();
    let mut ids = id.iter().flat_map(|id| forms(asked.target.dialect, id));
    ids.any(|id| is_seen(cache, asked.view, id))
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
    let is_partial = || snapshot.models() > 0 && cache.policy().serve_partial;
    snapshot.standing.complete || is_partial()
}

/// The same for a caller: a view that never holds a model has a list at all times.
fn may_serve(snapshot: &Snapshot, cache: &Cache, view: &View) -> bool {
    view.sees_nothing() || is_whole(snapshot, cache)
}

/// Whether a caller's list can be told. While a provider is missing, nobody knows whether
/// one that is empty would be: it is not served.
fn is_known(snapshot: &Snapshot, face: &Face, view: &View) -> bool {
    !face.is_empty() || snapshot.standing.complete || view.sees_nothing()
}

/// Whether what a caller's list does not hold is known not to be in it: exactly while the
/// list itself is served. It is the same for a model that is hidden and for one that is not
/// there.
fn knows_missing(
    snapshot: &Snapshot,
    cache: &Cache,
    view: &View,
    prepared: Option<&Face>,
) -> Result<bool, Unprepared> {
    if !may_serve(snapshot, cache, view) {
        return Ok(false);
    }
    let Sight::Some(policy) = &view.0 else {
        return Ok(true);
    };
    if snapshot.standing.complete || view.sees_nothing() {
        return Ok(true);
    }
    let sees_any = match prepared {
        Some(face) => Some(!face.is_empty()),
        None => snapshot.views().with(policy, Seen::sees_any).flatten(),
    };
    sees_any.ok_or(Unprepared::Own)
}

// ===== Lists =====

#[inline]
fn list(document: &Document, asked: Asked<'_>) -> Response<Prepared> {
    let Some(variant) = document.select(asked.headers) else {
        return not_acceptable(document, asked);
    };
    if conditional::none_match_hits(asked.headers, variant.etag_bytes()) {
        return respond(
            StatusCode::NOT_MODIFIED,
            variant.not_modified.clone(),
            Bytes::new().into(),
        );
    }
    respond(
        StatusCode::OK,
        variant.found.clone(),
        variant.body().clone().into(),
    )
}

/// A list, or the page of it that is asked for.
fn face_of(snapshot: &Snapshot, face: &Face, asked: Asked<'_>) -> Response<Prepared> {
    let document = face.document();
    let Reach::Pages { default } = asked.target.dialect.reach() else {
        return list(document, asked);
    };
    let query = asked.uri.query().unwrap_or_default();
    let window = match asked.target.dialect {
        ClientDialect::Gemini => Window::gemini(query, default),
        _ => Some(Window::anthropic(query, default)),
    };
    let Some(window) = window else {
        return failure(snapshot, asked, Problem::PageToken);
    };
    let Some(page) = face.page(snapshot, &window) else {
        return list(document, asked);
    };
    if conditional::none_match_hits(asked.headers, page.etag.as_bytes()) {
        let head = document.page_not_modified(page.etag);
        return respond(StatusCode::NOT_MODIFIED, head, Prepared::default());
    }
    let head = document.page_found(page.etag.clone(), page.len());
    let body = Prepared::pieces([page.head, page.records, page.tail]);
    respond(StatusCode::OK, head, body)
}

// ===== Models =====

/// One model: a slice of the bytes of the list of all.
fn model(
    cache: &Cache,
    snapshot: &Arc<Snapshot>,
    asked: Asked<'_>,
    prepared: Option<&Face>,
) -> Answer {
    let dialect = asked.target.dialect;
    let id = asked.id();
    let ids = id.iter().flat_map(|id| forms(dialect, id));
    for id in ids {
        let Some(seat) = snapshot.seat(id) else {
            continue;
        };
        match asked.view.judge(&snapshot.listed(seat)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => return Ok(failure(snapshot, asked, Problem::NoView)),
        }
        let slice = snapshot.slice(dialect, seat);
        let mut found = found(slice.ok_or(Unprepared::Whole)?, asked);
        if matches!(asked.view.0, Sight::Some(_)) {
            snapshot.tell_view(seat, found.headers_mut());
        }
        return Ok(found);
    }
    no_model(snapshot, cache, asked, prepared)
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

fn found(slice: Slice<'_>, asked: Asked<'_>) -> Response<Prepared> {
    let Slice {
        body,
        tags,
        index,
        document,
    } = slice;
    if conditional::none_match_hits(asked.headers, tags.etag_bytes(index)) {
        let head = document.model_not_modified(tags, index);
        return respond(StatusCode::NOT_MODIFIED, head, Prepared::default());
    }
    let head = document.model_found(tags, index, body.len());
    respond(StatusCode::OK, head, body.into())
}

/// A model that is not listed: unknown, not known yet, or not for this caller, all of
/// which look the same.
#[cold]
fn no_model(
    snapshot: &Snapshot,
    cache: &Cache,
    asked: Asked<'_>,
    prepared: Option<&Face>,
) -> Answer {
    if !knows_missing(snapshot, cache, asked.view, prepared)? {
        return Ok(unavailable(cache, asked.target.dialect));
    }
    let id = asked.id().unwrap_or_default();
    Ok(failure(snapshot, asked, Problem::NotFound(&id)))
}

// ===== Others =====

/// What Ollama's clients are shown of a model; `None`: they named none.
pub(crate) fn shown(
    cache: &Cache,
    snapshot: &Snapshot,
    view: &View,
    id: Option<&str>,
    prepared: Option<&Face>,
) -> Answer {
    let ollama = ClientDialect::Ollama;
    let problem = match (&view.0, id) {
        (Sight::Denied(status), _) => Problem::Denied(*status),
        (Sight::Unknown, _) => Problem::NoView,
        (_, None) => Problem::NoModel,
        (sight, Some(id)) => {
            let seat = snapshot.seat(id);
            match seat.map(|seat| (seat, view.judge(&snapshot.listed(seat)))) {
                Some((seat, Ok(true))) => {
                    let status = match sight {
                        Sight::Some(_) => snapshot.status_for(seat),
                        _ => snapshot.document().cache_status().clone(),
                    };
                    return Ok(fact(snapshot, snapshot.show(seat), status));
                }
                Some((_, Err(_))) => Problem::NoView,
                Some((_, Ok(false))) | None => {
                    if !knows_missing(snapshot, cache, view, prepared)? {
                        return Ok(unavailable(cache, ollama));
                    }
                    Problem::NotFound(id)
                }
            }
        }
    };
    Ok(refuse(ollama, problem, status_of(snapshot, view, problem)))
}

/// The version that an Ollama server would be of: whatever the providers offer.
fn version(snapshot: &Snapshot) -> Response<Prepared> {
    fact(snapshot, render::version(), document::HIT)
}

/// What is no list, and may be kept as lists are.
fn fact(snapshot: &Snapshot, body: Vec<u8>, status: HeaderValue) -> Response<Prepared> {
    let control = snapshot.settings().document.cache_control.clone();
    let head = plain(&body, control, status);
    respond(StatusCode::OK, head, Bytes::from(body).into())
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
        true => refuse(dialect, Problem::Stopped, document::STOPPED),
        false => refuse(dialect, Problem::Unavailable, document::UNAVAILABLE),
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

/// The client refuses every coding there is, and no coding at all.
#[cold]
fn not_acceptable(document: &Document, asked: Asked<'_>) -> Response<Prepared> {
    let status = document.cache_status().clone();
    let dialect = asked.target.dialect;
    let mut response = refuse(dialect, Problem::NotAcceptable, status);
    let vary = document.vary().cloned().into_iter();
    response
        .headers_mut()
        .extend(vary.map(|vary| (header::VARY, vary)));
    response
}

fn failure(snapshot: &Snapshot, asked: Asked<'_>, problem: Problem<'_>) -> Response<Prepared> {
    let status = status_of(snapshot, asked.view, problem);
    refuse(asked.target.dialect, problem, status)
}

/// What an error says of itself. To callers who do not see all, no more of the providers
/// than whether all are there; to those who are refused, nothing.
fn status_of(snapshot: &Snapshot, view: &View, problem: Problem<'_>) -> HeaderValue {
    match (problem, &view.0) {
        (Problem::Denied(_), _) => document::DENIED,
        (Problem::NoView, _) => document::FAILED,
        (_, Sight::All) => snapshot.document().cache_status().clone(),
        _ if snapshot.standing.complete || view.sees_nothing() => document::HIT,
        _ => document::PARTIAL,
    }
}

fn refuse(dialect: ClientDialect, problem: Problem<'_>, status: HeaderValue) -> Response<Prepared> {
    let body = dialect.problem(&problem);
    let mut head = plain(&body, NO_STORE, status);
    if problem.status() == StatusCode::UNAUTHORIZED {
        head.insert(header::WWW_AUTHENTICATE, BEARER);
    }
    respond(problem.status(), head, Bytes::from(body).into())
}

/// What a 401 has to say (RFC 9110, section 15.5.2): how all of these clients send keys, or
/// can.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The headers of an answer that is no list.
fn plain(body: &[u8], control: HeaderValue, status: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, JSON),
        (header::CONTENT_LENGTH, body.len().into()),
        (header::CACHE_CONTROL, control),
        (header::CACHE_STATUS, status),
    ])
}

#[inline]
fn respond(status: StatusCode, head: HeaderMap, body: Prepared) -> Response<Prepared> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}
