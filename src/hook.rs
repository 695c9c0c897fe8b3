//! The hook that says which models a caller may see. It fails closed.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::request::Parts;

use crate::{error::BoxError, snapshot::View};

type Hook = dyn Fn(&Parts) -> Result<View, BoxError> + Send + Sync;

/// A hook of the operator's, from [`Builder::views`](crate::Builder::views).
#[derive(Clone)]
pub(crate) struct ViewHook(Arc<Hook>);

impl ViewHook {
    pub(crate) fn new(
        hook: impl Fn(&Parts) -> Result<View, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hook))
    }

    /// What a caller may see. When the hook fails nobody knows, and so it is nothing.
    pub(crate) fn view(&self, parts: &Parts) -> View {
        match catch_unwind(AssertUnwindSafe(|| (self.0)(parts))) {
            Ok(Ok(view)) => view,
            // What it said may quote the caller's key.
            Ok(Err(_)) => failed("an error"),
            Err(_) => failed("a panic"),
        }
    }
}

#[cold]
fn failed(with: &'static str) -> View {
    tracing::error!(with, "the hook for views failed");
    View::unknown()
}

impl fmt::Debug for ViewHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewHook")
    }
}
