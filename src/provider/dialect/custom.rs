//! Dialects that the crate does not know.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::ModelPage;
use crate::error::ListError;

/// A wire format of model lists that the crate does not know: bytes in, models out.
///
/// It does no I/O and reads no clock: the cache asks, bounds what comes and follows the
/// pages, and a dialect says what a page holds and where the list goes on. A panic in
/// [`read`](Self::read) is a failure of its provider alone; the rest is asked for when the
/// layer is built. What rules of its own a provider has, such as
/// [`extra_fields`](crate::Provider::extra_fields), is up to it.
///
/// A provider whose list is text, an id in each line, twenty lines a page:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower_models_cache::{
///     CustomDialect, Dialect, ListError, ListErrorKind, Model, NextPage, ModelPage, Provider,
///     StaticModelsCacheLayer,
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
/// One that differs in little from a dialect of the crate can read with that: see
/// [`Dialect::read`](super::Dialect::read).
pub trait CustomDialect: Send + Sync + 'static {
    /// What the status calls the dialect.
    fn name(&self) -> &'static str;

    /// The path of the list below the root of a provider's host. It begins with a slash.
    ///
    /// Below a base URL with a path of its own, that path stands before it, once: of
    /// `https://a.test/v2` and `/v2/list` comes `https://a.test/v2/list`.
    fn path(&self) -> &str;

    /// Query parameters of every page, such as its size. They are encoded on their way
    /// out, and give way to parameters of the same names in a provider's own path.
    fn query(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Headers of every page. They give way to headers that are set for a provider.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Reads one page of status 2xx.
    ///
    /// A record that cannot be read should cost itself alone: see
    /// [`ModelPage::with_skipped`].
    ///
    /// # Errors
    ///
    /// The body is no page of a list. What is there of the list stays.
    fn read(&self, body: &[u8]) -> Result<ModelPage, ListError>;
}

/// A dialect of others, shared. It is equal to its clones alone.
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
