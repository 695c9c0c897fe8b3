//! `View`: which models a caller may see.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use http::StatusCode;
use twox_hash::XxHash3_64;

use super::{ListedModel, Snapshot, fragment::Fragment, names::ModelIndex};
#[cfg(feature = "globs")]
use crate::{
    error::BuildError,
    globs::{GlobList, Globs},
    render::ListedId,
};

/// Which models a caller may see: all, none, those that a predicate allows, or not even
/// whether there is a list.
///
/// A [hook](crate::Builder::views) chooses the view of each request. Create views once,
/// when the policies are known, and clone them in the hook: a clone is cheap.
///
/// ```
/// use http::StatusCode;
/// use tower_models_cache::View;
///
/// let team_a = View::named("team-a, 2026-11-26", |model| model.provider() == "openai");
/// let unknown_key = View::denied(StatusCode::UNAUTHORIZED);
/// # let _ = (team_a, unknown_key);
/// ```
#[derive(Clone)]
pub struct View(pub(crate) Visibility);

/// The kinds of views.
#[derive(Clone)]
pub(crate) enum Visibility {
    All,
    Denied(StatusCode),
    /// The hook failed, so the caller's view is not known.
    Unknown,
    Some(Arc<ViewPredicate>),
}

type Allows = dyn Fn(&ListedModel<'_>) -> bool + Send + Sync;

/// A named predicate.
pub(crate) struct ViewPredicate {
    name: Box<str>,
    /// The hash of the name.
    pub(super) hash: u64,
    allows: Box<Allows>,
    /// Whether it never allows any model.
    pub(super) is_empty: bool,
}

/// A predicate panicked, so the result is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

impl View {
    /// A view that sees every model.
    pub const fn all() -> Self {
        Self(Visibility::All)
    }

    /// A view that sees an empty list and no model, even while providers are missing. Its
    /// callers wait for nothing and cause no fetch.
    pub fn none() -> Self {
        static NONE: LazyLock<Arc<ViewPredicate>> = LazyLock::new(|| {
            Arc::new(ViewPredicate {
                is_empty: true,
                ..ViewPredicate::new("none", "", |_| false)
            })
        });
        Self(Visibility::Some(Arc::clone(&NONE)))
    }

    /// A view that sees neither the list nor any model: every request gets a response with
    /// this status, and an error in the client's dialect.
    ///
    /// A response with status 401 has the header `WWW-Authenticate: Bearer` (RFC 9110,
    /// section 15.5.2). Callers wait for nothing and cause no fetch, and no header
    /// discloses the state of the providers: `Cache-Status` is `tower-models-cache;
    /// detail=denied`.
    ///
    /// Use this for callers that must not know whether there is a list. For callers that
    /// may see an empty list, use [`none`](Self::none).
    ///
    /// # Panics
    ///
    /// If the status is neither a client error (4xx) nor a server error (5xx).
    pub fn denied(status: StatusCode) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        assert!(
            is_error,
            "a refusal has a status of 4xx or 5xx, not {status}"
        );
        Self(Visibility::Denied(status))
    }

    /// A view that sees the models for which `allows` returns `true`.
    ///
    /// The name identifies the policy: a list that was prepared for one view is served to
    /// every view of the same name. So a policy that changes needs a new name, such as one
    /// that contains its version. The name must never be a key, or reveal one.
    ///
    /// `allows` must return the same result for the same model each time. It is called once
    /// per model and publication, and once per request for a single model; never per
    /// request for a prepared list. If it panics, callers get status 500 and no model. It must
    /// return promptly: after 10 s a publication goes on without it, and a request that waits
    /// for the view's list gets status 500.
    ///
    /// The predicate judges the model, not the requested name: for all names of a model,
    /// [`id`](ListedModel::id) and [`name`](ListedModel::name) are the model's own id. So a
    /// view sees either all names of a model, including its
    /// [aliases](crate::Builder::alias), or none.
    pub fn named(
        name: impl AsRef<str>,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::of("named", name.as_ref(), allows)
    }

    /// A view that sees the models whose [id](ListedModel::id) matches one of `include`, or
    /// all models if `include` is empty, except those that match one of `exclude`:
    /// `openai/*`, `*llama*`.
    ///
    /// An excluded model is excluded under every name: an alias, or a name that begins with
    /// `claude-`, is seen exactly when its model is. `exclude` is also matched against
    /// `provider/id` if the model is listed without its prefix, because a model that is
    /// [prefixed on conflict](crate::provider::Prefix::OnConflict) is always found by its prefixed id
    /// too.
    ///
    /// A glob on an alias matches nothing, because it is matched against the model's own id. A
    /// view that shows nothing is in the [status](crate::status::Status::empty_views).
    ///
    /// `*` matches any text, including slashes, `?` matches one byte, `[ab]` one of these,
    /// `{a,b}` either, and a backslash escapes the next character. Matching is
    /// case-sensitive. Views with the same globs are the same view.
    ///
    /// # Errors
    ///
    /// If a glob is invalid. The error names `include` or `exclude`, and the glob.
    ///
    /// ```
    /// use tower_models_cache::View;
    ///
    /// # fn main() -> Result<(), tower_models_cache::BuildError> {
    /// let openai = View::globs(["openai/*"], [])?;
    /// let stable = View::globs([], ["*-preview", "*-beta"])?;
    /// let team = View::globs(vec![format!("{}/*", "team-a")], [])?;
    /// # let _ = (openai, stable, team);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "globs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "globs")))]
    pub fn globs(include: impl GlobList, exclude: impl GlobList) -> Result<Self, BuildError> {
        let (include, exclude) = (include.into_globs(), exclude.into_globs());
        let globs = Globs::new(&include, &exclude)?;
        let name = format!("{include:?} without {exclude:?}");
        Ok(Self::of("globs", &name, move |model| {
            let is_excluded_behind_prefix = || {
                let prefixed = ListedId::new(Some(model.provider), model.model.id());
                model.id.prefix.is_none() && globs.excludes(&prefixed.to_string())
            };
            globs.keep(&model.id()) && !is_excluded_behind_prefix()
        }))
    }

    /// A view that sees nothing, because the hook failed.
    pub(crate) const fn unknown() -> Self {
        Self(Visibility::Unknown)
    }

    /// Whether it sees neither the list nor any model, whatever is listed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.0, Visibility::Denied(_) | Visibility::Unknown)
    }

    /// Whether it sees no model, whatever is listed, so that the providers do not matter.
    #[inline]
    pub(crate) fn sees_nothing(&self) -> bool {
        match &self.0 {
            Visibility::All => false,
            Visibility::Denied(_) | Visibility::Unknown => true,
            Visibility::Some(predicate) => predicate.is_empty,
        }
    }

    /// Creates a view of one kind. Names of different kinds never collide.
    pub(crate) fn of(
        kind: &str,
        name: &str,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Visibility::Some(Arc::new(ViewPredicate::new(
            kind, name, allows,
        ))))
    }

    /// Whether a caller with this view may see, and thus use, a model.
    ///
    /// Check this for the model that a [lookup](crate::ModelsSnapshot::get) returns, before
    /// you route a request to it: a model that cannot be seen must not be used. The result
    /// is the same for all names of a model. A view whose predicate panics sees nothing.
    pub fn allows(&self, model: &ListedModel<'_>) -> bool {
        self.judge(model).unwrap_or(false)
    }

    pub(crate) fn judge(&self, model: &ListedModel<'_>) -> Result<bool, Panicked> {
        match &self.0 {
            Visibility::All => Ok(true),
            Visibility::Denied(_) | Visibility::Unknown => Ok(false),
            Visibility::Some(predicate) => predicate.judge(model),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Visibility::All => f.write_str("View::All"),
            Visibility::Denied(status) => write!(f, "View::Denied({status})"),
            Visibility::Unknown => f.write_str("View::Unknown"),
            Visibility::Some(predicate) => write!(f, "View({:?})", predicate.name),
        }
    }
}

impl ViewPredicate {
    /// The kind of the view and its name, such as `named:team-a`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn new(
        kind: &str,
        name: &str,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let name = format!("{kind}:{name}").into_boxed_str();
        Self {
            hash: XxHash3_64::oneshot(name.as_bytes()),
            name,
            allows: Box::new(allows),
            is_empty: false,
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }

    fn judge(&self, model: &ListedModel<'_>) -> Result<bool, Panicked> {
        // A predicate cannot see by which name the model was found, so all names get one
        // result.
        let model = ListedModel {
            name: model.id,
            ..*model
        };
        catch_unwind(AssertUnwindSafe(|| (self.allows)(&model))).map_err(|_| {
            // The name is the operator's own; the panic message may contain anything.
            tracing::error!(view = &*self.name, "a view's predicate panicked");
            Panicked
        })
    }
}

// ===== ViewMembers =====

/// Which models of a snapshot a view sees, one bit per model.
#[derive(Clone, Debug)]
pub(super) struct ViewMembers {
    fragments: Box<[Arc<[u64]>]>,
    is_empty: bool,
}

impl ViewMembers {
    /// Evaluates a predicate for every listed model, and reuses the results of `last` for
    /// unchanged fragments.
    pub(super) fn of(
        snapshot: &Snapshot,
        predicate: &ViewPredicate,
        last: Option<(&Snapshot, &Self)>,
    ) -> Result<Self, Panicked> {
        let fragments = snapshot.fragments.iter().enumerate();
        let bits = fragments.map(|(index, fragment)| {
            let known = last.and_then(|(last, members)| members.known(last, index, fragment));
            known.map_or_else(|| Self::evaluate(snapshot, index, fragment, predicate), Ok)
        });
        let fragments = bits.collect::<Result<Box<_>, _>>()?;
        Ok(Self {
            is_empty: !fragments.iter().any(|bits| has_any(bits)),
            fragments,
        })
    }

    fn known(&self, last: &Snapshot, index: usize, fragment: &Fragment) -> Option<Arc<[u64]>> {
        let same = last.fragments.get(index)?.is_same(fragment);
        same.then(|| Arc::clone(&self.fragments[index]))
    }

    fn evaluate(
        snapshot: &Snapshot,
        index: usize,
        fragment: &Fragment,
        predicate: &ViewPredicate,
    ) -> Result<Arc<[u64]>, Panicked> {
        let models = fragment.listing.models().len();
        let mut bits = vec![0u64; models.div_ceil(64)];
        for model_index in fragment.model_indices(index) {
            if predicate.judge(&snapshot.listed(model_index))? {
                let position = model_index.position();
                bits[position / 64] |= 1 << (position % 64);
            }
        }
        Ok(bits.into())
    }

    pub(super) fn has(&self, model_index: ModelIndex) -> bool {
        let bits = &self.fragments[model_index.fragment()];
        let position = model_index.position();
        bits[position / 64] & (1 << (position % 64)) != 0
    }

    /// Whether it sees a model of this fragment.
    pub(super) fn has_any_of(&self, fragment: usize) -> bool {
        has_any(&self.fragments[fragment])
    }

    /// Whether it sees no model at all.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub(super) fn size(&self) -> usize {
        self.fragments.iter().map(|bits| bits.len() * 8).sum()
    }
}

fn has_any(bits: &[u64]) -> bool {
    bits.iter().any(|&bits| bits != 0)
}
