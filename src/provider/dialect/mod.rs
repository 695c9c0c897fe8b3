//! Wire formats of model lists: bytes in, models out. Pure: no I/O, no clock.

mod openai;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{error::ListError, model::Model};

/// The wire format of a provider's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Dialect {
    /// `{"object":"list","data":[{"id":...}]}`: OpenAI and all that speak like it.
    #[default]
    OpenAi,
}

/// What one answer held.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) models: Vec<Model>,
    /// Records that could not be read: each costs itself alone.
    pub(super) skipped: usize,
}

impl Dialect {
    /// Reads one answer of status 2xx.
    pub(super) fn read_page(self, body: &[u8]) -> Result<Page, ListError> {
        match self {
            Self::OpenAi => openai::read_page(body),
        }
    }
}

/// Reads each record for itself, and counts those that cannot be read.
fn read_records(records: &[&RawValue], read: impl Fn(&str) -> Option<Model>) -> Page {
    let models: Vec<_> = records
        .iter()
        .filter_map(|record| read(record.get()))
        .collect();
    Page {
        skipped: records.len() - models.len(),
        models,
    }
}

/// A field that is optional whatever stands in it: of another type, it is absent.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}
