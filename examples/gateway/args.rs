//! The command line.

use std::{net::SocketAddr, path::PathBuf};

/// A small LLM gateway: one list of all models, and chat completions with any of them.
#[derive(Debug, clap::Parser)]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes any free one [default: the file's, or
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// The TOML file with the providers; without it, the gateway starts three of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the file, print each provider's name, kind and address, and exit
    #[arg(long, requires = "config")]
    pub(crate) check: bool,
}
