//! Plain values: a model, and the list of models that a provider offers.

/// One model, as its provider describes it.
///
/// Only the id is required. What is unknown stays absent: it is never guessed.
///
/// ```
/// use tower_models_cache::Model;
///
/// let model = Model::new("gpt-5.2")
///     .with_created(1_765_000_000)
///     .with_owned_by("openai")
///     .with_context_length(400_000);
/// assert_eq!(model.id(), "gpt-5.2");
/// assert_eq!(model.display_name(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    id: Box<str>,
    owned_by: Option<Box<str>>,
    display_name: Option<Box<str>>,
    context_length: Option<u64>,
    max_output_tokens: Option<u64>,
    created: Option<u32>,
}

impl Model {
    /// A model of this id, exactly as its provider wants to be asked for it.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into().into_boxed_str(),
            owned_by: None,
            display_name: None,
            context_length: None,
            max_output_tokens: None,
            created: None,
        }
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

    /// Sets the longest answer, in tokens.
    pub fn with_max_output_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.max_output_tokens = tokens.into();
        self
    }

    /// The provider's own id of the model, without any prefix of ours.
    pub fn id(&self) -> &str {
        &self.id
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

    /// The longest answer, in tokens.
    pub fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    pub(crate) fn forget_created(&mut self) {
        self.created = None;
    }

    /// How many facts are known of the model: the fuller of two records wins.
    pub(crate) fn facts(&self) -> usize {
        usize::from(self.owned_by.is_some())
            + usize::from(self.display_name.is_some())
            + usize::from(self.context_length.is_some())
            + usize::from(self.max_output_tokens.is_some())
    }
}

/// All models of one provider: what a [source](crate::Source) answers with.
///
/// Order does not matter, and duplicates are allowed: the cache sorts by id and
/// keeps the fuller of two records.
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
    skipped: usize,
    declared: bool,
}

impl ModelList {
    /// The models, in the order in which the provider gave them.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Says that `records` of the provider's answer could not be read. They are
    /// counted in the provider's [status](crate::ProviderStatus::skipped).
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.skipped = records;
        self
    }

    /// How many records of the provider's answer could not be read.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Says that the list is the declared one, given where the provider has none.
    pub(crate) fn into_declared(mut self) -> Self {
        self.declared = true;
        self
    }

    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    pub(crate) fn into_models(self) -> Vec<Model> {
        self.models
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
