//! One page of a list, and where the list goes on.

use std::borrow::Cow;

use super::{document::Record, fields::Fields, rules::Rules};
use crate::model::{Flaws, Model, ModelList, RecordFlaw};

/// One page of a provider's list, as a dialect reads it.
///
/// Most providers answer with everything at once: a page without a next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPage {
    pub(crate) models: Vec<Model>,
    pub(crate) flaws: Flaws,
    /// Records read, those that were skipped included.
    pub(crate) records: usize,
    pub(crate) next: Option<NextPage>,
    /// What `Dialect::Auto` has found.
    pub(crate) found: Option<super::Dialect>,
}

/// Where a list goes on after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextPage {
    /// At the same address, with these query parameters in the place of those of the
    /// same names. They are encoded on their way out.
    Query(Vec<(Cow<'static, str>, String)>),
    /// At this address, absolute or relative to that of the page. One at another origin
    /// is never asked, and the fetch fails.
    Link(String),
    /// Nobody can say: the page says that there is more, and not where. The fetch fails.
    Unknown,
}

impl NextPage {
    /// At the same address, with this query parameter.
    pub fn query(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self::Query(vec![(name.into(), value.into())])
    }

    /// On the page after a numbered one of so many records, by what `info` says of the
    /// pages. Where that does not fit together, nobody can say.
    pub(super) fn by_number(info: &Fields<'_>, names: &Numbers, records: usize) -> Option<Self> {
        let records = records as u64;
        let page = info.count("page");
        let size = info.count(names.size).filter(|size| *size > 0);
        let more = if let Some(pages) = info.count(names.pages) {
            page.unwrap_or(1) < pages
        } else if let Some(all) = info.count(names.all) {
            let read = page.zip(size).map(|(page, size)| page.saturating_mul(size));
            read.unwrap_or(records) < all
        } else if records > 0 && size == Some(records) {
            return Some(Self::Unknown); // full, and of nothing is told how much there is
        } else {
            false
        };
        let next = |page: u64| Self::query("page", page.to_string());
        let after = page.and_then(|page| page.checked_add(1));
        more.then(|| after.map_or(Self::Unknown, next))
    }
}

/// How a dialect names what it says of numbered pages, beside `page`.
pub(super) struct Numbers {
    /// Records of a page.
    pub(super) size: &'static str,
    /// Pages in all.
    pub(super) pages: &'static str,
    /// Records in all.
    pub(super) all: &'static str,
}

impl ModelPage {
    /// A page with these models, and no next one.
    pub fn new(models: impl IntoIterator<Item = Model>) -> Self {
        let models = Vec::from_iter(models);
        Self {
            records: models.len(),
            models,
            ..Self::default()
        }
    }

    /// Says that so many records of the page could not be read.
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.flaws = Flaws::skipping(records);
        self.records = self.models.len() + records;
        self
    }

    /// Sets where the list goes on.
    pub fn with_next(mut self, next: impl Into<Option<NextPage>>) -> Self {
        self.next = next.into();
        self
    }

    /// The models, in the order of the page.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// How many records could not be read.
    pub fn skipped(&self) -> usize {
        self.flaws.skipped()
    }

    /// Where the list goes on; `None`: it ends here.
    pub fn next(&self) -> Option<&NextPage> {
        self.next.as_ref()
    }

    /// The models alone.
    pub fn into_models(self) -> Vec<Model> {
        self.models
    }

    /// Reads each record for itself. One that cannot be read costs itself.
    pub(super) fn of_records<'a>(
        records: Vec<Record<'a>>,
        rules: &Rules,
        mut read: impl FnMut(&Fields<'a>, &Rules) -> Result<Model, RecordFlaw>,
    ) -> Self {
        let mut page = Self {
            records: records.len(),
            ..Self::default()
        };
        for (index, record) in records.into_iter().enumerate() {
            match record.and_then(|fields| read(&fields, rules)) {
                Ok(model) => page.models.push(model),
                Err(flaw) => page.flaws.add(flaw, index),
            }
        }
        page
    }
}

/// The pages of one list, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    models: Vec<Model>,
    flaws: Flaws,
    records: usize,
}

impl Pages {
    pub(crate) fn push(&mut self, page: ModelPage) {
        self.flaws.append(&page.flaws, self.records);
        self.records += page.records;
        if self.models.is_empty() {
            self.models = page.models;
        } else {
            self.models.extend(page.models);
        }
    }

    pub(crate) fn models(&self) -> usize {
        self.models.len()
    }

    pub(crate) fn into_list(self) -> ModelList {
        ModelList::from(self.models).with_flaws(self.flaws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_pages_lead_on_until_their_totals_or_nobody_knows() {
        const NAMES: Numbers = Numbers {
            size: "size",
            pages: "pages",
            all: "all",
        };
        let second = || Some(NextPage::query("page", "2"));
        let unknown = Some(NextPage::Unknown);
        for (info, records, expected) in [
            (r#"{"page":1,"size":50,"all":97}"#, 50, second()),
            (r#"{"page":2,"size":50,"all":97}"#, 47, None),
            (r#"{"page":1,"pages":2}"#, 1, second()),
            (r#"{"page":2,"pages":2}"#, 1, None),
            (r#"{"page":1,"pages":1,"all":9}"#, 1, None),
            (r#"{"page":"1","pages":"2"}"#, 1, second()),
            // No number, and yet more.
            (r#"{"pages":2}"#, 1, unknown.clone()),
            (r#"{"page":"one","pages":2}"#, 1, unknown.clone()),
            (r#"{"pages":1}"#, 1, None),
            (r#"{"size":50,"all":97}"#, 50, unknown.clone()),
            (r#"{"all":50}"#, 50, None),
            // No size, or one of nothing.
            (r#"{"page":1,"all":97}"#, 50, second()),
            (r#"{"page":1,"size":0,"all":97}"#, 50, second()),
            // No total: a full page may not be the last.
            (r#"{"page":1,"size":50}"#, 50, unknown.clone()),
            (r#"{"page":1,"size":50}"#, 49, None),
            (r#"{"page":1,"size":50,"pages":null}"#, 50, unknown.clone()),
            (r#"{"page":1,"size":50,"all":"many"}"#, 50, unknown.clone()),
            ("{}", 50, None),
            (
                r#"{"page":18446744073709551615,"size":0,"all":9}"#,
                1,
                unknown.clone(),
            ),
        ] {
            let fields = serde_json::from_str(info).expect("is an object");
            let next = NextPage::by_number(&fields, &NAMES, records);
            assert_eq!(next, expected, "{info} {records}");
        }
    }
}
