//! Under which names models are listed, and which model a name refers to.

use std::sync::Arc;

use hashbrown::HashMap;

use super::fragment::{NameKind, ProviderListing};
use crate::{
    entry::{Bounds, id_flaw},
    error::BuildError,
    provider::Prefix,
    render::ListedId,
};

/// The prefix of names for clients that list only models with `claude` in their name.
pub(crate) const CLAUDE: &str = "claude-";

/// The operator's settings for names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) aliases: Arc<Aliases>,
    /// Whether Anthropic's clients see `claude` in every name.
    pub(crate) claude: bool,
}

/// Additional names of models, in declaration order.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    pairs: Vec<(Box<str>, Box<str>)>,
    index: HashMap<Box<str>, u32>,
}

impl Aliases {
    /// Validates pairs of a name and its target, a listed id.
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Result<Self, BuildError> {
        let mut aliases = Self::default();
        let longest = Bounds::default().id;
        for (position, (name, target)) in (0..).zip(&pairs) {
            if id_flaw(name, longest).is_some() {
                let expected = format!("names of 1 to {longest} bytes without control characters");
                return Err(BuildError::new("aliases", name, expected));
            }
            let of_target = |expected| {
                let field = format!("aliases.{name}");
                BuildError::new(field, target, expected)
            };
            if target.is_empty() {
                return Err(of_target("the id of a model as it is listed"));
            }
            if pairs.iter().any(|(other, _)| other == target) {
                return Err(of_target("the id of a model, not another alias"));
            }
            if aliases.index.insert((**name).into(), position).is_some() {
                let expected = "each name once";
                return Err(BuildError::new("aliases", name, expected));
            }
        }
        let boxed = |(name, target): (String, String)| (name.into(), target.into());
        aliases.pairs = pairs.into_iter().map(boxed).collect();
        Ok(aliases)
    }

    pub(crate) fn name(&self, alias: u32) -> &str {
        &self.pairs[alias as usize].0
    }

    /// The names and their targets.
    pub(crate) fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, target)| (&**name, &**target))
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.index.get(name).copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        !self.index.is_empty() && self.index.contains_key(name)
    }
}

/// The index of a model in a snapshot, under one of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelIndex {
    fragment: u32,
    position: u32,
    /// The index of the alias, or `NO_ALIAS` for the model's own id.
    alias: u32,
}

const NO_ALIAS: u32 = u32::MAX;

impl ModelIndex {
    pub(super) fn own(fragment: usize, position: usize) -> Self {
        let small = |number: usize| u32::try_from(number).expect("bounds keep lists small");
        Self {
            fragment: small(fragment),
            position: small(position),
            alias: NO_ALIAS,
        }
    }

    pub(super) fn fragment(self) -> usize {
        self.fragment as usize
    }

    pub(super) fn position(self) -> usize {
        self.position as usize
    }

    pub(super) fn as_alias(self, alias: u32) -> Self {
        Self { alias, ..self }
    }

    pub(super) fn alias(self) -> Option<u32> {
        (self.alias != NO_ALIAS).then_some(self.alias)
    }
}

/// Which fragments may contain a name.
#[derive(Clone, Debug, Default)]
pub(super) struct NameIndex {
    /// Fragments that list models with a prefix, by that prefix.
    prefixed: HashMap<Arc<str>, usize>,
    /// Fragments that list models without a prefix, in order.
    bare: Box<[usize]>,
}

impl NameIndex {
    pub(super) fn of(listings: &[ProviderListing]) -> Self {
        let mut prefixed = HashMap::with_capacity(listings.len());
        let mut bare = Vec::new();
        for (index, listing) in listings.iter().enumerate() {
            let prefix = listing.provider.options.prefix;
            if prefix != Prefix::Never {
                prefixed.insert(Arc::clone(listing.provider.shared_name()), index);
            }
            if prefix != Prefix::Always {
                bare.push(index);
            }
        }
        let bare = bare.into_boxed_slice();
        Self { prefixed, bare }
    }

    pub(super) fn bare(&self) -> &[usize] {
        &self.bare
    }

    /// Finds a model by its listed id. Does not look at aliases.
    pub(super) fn locate<R: IdLookup>(&self, offsets: &[R], id: &str) -> Option<ModelIndex> {
        // A provider's name contains no slash, so the first slash ends the prefix.
        let slash = memchr::memchr(b'/', id.as_bytes());
        let behind_prefix = slash.and_then(|slash| {
            let (prefix, id) = (&id[..slash], &id[slash + 1..]);
            let index = *self.prefixed.get(prefix)?;
            Some((index, offsets[index].position(id)?))
        });
        if let Some((index, position)) = behind_prefix
            && offsets[index].is_prefixed(position)
        {
            return Some(ModelIndex::own(index, position));
        }
        let bare = self.bare.iter().find_map(|&index| {
            let position = offsets[index].position(id)?;
            (!offsets[index].is_prefixed(position)).then(|| ModelIndex::own(index, position))
        });
        // A model that is prefixed only on conflict is also found by its prefixed id.
        bare.or_else(|| behind_prefix.map(|(index, position)| ModelIndex::own(index, position)))
    }
}

/// Looks up the models of one provider by id: in a fragment, or in the input of one.
pub(super) trait IdLookup {
    /// The position of a listed model with this id.
    fn position(&self, id: &str) -> Option<usize>;

    /// Whether the model at this position is listed with the prefix.
    fn is_prefixed(&self, position: usize) -> bool;
}

/// Decides how each model of a listing is named, or `None` if all are named by default. A
/// name may already belong to an alias or to an earlier listing.
pub(super) fn resolve_names(
    listings: &[ProviderListing],
    index: usize,
    bare: &[usize],
    aliases: &Aliases,
) -> Option<Box<[NameKind]>> {
    let listing = &listings[index];
    let models = listing.models();
    let name = listing.provider.name();
    let prefix = listing.provider.options.prefix;
    // A prefixed id can only conflict with an id that has no prefix, so this costs nothing
    // if every provider has a prefix.
    let all_before: Vec<_> = match prefix {
        Prefix::Always => Vec::new(),
        Prefix::Never | Prefix::OnConflict => listings[..index].iter().collect(),
    };
    let before = bare.iter().take_while(|&&other| other < index);
    let bare_before: Vec<_> = before.map(|&other| &listings[other]).collect();
    let has_aliases = aliases.pairs().len() > 0;
    if models.is_empty() || (all_before.is_empty() && bare_before.is_empty() && !has_aliases) {
        return None;
    }
    let mut listed = String::new();
    let is_taken = |id: &str, rivals: &[&ProviderListing]| {
        aliases.has(id) || rivals.iter().any(|rival| rival.lists(id))
    };
    let is_bare_taken = |id: &str| is_taken(id, &all_before);
    let mut is_prefixed_taken = |id: &str| {
        listed.clear();
        listed.extend([name, "/", id]);
        // With `Prefix::OnConflict`, another model of the same provider may have this id.
        let is_own = prefix == Prefix::OnConflict && listing.has(&listed);
        is_own || is_taken(&listed, &bare_before)
    };
    let mut any = false;
    let names = models.iter().map(|model| {
        let name = match prefix {
            Prefix::Always if is_prefixed_taken(model.id()) => NameKind::Shadowed,
            Prefix::Never if is_bare_taken(model.id()) => NameKind::Shadowed,
            Prefix::OnConflict if is_bare_taken(model.id()) => {
                match is_prefixed_taken(model.id()) {
                    true => NameKind::Shadowed,
                    false => NameKind::Prefixed,
                }
            }
            _ => NameKind::Default,
        };
        any |= name != NameKind::Default;
        name
    });
    let names = names.collect();
    any.then_some(names)
}

/// Whether the name contains `claude`, as some clients require.
pub(super) fn shows_claude(id: ListedId<'_>) -> bool {
    let has = |text: &str| {
        let mut windows = text.as_bytes().windows(6);
        windows.any(|window| window.eq_ignore_ascii_case(b"claude"))
    };
    // Both parts are searched separately: `claude` contains no slash.
    has(id.id) || id.prefix.is_some_and(has)
}
