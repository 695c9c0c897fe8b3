//! What can go wrong: a bad setting, or a provider that gave no list.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

/// Any error, of any service.
pub type BoxError = Box<dyn Error + Send + Sync>;

// ===== BuildError =====

/// A setting that cannot work, found when the layer is built.
///
/// Its text names the field, the value and what would be accepted. `Debug` is the same
/// text: that is what a `main` prints that returns the error.
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

    /// For a value that may hold a secret: only its kind is told.
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

    /// The same error, of a field inside `parent`.
    pub(crate) fn within(mut self, parent: impl fmt::Display) -> Self {
        self.field = format!("{parent}.{}", self.field).into();
        self
    }

    /// The setting at fault, such as `refresh_interval` or `providers.openai.base_url`.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// A path as an error may show it: without its query, which may hold a key. Nothing is shown
/// of a whole URL, which may hold a password.
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

/// Why a source gave no list.
///
/// A [source](crate::Source) may fail with any error; one that fails with this
/// one says what kind of failure it was, and how long to leave the provider alone.
///
/// Neither `Display` nor `Debug` shows the cause, which may quote what a provider
/// sent: ask [`source`](Error::source) for it.
pub struct ListError {
    kind: ListErrorKind,
    /// How many pages of the list had come before.
    pages: usize,
    retry_after: Option<Duration>,
    cause: Option<BoxError>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListErrorKind {
    /// No answer, or not all of it, within the deadline.
    Timeout,
    /// The service failed before there was an answer, or the answer broke off.
    Transport,
    /// An HTTP status other than 200 and 203: no other has a whole list as its content. 3xx
    /// is a redirect that was not followed.
    Status(u16),
    /// Pages that are together larger than the bound, in bytes.
    TooLarge,
    /// More models than the bound.
    TooManyModels,
    /// More pages than the bound.
    TooManyPages,
    /// A page that names one as its next that was asked for already.
    PageLoop,
    /// A page that says that there is more, and names no next page that can be asked
    /// for: none at all, or one at another origin, to which the key must not go.
    NextPage,
    /// An answer under a content coding that nothing had decoded.
    Encoding,
    /// Something other than JSON.
    NotJson,
    /// JSON, but not a list of models in the provider's dialect.
    NotAList,
    /// An error in the place of a list, under a status that says success.
    Refused,
    /// No models, where there were some before.
    Empty,
    /// There was no credential to ask with: what gives it failed.
    Credential,
    /// The source panicked.
    Panic,
    /// The cache was shut down, or the provider replaced, before there was an answer.
    Cancelled,
    /// Anything else that a source failed with.
    Other,
}

impl ListError {
    /// A failure of this kind.
    pub fn new(kind: ListErrorKind) -> Self {
        Self {
            kind,
            pages: 0,
            retry_after: None,
            cause: None,
        }
    }

    /// Sets what lies behind the failure.
    pub fn with_cause(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Sets how long the provider asked to be left alone.
    pub fn with_retry_after(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.retry_after = delay.into();
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ListErrorKind {
        self.kind
    }

    /// How long the provider asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn after_pages(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// Whether the provider said that there is no list, not that it has trouble. A page
    /// that is missing is trouble.
    pub(crate) fn says_there_is_no_list(&self) -> bool {
        self.pages == 0 && matches!(self.kind, ListErrorKind::Status(404 | 405 | 501))
    }

    /// A source's error, whatever it is.
    pub(crate) fn from_boxed(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
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
    /// The kind as one word, for logs and metrics: `timeout`, `too_many_models`. It never
    /// changes. Every HTTP status is `status`.
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
            Self::Credential => "credential",
            Self::Panic => "panic",
            Self::Cancelled => "cancelled",
            Self::Other => "other",
        }
    }
}

/// A sentence for people. See [`as_str`](ListErrorKind::as_str) for a word.
impl fmt::Display for ListErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no whole answer within the deadline"),
            Self::Transport => f.write_str("the provider could not be reached"),
            Self::Status(status) => write!(f, "the provider answered with status {status}"),
            Self::TooLarge => f.write_str("the answer is larger than the bound"),
            Self::TooManyModels => f.write_str("the list has more models than the bound"),
            Self::TooManyPages => f.write_str("the list has more pages than the bound"),
            Self::PageLoop => f.write_str("the pages of the list go round in a loop"),
            Self::NextPage => f.write_str("the next page of the list cannot be asked for"),
            Self::Encoding => f.write_str("the answer is under a coding that was not decoded"),
            Self::NotJson => f.write_str("the answer is not JSON"),
            Self::NotAList => f.write_str("the answer is not a list of models"),
            Self::Refused => f.write_str("the provider answered with an error"),
            Self::Empty => f.write_str("the list is empty where it was not before"),
            Self::Credential => f.write_str("there was no credential to ask with"),
            Self::Panic => f.write_str("the source panicked"),
            Self::Cancelled => f.write_str("the fetch was cancelled"),
            Self::Other => f.write_str("the source failed"),
        }
    }
}

// ===== ProviderError =====

/// Which provider gave no list, and why. Cheap to clone.
///
/// ```text
/// provider openai: the provider answered with status 401
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

    /// What kind of failure it was.
    pub fn kind(&self) -> ListErrorKind {
        self.error.kind()
    }

    /// How long the provider asked to be left alone.
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

/// Why there was no catalogue to be had. Cheap to clone.
///
/// Neither `Display` nor `Debug` shows the cause: ask [`source`](Error::source) for it.
///
/// ```text
/// catalogue: the provider answered with status 503
/// ```
#[cfg(feature = "catalog")]
#[derive(Clone, Debug)]
pub struct CatalogError(Arc<ListError>);

#[cfg(feature = "catalog")]
impl CatalogError {
    /// What kind of failure it was.
    pub fn kind(&self) -> ListErrorKind {
        self.0.kind()
    }

    /// How long the server asked to be left alone.
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
