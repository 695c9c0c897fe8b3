//! `View`: which of the models a caller may see.

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

/// Which of the models a caller may see: all of them, none, those that a policy allows,
/// or not even how many there are.
///
/// A [hook](crate::Builder::views) says for each request which view it has. Make the views
/// once, when the policies are known, and let the hook clone them: that costs nothing.
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

/// What a view comes to.
#[derive(Clone)]
pub(crate) enum Visibility {
    All,
    Denied(StatusCode),
    /// Nobody knows: the hook failed.
    Unknown,
    Some(Arc<ViewPredicate>),
}

type Allows = dyn Fn(&ListedModel<'_>) -> bool + Send + Sync;

/// What is allowed, and the name by which it is known again.
pub(crate) struct ViewPredicate {
    name: Box<str>,
    /// Of the name.
    pub(super) hash: u64,
    allows: Box<Allows>,
    /// Whether it allows nothing, whatever there is.
    pub(super) is_empty: bool,
}

/// A predicate panicked, and so nobody knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

impl View {
    /// Sees every model.
    pub const fn all() -> Self {
        Self(Visibility::All)
    }

    /// Sees an empty list, and no model: always, also while providers are missing. Its
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

    /// Sees neither list nor model: every request is answered with this status, and an
    /// error in the client's dialect.
    ///
    /// With status 401 goes `WWW-Authenticate: Bearer` (RFC 9110, section 15.5.2). Its
    /// callers wait for nothing and cause no fetch, and no header tells them how the
    /// providers are: `Cache-Status` is `tower-models-cache; detail=denied`.
    ///
    /// For callers that must not know whether there is a list. For one that may see an
    /// empty list, take [`none`](Self::none).
    ///
    /// # Panics
    ///
    /// When the status is neither a client's error (4xx) nor a server's (5xx).
    pub fn denied(status: StatusCode) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        assert!(
            is_error,
            "a refusal has a status of 4xx or 5xx, not {status}"
        );
        Self(Visibility::Denied(status))
    }

    /// Sees the models that `allows` says yes to.
    ///
    /// The name stands for the policy: what was prepared for one of a name is served to
    /// every view of that name. So a policy that changes gets another name, such as one
    /// with its version in it; and a name is never a key or what tells one. `allows` has to
    /// say the same of the same model each time. It is asked about each model once a
    /// publication, and once for a request for one model; never for a request for the list
    /// that was prepared. When it panics, its callers get status 500 and no model.
    ///
    /// It judges the model, not the name that was asked for: whichever name leads to a
    /// model, [`id`](ListedModel::id) and [`name`](ListedModel::name) are both the model's
    /// own id here. So a view sees either all names of a model, its
    /// [aliases](crate::Builder::alias) included, or none.
    pub fn named(
        name: impl AsRef<str>,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::of("named", name.as_ref(), allows)
    }

    /// Sees the models whose [id](ListedModel::id) one of `include` matches, or any where
    /// there is none, and none of `exclude`: `openai/*`, `*llama*`.
    ///
    /// What is excluded stays so under every name: an alias, and a name that begins with
    /// `claude-`, are seen exactly when their model is. `exclude` is matched against
    /// `provider/id` too, also where the model is listed without its prefix: one that is
    /// [prefixed on conflict](crate::Prefix::OnConflict) is found behind its prefix at all
    /// times.
    ///
    /// `*` stands for anything, slashes included, `?` is one byte, `[ab]` one of these,
    /// `{a,b}` either, and a backslash takes the meaning from what follows. The case counts.
    /// Views of the same globs are one view.
    ///
    /// # Errors
    ///
    /// A glob cannot work: the error names `include` or `exclude`, and the glob.
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

    /// Sees nothing, because nobody knows what it may see.
    pub(crate) const fn unknown() -> Self {
        Self(Visibility::Unknown)
    }

    /// Whether it sees neither list nor model, whatever there is.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.0, Visibility::Denied(_) | Visibility::Unknown)
    }

    /// Whether it sees no model, whatever there is: the providers need not be looked at.
    #[inline]
    pub(crate) fn sees_nothing(&self) -> bool {
        match &self.0 {
            Visibility::All => false,
            Visibility::Denied(_) | Visibility::Unknown => true,
            Visibility::Some(predicate) => predicate.is_empty,
        }
    }

    /// A view of a kind, whose names are its own.
    pub(crate) fn of(
        kind: &str,
        name: &str,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Visibility::Some(Arc::new(ViewPredicate::new(
            kind, name, allows,
        ))))
    }

    /// Whether a caller with this view may see, and so use, a model.
    ///
    /// Ask it about the model that [a name led to](crate::ModelsSnapshot::get) before a
    /// request is routed there: what cannot be seen must not be used. The answer is the same
    /// whichever name that was. A view whose predicate panics sees nothing.
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
        // A predicate cannot tell by which name the model was found: all get one verdict.
        let model = ListedModel {
            name: model.id,
            ..*model
        };
        catch_unwind(AssertUnwindSafe(|| (self.allows)(&model))).map_err(|_| {
            // Its name is the operator's own; what it said may be anything.
            tracing::error!(view = &*self.name, "a view's predicate panicked");
            Panicked
        })
    }
}

// ===== ViewMembers =====

/// Which models of a snapshot a view sees: a bit for each.
#[derive(Clone, Debug)]
pub(super) struct ViewMembers {
    fragments: Box<[Arc<[u64]>]>,
    is_empty: bool,
}

impl ViewMembers {
    /// Asks a policy about every model that is listed, but for those that `last` knows of.
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

    /// Whether it sees a model of the section at this index.
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
