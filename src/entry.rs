//! A provider's good list: checked, sorted, indexed, and free of volatile facts.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use twox_hash::XxHash3_128;

use crate::{
    error::{ListError, ListErrorKind},
    model::{Flaws, Model, ModelList, RecordFlaw},
};

/// A `created` this close to the moment of the fetch, in seconds, is taken for
/// the moment of the fetch: vLLM, llama.cpp, Mistral and others send that.
const REQUEST_TIME: u64 = 3600;

/// 2015-01-01. No model that is listed today is older, and a date before is a default or
/// a wrong unit.
const EARLIEST: u32 = 1_420_070_400;

/// What a list must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of the decoded answer.
    pub(crate) body: usize,
    /// Models of one provider.
    pub(crate) models: usize,
    /// Bytes of a model's id.
    pub(crate) id: usize,
    /// Pages of one list.
    pub(crate) pages: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 16 * 1024 * 1024,
            models: 100_000,
            id: 512,
            pages: 1_000,
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
    /// Hash of all that is served, `created` included.
    fingerprint: u128,
    stats: ListStats,
    /// Whether a date was dropped that may be true: a later fetch can tell it from the time
    /// of a request.
    young: bool,
}

/// Counts of an answer. They make no difference to what is served.
#[derive(Clone, Debug)]
pub(crate) struct ListStats {
    /// Distinct models that the provider offered, before the operator's filter.
    pub(crate) offered: usize,
    /// Models that the filter left out.
    pub(crate) filtered: usize,
    /// Models kept.
    pub(crate) models: usize,
    /// What was wrong with the records that were offered.
    pub(crate) flaws: Flaws,
    /// Records that gave way to another of the same id.
    pub(crate) duplicates: usize,
    /// Whether this is the declared list, in the place of an answer.
    pub(crate) declared: bool,
    /// In which dialect the answer was, if it came over HTTP.
    pub(crate) dialect: Option<&'static str>,
}

impl Entry {
    /// Makes an entry of what a source responded at `unix_seconds`, without the models that
    /// `keep` refuses.
    ///
    /// The response is judged before the filter: a filter removes models and never changes
    /// another model's facts, nor any count but those of the models kept and left out.
    ///
    /// A record whose id cannot be served is skipped and counted; a response with no other
    /// records is not a list. Of two records with one id, the one with more facts is kept,
    /// then the one with a date, then the one whose facts sort first: the order of the
    /// response decides nothing.
    pub(crate) fn new(
        list: ModelList,
        bounds: &Bounds,
        unix_seconds: u64,
        keep: impl Fn(&Model) -> bool,
    ) -> Result<Self, ListError> {
        let declared = list.is_declared();
        let dialect = list.dialect();
        let (mut models, mut flaws) = list.into_parts();
        if models.len() > bounds.models {
            return Err(ListErrorKind::TooManyModels.into());
        }
        let flaw = |id: &str| id_flaw(id, bounds.id);
        models.retain(
            |model| match flaw(model.id()).or(flaw(model.upstream_id())) {
                None => true,
                Some(flaw) => {
                    flaws.add(flaw, None);
                    false
                }
            },
        );
        if models.is_empty() && flaws.skipped() > 0 {
            return Err(ListErrorKind::NotAList.into());
        }
        for model in &mut models {
            drop_bad_names(model, bounds.id, &mut flaws);
        }
        // Per record, and so before duplicates are dropped: a true date wins over one that
        // was made up.
        let young = !declared && drop_made_up_dates(&mut models, unix_seconds);
        models.sort_unstable_by(|a, b| {
            let fuller_first = || b.known_fields().cmp(&a.known_fields());
            let dated_first = || b.created().is_some().cmp(&a.created().is_some());
            (a.id().cmp(b.id()))
                .then_with(fuller_first)
                .then_with(dated_first)
                .then_with(|| a.facts().cmp(&b.facts()))
        });
        let records = models.len();
        models.dedup_by(|later, kept| later.id() == kept.id());
        if !declared {
            drop_shared_date(&mut models);
        }
        let offered = models.len();
        models.retain(keep);

        let stats = ListStats {
            offered,
            models: models.len(),
            flaws,
            filtered: 0,
            duplicates: records - offered,
            declared,
            dialect,
        };
        Ok(Self::of(models, stats, young))
    }

    /// An entry of models that are sorted by id.
    fn of(models: Vec<Model>, stats: ListStats, young: bool) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut index = HashTable::with_capacity(models.len());
        let mut content = XxHash3_128::new();
        for (position, model) in (0u32..).zip(&models) {
            let hash = hasher.hash_one(model.id());
            index.insert_unique(hash, position, |&other| {
                hasher.hash_one(models[other as usize].id())
            });
            model.facts().hash(&mut ContentHasher(&mut content));
        }
        Self {
            index,
            hasher,
            fingerprint: content.finish_128(),
            stats: ListStats {
                filtered: stats.offered.saturating_sub(models.len()),
                models: models.len(),
                ..stats
            },
            models: models.into_boxed_slice(),
            young,
        }
    }

    /// The same list, less the models that `keep` refuses.
    pub(crate) fn filtered(&self, keep: impl Fn(&Model) -> bool) -> Self {
        let models = self.models.iter().filter(|model| keep(model));
        let stats = self.stats.clone();
        Self::of(models.cloned().collect(), stats, self.young)
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

    /// Whether both are served as the same bytes.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.models.len() == other.models.len()
    }

    /// Whether the same answer would be another list an hour later.
    pub(crate) fn is_young(&self) -> bool {
        self.young
    }

    pub(crate) fn stats(&self) -> &ListStats {
        &self.stats
    }
}

/// Why an id cannot stand in a list, a path and a log line.
pub(crate) fn id_flaw(id: &str, longest: usize) -> Option<RecordFlaw> {
    if id.is_empty() {
        Some(RecordFlaw::NoId)
    } else if id.len() > longest {
        Some(RecordFlaw::IdTooLong)
    } else if has_unsafe_char(id) {
        Some(RecordFlaw::IdCharacters)
    } else {
        None
    }
}

/// Drops a name that is shown to people and could not be an id either.
pub(crate) fn drop_bad_names(model: &mut Model, longest: usize, flaws: &mut Flaws) {
    let is_bad = |name: &str| name.len() > longest || has_unsafe_char(name);
    let owner = model.owned_by().is_some_and(is_bad);
    let display = model.display_name().is_some_and(is_bad);
    if owner {
        model.forget_owned_by();
    }
    if display {
        model.forget_display_name();
    }
    let family = model.family().is_some_and(is_bad);
    if family {
        model.forget_family();
    }
    if owner || display || family {
        flaws.add(RecordFlaw::Name, None);
    }
}

/// Whether a name is a glob, where globs are not matched. Brackets are no sign of one: there
/// are models such as `star-4[1m]`.
pub(crate) fn has_glob(name: &str) -> bool {
    name.contains(['*', '?', '{', '}'])
}

fn has_unsafe_char(text: &str) -> bool {
    // Nearly all text is plain ASCII, which takes one look at each byte.
    let plain = |byte: u8| (0x20..0x7f).contains(&byte);
    !text.bytes().all(plain) && text.chars().any(is_unsafe_char)
}

/// Control characters, the marks that turn the direction of text, which make one id look
/// like another, and what stands for a byte that was no text.
pub(crate) fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
}

/// Drops each `created` that no model can have: one before 2015, one in the future, and
/// one within an hour of the request, which changes with every fetch. The last may also be
/// the date of a model that was just released: returns whether there was one.
fn drop_made_up_dates(models: &mut [Model], unix_seconds: u64) -> bool {
    let mut young = false;
    for model in models {
        let Some(created) = model.created() else {
            continue;
        };
        let recent = u64::from(created) + REQUEST_TIME >= unix_seconds;
        if created < EARLIEST || recent {
            young |= created >= EARLIEST;
            model.forget_created();
        }
    }
    young
}

/// Drops all dates where every model of several has the same one, which says nothing.
/// Each model must be there once: it is not made several by being listed twice.
fn drop_shared_date(models: &mut [Model]) {
    let [first, rest @ ..] = &*models else { return };
    if rest.len() > 1 && rest.iter().all(|model| model.created() == first.created()) {
        models.iter_mut().for_each(Model::forget_created);
    }
}

/// The content hash, as the standard library's traits want it.
struct ContentHasher<'a>(&'a mut XxHash3_128);

impl Hasher for ContentHasher<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
