//! Plain values: a model, and the list of models that a provider offers.

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

/// One model, as its provider describes it.
///
/// Only the id is required. What is unknown stays absent: it is never guessed.
///
/// ```
/// use tower_models_cache::{Modality, Model};
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
    /// Where it is not the id.
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
    /// A model of this id, exactly as its provider wants to be asked for it.
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

    /// Sets the id by which the provider is asked for the model, where it is not the
    /// one to be listed: `models/gemini-2.5-flash` for `gemini-2.5-flash`.
    pub fn with_upstream_id(mut self, id: impl Into<String>) -> Self {
        let id = id.into().into_boxed_str();
        self.upstream_id = (id != self.id).then_some(id);
        self
    }

    /// Sets when the model was created, in seconds since the Unix epoch.
    pub fn with_created(mut self, created: impl Into<Option<u32>>) -> Self {
        self.created = created.into();
        self
    }

    /// Sets who owns the model.
    pub fn with_owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owned_by = Some(owner.into().into_boxed_str());
        self
    }

    /// Sets the name that a person is shown.
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into().into_boxed_str());
        self
    }

    /// Sets the context window, in tokens.
    pub fn with_context_length(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.context_length = tokens.into();
        self
    }

    /// Sets how much the model takes in at the most, in tokens, where that is another
    /// number than the [context window](Self::with_context_length).
    pub fn with_max_input_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.max_input_tokens = tokens.into();
        self
    }

    /// Sets the longest answer, in tokens.
    pub fn with_max_output_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.max_output_tokens = tokens.into();
        self
    }

    /// Sets the family that the model belongs to, such as `qwen`.
    pub fn with_family(mut self, family: impl Into<String>) -> Self {
        self.family = Some(family.into().into_boxed_str());
        self
    }

    /// Sets whether the model's weights can be had.
    pub fn with_open_weights(mut self, open: impl Into<Option<bool>>) -> Self {
        self.open_weights = open.into();
        self
    }

    /// Sets what the model takes in.
    pub fn with_input(mut self, modalities: impl Into<Modalities>) -> Self {
        self.input = modalities.into();
        self
    }

    /// Sets what the model gives out.
    pub fn with_output(mut self, modalities: impl Into<Modalities>) -> Self {
        self.output = modalities.into();
        self
    }

    /// Sets whether the model can do something; `None` leaves that as it is.
    pub fn with_capability(mut self, capability: Capability, has: impl Into<Option<bool>>) -> Self {
        if let Some(has) = has.into() {
            self.capabilities.set(capability, has);
        }
        self
    }

    /// Sets what the model costs.
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.prices = (!prices.is_empty()).then(|| Box::new(prices));
        self
    }

    /// Sets that the provider advises against the model.
    pub fn with_deprecation(mut self, deprecation: impl Into<Option<Deprecation>>) -> Self {
        self.deprecation = deprecation.into();
        self
    }

    /// Adds a field that is served beside those of the crate, in place of an earlier one
    /// of this name.
    ///
    /// A value that cannot be written as JSON is left out, and so is a field under whose
    /// name the crate serves one of its own, such as `created`.
    pub fn with_extra(mut self, name: &str, value: impl Serialize) -> Self {
        self.extra = self.extra.with(name, &value);
        self
    }

    /// Sets that the model takes text and images in, if this is a yes.
    pub(crate) fn with_vision(self, sees: Option<bool>) -> Self {
        match sees {
            Some(true) => self.with_input([Modality::Text, Modality::Image]),
            _ => self,
        }
    }

    /// Sets those of the two names that are known, without spaces at their ends.
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

    /// The id under which the model is listed, without any prefix of ours.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id by which the provider is asked for the model. Most often the same as
    /// [`id`](Self::id).
    pub fn upstream_id(&self) -> &str {
        self.upstream_id.as_deref().unwrap_or(&self.id)
    }

    /// When the model was created, in seconds since the Unix epoch.
    pub fn created(&self) -> Option<u32> {
        self.created
    }

    /// Who owns the model.
    pub fn owned_by(&self) -> Option<&str> {
        self.owned_by.as_deref()
    }

    /// The name that a person is shown.
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// The context window, in tokens.
    pub fn context_length(&self) -> Option<u64> {
        self.context_length
    }

    /// How much the model takes in at the most, in tokens, where that is another number
    /// than the [context window](Self::context_length).
    pub fn max_input_tokens(&self) -> Option<u64> {
        self.max_input_tokens
    }

    /// How much the model takes in at the most, as clients are told: its own number, or
    /// else the context window, which is what most clients mean by it.
    pub(crate) fn input_limit(&self) -> Option<u64> {
        self.max_input_tokens.or(self.context_length)
    }

    /// The longest answer, in tokens.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// The family that the model belongs to.
    pub fn family(&self) -> Option<&str> {
        self.family.as_deref()
    }

    /// Whether the model's weights can be had.
    pub fn open_weights(&self) -> Option<bool> {
        self.open_weights
    }

    /// What the model takes in; empty: not known.
    pub fn input(&self) -> Modalities {
        self.input
    }

    /// What the model gives out; empty: not known.
    pub fn output(&self) -> Modalities {
        self.output
    }

    /// What the model can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// What the model costs, where that is known.
    pub fn prices(&self) -> Option<&Prices> {
        self.prices.as_deref()
    }

    /// Whether the provider advises against the model.
    pub fn deprecation(&self) -> Option<Deprecation> {
        self.deprecation
    }

    /// The field of this name among those that the crate knows nothing of, as JSON text.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.extra.get(name)
    }

    /// All of those fields, as they stand inside of a JSON object.
    pub(crate) fn extra_members(&self) -> &str {
        self.extra.members()
    }

    pub(crate) fn forget_created(&mut self) {
        self.created = None;
    }

    pub(crate) fn forget_owned_by(&mut self) {
        self.owned_by = None;
    }

    pub(crate) fn forget_display_name(&mut self) {
        self.display_name = None;
    }

    pub(crate) fn forget_family(&mut self) {
        self.family = None;
    }

    /// Every fact that is served or routed by.
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

    /// How many facts are known of the model: the fuller of two records wins.
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
