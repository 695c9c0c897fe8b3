//! Data types: a model and its properties, and the list of models of a provider.

mod deprecation;
mod extra;
mod list;
mod merge;
mod price;
mod traits;

use std::borrow::Cow;

use serde::Serialize;

pub use self::{
    deprecation::Deprecation,
    list::{FlawCount, ModelList, RecordFlaw},
    price::{ParsePriceError, Price, Prices},
    traits::{Capabilities, Capability, Modalities, Modality},
};
pub(crate) use self::{extra::Extra, list::Flaws};

/// A model, as described by its provider.
///
/// Only the id is required. An unknown property is absent and never guessed.
///
/// ```
/// use tower_models_cache::{Model, model::Modality};
///
/// let model = Model::new("gpt-5.2")
///     .with_created(1_765_000_000)
///     .with_owned_by("openai")
///     .with_context_length(400_000)
///     .with_input([Modality::Text, Modality::Image]);
/// assert_eq!(model.id(), "gpt-5.2");
/// assert!(model.input().contains(Modality::Image));
/// assert_eq!(model.display_name(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    id: Box<str>,
    /// `None` if it is the same as `id`.
    upstream_id: Option<Box<str>>,
    owned_by: Option<Box<str>>,
    display_name: Option<Box<str>>,
    family: Option<Box<str>>,
    context_length: Option<u64>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    prices: Option<Box<Prices>>,
    extra: Extra,
    created: Option<u32>,
    input: Modalities,
    output: Modalities,
    capabilities: Capabilities,
    deprecation: Option<Deprecation>,
    open_weights: Option<bool>,
}

impl Model {
    /// Creates a model with the id that its provider uses in requests.
    ///
    /// A valid id has 1 to 512 bytes and no control characters. A fetched model with an invalid
    /// id is skipped and [counted](RecordFlaw).
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into().into_boxed_str(),
            upstream_id: None,
            owned_by: None,
            display_name: None,
            family: None,
            context_length: None,
            max_input_tokens: None,
            max_output_tokens: None,
            prices: None,
            extra: Extra::default(),
            created: None,
            input: Modalities::default(),
            output: Modalities::default(),
            capabilities: Capabilities::default(),
            deprecation: None,
            open_weights: None,
        }
    }

    /// Sets the id to use in requests to the provider, if it differs from the listed one:
    /// `models/gemini-2.5-flash` for `gemini-2.5-flash`.
    pub fn with_upstream_id(mut self, id: impl Into<String>) -> Self {
        let id = id.into().into_boxed_str();
        self.upstream_id = (id != self.id).then_some(id);
        self
    }

    /// Sets the creation date, in seconds since the Unix epoch.
    pub fn with_created(mut self, created: impl Into<Option<u32>>) -> Self {
        self.created = created.into();
        self
    }

    /// Sets the owner of the model.
    pub fn with_owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owned_by = Some(owner.into().into_boxed_str());
        self
    }

    /// Sets the human-readable name.
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into().into_boxed_str());
        self
    }

    /// Sets the context length, in tokens.
    pub fn with_context_length(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.context_length = tokens.into();
        self
    }

    /// Sets the maximum input, in tokens, if it differs from the
    /// [context length](Self::with_context_length).
    pub fn with_max_input_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.max_input_tokens = tokens.into();
        self
    }

    /// Sets the maximum output, in tokens.
    pub fn with_max_output_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.max_output_tokens = tokens.into();
        self
    }

    /// Sets the model family, such as `qwen`.
    pub fn with_family(mut self, family: impl Into<String>) -> Self {
        self.family = Some(family.into().into_boxed_str());
        self
    }

    /// Sets whether the weights of the model are openly available.
    pub fn with_open_weights(mut self, open: impl Into<Option<bool>>) -> Self {
        self.open_weights = open.into();
        self
    }

    /// Sets the input modalities.
    pub fn with_input(mut self, modalities: impl Into<Modalities>) -> Self {
        self.input = modalities.into();
        self
    }

    /// Sets the output modalities.
    pub fn with_output(mut self, modalities: impl Into<Modalities>) -> Self {
        self.output = modalities.into();
        self
    }

    /// Sets whether the model has a capability. `None` changes nothing.
    pub fn with_capability(mut self, capability: Capability, has: impl Into<Option<bool>>) -> Self {
        if let Some(has) = has.into() {
            self.capabilities.set(capability, has);
        }
        self
    }

    /// Sets the prices of the model.
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.prices = (!prices.is_empty()).then(|| Box::new(prices));
        self
    }

    /// Sets the deprecation of the model.
    pub fn with_deprecation(mut self, deprecation: impl Into<Option<Deprecation>>) -> Self {
        self.deprecation = deprecation.into();
        self
    }

    /// Adds a field to the served record, replacing an additional field of the same name.
    ///
    /// The field is ignored if the value cannot be serialised as JSON, or if the crate serves a
    /// field of that name itself, such as `created`.
    pub fn with_extra(mut self, name: &str, value: impl Serialize) -> Self {
        self.extra = self.extra.with(name, &value);
        self
    }

    /// Sets the input modalities to text and images, if `sees` is true.
    pub(crate) fn with_vision(self, sees: Option<bool>) -> Self {
        match sees {
            Some(true) => self.with_input([Modality::Text, Modality::Image]),
            _ => self,
        }
    }

    /// Sets the owner and the display name, trimmed, unless they are absent or blank.
    pub(crate) fn with_names(
        mut self,
        owner: Option<Cow<'_, str>>,
        display: Option<Cow<'_, str>>,
    ) -> Self {
        let known = |name: &Cow<'_, str>| !name.trim().is_empty();
        if let Some(owner) = owner.filter(known) {
            self = self.with_owned_by(owner.trim());
        }
        if let Some(display) = display.filter(known) {
            self = self.with_display_name(display.trim());
        }
        self
    }

    pub(crate) fn with_extra_fields(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }

    /// Returns the id of the model, without the prefix of the provider.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the id to use in requests to the provider. It is usually the same as
    /// [`id`](Self::id).
    pub fn upstream_id(&self) -> &str {
        self.upstream_id.as_deref().unwrap_or(&self.id)
    }

    /// Returns the creation date, in seconds since the Unix epoch.
    pub fn created(&self) -> Option<u32> {
        self.created
    }

    /// Returns the owner of the model.
    pub fn owned_by(&self) -> Option<&str> {
        self.owned_by.as_deref()
    }

    /// Returns the human-readable name.
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// Returns the context length, in tokens.
    pub fn context_length(&self) -> Option<u64> {
        self.context_length
    }

    /// Returns the maximum input, in tokens, if it differs from the
    /// [context length](Self::context_length).
    pub fn max_input_tokens(&self) -> Option<u64> {
        self.max_input_tokens
    }

    /// The maximum input that is served to clients: the model's own, or else the context length,
    /// which is what most clients expect.
    pub(crate) fn input_limit(&self) -> Option<u64> {
        self.max_input_tokens.or(self.context_length)
    }

    /// Returns the maximum output, in tokens.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// Returns the model family.
    pub fn family(&self) -> Option<&str> {
        self.family.as_deref()
    }

    /// Returns whether the weights of the model are openly available, if known.
    pub fn open_weights(&self) -> Option<bool> {
        self.open_weights
    }

    /// Returns the input modalities. An empty set means unknown.
    pub fn input(&self) -> Modalities {
        self.input
    }

    /// Returns the output modalities. An empty set means unknown.
    pub fn output(&self) -> Modalities {
        self.output
    }

    /// Returns the known capabilities.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Returns the prices, if any is known.
    pub fn prices(&self) -> Option<&Prices> {
        self.prices.as_deref()
    }

    /// Returns the deprecation, if the model is deprecated.
    pub fn deprecation(&self) -> Option<Deprecation> {
        self.deprecation
    }

    /// Returns the additional field of this name, as JSON text.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.extra.get(name)
    }

    /// All additional fields, as the members of a JSON object without its braces.
    pub(crate) fn extra_members(&self) -> &str {
        self.extra.members()
    }

    pub(crate) fn clear_created(&mut self) {
        self.created = None;
    }

    pub(crate) fn clear_owned_by(&mut self) {
        self.owned_by = None;
    }

    pub(crate) fn clear_display_name(&mut self) {
        self.display_name = None;
    }

    pub(crate) fn clear_family(&mut self) {
        self.family = None;
    }

    /// All properties that are served or used for routing.
    pub(crate) fn facts(&self) -> impl Ord + std::hash::Hash {
        (
            (&self.id, &self.upstream_id),
            (&self.owned_by, &self.display_name, &self.family),
            (self.context_length, self.max_input_tokens),
            (self.max_output_tokens, self.open_weights),
            (self.input, self.output, self.capabilities),
            (&self.prices, self.deprecation, &self.extra),
            self.created,
        )
    }

    /// The number of known properties. Of two records with one id, the one with more wins.
    pub(crate) fn known_fields(&self) -> usize {
        [
            self.owned_by.is_some(),
            self.display_name.is_some(),
            self.context_length.is_some(),
            self.family.is_some(),
            self.max_input_tokens.is_some(),
            self.max_output_tokens.is_some(),
            self.open_weights.is_some(),
            !self.input.is_empty(),
            !self.output.is_empty(),
            !self.capabilities.is_empty(),
            self.prices.is_some(),
            self.deprecation.is_some(),
            !self.extra.is_empty(),
        ]
        .into_iter()
        .filter(|&known| known)
        .count()
    }
}
