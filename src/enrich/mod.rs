//! Enrichment: properties of models from sources other than their provider.
//!
//! Models are enriched when a list is published, never per request. In order of precedence:
//!
//! 1. Overrides. A later override takes precedence over an earlier one.
//! 2. The provider.
//! 3. [Enrichers](Enrich), in the order in which they were added.
//! 4. The catalogue.
//!
//! A property that none of them knows is absent. Ids never change.

mod described;
mod matching;
mod overrides;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use self::described::Provenance;
pub(crate) use self::{
    described::Described,
    overrides::{ModelSelector, Override},
};
use crate::{
    entry::{Bounds, Entry, drop_bad_names},
    error::BuildError,
    model::{Flaws, Model},
    provider::Provider,
};

/// Describes models beyond what their providers report.
///
/// A description only fills properties that neither the provider nor an enricher added earlier
/// knows. The ids of a description are ignored.
///
/// Enrichers run when a list is published, not on the request path: once for each new or changed
/// model, and once for all models when the [generation](Self::generation) of an enricher or the
/// catalogue changes. They must not do I/O, and must return promptly: after 10 s a publication
/// goes on without them. Within a generation, the result must depend only on
/// the arguments, or else replicas serve different lists.
///
/// If an enricher panics, no enricher describes the model until the model, a generation or the
/// catalogue changes. This is logged, and counted in the provider's
/// [status](crate::status::ProviderStatus::enrich_panics).
///
/// ```
/// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, enrich::Enrich};
///
/// struct Windows;
///
/// impl Enrich for Windows {
///     fn describe(&self, _provider: &str, model: &Model) -> Option<Model> {
///         let known = model.id().starts_with("llama-4");
///         known.then(|| Model::description().with_context_length(131_072))
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::fixed("lab", [Model::new("llama-4-scout")]))
///     .enrich(Windows)
///     .build()?;
/// let snapshot = layer.cache().snapshot();
/// let model = snapshot.get("lab/llama-4-scout").ok_or("not listed")?;
/// assert_eq!(model.model().context_length(), Some(131_072));
/// # Ok(())
/// # }
/// ```
pub trait Enrich: Send + Sync + 'static {
    /// Describes a model of the provider named `provider`, or returns `None` if nothing is known
    /// about it.
    ///
    /// `model` is as reported by the provider. Create the result with [`Model::description`].
    fn describe(&self, provider: &str, model: &Model) -> Option<Model>;

    /// Returns the generation of the descriptions. The default is always 0.
    ///
    /// If it differs from that of the last publication, the next publication describes every
    /// model again. Call [`ModelsCache::reenrich`] to publish at once.
    ///
    /// [`ModelsCache::reenrich`]: crate::ModelsCache::reenrich
    fn generation(&self) -> u64 {
        0
    }
}

/// The enrichers and the overrides.
#[derive(Clone, Default)]
pub(crate) struct Enrichment {
    pub(crate) enrichers: Vec<Arc<dyn Enrich>>,
    pub(crate) overrides: Vec<Override>,
}

/// Identifies the enricher generations and the catalogue that models were described with. Equal
/// versions result in equal descriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnrichmentVersion {
    generations: Arc<[u64]>,
    catalog: Option<Arc<Entry>>,
}

impl PartialEq for EnrichmentVersion {
    fn eq(&self, other: &Self) -> bool {
        let same_catalog = match (&self.catalog, &other.catalog) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_catalog && self.generations == other.generations
    }
}

impl Enrichment {
    /// Validates the overrides.
    pub(crate) fn checked(self) -> Result<Self, BuildError> {
        let overrides = self.overrides.into_iter().enumerate();
        let checked = |(index, over): (usize, Override)| {
            let within = |error: BuildError| error.within(format_args!("overrides[{index}]"));
            over.checked().map_err(within)
        };
        Ok(Self {
            overrides: overrides.map(checked).collect::<Result<_, _>>()?,
            ..self
        })
    }

    /// Whether nothing but a catalogue describes models.
    pub(crate) fn is_empty(&self) -> bool {
        self.enrichers.is_empty() && self.overrides.is_empty()
    }

    /// Removes the enrichers, which are user code.
    pub(crate) fn without_enrichers(&self) -> Self {
        Self {
            enrichers: Vec::new(),
            overrides: self.overrides.clone(),
        }
    }

    /// The current version, or `None` if there is nothing to describe models with.
    pub(crate) fn version(&self, catalog: Option<Arc<Entry>>) -> Option<EnrichmentVersion> {
        if self.enrichers.is_empty() && self.overrides.is_empty() && catalog.is_none() {
            return None;
        }
        let generation = |enricher: &Arc<dyn Enrich>| {
            // If it panics, the generation is 0.
            catch_unwind(AssertUnwindSafe(|| enricher.generation())).unwrap_or_default()
        };
        Some(EnrichmentVersion {
            generations: self.enrichers.iter().map(generation).collect(),
            catalog,
        })
    }

    /// Describes a model, and records which sources contributed.
    fn describe(
        &self,
        provider: &Provider,
        model: &Model,
        version: &EnrichmentVersion,
    ) -> (Model, Provenance) {
        let mut described = model.clone();
        let mut provenance = Provenance::default();
        for enricher in &self.enrichers {
            let describe = || enricher.describe(provider.name(), model);
            match catch_unwind(AssertUnwindSafe(describe)) {
                Ok(Some(mut known)) => {
                    let max_len = Bounds::default().id;
                    drop_bad_names(&mut known, max_len, &mut Flaws::default());
                    described.fill(&known);
                }
                Ok(None) => {}
                Err(_) => provenance.panicked = true,
            }
        }
        if provenance.panicked {
            described = model.clone();
        }
        let known = version
            .catalog
            .as_ref()
            .zip(provider.called_in_catalog())
            .and_then(|(catalog, id)| matching::find(catalog, id, model));
        if let Some(known) = known {
            described.fill(&known);
            provenance.catalogued = true;
        }
        let mut matched = Vec::new();
        for (position, over) in (0..).zip(&self.overrides) {
            if over.is_for(provider.name(), model.id()) {
                described.replace(&over.facts);
                matched.push(position);
            }
        }
        provenance.overrides = matched.into();
        (described, provenance)
    }
}

impl fmt::Debug for Enrichment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrichment")
            .field("enrichers", &self.enrichers.len())
            .field("overrides", &self.overrides)
            .finish()
    }
}
