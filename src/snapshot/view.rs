//! `View`: which of the models a caller may see.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use http::StatusCode;
use twox_hash::XxHash3_64;

use super::{ListedModel, Snapshot, names::Seat, section::Section};
#[cfg(feature = "globs")]
use crate::{
    error::BuildError,
    globs::{GlobList, Globs},
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
pub struct View(pub(crate) Sight);

/// What a view comes to.
#[derive(Clone)]
pub(crate) enum Sight {
    All,
    Denied(StatusCode),
    /// Nobody knows: the hook failed.
    Unknown,
    Some(Arc<Policy>),
}

type Allows = dyn Fn(&ListedModel<'_>) -> bool + Send + Sync;

/// What is allowed, and the name by which it is known again.
pub(crate) struct Policy {
    name: Box<str>,
    /// Of the name.
    pub(super) hash: u64,
    allows: Box<Allows>,
}

/// A predicate panicked, and so nobody knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

impl View {
    /// Sees every model.
    pub const fn all() -> Self {
        Self(Sight::All)
    }

    /// Sees an empty list, and no model.
    pub fn none() -> Self {
        static NONE: LazyLock<View> = LazyLock::new(|| View::of("none", "", |_| false));
        NONE.clone()
    }

    /// Sees neither list nor model: every request is answered with this status, and an
    /// error in the client's dialect.
    ///
    /// With status 401 goes `WWW-Authenticate: Bearer` (RFC 9110, section 15.5.2).
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
        Self(Sight::Denied(status))
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
    /// It is asked about a model under its own name. Where that is seen, so are its
    /// [aliases](crate::Builder::alias).
    pub fn named(
        name: impl AsRef<str>,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::of("named", name.as_ref(), allows)
    }

    /// Sees the models whose listed id one of `include` matches, or any where there is
    /// none, and none of `exclude`: `openai/*`, `*llama*`.
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
            globs.keep(&model.id())
        }))
    }

    /// Sees nothing, because nobody knows what it may see.
    pub(crate) const fn unknown() -> Self {
        Self(Sight::Unknown)
    }

    /// Whether it sees neither list nor model, whatever there is.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.0, Sight::Denied(_) | Sight::Unknown)
    }

    /// A view of a kind, whose names are its own.
    pub(crate) fn of(
        kind: &str,
        name: &str,
        allows: impl Fn(&ListedModel<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let name = format!("{kind}:{name}").into_boxed_str();
        Self(Sight::Some(Arc::new(Policy {
            hash: XxHash3_64::oneshot(name.as_bytes()),
            name,
            allows: Box::new(allows),
        })))
    }

    /// Whether a caller with this view may see, and so use, a model.
    ///
    /// What routes requests asks this about the model that it found in the snapshot, so
    /// that what cannot be seen cannot be used. A view whose predicate panics sees nothing.
    pub fn allows(&self, model: &ListedModel<'_>) -> bool {
        self.judge(model).unwrap_or(false)
    }

    pub(crate) fn judge(&self, model: &ListedModel<'_>) -> Result<bool, Panicked> {
        match &self.0 {
            Sight::All => Ok(true),
            Sight::Denied(_) | Sight::Unknown => Ok(false),
            Sight::Some(policy) => policy.judge(model),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Sight::All => f.write_str("View::All"),
            Sight::Denied(status) => write!(f, "View::Denied({status})"),
            Sight::Unknown => f.write_str("View::Unknown"),
            Sight::Some(policy) => write!(f, "View({:?})", policy.name),
        }
    }
}

impl Policy {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name
    }

    fn judge(&self, model: &ListedModel<'_>) -> Result<bool, Panicked> {
        catch_unwind(AssertUnwindSafe(|| (self.allows)(model))).map_err(|_| {
            // Its name is the operator's own; what it said may be anything.
            tracing::error!(view = &*self.name, "a view's predicate panicked");
            Panicked
        })
    }
}

// ===== Members =====

/// Which models of a snapshot a view sees: a bit for each.
#[derive(Clone, Debug)]
pub(super) struct Members {
    sections: Box<[Arc<[u64]>]>,
}

impl Members {
    /// Asks a policy about every model that is listed, but for those that `last` knows of.
    pub(super) fn of(
        snapshot: &Snapshot,
        policy: &Policy,
        last: Option<(&Snapshot, &Self)>,
    ) -> Result<Self, Panicked> {
        let sections = snapshot.sections.iter().enumerate();
        let bits = sections.map(|(index, section)| {
            let known = last.and_then(|(last, members)| members.known(last, index, section));
            known.map_or_else(|| Self::ask(snapshot, index, section, policy), Ok)
        });
        Ok(Self {
            sections: bits.collect::<Result<_, _>>()?,
        })
    }

    fn known(&self, last: &Snapshot, index: usize, section: &Section) -> Option<Arc<[u64]>> {
        let same = last.sections.get(index)?.is_same(section);
        same.then(|| Arc::clone(&self.sections[index]))
    }

    fn ask(
        snapshot: &Snapshot,
        index: usize,
        section: &Section,
        policy: &Policy,
    ) -> Result<Arc<[u64]>, Panicked> {
        let models = section.part.models().len();
        let mut bits = vec![0u64; models.div_ceil(64)];
        for seat in section.seats(index) {
            if policy.judge(&snapshot.listed(seat))? {
                let position = seat.position();
                bits[position / 64] |= 1 << (position % 64);
            }
        }
        Ok(bits.into())
    }

    pub(super) fn has(&self, seat: Seat) -> bool {
        let bits = &self.sections[seat.section()];
        let position = seat.position();
        bits[position / 64] & (1 << (position % 64)) != 0
    }

    pub(super) fn size(&self) -> usize {
        self.sections.iter().map(|bits| bits.len() * 8).sum()
    }
}
