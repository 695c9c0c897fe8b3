//! The described models of a provider. Descriptions of unchanged models are reused.

use std::sync::Arc;

use super::{Enrichment, EnrichmentVersion};
use crate::{entry::Entry, model::Model, provider::Provider};

/// The models of one entry, described.
#[derive(Debug)]
pub(crate) struct Described {
    entry: Arc<Entry>,
    version: EnrichmentVersion,
    catalog_id: Option<Arc<str>>,
    /// `None` if they are equal to the models of the entry.
    models: Option<Arc<[Model]>>,
    provenance: Box<[Provenance]>,
}

/// The sources that contributed to a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Provenance {
    pub(super) catalogued: bool,
    pub(super) panicked: bool,
    /// The positions of the overrides that matched.
    pub(super) overrides: Box<[u32]>,
}

impl Described {
    /// Describes the models of an entry, except those that are unchanged since `last`: if
    /// that is of the same version, or in any case with `keeps_last`.
    pub(crate) fn new(
        entry: &Arc<Entry>,
        provider: &Provider,
        enrichment: &Enrichment,
        version: &EnrichmentVersion,
        last: Option<&Arc<Self>>,
        keeps_last: bool,
    ) -> Arc<Self> {
        let catalog_id = provider.called_in_catalog().cloned();
        let is_current =
            |last: &&Arc<Self>| last.version == *version && last.catalog_id == catalog_id;
        let same_entry = last.filter(|last| Arc::ptr_eq(&last.entry, entry));
        if let Some(last) = same_entry.filter(is_current) {
            return Arc::clone(last);
        }
        let reusable = last.filter(|last| keeps_last || is_current(last));
        let describe = |model: &Model| {
            let reused = reusable.and_then(|last| last.find(model));
            reused.unwrap_or_else(|| enrichment.describe(provider, model, version))
        };
        let (models, provenance): (Vec<_>, Vec<_>) = entry.models().iter().map(describe).unzip();
        let models = (models != entry.models()).then(|| Arc::from(models));
        let before = same_entry.map(|last| &last.models);
        let models = match before {
            // The same allocation, so that rendered fragments can be reused.
            Some(before) if *before == models => before.clone(),
            _ => models,
        };
        let described = Self {
            entry: Arc::clone(entry),
            version: version.clone(),
            catalog_id,
            models,
            provenance: provenance.into(),
        };
        described.log_panics(provider);
        Arc::new(described)
    }

    /// The description of an equal model.
    fn find(&self, model: &Model) -> Option<(Model, Provenance)> {
        let position = self.entry.position(model.id())?;
        let same = self.entry.models()[position] == *model;
        same.then(|| {
            (
                self.models()[position].clone(),
                self.provenance[position].clone(),
            )
        })
    }

    fn log_panics(&self, provider: &Provider) {
        let panics = self.panics();
        if panics > 0 {
            tracing::warn!(
                provider = provider.name(),
                models = panics,
                "an enricher panicked; no enricher describes the affected models"
            );
        }
    }

    /// Whether these are the models of this entry.
    pub(crate) fn is_of(&self, entry: &Arc<Entry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
    }

    /// The models, in the order of the entry.
    pub(crate) fn models(&self) -> &[Model] {
        match &self.models {
            Some(models) => models,
            None => self.entry.models(),
        }
    }

    /// Whether the two share their models and their entry.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_models = match (&self.models, &other.models) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_models && Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// The number of models that the catalogue describes.
    pub(crate) fn catalogued(&self) -> usize {
        self.provenance
            .iter()
            .filter(|provenance| provenance.catalogued)
            .count()
    }

    /// The positions of the overrides that matched, once per matched model.
    pub(crate) fn overridden(&self) -> impl Iterator<Item = u32> {
        self.provenance
            .iter()
            .flat_map(|provenance| provenance.overrides.iter().copied())
    }

    /// The number of models for which an enricher panicked.
    pub(crate) fn panics(&self) -> usize {
        self.provenance
            .iter()
            .filter(|provenance| provenance.panicked)
            .count()
    }
}
