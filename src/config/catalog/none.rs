//! Without feature `catalog` there is no catalogue to configure.

use super::StaticModelsCacheConfig;
use crate::{builder::Builder, error::BuildError};

impl StaticModelsCacheConfig {
    pub(super) fn with_catalog(&self, builder: Builder) -> Result<Builder, BuildError> {
        Ok(builder)
    }
}
