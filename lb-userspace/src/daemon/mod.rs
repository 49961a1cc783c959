//! `lb run`: the daemon. It puts the parts together and ends them in order; what they do is in
//! their own modules.

mod controller;
mod error;
mod handle;
mod hops;
mod report;
mod store;

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::controller::Controller;
pub use self::error::DaemonError;
use self::handle::{Handle, Request};
use crate::api::server::{bind_metrics, serve_metrics_on, serve_on};
use crate::api::socket::Socket;
use crate::cli::run::RunOptions;
use crate::dataplane::{Dataplane, Host, Logger};
use crate::health::Report;
use crate::route::{self, Changes};

/// How long after each whole second the clock ticks: surely in that second, whatever the two clocks
/// that are involved differ by.
const TICK_AFTER: Duration = Duration::from_millis(5);

/// Everything that wakes the daemon up.
struct Events {
    requests: mpsc::Receiver<Request>,
    reports: mpsc::Receiver<Report>,
    changes: Changes,
    /// When blocks that have ended go next, and unresolved next hops are asked for again.
    tick: Instant,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    log: Option<AsyncFd<Logger>>,
}

/// Runs the daemon until SIGTERM or Ctrl-C, which detach the program.
pub async fn run(options: RunOptions) -> anyhow::Result<()> {
    // Before anything else, so that a signal during the start is not lost.
    let (hangup, terminate) = (
        signal(SignalKind::hangup())?,
        signal(SignalKind::terminate())?,
    );
    let interrupt = signal(SignalKind::interrupt())?;
    let store = store::Store::open(&options)?;
    let socket = Socket::bind(&options.socket()).await?;
    let host = Host::probe()?;
    let dataplane = Dataplane::open(host, options.pin_dir.clone())?;
    // Watched before anything is resolved, so that no change falls in between.
    let changes = route::watch().await?;
    let (report_sender, reports) = mpsc::channel(256);
    let (request_sender, requests) = mpsc::channel(64);
    let metrics = match store.document().metrics {
        Some(address) => Some(bind_metrics(address).await?),
        None => None,
    };
    let mut events = Events {
        requests,
        reports,
        changes,
        tick: next_tick(),
        hangup,
        terminate,
        interrupt,
        log: None,
    };
    let mut controller = Controller::start(store, dataplane, report_sender, &mut events.reports)
        .await
        .context("the daemon did not start")?;
    let (stop, stopped) = watch::channel(());
    let handle = Handle::new(request_sender);
    let interface = tokio::spawn(serve_on(socket, handle.clone(), until(stopped.clone())));
    let metrics = metrics.map(|listener| {
        tokio::spawn(serve_metrics_on(
            listener,
            handle.clone(),
            until(stopped.clone()),
        ))
    });
    drop(handle);
    tracing::info!("ready; `lb status` tells more");
    serve(&mut controller, &mut events).await;
    // Requests that are still queued are answered by their dropped senders.
    drop(events);
    drop(stop);
    let detached = controller.stop();
    interface.await.context("the interface ended badly")??;
    if let Some(metrics) = metrics {
        metrics
            .await
            .context("the metrics' listener ended badly")??;
    }
    detached?;
    tracing::info!("the program is detached");
    Ok(())
}

/// Handles events until a signal says to end.
async fn serve(controller: &mut Controller, events: &mut Events) {
    loop {
        if events.log.is_none() {
            events.log = controller.log();
        }
        tokio::select! {
            Some(request) = events.requests.recv() => controller.answer(request).await,
            Some(report) = events.reports.recv() => controller.reported(report),
            changed = events.changes.changed() => match changed {
                Ok(()) => controller.rerouted().await,
                Err(error) => {
                    tracing::error!(%error, "routes are no longer watched; restart the daemon");
                    return;
                }
            },
            () = sleep_until(events.tick) => {
                controller.tick().await;
                events.tick = next_tick();
            }
            () = flush(&mut events.log) => {}
            _ = events.hangup.recv() => controller.reload().await,
            _ = events.terminate.recv() => return,
            _ = events.interrupt.recv() => return,
        }
    }
}

/// Just after the next whole second: blocks end on whole seconds, and so none lasts longer.
fn next_tick() -> Instant {
    let past = Timestamp::now().subsec_nanosecond().unsigned_abs();
    let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(past.into()));
    Instant::now() + left + TICK_AFTER
}

/// Hands the program's log records on as they arrive.
async fn flush(log: &mut Option<AsyncFd<Logger>>) {
    let Some(log) = log else {
        return std::future::pending().await;
    };
    if let Ok(mut ready) = log.readable_mut().await {
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// Ends when the daemon does.
async fn until(mut stopped: watch::Receiver<()>) {
    // The value never changes: the error says that the sender is gone.
    while stopped.changed().await.is_ok() {}
}
