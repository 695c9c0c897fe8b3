//! What a dialect does not say of itself: which fields are kept, and what the words of
//! one provider mean.

use std::{borrow::Cow, fmt};

use super::{canonical::canonical, fields::Fields, json::is_plain};
use crate::{
    entry::{Bounds, is_unsafe_char},
    model::Extra,
};

/// Which fields of a provider's records are listed beside those that the crate knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum ExtraFields {
    /// All of up to 64 KiB, nested ones too, but for those that are known to change with
    /// every request (`permission`, `benchmarks`), and those whose names say that they hold
    /// keys, command lines, paths or environments (`api_key`, `args`, `root`,
    /// `litellm_params`). Only for providers whose records you know: what they add tomorrow
    /// is listed, too.
    All,
    /// A short list of names: `aliases`, `canonical_slug`, `features`,
    /// `hugging_face_id`, `knowledge_cutoff`, `lifecycle`, `parameter_size`,
    /// `quantization`, `supported_parameters`, `type` and the like. Their values are text, numbers, or
    /// lists of these.
    #[default]
    Known,
    /// None.
    None,
}

impl ExtraFields {
    /// The choice as one word, as in a file: `all`, `known` or `none`. It never changes.
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

/// How to read the records of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How many records are read of one page at the most.
    pub(crate) records: usize,
    pub(crate) extra: ExtraFields,
    pub(crate) prices: PriceRule,
    /// Whether the provider makes its dates up.
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

/// What a provider's numbers for prices mean: the same names stand for other units
/// elsewhere, so without a rule there is no price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PriceRule {
    /// Not known.
    #[default]
    Unknown,
    /// `pricing.*`: US dollars for 10^n tokens.
    Per(u32),
    /// `input_token_price_per_m` and the like: 1/10,000 of a US dollar for a million.
    TenThousandths,
    /// `pricings.*`: tiers, each with its unit and currency.
    Tiers,
}

/// Under [`ExtraFields::Known`]: what clients read, and what is the same tomorrow.
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

/// Never listed, whatever the case and however the words are joined. The first change from
/// request to request or from day to day; the rest were seen to hold command lines, paths,
/// environments and keys.
const NEVER: [&str; 30] = [
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

/// How the names of fields end that hold the like elsewhere.
const NEVER_ENDS: [&str; 10] = [
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

fn never(name: &str) -> bool {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    let plain = String::from_iter(letters.flat_map(char::to_lowercase));
    let ends = |end: &&str| plain.ends_with(end);
    // A price for a token is no token.
    NEVER.contains(&&*plain) || (NEVER_ENDS.iter().any(ends) && !plain.ends_with("pertoken"))
}

/// No field of a model is longer than this, in bytes of JSON.
const LONGEST: usize = 64 * 1024;

/// Whether people can be shown a text: one that JSON has to escape with a number, but for
/// line breaks and tabs, controls a terminal.
fn is_fit(json: &str) -> bool {
    let escapes = ["\\u00", "\\b", "\\f"];
    let is_plain = json.is_ascii() || !json.contains(is_unsafe_char);
    let has_escapes = || memchr::memchr(b'\\', json.as_bytes()).is_some();
    is_plain && !(has_escapes() && escapes.iter().any(|escape| json.contains(escape)))
}

impl Rules {
    /// The fields of a record that are listed beside those that the crate knows.
    pub(super) fn extra(&self, fields: &Fields<'_>) -> Extra {
        self.extra_with(fields, &[])
    }

    /// The same, and values from elsewhere in the record under names of ours.
    pub(super) fn extra_with(
        &self,
        fields: &Fields<'_>,
        more: &[(&'static str, Option<&str>)],
    ) -> Extra {
        let is_kept = |name: &str, value: &str| match self.extra {
            ExtraFields::None => false,
            ExtraFields::Known => KNOWN.contains(&name) && is_plain(value),
            ExtraFields::All => !never(name) && !name.contains(is_unsafe_char),
        };
        if self.extra == ExtraFields::None {
            return Extra::default();
        }
        let own = fields.iter().map(|(name, value)| (&**name, value));
        let own = own.filter(|(name, value)| is_kept(name, value) && value.len() <= LONGEST);
        let more = more
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        let fields = own.chain(more);
        let fields = fields.map(|(name, value)| (Cow::from(name), canonical(value, &never)));
        let says_something = |name: &str, value: &str| match value {
            "\"\"" | "[]" | "{}" => false,
            "\"model\"" => name != "type", // as all records of Anthropic have it
            _ => is_fit(value),
        };
        let known = fields.filter_map(|(name, value)| Some((name, value?)));
        Extra::new(known.filter(|(name, value)| says_something(name, value)))
    }

    /// A provider's date, unless it is made up.
    pub(super) fn created(&self, seconds: Option<i64>) -> Option<u32> {
        let seconds = seconds.filter(|_| !self.invents_dates)?;
        u32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
    }
}
