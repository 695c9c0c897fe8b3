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
    /// All listed models, in the order of the list: by provider as declared, then by id.
    pub fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.0.iter()
    }

    /// The model that is listed under this id, and so where a request for it goes.
    ///
    /// The cost does not depend on the number of models.
    pub fn get(&self, listed_id: &str) -> Option<ListedModel<'_>> {
        self.0.find(listed_id)
    }

    /// How many models are listed.
    pub fn len(&self) -> usize {
        self.0.models
    }

    /// Whether no model is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The strong entity tag of the list, with its quotes (RFC 9110, section 8.8.3).
    ///
    /// Equal models have equal tags in every process.
    pub fn etag(&self) -> &str {
        self.0.document.etag()
    }

    /// The list as it is served: JSON in OpenAI's form. The bytes are shared, not copied.
    pub fn body(&self) -> Bytes {
        self.0.document.body().clone()
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

/// A model as it is listed, under one of its names.
#[derive(Clone, Copy, Debug)]
pub struct ListedModel<'a> {
    pub(super) id: ListedId<'a>,
    pub(super) provider: &'a str,
    pub(super) model: &'a Model,
}

impl<'a> ListedModel<'a> {
    /// The id under which clients find it; of one that was [looked
    /// up](ModelsSnapshot::get) by another name of it, that name.
    pub fn id(&self) -> Cow<'a, str> {
        match self.id.as_str() {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(self.id.to_string()),
        }
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
