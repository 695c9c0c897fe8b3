//! The list of models that a provider offers, and what was wrong with its records.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Model;

/// All models of one provider: what a [source](crate::Source) answers with.
///
/// Order does not matter, and duplicates are allowed: the cache sorts by id, and of two
/// records of one id keeps the one that tells more.
///
/// ```
/// use tower_models_cache::{Model, ModelList};
///
/// let list: ModelList = ["small", "large"].map(Model::new).into_iter().collect();
/// assert_eq!(list.models().len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelList {
    models: Vec<Model>,
    flaws: Flaws,
    declared: bool,
    dialect: Option<&'static str>,
}

impl ModelList {
    /// The models, in the order in which the provider gave them.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Says that `records` of the provider's answer could not be read. They are
    /// counted in the provider's [status](crate::ProviderStatus::skipped).
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.flaws = Flaws::skipping(records);
        self
    }

    /// How many records of the provider's answer could not be read.
    pub fn skipped(&self) -> usize {
        self.flaws.skipped()
    }

    pub(crate) fn with_flaws(mut self, flaws: Flaws) -> Self {
        self.flaws = flaws;
        self
    }

    /// Says in which dialect the list was.
    pub(crate) fn with_dialect(mut self, dialect: &'static str) -> Self {
        self.dialect = Some(dialect);
        self
    }

    pub(crate) fn dialect(&self) -> Option<&'static str> {
        self.dialect
    }

    /// Says that the list is the declared one, given where the provider has none.
    pub(crate) fn into_declared(mut self) -> Self {
        self.declared = true;
        self
    }

    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    pub(crate) fn into_parts(self) -> (Vec<Model>, Flaws) {
        (self.models, self.flaws)
    }
}

impl From<Vec<Model>> for ModelList {
    fn from(models: Vec<Model>) -> Self {
        Self {
            models,
            ..Self::default()
        }
    }
}

impl FromIterator<Model> for ModelList {
    fn from_iter<I: IntoIterator<Item = Model>>(models: I) -> Self {
        Vec::from_iter(models).into()
    }
}

// ===== Flaws =====

/// What can be wrong with one record of a list. It costs the record alone, or only a
/// field of it, and never the list.
///
/// Serialised, it is its [word](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordFlaw {
    /// It is not what a record of its dialect is. The record is skipped.
    Unreadable,
    /// It has no id, or one that is not text. The record is skipped.
    NoId,
    /// Its id is longer than 512 bytes. The record is skipped.
    IdTooLong,
    /// Its id has control characters, marks that turn the direction of text, or bytes that
    /// are no text. The record is skipped.
    IdCharacters,
    /// It is nested deeper than 64 levels. The record is skipped.
    TooDeep,
    /// The display name, the owner or the family is longer than 512 bytes, or has characters
    /// that an id must not have. That field is dropped, and the record stays.
    Name,
}

impl RecordFlaw {
    /// The flaw as one word, for logs and metrics, such as `id_too_long`. It never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoId => "no_id",
            Self::IdTooLong => "id_too_long",
            Self::IdCharacters => "id_characters",
            Self::TooDeep => "too_deep",
            Self::Name => "name",
        }
    }

    /// Whether a record with this flaw is not listed.
    pub fn costs_the_record(self) -> bool {
        self != Self::Name
    }
}

impl fmt::Display for RecordFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RecordFlaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How often one flaw was met in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlawCount {
    /// The flaw.
    pub flaw: RecordFlaw,
    /// How many records have it.
    pub records: usize,
    /// Where the first of them stands in the provider's answer, counted from 0 over all
    /// pages, if that is known.
    pub first: Option<usize>,
}

/// The flaws of a list, each with its count; nearly always none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws(Vec<FlawCount>);

impl Flaws {
    /// So many records that could not be read.
    pub(crate) fn skipping(records: usize) -> Self {
        let mut flaws = Self::default();
        flaws.count(RecordFlaw::Unreadable, records, None);
        flaws
    }

    pub(crate) fn add(&mut self, flaw: RecordFlaw, at: impl Into<Option<usize>>) {
        self.count(flaw, 1, at.into());
    }

    /// Takes in the flaws of a further page, before which there were `records`.
    pub(crate) fn append(&mut self, page: &Self, records: usize) {
        for of in &page.0 {
            self.count(of.flaw, of.records, of.first.map(|first| first + records));
        }
    }

    fn count(&mut self, flaw: RecordFlaw, records: usize, first: Option<usize>) {
        if records == 0 {
            return;
        }
        match self.0.iter_mut().find(|of| of.flaw == flaw) {
            Some(of) => of.records += records,
            None => self.0.push(FlawCount {
                flaw,
                records,
                first,
            }),
        }
    }

    /// How many records are not listed for their flaws.
    pub(crate) fn skipped(&self) -> usize {
        let costly = |of: &&FlawCount| of.flaw.costs_the_record();
        self.0.iter().filter(costly).map(|of| of.records).sum()
    }

    pub(crate) fn counts(&self) -> &[FlawCount] {
        &self.0
    }
}
