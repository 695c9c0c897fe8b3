//! Overrides: properties of models set by the operator.

use std::fmt;

use crate::{
    entry::{Bounds, id_flaw},
    error::BuildError,
    model::Model,
};

/// Properties that take precedence over those of the provider, and the models they apply to.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) which: ModelSelector,
    pub(crate) facts: Model,
}

/// Selects models by `provider/id`.
#[derive(Clone)]
pub(crate) enum ModelSelector {
    /// The model with this name.
    One(String),
    /// The models that the globs match. The compiled form is set by validation.
    #[cfg(feature = "globs")]
    Glob(Vec<String>, Option<std::sync::Arc<crate::globs::Globs>>),
}

impl Override {
    /// Whether this applies to a model of a provider.
    pub(super) fn is_for(&self, provider: &str, id: &str) -> bool {
        match &self.which {
            ModelSelector::One(name) => {
                let rest = name.strip_prefix(provider);
                rest.and_then(|rest| rest.strip_prefix('/')) == Some(id)
            }
            #[cfg(feature = "globs")]
            ModelSelector::Glob(_, globs) => {
                let name = || format!("{provider}/{id}");
                globs.as_ref().is_some_and(|globs| globs.keep(&name()))
            }
        }
    }

    /// The name of the model, or the globs.
    pub(crate) fn models(&self) -> Vec<String> {
        match &self.which {
            ModelSelector::One(name) => vec![name.clone()],
            #[cfg(feature = "globs")]
            ModelSelector::Glob(globs, _) => globs.clone(),
        }
    }

    /// Validates the selector and the properties.
    pub(crate) fn checked(self) -> Result<Self, BuildError> {
        let which = self.which.checked()?;
        if self.facts.known_fields() == 0 && self.facts.created().is_none() {
            let expected = "at least one property, such as context_length";
            return Err(BuildError::hidden("facts", "empty", expected));
        }
        check_facts(&self.facts)?;
        Ok(Self { which, ..self })
    }
}

impl ModelSelector {
    fn checked(self) -> Result<Self, BuildError> {
        match self {
            Self::One(name) if name.split_once('/').is_none_or(|(_, id)| id.is_empty()) => {
                let expected = "the name of a provider, a slash and the id of a model";
                Err(BuildError::new("models", name, expected))
            }
            Self::One(name) => Ok(Self::One(name)),
            #[cfg(feature = "globs")]
            Self::Glob(globs, _) => {
                if globs.is_empty() {
                    return Err(BuildError::new("models", globs, "at least one glob"));
                }
                let compiled = crate::globs::Globs::of("models", &globs)?;
                Ok(Self::Glob(globs, Some(std::sync::Arc::new(compiled))))
            }
        }
    }
}

/// The maximum plausible number of tokens.
const MAX_TOKENS: u64 = 1_000_000_000_000;

fn check_facts(facts: &Model) -> Result<(), BuildError> {
    for (field, tokens) in [
        ("context_length", facts.context_length()),
        ("max_input_tokens", facts.max_input_tokens()),
        ("max_output_tokens", facts.max_output_tokens()),
    ] {
        if let Some(tokens) = tokens.filter(|tokens| !(1..=MAX_TOKENS).contains(tokens)) {
            return Err(BuildError::new(field, tokens, format!("1 to {MAX_TOKENS}")));
        }
    }
    let max_len = Bounds::default().id;
    for (field, name) in [
        ("owned_by", facts.owned_by()),
        ("display_name", facts.display_name()),
        ("family", facts.family()),
    ] {
        let is_bad = |name: &&str| name.trim().is_empty() || id_flaw(name, max_len).is_some();
        if let Some(name) = name.filter(is_bad) {
            let expected = format!("1 to {max_len} bytes without control characters");
            return Err(BuildError::new(field, name, expected));
        }
    }
    Ok(())
}

impl fmt::Debug for ModelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            #[cfg(feature = "globs")]
            Self::Glob(globs, _) => globs.fmt(f),
        }
    }
}
