//! Serves until a signal arrives, then stops quickly.

use std::{io, time::Duration};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long open requests may take after the signal.
///
/// axum's graceful shutdown waits for every connection, so an endless stream or an idle
/// client would keep the process alive. To let chats finish, use the time that your
/// orchestrator allows between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(200);

/// Cancelled by Ctrl-C or SIGTERM.
pub(crate) struct Stop {
    token: CancellationToken,
    _listening: JoinSet<()>,
}

impl Stop {
    /// Installs signal handlers, which replace the default of ending the process.
    pub(crate) fn on_signal() -> io::Result<Self> {
        let token = CancellationToken::new();
        let mut listening = JoinSet::new();
        let signal = signal()?;
        let signalled = token.clone();
        listening.spawn(async move {
            signal.await;
            tracing::info!("stopping");
            signalled.cancel();
        });
        Ok(Self {
            token,
            _listening: listening,
        })
    }

    /// A child token: cancelled with this one, but cannot cancel it.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.child_token()
    }
}

/// Serves until the signal, then lets open requests finish for a short time.
pub(crate) async fn serve(listener: TcpListener, app: Router, stop: &Stop) -> io::Result<()> {
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.token().cancelled_owned());
    let cut_off = async {
        stop.token.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = async { serving.await } => ended,
        () = cut_off => {
            tracing::info!("closing connections that are still open");
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
            std::future::pending().await // without a signal handler, never stop
        }
    })
}
