//! Which record of the catalogue describes a model.
//!
//! The catalogue's models are called `provider/id`, by its own names of providers. Names
//! are compared as they are: no case is folded, no date is cut off.
//!
//! 1. The model of this provider, by the id that the provider is asked for, or else by the
//!    one that is listed. It is the same thing, price included.
//! 2. Where that is not there and the id is `vendor/rest`: the vendor's own `vendor/rest`, or
//!    this provider's `rest`. That is the same model under other terms, so prices and
//!    deprecation are not taken. Where both are there and tell different things, neither is.

use std::borrow::Cow;

use crate::{entry::Entry, model::Model};

/// What the catalogue knows of a model of the provider that it calls so.
pub(super) fn find<'a>(
    catalog: &'a Entry,
    provider: &str,
    model: &Model,
) -> Option<Cow<'a, Model>> {
    let of = |provider: &str, id: &str| {
        let position = catalog.position(&format!("{provider}/{id}"))?;
        Some(&catalog.models()[position])
    };
    let exact = of(provider, model.upstream_id()).or_else(|| of(provider, model.id()));
    if let Some(exact) = exact {
        return Some(Cow::Borrowed(exact));
    }
    let (vendor, rest) = model.id().split_once('/')?;
    let facts = |model: &Model| {
        let mut facts = Model::description();
        facts.fill(model);
        facts.without_terms()
    };
    let vendors = of(vendor, rest).map(facts);
    let own = of(provider, rest).map(facts);
    let known = match (vendors, own) {
        (Some(a), Some(b)) => (a == b).then_some(a)?,
        (a, b) => a.or(b)?,
    };
    Some(Cow::Owned(known))
}
