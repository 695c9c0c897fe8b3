//! `ViewConfig`: which of the models some callers see.

use serde::Deserialize;

use crate::{error::BuildError, snapshot::View};

/// A view as it stands in a file: globs over the ids that are listed, as in
/// [`View::globs`].
///
/// ```toml
/// [views.team-a]
/// include = ["openai/*", "claude/*"]
/// exclude = ["*-preview"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// What one of these matches is seen. Without any, everything is.
    #[serde(default)]
    pub include: Vec<String>,
    /// What one of these matches is not seen, included or not.
    #[serde(default)]
    pub exclude: Vec<String>,
}

impl ViewConfig {
    /// The view.
    ///
    /// # Errors
    ///
    /// A glob cannot work; the error names it.
    pub fn view(&self) -> Result<View, BuildError> {
        View::globs(&self.include, &self.exclude)
    }
}
