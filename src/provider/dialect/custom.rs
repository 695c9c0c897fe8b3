//! Dialects implemented outside of the crate.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::ModelPage;
use crate::error::ListError;

/// A wire format of model lists that is not built in.
///
/// A dialect does no I/O and reads no clock. The cache sends the requests, limits the size of
/// responses and follows pages. The dialect defines the request, parses a page and identifies
/// the next one.
///
/// The path, the query and the headers are evaluated when the layer is built. A panic in
/// [`read`](Self::read) is a [failure](crate::error::ListErrorKind::Panic) of its provider and does not
/// affect others. [`extra_fields`](crate::Provider::extra_fields) cannot be set together with a
/// custom dialect.
///
/// # Example
///
/// A provider whose list is plain text, with one id per line and twenty lines per page:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower_models_cache::{
///     Model, Provider, StaticModelsCacheLayer, error::{ListError, ListErrorKind},
///     provider::{CustomDialect, Dialect, NextPage, ModelPage},
/// };
///
/// struct Lines;
///
/// impl CustomDialect for Lines {
///     fn name(&self) -> &'static str {
///         "lines"
///     }
///
///     fn path(&self) -> &str {
///         "/list.txt"
///     }
///
///     fn query(&self) -> Vec<(String, String)> {
///         vec![("lines".to_owned(), "20".to_owned())]
///     }
///
///     fn read(&self, body: &[u8]) -> Result<ModelPage, ListError> {
///         let text = std::str::from_utf8(body).map_err(|_| ListErrorKind::NotAList)?;
///         let (lines, next) = match text.split_once("next:") {
///             Some((lines, next)) => (lines, Some(NextPage::query("from", next.trim()))),
///             None => (text, None),
///         };
///         Ok(ModelPage::new(lines.lines().map(Model::new)).with_next(next))
///     }
/// }
///
/// let service = tower::service_fn(|request: Request<Empty<Bytes>>| async move {
///     let body = match request.uri().to_string().as_str() {
///         "/list.txt?lines=20" => "small\nlarge\nnext: p2\n",
///         "/list.txt?lines=20&from=p2" => "huge\n",
///         other => panic!("{other} is not known"),
///     };
///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(body)))
/// });
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::http("lab", service).dialect(Dialect::custom(Lines)))
///     .build()?;
/// layer.cache().refresh().await?;
/// let snapshot = layer.cache().snapshot();
/// let ids: Vec<_> = snapshot.iter().map(|model| model.id().into_owned()).collect();
/// assert_eq!(ids, ["lab/huge", "lab/large", "lab/small"]);
/// # Ok(())
/// # }
/// ```
///
/// A dialect that is similar to a built-in one can call that one's parser,
/// [`Dialect::read`](super::Dialect::read).
pub trait CustomDialect: Send + Sync + 'static {
    /// The name of the dialect, for the [status](crate::status::ProviderStatus::dialect).
    fn name(&self) -> &'static str;

    /// The absolute path of the list. It starts with a slash.
    ///
    /// If the base URL has a path, the two are joined without repeating a common part:
    /// `https://a.test/v2` and `/v2/list` result in `https://a.test/v2/list`.
    fn path(&self) -> &str;

    /// Query parameters of the request, such as a page size. The default is none.
    ///
    /// Names and values must not be percent-encoded. Parameters of the same names in
    /// [`models_path`](crate::Provider::models_path) take precedence.
    fn query(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Headers of every request. The default is none.
    ///
    /// Headers that are set on the provider take precedence.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Parses one page: the body of a response with status 200 or 203.
    ///
    /// A malformed record should be skipped and counted with [`ModelPage::with_skipped`].
    ///
    /// # Errors
    ///
    /// Returns an error if the body is not a page of a list. The fetch then fails, and the last
    /// good list is kept.
    fn read(&self, body: &[u8]) -> Result<ModelPage, ListError>;
}

/// A shared [`CustomDialect`]. It is equal only to its clones.
#[derive(Clone)]
pub struct Custom(pub(super) Arc<dyn CustomDialect>);

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Custom {}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
