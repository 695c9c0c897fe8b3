//! `OverrideConfig`: what the operator knows better than a provider.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reference::check_text;
use crate::{
    builder::Builder,
    error::BuildError,
    model::{Capability, Deprecation, Modalities, Modality, Model, Price, Prices},
};

/// Facts of some models as they stand in a file: those that go before what providers and
/// catalogues tell, as in [`Builder::override_models`].
///
/// What is absent stays as it is known. Of two tables for one model the later goes before
/// the earlier, field by field.
///
/// ```toml
/// [[overrides]]
/// models = ["lab/qwen*"]
/// context_length = 32768
/// input = ["text", "image"]
/// capabilities = { tools = true, reasoning = false }
/// pricing = { prompt = "0.0000002", completion = "0.0000008" }
/// deprecation_date = "2027-03-01"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideConfig {
    /// Globs over `provider/id`, with the provider's name whether models are listed so or
    /// not; one of them at least has to match. The case counts, and `*` stands for slashes,
    /// too.
    pub models: Vec<String>,
    /// The name that a person is shown.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The family that the model belongs to.
    #[serde(default)]
    pub family: Option<String>,
    /// The context window, in tokens.
    #[serde(default)]
    pub context_length: Option<u64>,
    /// How much the model takes in at the most, in tokens.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// The longest answer, in tokens.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// What the model takes in: `"text"`, `"image"`, `"file"`, `"audio"`, `"video"` and so
    /// on, as they are served. All of them, in the place of what the provider says.
    #[serde(default)]
    pub input: Vec<String>,
    /// What the model gives out, as in [`input`](Self::input).
    #[serde(default)]
    pub output: Vec<String>,
    /// What the model can do, or cannot: `chat`, `tools`, `reasoning`, `structured_output`,
    /// `fine_tuning`, `batch`.
    #[serde(default)]
    pub capabilities: BTreeMap<String, bool>,
    /// Whether the model's weights can be had.
    #[serde(default)]
    pub open_weights: Option<bool>,
    /// What the model costs.
    #[serde(default)]
    pub pricing: PricingConfig,
    /// Whether to advise against the model: `true`, or nothing.
    #[serde(default)]
    pub deprecated: Option<bool>,
    /// The day on which it ends, as `"2027-03-01"`.
    #[serde(default)]
    pub deprecation_date: Option<String>,
}

/// Prices as they stand in a file: US dollars as text, so that they stay exact.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricingConfig {
    /// For a token of the prompt.
    #[serde(default)]
    pub prompt: Option<String>,
    /// For a token of what is answered.
    #[serde(default)]
    pub completion: Option<String>,
    /// For a token that is read from the provider's cache.
    #[serde(default)]
    pub input_cache_read: Option<String>,
    /// For a token that is written to the provider's cache.
    #[serde(default)]
    pub input_cache_write: Option<String>,
    /// For a request.
    #[serde(default)]
    pub request: Option<String>,
    /// For an image that is taken in.
    #[serde(default)]
    pub image: Option<String>,
}

/// The builder with these overrides.
pub(super) fn apply(overrides: &[OverrideConfig], builder: Builder) -> Result<Builder, BuildError> {
    let add = |builder: Builder, (index, config): (usize, &OverrideConfig)| {
        let within = |error: BuildError| error.within(format_args!("overrides[{index}]"));
        let facts = config.facts().map_err(within)?;
        Ok(builder.override_models(&config.models, facts))
    };
    overrides.iter().enumerate().try_fold(builder, add)
}

impl OverrideConfig {
    fn facts(&self) -> Result<Model, BuildError> {
        check_text("models", &self.models)?;
        check_text("display_name", &self.display_name)?;
        check_text("family", &self.family)?;
        let mut facts = Model::description()
            .with_context_length(self.context_length)
            .with_max_input_tokens(self.max_input_tokens)
            .with_max_output_tokens(self.max_output_tokens)
            .with_input(modalities("input", &self.input)?)
            .with_output(modalities("output", &self.output)?)
            .with_open_weights(self.open_weights)
            .with_prices(self.pricing.prices()?)
            .with_deprecation(self.deprecation()?);
        if let Some(name) = &self.display_name {
            facts = facts.with_display_name(name);
        }
        if let Some(family) = &self.family {
            facts = facts.with_family(family);
        }
        for (name, has) in &self.capabilities {
            let expected = "capabilities such as tools and reasoning";
            let capability = Capability::from_name(name)
                .ok_or_else(|| BuildError::new("capabilities", name, expected))?;
            facts = facts.with_capability(capability, *has);
        }
        Ok(facts)
    }

    fn deprecation(&self) -> Result<Option<Deprecation>, BuildError> {
        if let Some(false) = self.deprecated {
            let expected = "true, or nothing: what a provider ends is not kept by this";
            return Err(BuildError::new("deprecated", false, expected));
        }
        let undated = self.deprecated.map(|_| Deprecation::UNDATED);
        let Some(day) = &self.deprecation_date else {
            return Ok(undated);
        };
        let expected = "a day such as 2027-03-01, before 2098";
        let dated = Deprecation::from_text(day);
        let dated = dated.ok_or_else(|| BuildError::new("deprecation_date", day, expected));
        dated.map(Some)
    }
}

fn modalities(field: &'static str, names: &[String]) -> Result<Modalities, BuildError> {
    let named = |name: &String| {
        let expected = "modalities such as text and image";
        Modality::from_name(name).ok_or_else(|| BuildError::new(field, name, expected))
    };
    names.iter().map(named).collect()
}

impl PricingConfig {
    fn prices(&self) -> Result<Prices, BuildError> {
        let price = |field: &str, text: &Option<String>| {
            let parsed = |text: &String| {
                let expected = "US dollars for one, as decimal text: \"0.0000025\"";
                let field = format!("pricing.{field}");
                (text.parse::<Price>()).map_err(|_| BuildError::new(field, text, expected))
            };
            text.as_ref().map(parsed).transpose()
        };
        Ok(Prices {
            prompt: price("prompt", &self.prompt)?,
            completion: price("completion", &self.completion)?,
            input_cache_read: price("input_cache_read", &self.input_cache_read)?,
            input_cache_write: price("input_cache_write", &self.input_cache_write)?,
            request: price("request", &self.request)?,
            image: price("image", &self.image)?,
        })
    }
}
