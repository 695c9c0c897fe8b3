//! A provider's good list: checked, sorted, indexed, and free of volatile facts.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use twox_hash::XxHash3_128;

use crate::{
    error::{ListError, ListErrorKind},
    model::{Model, ModelList},
};

/// A `created` this close to the moment of the fetch, in seconds, is taken for
/// the moment of the fetch: vLLM, llama.cpp, Mistral and others send that.
const REQUEST_TIME: u64 = 3600;

/// What a list must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of the decoded answer.
    pub(crate) body: usize,
    /// Models of one provider.
    pub(crate) models: usize,
    /// Bytes of a model's id.
    pub(crate) id: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 16 * 1024 * 1024,
            models: 100_000,
            id: 512,
        }
    }
}

/// A provider's models, sorted by id, each id once.
///
/// Two entries of the same content are equal in all that is served, whatever the
/// order in which, and the day on which, the provider gave it.
#[derive(Debug)]
pub(crate) struct Entry {
    models: Box<[Model]>,
    /// Positions in `models`, by the hash of the id.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Of all that is served but `created`, which some providers make up.
    fingerprint: u128,
    tally: Tally,
}

/// What is counted of an answer, and makes no difference to what is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// Models offered, before any filter.
    pub(crate) offered: usize,
    /// Models kept.
    pub(crate) models: usize,
    /// Records that could not be read or served.
    pub(crate) skipped: usize,
    /// Records that gave way to another of the same id.
    pub(crate) duplicates: usize,
    /// Whether this is the declared list, in the place of an answer.
    pub(crate) declared: bool,
}

impl Entry {
    /// Takes in what a source answered at `unix_seconds`, less the models that
    /// `keep` refuses.
    ///
    /// A record whose id cannot be served is skipped and counted; an answer with
    /// no other records is not taken for a list. Of two records
    /// with one id the one that knows more stays, then the one that sorts first:
    /// the order of the answer decides nothing.
    pub(crate) fn new(
        list: ModelList,
        bounds: &Bounds,
        unix_seconds: u64,
        keep: impl Fn(&Model) -> bool,
    ) -> Result<Self, ListError> {
        let mut skipped = list.skipped();
        let declared = list.is_declared();
        let mut models = list.into_models();
        let all = models.len();
        if all > bounds.models {
            return Err(ListErrorKind::TooLarge.into());
        }
        models.retain(|model| is_servable(model.id(), bounds.id));
        let offered = models.len();
        skipped += all - offered;
        if offered == 0 && skipped > 0 {
            return Err(ListErrorKind::NotAList.into());
        }
        models.retain(keep);
        if !declared {
            drop_made_up_dates(&mut models, unix_seconds);
        }
        models.sort_unstable_by(|a, b| {
            let fuller_first = || b.facts().cmp(&a.facts());
            let rest = || facts(a).cmp(&facts(b)).then(a.created().cmp(&b.created()));
            a.id().cmp(b.id()).then_with(fuller_first).then_with(rest)
        });
        let kept = models.len();
        models.dedup_by(|later, kept| later.id() == kept.id());

        let hasher = DefaultHashBuilder::default();
        let mut index = HashTable::with_capacity(models.len());
        let mut content = XxHash3_128::new();
        for (position, model) in (0u32..).zip(&models) {
            let hash = hasher.hash_one(model.id());
            index.insert_unique(hash, position, |&other| {
                hasher.hash_one(models[other as usize].id())
            });
            facts(model).hash(&mut Content(&mut content));
        }
        Ok(Self {
            index,
            hasher,
            fingerprint: content.finish_128(),
            tally: Tally {
                offered,
                models: models.len(),
                skipped,
                duplicates: kept - models.len(),
                declared,
            },
            models: models.into_boxed_slice(),
        })
    }

    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// Where the model of this id stands.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.index
            .find(self.hasher.hash_one(id), |&position| {
                self.models[position as usize].id() == id
            })
            .map(|&position| position as usize)
    }

    /// Whether both would be served alike, but for `created`.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.models.len() == other.models.len()
    }

    /// Whether this knows a date that `other`, of the same content, does not: a model
    /// that came out within the hour has none at first, and the list has to end up
    /// as one that was fetched later.
    pub(crate) fn dates_more_than(&self, other: &Self) -> bool {
        let pairs = self.models.iter().zip(&other.models);
        pairs
            .into_iter()
            .any(|(ours, theirs)| ours.created().is_some() && theirs.created().is_none())
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }
}

/// Every fact that is served, but `created`.
fn facts(model: &Model) -> impl Ord + Hash {
    (
        model.id(),
        model.owned_by(),
        model.display_name(),
        model.context_length(),
        model.max_output_tokens(),
    )
}

/// Whether an id can stand in a list, a path and a log line.
pub(crate) fn is_servable(id: &str, longest: usize) -> bool {
    !id.is_empty() && id.len() <= longest && !id.chars().any(is_treacherous)
}

/// Control characters, and the marks that turn the direction of text: they make
/// one id look like another.
pub(crate) fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Drops each `created` that is the time of the request, and all of them where
/// every model of several has the same one: those dates say nothing, and the
/// first kind changes with every fetch.
fn drop_made_up_dates(models: &mut [Model], unix_seconds: u64) {
    let constant = match models {
        [first, rest @ ..] if rest.len() > 1 => {
            rest.iter().all(|model| model.created() == first.created())
        }
        _ => false,
    };
    for model in models {
        let now_ish = |created: u32| u64::from(created) + REQUEST_TIME >= unix_seconds;
        if constant
            || model
                .created()
                .is_some_and(|created| created == 0 || now_ish(created))
        {
            model.forget_created();
        }
    }
}

/// The content hash, as the standard library's traits want it.
struct Content<'a>(&'a mut XxHash3_128);

impl Hasher for Content<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
