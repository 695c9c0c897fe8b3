//! `OverrideConfig`: facts of models in a configuration file, which override the provider's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reference::check_text;
use crate::{
    builder::Builder,
    error::BuildError,
    model::{Capability, Deprecation, Modalities, Modality, Model, Price, Prices},
};

/// Facts of models in a configuration file, which override those of providers, enrichers and
/// catalogues, as in [`Builder::override_models`].
///
/// An absent field overrides nothing. If two tables match a model, the later takes precedence,
/// field by field.
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
    /// Globs over `provider/id`, one of which must match. The name includes the provider even
    /// if models are listed without their prefix. Matching is case-sensitive, and `*` matches
    /// slashes too. At least one glob is required.
    pub models: Vec<String>,
    /// The display name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The family of the model.
    #[serde(default)]
    pub family: Option<String>,
    /// The context window, in tokens.
    #[serde(default)]
    pub context_length: Option<u64>,
    /// The maximum length of the input, in tokens.
    #[serde(default)]
    pub max_input_tokens: Option<u64>,
    /// The maximum length of the output, in tokens.
    #[serde(default)]
    pub max_output_tokens: Option<u64>,
    /// The input modalities: `"text"`, `"image"`, `"file"`, `"audio"`, `"video"` and the others
    /// of [`Modality`]. Replaces all that the provider reports.
    #[serde(default)]
    pub input: Vec<String>,
    /// The output modalities, as in [`input`](Self::input).
    #[serde(default)]
    pub output: Vec<String>,
    /// Whether the model has a capability, by name: `chat`, `tools`, `reasoning`,
    /// `structured_output`, `fine_tuning`, `batch`.
    #[serde(default)]
    pub capabilities: BTreeMap<String, bool>,
    /// Whether the model's weights are available.
    #[serde(default)]
    pub open_weights: Option<bool>,
    /// The prices of the model.
    #[serde(default)]
    pub pricing: PricingConfig,
    /// Marks the model as deprecated. Only `true` is allowed.
    #[serde(default)]
    pub deprecated: Option<bool>,
    /// The day on which the model is withdrawn, such as `"2027-03-01"`, before 2098.
    #[serde(default)]
    pub deprecation_date: Option<String>,
}

/// Prices in a configuration file: US dollars as decimal text, which is exact.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricingConfig {
    /// Per token of the prompt.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Per token of the output.
    #[serde(default)]
    pub completion: Option<String>,
    /// Per token that is read from the provider's prompt cache.
    #[serde(default)]
    pub input_cache_read: Option<String>,
    /// Per token that is written to the provider's prompt cache.
    #[serde(default)]
    pub input_cache_write: Option<String>,
    /// Per request.
    #[serde(default)]
    pub request: Option<String>,
    /// Per input image.
    #[serde(default)]
    pub image: Option<String>,
}

/// Adds these overrides to the builder.
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
            let expected = "one of chat, tools, reasoning, structured_output, fine_tuning, batch";
            let capability = Capability::from_name(name)
                .ok_or_else(|| BuildError::new("capabilities", name, expected))?;
            facts = facts.with_capability(capability, *has);
        }
        Ok(facts)
    }

    fn deprecation(&self) -> Result<Option<Deprecation>, BuildError> {
        if let Some(false) = self.deprecated {
            let expected = "true, or no such field: a provider's deprecation cannot be undone";
            return Err(BuildError::new("deprecated", false, expected));
        }
        let undated = self.deprecated.map(|_| Deprecation::UNDATED);
        let Some(day) = &self.deprecation_date else {
            return Ok(undated);
        };
        let expected = "a date such as 2027-03-01, before 2098";
        let dated = Deprecation::from_text(day);
        let dated = dated.ok_or_else(|| BuildError::new("deprecation_date", day, expected));
        dated.map(Some)
    }
}

fn modalities(field: &'static str, names: &[String]) -> Result<Modalities, BuildError> {
    let named = |name: &String| {
        let expected = "a modality such as text or image";
        Modality::from_name(name).ok_or_else(|| BuildError::new(field, name, expected))
    };
    names.iter().map(named).collect()
}

impl PricingConfig {
    fn prices(&self) -> Result<Prices, BuildError> {
        let price = |field: &str, text: &Option<String>| {
            let parsed = |text: &String| {
                let expected = "US dollars per unit as decimal text, such as \"0.0000025\"";
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
