//! A provider's last good list: validated, sorted, indexed, and without volatile data.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use twox_hash::XxHash3_128;

use crate::{
    error::{ListError, ListErrorKind},
    model::{Flaws, Model, ModelList, RecordFlaw},
};

/// A `created` within this many seconds of the fetch is taken for the time of the request, which
/// vLLM, llama.cpp, Mistral and others send.
const REQUEST_TIME: u64 = 3600;

/// 2015-01-01. No listed model is older: an earlier date is a default value or has the wrong
/// unit.
const EARLIEST: u32 = 1_420_070_400;

/// The limits of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of the decoded response, over all pages.
    pub(crate) body: usize,
    /// Models per provider.
    pub(crate) models: usize,
    /// Bytes per model id.
    pub(crate) id: usize,
    /// Pages per list.
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

/// A provider's models, sorted by id, with unique ids.
///
/// Two entries with the same content are served as the same bytes, whatever the order of the
/// responses and the time of the fetches.
#[derive(Debug)]
pub(crate) struct Entry {
    models: Box<[Model]>,
    /// Positions in `models`, by the hash of the id.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// A hash of everything that is served, including `created`.
    fingerprint: u128,
    stats: ListStats,
    /// Whether a date was dropped that may be correct. A later fetch can distinguish it from the
    /// time of the request.
    young: bool,
}

/// Statistics of a response. They do not affect what is served.
#[derive(Clone, Debug)]
pub(crate) struct ListStats {
    /// Distinct models that the provider offers, before the filter.
    pub(crate) offered: usize,
    /// Models removed by the filter.
    pub(crate) filtered: usize,
    /// Models kept.
    pub(crate) models: usize,
    /// Flaws of the offered records.
    pub(crate) flaws: Flaws,
    /// Records dropped in favour of another one with the same id.
    pub(crate) duplicates: usize,
    /// Whether the list was declared in the configuration, and not fetched.
    pub(crate) declared: bool,
    /// The dialect of the response, if it was fetched over HTTP.
    pub(crate) dialect: Option<&'static str>,
}

impl Entry {
    /// Creates an entry from a response received at `unix_seconds`, with the models for which
    /// `keep` returns true.
    ///
    /// The response is validated before it is filtered: a filter removes models, and never
    /// changes another model or any statistics except the numbers of models kept and removed.
    ///
    /// A record with an invalid id is skipped and counted. A response with no other records is
    /// an error. Of two records with one id, the one with more properties is kept, then the one
    /// with a date, then the one that sorts first: the order of the response does not matter.
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
        // Before duplicates are dropped, so that a correct date wins over an invented one.
        let young = !declared && drop_invented_dates(&mut models, unix_seconds);
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
        Ok(Self::from_sorted(models, stats, young))
    }

    /// Creates an entry from models that are sorted by id.
    fn from_sorted(models: Vec<Model>, stats: ListStats, young: bool) -> Self {
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

    /// Removes the models for which `keep` returns false.
    pub(crate) fn filtered(&self, keep: impl Fn(&Model) -> bool) -> Self {
        let models = self.models.iter().filter(|model| keep(model));
        let stats = self.stats.clone();
        Self::from_sorted(models.cloned().collect(), stats, self.young)
    }

    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// The position of the model with this id.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.index
            .find(self.hasher.hash_one(id), |&position| {
                self.models[position as usize].id() == id
            })
            .map(|&position| position as usize)
    }

    /// Whether the two are served as the same bytes.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.models.len() == other.models.len()
    }

    /// Whether the same response would result in another entry an hour later.
    pub(crate) fn is_young(&self) -> bool {
        self.young
    }

    pub(crate) fn stats(&self) -> &ListStats {
        &self.stats
    }
}

/// The reason why an id is not safe to use in lists, paths and logs, if any.
pub(crate) fn id_flaw(id: &str, max_len: usize) -> Option<RecordFlaw> {
    if id.is_empty() {
        Some(RecordFlaw::NoId)
    } else if id.len() > max_len {
        Some(RecordFlaw::IdTooLong)
    } else if has_unsafe_char(id) {
        Some(RecordFlaw::IdCharacters)
    } else {
        None
    }
}

/// Drops human-readable names that are too long or have unsafe characters.
pub(crate) fn drop_bad_names(model: &mut Model, max_len: usize, flaws: &mut Flaws) {
    let is_bad = |name: &str| name.len() > max_len || has_unsafe_char(name);
    let owner = model.owned_by().is_some_and(is_bad);
    let display = model.display_name().is_some_and(is_bad);
    if owner {
        model.clear_owned_by();
    }
    if display {
        model.clear_display_name();
    }
    let family = model.family().is_some_and(is_bad);
    if family {
        model.clear_family();
    }
    if owner || display || family {
        flaws.add(RecordFlaw::Name, None);
    }
}

/// Whether a name looks like a glob, for settings that do not accept globs. Brackets do not
/// count: there are ids such as `star-4[1m]`.
pub(crate) fn has_glob(name: &str) -> bool {
    name.contains(['*', '?', '{', '}'])
}

fn has_unsafe_char(text: &str) -> bool {
    // Nearly all text is printable ASCII, which needs no decoding.
    let is_printable = |byte: u8| (0x20..0x7f).contains(&byte);
    !text.bytes().all(is_printable) && text.chars().any(is_unsafe_char)
}

/// Whether a character is a control character, a bidirectional formatting character, which can
/// make one id look like another, or the replacement character for invalid UTF-8.
pub(crate) fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
}

/// Drops each implausible `created`: before 2015, in the future, or within an hour of the
/// request, because that changes with every fetch. Returns whether a dropped date may be correct,
/// because the model was just released.
fn drop_invented_dates(models: &mut [Model], unix_seconds: u64) -> bool {
    let mut young = false;
    for model in models {
        let Some(created) = model.created() else {
            continue;
        };
        let recent = u64::from(created) + REQUEST_TIME >= unix_seconds;
        if created < EARLIEST || recent {
            young |= created >= EARLIEST;
            model.clear_created();
        }
    }
    young
}

/// Drops all dates if there are three or more models and all have the same date. The models must
/// be unique.
fn drop_shared_date(models: &mut [Model]) {
    let [first, rest @ ..] = &*models else { return };
    if rest.len() > 1 && rest.iter().all(|model| model.created() == first.created()) {
        models.iter_mut().for_each(Model::clear_created);
    }
}

/// Adapts the 128-bit content hash to [`Hasher`].
struct ContentHasher<'a>(&'a mut XxHash3_128);

impl Hasher for ContentHasher<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
