#![doc = include_str!("../README.md")]
// A program owns the clock, shares state between handlers and prints.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod echo;
mod page;
mod serve;
mod session;
mod signalling;
mod throughput;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// WebRTC from the command line.
#[derive(Debug, Parser)]
#[command(name = "dunlin", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a page on which a browser calls this program and gets everything back (the default).
    Serve(serve::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let cli = Cli::parse();
    let Command::Serve(options) = cli.command.unwrap_or(Command::Serve(cli.serve));
    match serve::run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dunlin: {error}");
            ExitCode::FAILURE
        }
    }
}
