//! The log events of changes of the table, emitted after it is unlocked. They contain the
//! kind of a failure, never its cause, which may quote the provider.

use std::{sync::Arc, time::Duration};

use super::slot::{Settled, Slot};
use crate::{clock::Instant, error::ListErrorKind, model::FlawCount};

#[derive(Debug)]
pub(super) enum Event {
    Confirmed {
        provider: Arc<str>,
        models: usize,
        filtered: usize,
        flaws: Vec<FlawCount>,
        changed: bool,
    },
    Failed {
        provider: Arc<str>,
        kind: ListErrorKind,
        failures: u32,
        retry_in: Duration,
    },
    Expired(Arc<str>),
    Suspended(Duration),
    PublicationOverdue,
}

impl Event {
    pub(super) fn settled(slot: &Slot, settled: &Settled, now: Instant) -> Self {
        let provider = Arc::clone(slot.provider.shared_name());
        match &settled.outcome {
            Ok(()) => {
                let last = slot.last_good();
                Self::Confirmed {
                    provider,
                    models: last.map_or(0, |(stats, _)| stats.models),
                    filtered: last.map_or(0, |(stats, _)| stats.filtered),
                    changed: settled.changed,
                    flaws: last.map_or(Vec::new(), |(stats, _)| stats.flaws.counts().to_vec()),
                }
            }
            Err(error) => Self::Failed {
                provider,
                kind: error.kind(),
                failures: slot.failures(),
                retry_in: slot
                    .due()
                    .map_or(Duration::ZERO, |due| due.duration_since(now)),
            },
        }
    }

    pub(super) fn log(self) {
        match self {
            Self::Confirmed {
                provider,
                filtered,
                models: 0,
                changed: true,
                ..
            } if filtered > 0 => tracing::warn!(
                provider = &*provider,
                filtered,
                "the filter excludes all models of the provider"
            ),
            Self::Confirmed {
                provider,
                models,
                filtered,
                flaws,
                ..
            } => tracing::debug!(
                provider = &*provider,
                models,
                filtered,
                ?flaws,
                "model list confirmed"
            ),
            Self::Failed {
                provider,
                kind,
                failures,
                retry_in,
            } => tracing::warn!(
                provider = &*provider,
                kind = kind.as_str(),
                failures,
                ?retry_in,
                "failed to fetch the model list"
            ),
            Self::Expired(provider) => {
                tracing::warn!(
                    provider = &*provider,
                    "model list dropped: older than max_stale"
                );
            }
            Self::Suspended(gap) => {
                tracing::debug!(
                    ?gap,
                    "the system was suspended, or its clock was set forward"
                );
            }
            Self::PublicationOverdue => tracing::error!(
                "publication timed out: a view's predicate or an enricher does not return, or the \
                 blocking pool is exhausted"
            ),
        }
    }
}
