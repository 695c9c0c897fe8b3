//! Serving until told to stop, and stopping at once.

use std::{io, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long answers under way may take once the gateway is to stop.
///
/// axum's graceful shutdown waits for every connection, however long: a stream that
/// goes on, or a client that sends nothing, would keep the process. Where chats have
/// to be finished first, take what your orchestrator allows between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(200);

/// Told by Ctrl-C or SIGTERM.
pub(crate) struct Stop {
    token: CancellationToken,
    _listening: JoinSet<()>,
}

impl Stop {
    /// From here on a signal stops the gateway, and not the process under it.
    pub(crate) fn on_signal() -> io::Result<Self> {
        let token = CancellationToken::new();
        let mut listening = JoinSet::new();
        let told = signal()?;
        let told_token = token.clone();
        listening.spawn(async move {
            told.await;
            tracing::info!("stopping");
            told_token.cancel();
        });
        Ok(Self {
            token,
            _listening: listening,
        })
    }

    /// A token that is cancelled with this one, and by nobody else.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.child_token()
    }
}

/// Serves until told to stop, then finishes what can be finished soon.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: &Stop) -> io::Result<()> {
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.token().cancelled_owned());
    let cut_off = async {
        stop.token.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = async { serving.await } => ended,
        () = cut_off => {
            tracing::info!("connections still open are cut off");
            Ok(())
        }
    }
}

#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    })
}

#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await // not to be told is not to be stopped
        }
    })
}
