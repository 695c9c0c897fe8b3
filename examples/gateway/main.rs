//! A small LLM gateway: one list of all models, and chat completions with any of them.
//!
//! ```text
//! cargo run --features gateway                                     # providers of its own, to play with
//! cargo run --features gateway -- --config examples/gateway.toml   # real providers
//! ```
//!
//! SIGHUP reloads the providers of the file (`reload.rs`).
//!
//! Read `gateway.rs` first: it adds the layer.

mod access;
mod args;
mod file;
mod gateway;
mod health;
mod proxy;
mod refusal;
mod reload;
mod serve;
mod upstreams;

use std::{
    error::Error,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use arc_swap::ArcSwap;
use clap::Parser;
use tokio::{net::TcpListener, runtime::Runtime};
use tower_models_cache::Builder;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use self::{args::Args, file::BadFile, gateway::Setup, serve::Stop};

fn main() -> ExitCode {
    let args = Args::parse();
    let logged = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy(); // RUST_LOG=debug logs every list that is fetched
    tracing_subscriber::fmt()
        .with_env_filter(logged)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();

    let runtime = Runtime::new().expect("threads can be spawned");
    let outcome = runtime.block_on(run(args));
    // Dropping the runtime would wait for its blocking threads, for example for a DNS
    // lookup that hangs.
    runtime.shutdown_background();

    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    if error.is::<BadFile>() {
        ExitCode::from(2) // as clap does for bad arguments
    } else {
        ExitCode::FAILURE
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let stop = Stop::on_signal()?;
    // The demo's providers run until `_demo` is dropped.
    let (setup, _demo) = match &args.config {
        Some(path) => (file::read(path)?, None),
        None => {
            let (demo, setup) = upstreams::start().await?;
            (setup, Some(demo))
        }
    };
    if args.check {
        return check(setup.models);
    }
    let Setup {
        listen,
        models,
        routes,
        access,
        ..
    } = setup;
    let listen = args.listen.unwrap_or(listen);
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error} (try another --listen)"))?;

    let models = models.views(access::view).view_headers(access::KEYS);
    let (layer, refresher) = models.cancellation_token(stop.token()).spawn()?;
    println!("listening on http://{}", listener.local_addr()?);
    if args.config.is_none() {
        upstreams::print_what_to_try(listener.local_addr()?);
    }
    let routes = Arc::new(ArcSwap::from_pointee(routes));
    let cache = layer.cache();
    let app = gateway::router(layer, Arc::clone(&routes), access);
    let serving = serve::serve(listener, app, &stop);
    match &args.config {
        Some(path) => tokio::select! {
            served = serving => served?,
            () = reload::on_hangup(path, cache, routes) => {}
        },
        None => serving.await?,
    }
    refresher.shutdown().await;
    Ok(())
}

/// Prints the providers of the file. Sends no requests.
fn check(models: Builder) -> Result<(), Box<dyn Error>> {
    for provider in models.build()?.cache().status().providers {
        match provider.address {
            Some(address) => println!("{}\thttp\t{address}", provider.name),
            None => println!("{}\tdeclared\t-", provider.name),
        }
    }
    Ok(())
}
