//! The public view of a snapshot: the listed models, and where each of them routes to.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

use super::Snapshot;
use crate::{model::Model, render::ListedId};

/// The list of models at one point in time, as it is served and as it routes.
///
/// A snapshot never changes. Hold one for as long as a request needs a consistent view, but
/// not longer: it keeps the memory of its list alive.
#[derive(Clone)]
pub struct ModelsSnapshot(pub(crate) Arc<Snapshot>);

impl ModelsSnapshot {
    /// Iterates over all listed names, each with its model, in the order of the list: the
    /// aliases first, then the models by provider in declaration order, then by id.
    pub fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.0.iter()
    }

    /// Looks up a model by name, to route a request for it. The name may be the model's id,
    /// an alias, or any other name that clients of the list may use.
    ///
    /// The cost does not depend on the number of models.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
    ///
    /// let layer = StaticModelsCacheLayer::builder()
    ///     .provider(Provider::fixed("house", [Model::new("small")]))
    ///     .alias("best", "house/small")
    ///     .build()?;
    /// let snapshot = layer.cache().snapshot();
    /// let model = snapshot.get("best").ok_or("not listed")?;
    /// assert_eq!((&*model.name(), &*model.id()), ("best", "house/small"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, name: &str) -> Option<ListedModel<'_>> {
        self.0.find(name)
    }

    /// The number of listed names: one per model, and one per alias of a listed model.
    pub fn len(&self) -> usize {
        self.0.models
    }

    /// Whether every provider has a list: then a model that is not listed is unknown.
    pub fn is_complete(&self) -> bool {
        self.0.availability.complete
    }

    /// Whether no model is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The strong entity tag of the list, with its quotes (RFC 9110, section 8.8.3).
    ///
    /// Equal lists have equal tags in every process.
    pub fn etag(&self) -> &str {
        self.0.variants.etag()
    }

    /// The list as it is served: JSON in OpenAI's dialect. The bytes are shared, not
    /// copied.
    pub fn body(&self) -> Bytes {
        self.0.variants.body().clone()
    }
}

impl fmt::Debug for ModelsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelsSnapshot")
            .field("models", &self.len())
            .field("etag", &self.etag())
            .finish()
    }
}

/// A listed model, and the name by which it was found.
///
/// [`id`](Self::id), [`provider`](Self::provider) and [`model`](Self::model) are the same
/// for all names of a model. [Views](crate::View) decide by these alone.
#[derive(Clone, Copy, Debug)]
pub struct ListedModel<'a> {
    /// The id under which the model is listed.
    pub(super) id: ListedId<'a>,
    /// The name by which it was found: its id, an alias, or either with the prefix
    /// `claude-`.
    pub(super) name: ListedId<'a>,
    pub(super) provider: &'a str,
    pub(super) model: &'a Model,
}

impl<'a> ListedModel<'a> {
    /// The id under which the model itself is listed: `house/small`, or `small` if its
    /// provider is listed without a prefix. This is never an alias, and never a `claude-`
    /// name that exists only for [Anthropic's clients](crate::Builder::claude_aliases).
    pub fn id(&self) -> Cow<'a, str> {
        text(self.id)
    }

    /// The name by which the model was [found](ModelsSnapshot::get) or
    /// [listed](ModelsSnapshot::iter): its [`id`](Self::id), an alias, or another of its
    /// names.
    pub fn name(&self) -> Cow<'a, str> {
        text(self.name)
    }

    /// The name of the model's provider.
    pub fn provider(&self) -> &'a str {
        self.provider
    }

    /// The id of the model at its provider.
    pub fn upstream_id(&self) -> &'a str {
        self.model.upstream_id()
    }

    /// The model, as its provider describes it, with any configured enrichment.
    pub fn model(&self) -> &'a Model {
        self.model
    }
}

fn text(id: ListedId<'_>) -> Cow<'_, str> {
    match id.as_str() {
        Some(id) => Cow::Borrowed(id),
        None => Cow::Owned(id.to_string()),
    }
}
