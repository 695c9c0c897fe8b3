//! Parts of the next snapshot, with all that is known of their models.

use std::sync::Arc;

use super::publish::Mode;
use crate::{
    enrich::{Described, Enrichment},
    entry::Entry,
    snapshot::{ProviderListing, Snapshot},
};

/// Describes the models of all parts, out of `last` where nothing has changed. Without the
/// code of others, models that are not in `last` are as their provider describes them.
pub(super) fn describe(
    mut parts: Vec<ProviderListing>,
    last: Option<&Snapshot>,
    enrichment: &Enrichment,
    catalog: Option<Arc<Entry>>,
    mode: Mode,
) -> Vec<ProviderListing> {
    let essential;
    let (enrichment, keeps_last) = match mode {
        Mode::Full => (enrichment, false),
        Mode::Essential => {
            essential = enrichment.without_enrichers();
            (&essential, true)
        }
    };
    let Some(version) = enrichment.version(catalog) else {
        return parts;
    };
    for part in &mut parts {
        let Some(entry) = &part.entry else { continue };
        let name = part.provider.name();
        let before = last.and_then(|last| last.parts().find(|part| part.provider.name() == name));
        let before = before.and_then(|part| part.described.as_ref());
        if let Some(before) = before.filter(|before| keeps_last && before.is_of(entry)) {
            part.described = Some(Arc::clone(before));
            continue;
        }
        let described = Described::new(entry, &part.provider, enrichment, &version, before);
        part.described = Some(described);
    }
    parts
}
