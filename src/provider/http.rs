//! An HTTP service as a source: one request out, one bounded body in.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header, uri::Scheme};
use http_body::Body;
use tower_service::Service;

use super::{
    dialect::Dialect,
    source::{Erased, ListModels},
};
use crate::{
    clock,
    error::{BoxError, BuildError, ListError, ListErrorKind},
    model::ModelList,
    secret::Secret,
    tasks::compute,
};

// ===== HttpOrigin: what was set =====

/// An HTTP provider as it was declared, not yet checked.
#[derive(Clone)]
pub(super) struct HttpOrigin {
    transport: Arc<dyn Transport>,
    /// Transports of the same kind are the same transport.
    kind: Option<&'static str>,
    dialect: Dialect,
    base_url: Option<String>,
    models_path: Option<String>,
    headers: HeaderMap<Header>,
    /// Whether a key may only go over TLS, or to this machine.
    guards_keys: bool,
}

/// A header that was set.
#[derive(Clone, PartialEq, Eq)]
struct Header {
    /// `None`: what was set cannot stand in a header.
    value: Option<HeaderValue>,
    /// Whether whoever reads it can use it.
    is_key: bool,
}

impl HttpOrigin {
    pub(super) fn new<S, ReqBody, ResBody>(service: S) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let service = Mutex::new(service);
        let transport = move |request: Request<()>, most: usize| -> Answer {
            let service = service
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            Box::pin(exchange(
                service,
                request.map(|()| ReqBody::default()),
                most,
            ))
        };
        Self {
            transport: Arc::new(transport),
            kind: None,
            dialect: Dialect::default(),
            base_url: None,
            models_path: None,
            headers: HeaderMap::default(),
            guards_keys: false,
        }
    }

    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(super) fn set_base_url(&mut self, url: String) {
        self.base_url = Some(url);
    }

    pub(super) fn set_models_path(&mut self, path: String) {
        self.models_path = Some(path);
    }

    pub(super) fn set_header(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        let is_key = names_a_key(&name);
        let value = Some(value);
        self.headers.insert(name, Header { value, is_key });
    }

    pub(super) fn set_secret(&mut self, name: HeaderName, scheme: &str, secret: &Secret) {
        let value = secret.header_value(scheme);
        let is_key = true;
        self.headers.insert(name, Header { value, is_key });
    }

    #[cfg(feature = "client")]
    pub(super) fn set_guards_keys(&mut self, guards: bool) {
        self.guards_keys = guards;
    }

    #[cfg(feature = "client")]
    pub(super) fn set_kind(&mut self, kind: &'static str) {
        self.kind = Some(kind);
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_transport = Arc::ptr_eq(&self.transport, &other.transport)
            || (self.kind.is_some() && self.kind == other.kind);
        same_transport
            && self.dialect == other.dialect
            && self.base_url == other.base_url
            && self.models_path == other.models_path
            && self.headers == other.headers
    }

    pub(super) fn open(&self) -> Result<HttpSource, BuildError> {
        let uri = list_uri(self.base_url.as_deref(), self.models_path.as_deref())?;
        self.check_way(&uri)?;
        let mut headers = self.header_map()?;
        headers
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(HttpSource {
            transport: Arc::clone(&self.transport),
            dialect: self.dialect,
            uri,
            headers,
        })
    }

    /// The headers, or the name of one whose value cannot be sent.
    fn header_map(&self) -> Result<HeaderMap, BuildError> {
        let value = |(name, header): (&HeaderName, &Header)| match &header.value {
            Some(value) => Ok((name.clone(), value.clone())),
            None => {
                let expected = "visible ASCII characters, and at least one";
                let field = format!("headers.{name}");
                Err(BuildError::hidden(field, "not a header value", expected))
            }
        };
        self.headers.iter().map(value).collect()
    }

    /// Checks that no key goes where others can read it.
    fn check_way(&self, uri: &Uri) -> Result<(), BuildError> {
        let open = uri.scheme() == Some(&Scheme::HTTP) && !uri.host().is_some_and(is_loopback);
        if self.guards_keys && open && self.headers.values().any(|header| header.is_key) {
            let value = "plain http to another machine, while a key is set";
            let expected = "https, a loopback host, or allow_plain_http_key";
            return Err(BuildError::hidden("base_url", value, expected));
        }
        Ok(())
    }
}

/// Whether a header of this name holds a credential, as far as its name tells.
fn names_a_key(name: &HeaderName) -> bool {
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|part| name.as_str().contains(part))
}

/// Whether a host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Where the list lies.
///
/// Userinfo in a URL is refused: it is a credential, and belongs in a header.
fn list_uri(base_url: Option<&str>, models_path: Option<&str>) -> Result<Uri, BuildError> {
    let base = match base_url {
        None => Uri::from_static("/"),
        Some(url) => parse_base(url)?,
    };
    let path = match models_path {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => {
            let expected = "a path that begins with a slash";
            return Err(BuildError::new("models_path", shown(path), expected));
        }
        None => match base.path().trim_end_matches('/') {
            "" => "/v1/models".to_owned(),
            path => format!("{path}/models"),
        },
    };
    let invalid = || BuildError::new("models_path", shown(&path), "a valid path");
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path.parse().map_err(|_| invalid())?);
    Uri::from_parts(parts).map_err(|_| invalid())
}

/// A path without its query, which may hold a key; of a whole URL, which may hold
/// a password, nothing but that it is one.
fn shown(path: &str) -> &str {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.contains("://") || path.contains('@') {
        return "a URL";
    }
    path
}

fn parse_base(url: &str) -> Result<Uri, BuildError> {
    let expected = "an absolute http or https URL such as https://api.example.com/v1";
    // The text of a URL that does not parse is not repeated: what is in it is
    // not known, and may be a credential.
    let uri: Uri = url
        .parse()
        .map_err(|_| BuildError::hidden("base_url", "not a URL", expected))?;
    let Some(authority) = uri.authority() else {
        return Err(BuildError::hidden(
            "base_url",
            "not an absolute URL",
            expected,
        ));
    };
    if authority.as_str().contains('@') {
        let expected = "a URL without user name and password: set a header instead";
        return Err(BuildError::hidden(
            "base_url",
            "a URL with userinfo",
            expected,
        ));
    }
    // What stands behind the host is taken as it is, port or not.
    if authority.as_str() != authority.host() && authority.port_u16().is_none() {
        return Err(BuildError::hidden(
            "base_url",
            "a URL with a port that is none",
            expected,
        ));
    }
    if uri.query().is_some() {
        let expected = "a URL without a query: put it into models_path";
        return Err(BuildError::hidden(
            "base_url",
            "a URL with a query",
            expected,
        ));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err(BuildError::hidden(
            "base_url",
            "of another scheme",
            expected,
        )),
    }
}

// ===== HttpSource: what is asked =====

/// An HTTP service, and what to ask it.
pub(super) struct HttpSource {
    transport: Arc<dyn Transport>,
    dialect: Dialect,
    uri: Uri,
    headers: HeaderMap,
}

impl Erased for HttpSource {
    fn list(&self, asked: ListModels) -> BoxFuture<'static, Result<ModelList, ListError>> {
        let mut request = Request::new(());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let transport = Arc::clone(&self.transport);
        let dialect = self.dialect;
        Box::pin(async move {
            let answer = transport.send(request, asked.bounds.body);
            let head = clock::within(asked.headers_timeout, answer)
                .await
                .ok_or(ListErrorKind::Timeout)??;
            let body = check_head(head)?.await?;
            let page = compute(body.len(), move || dialect.read_page(&body)).await?;
            Ok(ModelList::from(page.models).with_skipped(page.skipped))
        })
    }
}

/// Looks at status and headers before a byte of the body is read.
fn check_head(answer: Response<BodyFuture>) -> Result<BodyFuture, ListError> {
    let (head, body) = answer.into_parts();
    if !head.status.is_success() {
        let delay = retry_after(&head.headers, clock::wall());
        return Err(
            ListError::new(ListErrorKind::Status(head.status.as_u16())).with_retry_after(delay)
        );
    }
    let value = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    if value(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
    {
        return Err(ListErrorKind::Encoding.into());
    }
    // A page of a login form or of a bot wall, under a status of success.
    if value(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
    }) {
        return Err(ListErrorKind::NotJson.into());
    }
    Ok(body)
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

// ===== Transport: the service, erased =====

type BodyFuture = BoxFuture<'static, Result<Bytes, ListError>>;
type Answer = BoxFuture<'static, Result<Response<BodyFuture>, ListError>>;

/// An HTTP service of any type: the response's head, then its body, bounded.
trait Transport: Send + Sync {
    fn send(&self, request: Request<()>, most: usize) -> Answer;
}

impl<F> Transport for F
where
    F: Fn(Request<()>, usize) -> Answer + Send + Sync,
{
    fn send(&self, request: Request<()>, most: usize) -> Answer {
        self(request, most)
    }
}

async fn exchange<S, ReqBody, ResBody>(
    mut service: S,
    request: Request<ReqBody>,
    most: usize,
) -> Result<Response<BodyFuture>, ListError>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(broken)?;
    let response = service.call(request).await.map_err(broken)?;
    Ok(response.map(|body| -> BodyFuture { Box::pin(collect(body, most)) }))
}

fn broken(error: impl Into<BoxError>) -> ListError {
    ListError::new(ListErrorKind::Transport).with_cause(error)
}

/// The whole body, unless it is longer than `most` bytes.
async fn collect<B>(body: B, most: usize) -> Result<Bytes, ListError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    if body.size_hint().lower() > most as u64 {
        return Err(ListErrorKind::TooLarge.into());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = next_frame(body.as_mut()).await {
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue; // trailers
        };
        if whole.len() + data.remaining() > most {
            return Err(ListErrorKind::TooLarge.into());
        }
        let mut data = data;
        while data.has_remaining() {
            let chunk = data.chunk();
            whole.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
    }
    Ok(whole.freeze())
}

async fn next_frame<B: Body>(
    mut body: Pin<&mut B>,
) -> Option<Result<http_body::Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_lies_where_the_base_url_says() {
        for (base, path, expected) in [
            (None, None, "/v1/models"),
            (None, Some("/models"), "/models"),
            (Some("https://a.test"), None, "https://a.test/v1/models"),
            (Some("https://a.test/"), None, "https://a.test/v1/models"),
            (Some("https://a.test/v1"), None, "https://a.test/v1/models"),
            (Some("https://a.test/v1/"), None, "https://a.test/v1/models"),
            (
                Some("https://a.test/v1//"),
                None,
                "https://a.test/v1/models",
            ),
            (
                Some("http://[::1]:80/openai/v1"),
                None,
                "http://[::1]:80/openai/v1/models",
            ),
            (
                Some("https://a.test/inference"),
                Some("/catalog/models?x=1"),
                "https://a.test/catalog/models?x=1",
            ),
        ] {
            let uri = list_uri(base, path).expect("is a good address");
            assert_eq!(uri, expected, "{base:?} {path:?}");
        }
    }

    #[test]
    fn a_bad_address_is_told_without_its_text() {
        for base in [
            "https://user:hunter2@a.test/v1",
            "hunter2",
            "https://a b/hunter2",
            "ftp://a.test/hunter2",
            "/hunter2",
            "https://a.test/v1?key=hunter2",
            "https://a.test:hunter2/v1",
            "https://a.test:/hunter2",
            "https://a.test:99999/hunter2",
        ] {
            let error = list_uri(Some(base), None).expect_err(base);
            assert_eq!(error.field(), "base_url");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let error = list_uri(None, Some("models")).expect_err("has no slash");
        assert_eq!(error.field(), "models_path");
        for path in ["models?key=hunter2", "/a b?key=hunter2"] {
            let error = list_uri(None, Some(path)).expect_err(path);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn loopback_is_what_never_leaves_the_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "a.test",
            "localhost.a.test",
            "127.0.0.1.a.test",
            "128.0.0.1",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::]",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_credential_is_known_by_the_name_of_its_header() {
        let name = |name| HeaderName::from_static(name);
        for key in ["authorization", "x-api-key", "cookie", "x-goog-api-key"] {
            assert!(names_a_key(&name(key)), "{key}");
        }
        for other in ["x-team", "anthropic-version", "host", "accept"] {
            assert!(!names_a_key(&name(other)), "{other}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (value, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
    }
}
