//! `ViewConfig`: a view in a configuration file.

use serde::Deserialize;

use crate::{error::BuildError, snapshot::View};

/// A view in a configuration file: globs over listed ids, as in [`View::globs`].
///
/// [`StaticModelsCacheConfig::named_views`](crate::StaticModelsCacheConfig::named_views) builds
/// all views of a file.
///
/// ```toml
/// [views.team-a]
/// include = ["openai/*", "claude/*"]
/// exclude = ["*-preview"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// A model is visible if one of these globs matches. If empty, all models are.
    #[serde(default)]
    pub include: Vec<String>,
    /// A model is hidden if one of these globs matches, whether it is included or not.
    #[serde(default)]
    pub exclude: Vec<String>,
}

impl ViewConfig {
    /// Builds the view.
    ///
    /// # Errors
    ///
    /// Returns an error if a glob is invalid. It names the field and the glob.
    pub fn view(&self) -> Result<View, BuildError> {
        View::globs(&self.include, &self.exclude)
    }
}
