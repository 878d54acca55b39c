#![doc = include_str!("../README.md")]
// A program owns the clock, shares state between handlers and prints.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod check;
mod echo;
mod nat;
mod page;
mod relay;
mod say;
mod serve;
mod session;
mod signalling;
mod throughput;
mod turn;

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
    /// Run a TURN and STUN server.
    Turn(Box<turn::Options>),
    /// Say how the NAT before this host behaves.
    Nat(nat::Options),
    /// Ask STUN and TURN servers for addresses, and tell what became of each.
    Check(check::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(options) => {
            log_at("warn");
            serve::run(&options).await.map_err(|error| error.to_string())
        }
        Command::Nat(options) => {
            log_at("warn");
            nat::run(&options).await.map_err(|error| error.to_string())
        }
        Command::Turn(options) => relay(*options).await.map_err(|error| error.to_string()),
        Command::Check(options) => {
            log_at("warn");
            check::run(options).await.map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dunlin: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn relay(options: turn::Options) -> Result<(), turn::TurnError> {
    let options = turn::read(options)?;
    log_at(&turn::log_filter(&options));
    turn::run(&options).await
}

/// Logs to standard error what RUST_LOG says, or else what this filter does.
fn log_at(filter: &str) {
    let filter = env_logger::Env::default().default_filter_or(filter);
    env_logger::Builder::from_env(filter).init();
}
