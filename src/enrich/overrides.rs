//! What the operator knows better than a provider.

use std::fmt;

use crate::{
    entry::{Bounds, id_flaw},
    error::BuildError,
    model::Model,
};

/// Facts that go before those of the provider, and the models that they are of.
#[derive(Clone, Debug)]
pub(crate) struct Override {
    pub(crate) which: ModelSelector,
    pub(crate) facts: Model,
}

/// Which models are meant, by `provider/id`.
#[derive(Clone)]
pub(crate) enum ModelSelector {
    /// The one of this name.
    One(String),
    /// Those that a glob matches, once it is known to be good.
    #[cfg(feature = "globs")]
    Glob(Vec<String>, Option<std::sync::Arc<crate::globs::Globs>>),
}

impl Override {
    /// Whether this is about a model of a provider.
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

    /// The same, once nothing is found wrong with it.
    pub(crate) fn checked(self) -> Result<Self, BuildError> {
        let which = self.which.checked()?;
        if self.facts.known_fields() == 0 && self.facts.created().is_none() {
            let expected = "at least one fact, such as context_length";
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
                let expected = "provider/id, the provider's name included";
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

/// More tokens than any model will take.
const MOST_TOKENS: u64 = 1_000_000_000_000;

fn check_facts(facts: &Model) -> Result<(), BuildError> {
    for (field, tokens) in [
        ("context_length", facts.context_length()),
        ("max_input_tokens", facts.max_input_tokens()),
        ("max_output_tokens", facts.max_output_tokens()),
    ] {
        if let Some(tokens) = tokens.filter(|tokens| !(1..=MOST_TOKENS).contains(tokens)) {
            return Err(BuildError::new(
                field,
                tokens,
                format!("1 to {MOST_TOKENS}"),
            ));
        }
    }
    let longest = Bounds::default().id;
    for (field, name) in [
        ("owned_by", facts.owned_by()),
        ("display_name", facts.display_name()),
        ("family", facts.family()),
    ] {
        let is_bad = |name: &&str| name.trim().is_empty() || id_flaw(name, longest).is_some();
        if let Some(name) = name.filter(is_bad) {
            let expected = format!("1 to {longest} bytes without control characters");
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
