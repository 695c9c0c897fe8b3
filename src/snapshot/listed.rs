//! What users see of a snapshot: the list, and what each of its models routes to.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

use super::Snapshot;
use crate::{model::Model, render::ListedId};

/// The list as it stood at one moment: what was served then, and what it routes to.
///
/// A snapshot never changes; hold it for as long as one request needs a
/// consistent view, and not longer, for it keeps the memory of its list.
#[derive(Clone)]
pub struct ModelsSnapshot(pub(crate) Arc<Snapshot>);

impl ModelsSnapshot {
    /// Every name that is listed, each with its model, in the order of the list: the aliases
    /// first, then the models by provider as declared, then by id.
    pub fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.0.iter()
    }

    /// The model that this name leads to, and so where a request for it goes. The name may be
    /// the model's id, an alias, or any other that the list's clients may ask for.
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

    /// How many names are listed: one for each model, and one for each alias of a listed
    /// model.
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
    /// Equal models have equal tags in every process.
    pub fn etag(&self) -> &str {
        self.0.variants.etag()
    }

    /// The list as it is served: JSON in OpenAI's form. The bytes are shared, not copied.
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

/// A listed model: what it is, and the name by which it was found.
///
/// [`id`](Self::id), [`provider`](Self::provider) and [`model`](Self::model) are the same
/// whichever name leads to the model. [Views](crate::View) decide by these alone.
#[derive(Clone, Copy, Debug)]
pub struct ListedModel<'a> {
    /// The model's own, under which it is listed.
    pub(super) id: ListedId<'a>,
    /// By which it was found: its id, an alias, or either behind `claude-`.
    pub(super) name: ListedId<'a>,
    pub(super) provider: &'a str,
    pub(super) model: &'a Model,
}

impl<'a> ListedModel<'a> {
    /// The id under which the model itself is listed: `house/small`, or `small` where its
    /// provider is listed without a prefix. Never an alias, and never a name that begins
    /// with `claude-` for [Anthropic's clients](crate::Builder::claude_aliases) alone.
    pub fn id(&self) -> Cow<'a, str> {
        text(self.id)
    }

    /// The name by which the model was [found](ModelsSnapshot::get) or
    /// [listed](ModelsSnapshot::iter): its [`id`](Self::id), an alias, or another name that
    /// leads to it.
    pub fn name(&self) -> Cow<'a, str> {
        text(self.name)
    }

    /// The name of the provider that has it.
    pub fn provider(&self) -> &'a str {
        self.provider
    }

    /// The id by which that provider knows it.
    pub fn upstream_id(&self) -> &'a str {
        self.model.upstream_id()
    }

    /// The model, as its provider describes it.
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
