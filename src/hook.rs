//! The operator's hooks: which models a caller may see, and which callers may force a refresh.
//! Both fail closed.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{header, request::Parts};

use crate::{error::BoxError, header_values::header_values, snapshot::View};

type ViewHook = dyn Fn(&Parts) -> Result<View, BoxError> + Send + Sync;
type RefreshHook = dyn Fn(&Parts) -> bool + Send + Sync;

/// The configured hooks. Without them, all callers see all models, and none can force a
/// refresh.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    views: Option<Arc<ViewHook>>,
    refresh: Option<Arc<RefreshHook>>,
}

impl Hooks {
    pub(crate) fn set_views(
        &mut self,
        hook: impl Fn(&Parts) -> Result<View, BoxError> + Send + Sync + 'static,
    ) {
        self.views = Some(Arc::new(hook));
    }

    pub(crate) fn set_refresh(&mut self, hook: impl Fn(&Parts) -> bool + Send + Sync + 'static) {
        self.refresh = Some(Arc::new(hook));
    }

    /// Whether any hook is set.
    #[inline]
    pub(crate) fn are_set(&self) -> bool {
        self.views.is_some() || self.refresh.is_some()
    }

    /// Whether callers see different models.
    pub(crate) fn has_views(&self) -> bool {
        self.views.is_some()
    }

    /// The view of a caller. If the hook fails, the view is unknown, and the caller sees nothing.
    pub(crate) fn view(&self, parts: &Parts) -> View {
        let Some(hook) = &self.views else {
            return View::all();
        };
        match catch_unwind(AssertUnwindSafe(|| hook(parts))) {
            Ok(Ok(view)) => view,
            // The error is not logged: it may quote the caller's key.
            Ok(Err(_)) => failed("views", "an error", View::unknown()),
            Err(_) => failed("views", "a panic", View::unknown()),
        }
    }

    /// Whether a caller requests a refresh and may force it.
    pub(crate) fn allows_refresh(&self, parts: &Parts) -> bool {
        let Some(hook) = self.refresh.as_ref().filter(|_| requests_refresh(parts)) else {
            return false;
        };
        let allowed = catch_unwind(AssertUnwindSafe(|| hook(parts)));
        allowed.unwrap_or_else(|_| failed("refresh", "a panic", false))
    }
}

#[cold]
fn failed<T>(hook: &'static str, with: &'static str, value: T) -> T {
    tracing::error!(hook, with, "a hook failed");
    value
}

/// Whether a request has the `no-cache` directive (RFC 9111, section 5.2.1.4), or the query
/// parameter `refresh=true`.
fn requests_refresh(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let mut control = header_values(&parts.headers, header::CACHE_CONTROL);
    control.any(|line| {
        let mut directives = line.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
    }) || form_urlencoded::parse(query.as_bytes())
        .any(|pair| pair == ("refresh".into(), "true".into()))
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("views", &self.views.is_some())
            .field("refresh", &self.refresh.is_some())
            .finish()
    }
}
