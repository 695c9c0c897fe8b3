//! Rules for the records of one provider, beyond its dialect: which additional fields are kept,
//! and the unit of its prices.

use std::{borrow::Cow, fmt};

use super::{canonical::canonical, fields::Fields, json::is_flat};
use crate::{
    entry::{Bounds, is_unsafe_char},
    model::Extra,
};

/// Which additional fields of a provider's records are served, besides those of
/// [`Model`](crate::Model).
///
/// In a configuration file this is `"all"`, `"known"` or `"none"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum ExtraFields {
    /// All fields of at most 64 KiB, including nested ones.
    ///
    /// Excluded are fields that change with every request (`permission`, `benchmarks`), and
    /// fields whose names suggest keys, command lines, paths or environment variables
    /// (`api_key`, `args`, `root`, `litellm_params`). Use this only for providers whose records
    /// you know: fields that they add later are served as well.
    All,
    /// A fixed set of fields, such as `aliases`, `canonical_slug`, `features`,
    /// `hugging_face_id`, `knowledge_cutoff`, `lifecycle`, `parameter_size`, `quantization`,
    /// `supported_parameters` and `type`. Only scalars and lists of scalars are served. This is
    /// the default.
    #[default]
    Known,
    /// No additional fields.
    None,
}

impl ExtraFields {
    /// Returns `all`, `known` or `none`. These names are stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Known => "known",
            Self::None => "none",
        }
    }
}

impl fmt::Display for ExtraFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Rules for the records of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The maximum number of records per page.
    pub(crate) records: usize,
    pub(crate) extra: ExtraFields,
    pub(crate) prices: PriceRule,
    /// Whether `created` is not a creation date, such as the time of the request.
    pub(crate) invents_dates: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            records: Bounds::default().models,
            extra: ExtraFields::default(),
            prices: PriceRule::default(),
            invents_dates: false,
        }
    }
}

/// The unit of a provider's prices. Providers use the same names for different units, so without
/// a rule prices are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PriceRule {
    /// The unit is unknown.
    #[default]
    Unknown,
    /// `pricing.*`: US dollars per 10^n tokens.
    Per(u32),
    /// `input_token_price_per_m` and similar: 1/10,000 US dollar per million tokens.
    TenThousandths,
    /// `pricings.*`: tiers with a unit and a currency each.
    Tiers,
}

/// The fields of [`ExtraFields::Known`]: clients use them, and their values are stable.
const KNOWN: [&str; 17] = [
    "aliases",
    "canonical_slug",
    "endpoints",
    "features",
    "hugging_face_id",
    "knowledge_cutoff",
    "launch_stage",
    "license",
    "lifecycle",
    "parameter_size",
    "parent",
    "quantization",
    "supported_generation_methods",
    "supported_parameters",
    "task",
    "type",
    "version",
];

/// Fields that are never served, in lower case and without separators. The first ones change
/// from request to request or from day to day. The others, from `apibase` on, are known to
/// contain command lines, paths, environment variables or keys.
const EXCLUDED: [&str; 30] = [
    "benchmarks",
    "createdat",
    "createtime",
    "expiresat",
    "lastupdated",
    "lastusedat",
    "loadedcontextlength",
    "loadedinstances",
    "modifiedat",
    "permission",
    "readyreplicas",
    "running",
    "state",
    "status",
    "updatedat",
    "updatetime",
    "apibase",
    "authorization",
    "backendparameters",
    "cmd",
    "cwd",
    "environment",
    "extraheaders",
    "headers",
    "huggingfacefilename",
    "litellmparams",
    "parentmodel",
    "preset",
    "root",
    "workerselector",
];

/// Suffixes of the names of fields that may contain such values.
const EXCLUDED_SUFFIXES: [&str; 10] = [
    "args",
    "command",
    "credentials",
    "dir",
    "env",
    "key",
    "password",
    "path",
    "secret",
    "token",
];

fn is_excluded(name: &str) -> bool {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    let name = String::from_iter(letters.flat_map(char::to_lowercase));
    let has_suffix = |suffix: &&str| name.ends_with(suffix);
    // A price per token is not a token.
    EXCLUDED.contains(&&*name)
        || (EXCLUDED_SUFFIXES.iter().any(has_suffix) && !name.ends_with("pertoken"))
}

/// The maximum length of a field, in bytes of JSON.
const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Whether a value is safe to display: it contains no control characters except line breaks
/// and tabs.
fn is_displayable(json: &str) -> bool {
    let escapes = ["\\u00", "\\b", "\\f"];
    let is_safe = json.is_ascii() || !json.contains(is_unsafe_char);
    let has_escapes = || memchr::memchr(b'\\', json.as_bytes()).is_some();
    is_safe && !(has_escapes() && escapes.iter().any(|escape| json.contains(escape)))
}

impl Rules {
    /// The additional fields of a record that are served.
    pub(super) fn extra(&self, fields: &Fields<'_>) -> Extra {
        self.extra_with(fields, &[])
    }

    /// Like [`extra`](Self::extra), with values from elsewhere in the record under other names.
    pub(super) fn extra_with(
        &self,
        fields: &Fields<'_>,
        more: &[(&'static str, Option<&str>)],
    ) -> Extra {
        let is_kept = |name: &str, value: &str| match self.extra {
            ExtraFields::None => false,
            ExtraFields::Known => KNOWN.contains(&name) && is_flat(value),
            ExtraFields::All => !is_excluded(name) && !name.contains(is_unsafe_char),
        };
        if self.extra == ExtraFields::None {
            return Extra::default();
        }
        let own = fields.iter().map(|(name, value)| (&**name, value));
        let own =
            own.filter(|(name, value)| is_kept(name, value) && value.len() <= MAX_FIELD_BYTES);
        let more = more
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        let fields = own.chain(more);
        let fields = fields.map(|(name, value)| (Cow::from(name), canonical(value, &is_excluded)));
        let is_meaningful = |name: &str, value: &str| match value {
            "\"\"" | "[]" | "{}" => false,
            "\"model\"" => name != "type", // Anthropic's records all have it
            _ => is_displayable(value),
        };
        let known = fields.filter_map(|(name, value)| Some((name, value?)));
        Extra::new(known.filter(|(name, value)| is_meaningful(name, value)))
    }

    /// The creation date in Unix seconds, unless the provider invents its dates.
    pub(super) fn created(&self, seconds: Option<i64>) -> Option<u32> {
        let seconds = seconds.filter(|_| !self.invents_dates)?;
        u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
    }
}
