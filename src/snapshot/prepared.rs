//! What was asked for of a snapshot beside its own list: other dialects, and views.
//!
//! Nothing is rendered before it is asked for. What was asked for of the last snapshot is
//! there when the next one is published, so only a first request ever waits. Views are
//! kept within a bound of memory: those that were not asked for lately go first, and those
//! that were not asked for since the last publication are not prepared for the next.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::{
    Snapshot,
    face::Face,
    view::{Members, Panicked, Policy},
};
use crate::{flight::SingleFlight, render::ClientDialect};

const DIALECTS: usize = ClientDialect::ALL.len();

/// The lists of one view, a dialect each.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    cells: [Rendering; DIALECTS],
}

/// A list, and the flight that renders it.
#[derive(Debug, Default)]
pub(crate) struct Rendering {
    face: OnceLock<Face>,
    pub(crate) flight: SingleFlight<Result<Face, Panicked>>,
}

impl Rendering {
    fn new(face: Option<Face>) -> Self {
        let rendering = Self::default();
        if let Some(face) = face {
            rendering.set(face);
        }
        rendering
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&Face> {
        self.face.get()
    }

    pub(crate) fn set(&self, face: Face) {
        let _ = self.face.set(face); // one that is there already is the same
    }
}

impl Faces {
    #[inline]
    pub(crate) fn get(&self, dialect: ClientDialect) -> Option<&Face> {
        self.cells[dialect as usize].get()
    }

    pub(crate) fn cell(&self, dialect: ClientDialect) -> &Rendering {
        &self.cells[dialect as usize]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Face> {
        self.cells.iter().filter_map(Rendering::get)
    }

    /// The same lists, with other headers.
    pub(super) fn with_heads(&self, heads: &HeaderMap) -> Self {
        self.map(|_, face| face.with_heads(heads))
    }

    /// Those lists that there are, made anew.
    pub(super) fn map(&self, make: impl Fn(ClientDialect, &Face) -> Face) -> Self {
        let cells = ClientDialect::ALL.map(|dialect| {
            let face = self.get(dialect);
            Rendering::new(face.map(|face| make(dialect, face)))
        });
        Self { cells }
    }

    pub(super) fn size(&self) -> usize {
        self.all().map(Face::size).sum()
    }
}

/// What is prepared for one view.
pub(crate) struct Seen {
    policy: Arc<Policy>,
    pub(super) members: OnceLock<Members>,
    pub(crate) faces: Faces,
    /// When it was last asked for, in admissions of further views.
    asked: AtomicU64,
}

impl Seen {
    /// Whether it sees a model of its snapshot, once that is known.
    pub(crate) fn sees_any(&self) -> Option<bool> {
        self.members.get().map(|members| !members.is_empty())
    }

    pub(super) fn size(&self) -> usize {
        let members = self.members.get().map_or(0, Members::size);
        size_of::<Self>() + members + self.faces.size()
    }
}

/// How much is kept for views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Views at once.
    pub(crate) views: usize,
    /// Bytes of all their lists together.
    pub(crate) bytes: usize,
}

/// The views of a snapshot. Finding one takes no lock.
pub(crate) struct Views {
    map: ArcSwap<Map>,
    /// Held while a view is added, or taken out.
    adding: Mutex<()>,
    admissions: AtomicU64,
}

type Map = hashbrown::HashTable<Arc<Seen>>;

impl Default for Views {
    fn default() -> Self {
        Self {
            map: ArcSwap::default(),
            adding: Mutex::default(),
            // Nothing was asked for before the first.
            admissions: AtomicU64::new(1),
        }
    }
}

impl Views {
    /// What is prepared for a policy, with its lists.
    #[inline]
    pub(crate) fn with<T>(&self, policy: &Policy, look: impl FnOnce(&Seen) -> T) -> Option<T> {
        let map = self.map.load();
        let seen = map.find(policy.hash, |seen| seen.policy.is(policy))?;
        let now = self.admissions.load(Ordering::Relaxed);
        // Written once an admission, so that readers do not take turns at it.
        if seen.asked.load(Ordering::Relaxed) != now {
            seen.asked.store(now, Ordering::Relaxed);
        }
        Some(look(seen))
    }

    /// What is, or will be, prepared for a policy.
    pub(crate) fn admit(&self, policy: &Arc<Policy>, bounds: Bounds) -> Arc<Seen> {
        let adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(policy) {
            return found;
        }
        let seen = Arc::new(Seen {
            policy: Arc::clone(policy),
            members: OnceLock::new(),
            faces: Faces::default(),
            asked: AtomicU64::new(self.admissions.fetch_add(1, Ordering::Relaxed) + 1),
        });
        let mut all = self.all();
        all.push(Arc::clone(&seen));
        let replaced = self.keep(all, bounds);
        drop(adding);
        drop(replaced); // predicates are code of others, and so are their drops
        seen
    }

    fn find(&self, policy: &Policy) -> Option<Arc<Seen>> {
        let map = self.map.load();
        let seen = map.find(policy.hash, |seen| seen.policy.is(policy))?;
        Some(Arc::clone(seen))
    }

    /// Takes views out until they keep to the bounds: what they take grows when their
    /// lists are rendered and compressed.
    pub(crate) fn trim(&self, bounds: Bounds) {
        let adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.keep(self.all(), bounds);
        drop(adding);
        drop(replaced);
    }

    pub(super) fn all(&self) -> Vec<Arc<Seen>> {
        self.map.load().iter().map(Arc::clone).collect()
    }

    /// Keeps those of these that were asked for last, as many as the bounds allow, and
    /// one in any case. Returns what is replaced, to be dropped once the lock is released.
    fn keep(&self, mut all: Vec<Arc<Seen>>, bounds: Bounds) -> impl Sized + use<> {
        let of = |seen: &Arc<Seen>| seen.asked.load(Ordering::Relaxed);
        all.sort_by_key(|seen| std::cmp::Reverse(of(seen)));
        let mut bytes = 0;
        let mut kept = 0;
        for seen in &all {
            bytes += seen.size();
            if kept > 0 && (kept == bounds.views || bytes > bounds.bytes) {
                break;
            }
            kept += 1;
        }
        if kept == all.len() && kept == self.map.load().len() {
            return (all, None);
        }
        let gone = all.split_off(kept);
        let replaced = self.map.swap(Arc::new(table(all)));
        (gone, Some(replaced))
    }

    /// How many views are prepared, and how many bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let all = self.all();
        (all.len(), all.iter().map(|seen| seen.size()).sum())
    }

    /// Prepares for the next snapshot what was asked for since this one was published.
    pub(super) fn carry_over(&self, last: &Snapshot, next: &Snapshot, shared: bool) -> Self {
        let asked = |seen: &Arc<Seen>| seen.asked.load(Ordering::Relaxed) > 0;
        let all = self.all().into_iter().filter(asked);
        let carried = all.filter_map(|seen| seen.carried(last, next, shared).ok());
        Self {
            map: ArcSwap::from_pointee(table(carried.map(Arc::new))),
            ..Self::default()
        }
    }
}

impl Seen {
    fn carried(&self, last: &Snapshot, next: &Snapshot, shared: bool) -> Result<Self, Panicked> {
        let before = self.members.get();
        let members = before.map(|members| Members::of(next, &self.policy, Some((last, members))));
        let members = members.transpose()?;
        let faces = members.as_ref().map_or_else(Faces::default, |members| {
            let heads = next.heads_for(&self.policy, members);
            if shared {
                return self.faces.with_heads(&heads);
            }
            let render = |dialect, _: &Face| next.render(dialect, Some(members), &heads);
            self.faces.map(render)
        });
        Ok(Self {
            policy: Arc::clone(&self.policy),
            members: members.map_or_else(OnceLock::new, OnceLock::from),
            faces,
            asked: AtomicU64::new(0),
        })
    }
}

fn table(all: impl IntoIterator<Item = Arc<Seen>>) -> Map {
    let mut map = Map::new();
    for seen in all {
        map.insert_unique(seen.policy.hash, seen, |seen| seen.policy.hash);
    }
    map
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (views, bytes) = self.size();
        f.debug_struct("Views")
            .field("views", &views)
            .field("bytes", &bytes)
            .finish()
    }
}
