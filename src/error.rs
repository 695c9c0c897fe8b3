//! Errors: invalid settings, and failed fetches of a list.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

/// A boxed error of any service.
pub type BoxError = Box<dyn Error + Send + Sync>;

// ===== BuildError =====

/// An invalid setting, found when the layer is built.
///
/// `Display` names the field, the value and what to write instead. A value that may hold a
/// secret is described, not shown. `Debug` prints the same sentence, because that is what Rust
/// prints if `main` returns the error.
///
/// ```text
/// max_models is 0, expected 1 to 1073741824
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    field: Cow<'static, str>,
    value: String,
    expected: Cow<'static, str>,
}

impl BuildError {
    pub(crate) fn new(
        field: impl Into<Cow<'static, str>>,
        value: impl fmt::Debug,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field: field.into(),
            value: format!("{value:?}"),
            expected: expected.into(),
        }
    }

    /// For a value that may hold a secret: `value` describes it.
    pub(crate) fn hidden(
        field: impl Into<Cow<'static, str>>,
        value: &str,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.to_owned(),
            expected: expected.into(),
        }
    }

    /// The same error, for a field of `parent`.
    pub(crate) fn within(mut self, parent: impl fmt::Display) -> Self {
        self.field = format!("{parent}.{}", self.field).into();
        self
    }

    /// The invalid setting, such as `refresh_interval` or `providers.openai.base_url`.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// A path as an error may show it: without its query, which may hold a key. A URL is not shown
/// at all, because it may hold a password.
pub(crate) fn without_query(path: &str) -> Cow<'_, str> {
    if path.contains("://") || path.contains('@') {
        return "a URL".into();
    }
    match path.split_once(['?', '#']) {
        Some((path, _)) => format!("{path}?...").into(),
        None => path.into(),
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            expected,
        } = self;
        write!(f, "{field} is {value}, expected {expected}")
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for BuildError {}

// ===== ListError =====

/// A failed fetch of a list.
///
/// A [source](crate::provider::Source) may fail with any error. With this one, it also reports the kind of
/// failure, and how long to back off.
///
/// Neither `Display` nor `Debug` shows the cause, because it may quote what a provider sent.
/// [`source`](Error::source) returns it.
pub struct ListError {
    kind: ListErrorKind,
    /// The number of pages that were read before the failure.
    pages: usize,
    retry_after: Option<Duration>,
    cause: Option<BoxError>,
}

/// The kind of a [`ListError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListErrorKind {
    /// The fetch did not complete within its [timeout](crate::Builder::fetch_timeout).
    Timeout,
    /// The service failed, or the response body broke off.
    Transport,
    /// The HTTP status was neither 200 nor 203, which are the only ones with a whole list as
    /// content (RFC 9110, section 15.3). Redirects (3xx) are not followed.
    Status(u16),
    /// The pages together are larger than [`max_bytes`](crate::Builder::max_bytes).
    TooLarge,
    /// The list has more models than [`max_models`](crate::Builder::max_models).
    TooManyModels,
    /// The list has more pages than [`max_pages`](crate::Builder::max_pages).
    TooManyPages,
    /// A page links to a page that was already fetched.
    PageLoop,
    /// There are more pages, but the next one is unknown or at another origin, which must not
    /// receive the key.
    NextPage,
    /// The response has a content coding that was not decoded.
    Encoding,
    /// The response is not JSON.
    NotJson,
    /// The response is JSON, but not a list of models in the provider's dialect.
    NotAList,
    /// The response is an error object with a success status.
    Refused,
    /// The list is empty, but the provider had models before. See
    /// [`accept_empty`](crate::Builder::accept_empty).
    Empty,
    /// The list lost so many of its models that it is fetched again before it is accepted. See
    /// [`max_shrink`](crate::Builder::max_shrink).
    Shrunk,
    /// The hook that returns the credential failed.
    Credential,
    /// The source or the filter panicked.
    Panic,
    /// The cache was shut down, or the provider was replaced, before the fetch completed.
    Cancelled,
    /// Any other error of a source.
    Other,
}

impl ListError {
    /// Creates an error of this kind, without a cause.
    pub fn new(kind: ListErrorKind) -> Self {
        Self {
            kind,
            pages: 0,
            retry_after: None,
            cause: None,
        }
    }

    /// Sets the cause, which [`source`](Error::source) returns.
    pub fn with_cause(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Sets the minimum delay until the next attempt, as in `Retry-After` (RFC 9110, section
    /// 10.2.3). It is limited by [`max_retry_after`](crate::Builder::max_retry_after).
    pub fn with_retry_after(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.retry_after = delay.into();
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ListErrorKind {
        self.kind
    }

    /// The delay that the provider requested, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn after_pages(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// Whether the provider has no list, as opposed to having failed. A missing page is a
    /// failure.
    pub(crate) fn says_there_is_no_list(&self) -> bool {
        self.pages == 0 && matches!(self.kind, ListErrorKind::Status(404 | 405 | 501))
    }

    /// The error of a source: a `ListError`, or the cause of one.
    pub(crate) fn from_boxed(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => Self::new(ListErrorKind::Other).with_cause(error),
        }
    }
}

impl From<ListErrorKind> for ListError {
    fn from(kind: ListErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Debug for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListError")
            .field("kind", &self.kind)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for ListError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl ListErrorKind {
    /// The kind as a stable word for logs and metrics, such as `timeout` or `too_many_models`.
    /// Every HTTP status is `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::TooManyModels => "too_many_models",
            Self::TooManyPages => "too_many_pages",
            Self::PageLoop => "page_loop",
            Self::NextPage => "next_page",
            Self::Encoding => "encoding",
            Self::NotJson => "not_json",
            Self::NotAList => "not_a_list",
            Self::Refused => "refused",
            Self::Empty => "empty",
            Self::Shrunk => "shrunk",
            Self::Credential => "credential",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }
}

/// A readable sentence. [`as_str`](ListErrorKind::as_str) returns a stable word.
impl fmt::Display for ListErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the fetch timed out"),
            Self::Transport => f.write_str("the provider could not be reached"),
            Self::Status(status) => write!(f, "the provider responded with status {status}"),
            Self::TooLarge => f.write_str("the response is larger than the limit"),
            Self::TooManyModels => f.write_str("the list has more models than the limit"),
            Self::TooManyPages => f.write_str("the list has more pages than the limit"),
            Self::PageLoop => f.write_str("the pages of the list form a loop"),
            Self::NextPage => f.write_str("the next page of the list cannot be fetched"),
            Self::Encoding => f.write_str("the response has a content coding that was not decoded"),
            Self::NotJson => f.write_str("the response is not JSON"),
            Self::NotAList => f.write_str("the response is not a list of models"),
            Self::Refused => f.write_str("the provider responded with an error object"),
            Self::Empty => f.write_str("the list is empty, but the provider had models before"),
            Self::Shrunk => f.write_str("the list lost more of its models than max_shrink allows"),
            Self::Credential => f.write_str("the credential could not be obtained"),
            Self::Panic => f.write_str("the source or the filter panicked"),
            Self::Cancelled => f.write_str("the fetch was cancelled"),
            Self::Other => f.write_str("the source failed"),
        }
    }
}

// ===== ProviderError =====

/// A failed fetch of a provider's list. Cheap to clone.
///
/// Neither `Display` nor `Debug` shows the cause. [`source`](Error::source) returns it.
///
/// ```text
/// provider openai: the provider responded with status 401
/// ```
#[derive(Clone, Debug)]
pub struct ProviderError {
    provider: Arc<str>,
    error: Arc<ListError>,
}

impl ProviderError {
    pub(crate) fn new(provider: Arc<str>, error: ListError) -> Self {
        Self {
            provider,
            error: Arc::new(error),
        }
    }

    /// The provider's name.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The kind of failure.
    pub fn kind(&self) -> ListErrorKind {
        self.error.kind()
    }

    /// The delay that the provider requested, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        self.error.retry_after()
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider {}: {}", self.provider, self.error)
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

// ===== CatalogError =====

/// A failed fetch of the catalogue. Cheap to clone.
///
/// Neither `Display` nor `Debug` shows the cause. [`source`](Error::source) returns it.
///
/// ```text
/// catalogue: the provider responded with status 503
/// ```
#[cfg(feature = "catalog")]
#[derive(Clone, Debug)]
pub struct CatalogError(Arc<ListError>);

#[cfg(feature = "catalog")]
impl CatalogError {
    /// The kind of failure.
    pub fn kind(&self) -> ListErrorKind {
        self.0.kind()
    }

    /// The delay that the server requested, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after()
    }
}

#[cfg(feature = "catalog")]
impl From<ListErrorKind> for CatalogError {
    fn from(kind: ListErrorKind) -> Self {
        Self(Arc::new(kind.into()))
    }
}

#[cfg(feature = "catalog")]
impl From<ProviderError> for CatalogError {
    fn from(error: ProviderError) -> Self {
        Self(error.error)
    }
}

#[cfg(feature = "catalog")]
impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "catalogue: {}", self.0)
    }
}

#[cfg(feature = "catalog")]
impl Error for CatalogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
