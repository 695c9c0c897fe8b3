//! Lists that are rendered on first request: other dialects, and views.
//!
//! Invariants:
//!
//! - Nothing is rendered before its first request. Lists that were requested from the last
//!   snapshot are rendered for the next one before it is published, so only the first
//!   request ever waits.
//! - Views are bounded in number and memory: the least recently used ones are evicted
//!   first, and views without a request since the last publication are not carried over.
//! - Finding a view takes no lock. Adding and evicting views copies the map under
//!   `write_lock`; predicates are user code, and are dropped after the lock is released.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::{
    Snapshot,
    representation::Representation,
    view::{Panicked, ViewMembers, ViewPredicate},
};
use crate::{flight::SingleFlight, render::ClientDialect};

const DIALECTS: usize = ClientDialect::ALL.len();

/// The lists of one view, one per dialect.
#[derive(Debug, Default)]
pub(crate) struct Representations {
    cells: [Rendering; DIALECTS],
}

/// A list, and the flight that renders it.
#[derive(Debug, Default)]
pub(crate) struct Rendering {
    representation: OnceLock<Representation>,
    pub(crate) flight: SingleFlight<Result<Representation, Panicked>>,
}

impl Rendering {
    fn new(representation: Option<Representation>) -> Self {
        let rendering = Self::default();
        if let Some(representation) = representation {
            rendering.set(representation);
        }
        rendering
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&Representation> {
        self.representation.get()
    }

    pub(crate) fn set(&self, representation: Representation) {
        let _ = self.representation.set(representation); // a list that is already set has the same bytes
    }
}

impl Representations {
    #[inline]
    pub(crate) fn get(&self, dialect: ClientDialect) -> Option<&Representation> {
        self.cells[dialect as usize].get()
    }

    pub(crate) fn cell(&self, dialect: ClientDialect) -> &Rendering {
        &self.cells[dialect as usize]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Representation> {
        self.cells.iter().filter_map(Rendering::get)
    }

    /// The same lists with other headers.
    pub(super) fn with_common_headers(&self, common_headers: &HeaderMap) -> Self {
        self.map(|_, representation| representation.with_common_headers(common_headers))
    }

    /// Applies `make` to every list that exists.
    pub(super) fn map(
        &self,
        make: impl Fn(ClientDialect, &Representation) -> Representation,
    ) -> Self {
        let cells = ClientDialect::ALL.map(|dialect| {
            let representation = self.get(dialect);
            Rendering::new(representation.map(|representation| make(dialect, representation)))
        });
        Self { cells }
    }

    pub(super) fn size(&self) -> usize {
        self.all().map(Representation::size).sum()
    }
}

/// The prepared lists of one view.
pub(crate) struct PreparedView {
    predicate: Arc<ViewPredicate>,
    pub(super) members: OnceLock<ViewMembers>,
    pub(crate) representations: Representations,
    /// When it was last used, counted in admissions of views. 0: not since the publication.
    last_used: AtomicU64,
}

impl PreparedView {
    /// Whether the view sees any model of its snapshot, once that is known.
    pub(crate) fn sees_any(&self) -> Option<bool> {
        self.members.get().map(|members| !members.is_empty())
    }

    pub(super) fn size(&self) -> usize {
        let members = self.members.get().map_or(0, ViewMembers::size);
        size_of::<Self>() + members + self.representations.size()
    }
}

/// The bounds for prepared views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViewBounds {
    /// The maximum number of views.
    pub(crate) views: usize,
    /// The maximum size of all their lists together.
    pub(crate) bytes: usize,
}

/// The prepared views of a snapshot. Finding one takes no lock.
pub(crate) struct Views {
    map: ArcSwap<Map>,
    /// Held while views are added or evicted.
    write_lock: Mutex<()>,
    admissions: AtomicU64,
}

type Map = hashbrown::HashTable<Arc<PreparedView>>;

impl Default for Views {
    fn default() -> Self {
        Self {
            map: ArcSwap::default(),
            write_lock: Mutex::default(),
            // 0 means not used since the publication.
            admissions: AtomicU64::new(1),
        }
    }
}

impl Views {
    /// Looks at the prepared view of a predicate.
    #[inline]
    pub(crate) fn with<T>(
        &self,
        predicate: &ViewPredicate,
        look: impl FnOnce(&PreparedView) -> T,
    ) -> Option<T> {
        let map = self.map.load();
        let prepared_view = map.find(predicate.hash, |prepared_view| {
            prepared_view.predicate.is(predicate)
        })?;
        let now = self.admissions.load(Ordering::Relaxed);
        // At most one write per admission, so that readers do not contend for the cache
        // line.
        if prepared_view.last_used.load(Ordering::Relaxed) != now {
            prepared_view.last_used.store(now, Ordering::Relaxed);
        }
        Some(look(prepared_view))
    }

    /// Returns the prepared view of a predicate, and adds an empty one if necessary.
    pub(crate) fn admit(
        &self,
        predicate: &Arc<ViewPredicate>,
        bounds: ViewBounds,
    ) -> Arc<PreparedView> {
        let write_lock = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(predicate) {
            return found;
        }
        let prepared_view = Arc::new(PreparedView {
            predicate: Arc::clone(predicate),
            members: OnceLock::new(),
            representations: Representations::default(),
            last_used: AtomicU64::new(self.admissions.fetch_add(1, Ordering::Relaxed) + 1),
        });
        let mut all = self.all();
        all.push(Arc::clone(&prepared_view));
        let replaced = self.retain_within(all, bounds);
        drop(write_lock);
        drop(replaced); // dropped without the lock: predicates are user code
        prepared_view
    }

    fn find(&self, predicate: &ViewPredicate) -> Option<Arc<PreparedView>> {
        let map = self.map.load();
        let prepared_view = map.find(predicate.hash, |prepared_view| {
            prepared_view.predicate.is(predicate)
        })?;
        Some(Arc::clone(prepared_view))
    }

    /// Evicts views that exceed the bounds. Their size grows when lists are rendered and
    /// compressed.
    pub(crate) fn trim(&self, bounds: ViewBounds) {
        let write_lock = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let replaced = self.retain_within(self.all(), bounds);
        drop(write_lock);
        drop(replaced);
    }

    pub(super) fn all(&self) -> Vec<Arc<PreparedView>> {
        self.map.load().iter().map(Arc::clone).collect()
    }

    /// Keeps the most recently used of these views, as many as the bounds allow and at
    /// least one. Returns the replaced values, to be dropped after the lock is released.
    fn retain_within(
        &self,
        mut all: Vec<Arc<PreparedView>>,
        bounds: ViewBounds,
    ) -> impl Sized + use<> {
        let of =
            |prepared_view: &Arc<PreparedView>| prepared_view.last_used.load(Ordering::Relaxed);
        all.sort_by_key(|prepared_view| std::cmp::Reverse(of(prepared_view)));
        let mut bytes = 0;
        let mut kept = 0;
        for prepared_view in &all {
            bytes += prepared_view.size();
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

    /// The number of prepared views, and the bytes of memory that they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let all = self.all();
        (
            all.len(),
            all.iter().map(|prepared_view| prepared_view.size()).sum(),
        )
    }

    /// The names of the views that show no model although they could.
    pub(crate) fn empty_names(&self) -> Vec<String> {
        let all = self.all();
        let is_empty =
            |view: &&Arc<PreparedView>| view.sees_any() == Some(false) && !view.predicate.is_empty;
        let empty = all.iter().filter(is_empty);
        let mut names: Vec<_> = empty.map(|view| view.predicate.name().to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// Prepares the views that were used since the last publication for the next snapshot.
    pub(super) fn carry_over(&self, last: &Snapshot, next: &Snapshot, shared: bool) -> Self {
        let last_used =
            |prepared_view: &Arc<PreparedView>| prepared_view.last_used.load(Ordering::Relaxed) > 0;
        let all = self.all().into_iter().filter(last_used);
        let carried =
            all.filter_map(|prepared_view| prepared_view.carry_over(last, next, shared).ok());
        Self {
            map: ArcSwap::from_pointee(table(carried.map(Arc::new))),
            ..Self::default()
        }
    }
}

impl PreparedView {
    fn carry_over(&self, last: &Snapshot, next: &Snapshot, shared: bool) -> Result<Self, Panicked> {
        let before = self.members.get();
        let members =
            before.map(|members| ViewMembers::of(next, &self.predicate, Some((last, members))));
        let members = members.transpose()?;
        let representations = members
            .as_ref()
            .map_or_else(Representations::default, |members| {
                let common_headers = next.headers_for(&self.predicate, members);
                if shared {
                    return self.representations.with_common_headers(&common_headers);
                }
                let render = |dialect, _: &Representation| {
                    next.render(dialect, Some(members), &common_headers)
                };
                self.representations.map(render)
            });
        Ok(Self {
            predicate: Arc::clone(&self.predicate),
            members: members.map_or_else(OnceLock::new, OnceLock::from),
            representations,
            last_used: AtomicU64::new(0),
        })
    }
}

fn table(all: impl IntoIterator<Item = Arc<PreparedView>>) -> Map {
    let mut map = Map::new();
    for prepared_view in all {
        map.insert_unique(
            prepared_view.predicate.hash,
            prepared_view,
            |prepared_view| prepared_view.predicate.hash,
        );
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
