#![doc = include_str!("../README.md")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub
)]

#[cfg(feature = "peers")]
mod beside;
mod cpu;
mod data;
mod dtls;
mod figures;
mod forward;
mod ice;
mod limits;
mod link;
mod memory;
mod sctp;
mod setup;
mod stun;
mod tight;
mod turn;

use clap::Parser;
use figures::Figures;
use std::process::ExitCode;
use std::time::Duration;

/// What dunlin costs, beside what the machine can do.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// Only these groups of figures; without any, all.
    #[arg(value_name = "GROUP")]
    groups: Vec<Group>,
    /// How long each figure is measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the figures whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Connections for the setup figure.
    #[arg(long, default_value_t = 50)]
    setups: usize,
    /// The size asked for socket buffers, in bytes; without it the facade's default.
    #[arg(long, value_name = "BYTES")]
    socket_buffer: Option<usize>,
    /// Data channels look for no datagrams larger than 1,200 bytes, as with a browser.
    #[arg(long)]
    usual_datagrams: bool,
    /// Sockets of data channels that are bound to no address, as they are by default, and not to that of loopback.
    #[arg(long)]
    any_address: bool,
    /// This process measures one figure, and its memory is part of it.
    #[arg(long, hide = true)]
    alone: bool,
    /// This process is a relay that does nothing but relay.
    #[arg(long, hide = true, value_name = "PORT")]
    bare_relay: Option<u16>,
    /// Prints the figures for machines.
    #[arg(long)]
    json: bool,
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Group {
    /// What the machine can do: UDP over loopback, the packet cipher.
    Limits,
    /// From nothing to an open channel.
    Setup,
    /// The SCTP engine in memory.
    Sctp,
    /// Data channels between two peers, and peers that are idle.
    Datachannel,
    /// The forwarding path of an SFU.
    Forward,
    /// DTLS in memory.
    Dtls,
    /// The TURN server beside coturn.
    Turn,
    /// A Binding request: read, verified, written.
    Stun,
    /// What an idle ICE agent costs.
    Ice,
}

impl Options {
    fn wants(&self, group: Group, name: &str) -> bool {
        let in_groups = self.groups.is_empty() || self.groups.contains(&group);
        // A process that measures one figure alone is told its whole name.
        let fits = |part: &str| name == part || !self.alone && name.contains(part);
        in_groups && self.only.as_deref().is_none_or(fits)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.max(0.1))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(port) = options.bare_relay {
        if let Err(reason) = turn::bare::run(port) {
            eprintln!("bench: the bare relay: {reason}");
        }
        return ExitCode::FAILURE;
    }
    let mut figures = Figures::default();
    match measure(&options, &mut figures) {
        Ok(()) if options.json => println!("{}", figures.json()),
        Ok(()) => println!("{figures}"),
        Err(reason) => {
            eprintln!("{figures}\nbench: {reason}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options, figures: &mut Figures) -> Result<(), String> {
    limits::core("core", figures);
    measure_groups(options, figures)?;
    limits::core("core, at the end", figures);
    Ok(())
}

fn measure_groups(options: &Options, figures: &mut Figures) -> Result<(), String> {
    if options.wants(Group::Limits, "udp") {
        limits::udp(options.time(), figures)?;
    }
    if options.wants(Group::Limits, "aes-128-gcm") {
        limits::aead(options.time() / 3, figures)?;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    if options.wants(Group::Setup, "setup") {
        runtime.block_on(setup::measure(options, figures))?;
    }
    if options.wants(Group::Sctp, "sctp") {
        sctp::measure(options.time(), figures)?;
    }
    measure_data(options, &runtime, figures)?;
    if options.groups.is_empty() || options.groups.contains(&Group::Turn) {
        turn::measure(options, figures)?;
    }
    if options.wants(Group::Forward, "forward") {
        forward::measure(figures)?;
    }
    if options.wants(Group::Dtls, "dtls") {
        dtls::measure(options.time(), figures)?;
    }
    if options.wants(Group::Stun, "stun") {
        stun::measure(options.time(), figures)?;
    }
    if options.wants(Group::Ice, "ice") {
        ice::measure(figures)?;
    }
    Ok(())
}

/// Data channels. The tasks run where they would in a program, on the threads of the runtime.
fn measure_data(
    options: &Options,
    runtime: &tokio::runtime::Runtime,
    figures: &mut Figures,
) -> Result<(), String> {
    for case in data::CASES {
        if options.wants(Group::Datachannel, case.name) {
            let so_far = std::mem::take(figures);
            let task = runtime.spawn(data::measure(options.clone(), case, so_far));
            *figures = runtime.block_on(task).map_err(|error| error.to_string())??;
        }
    }
    for name in [data::CROWD.name, data::IDLE] {
        if !options.wants(Group::Datachannel, name) {
            continue;
        }
        if !options.alone {
            figures.take_in(&alone(options, name)?)?;
            continue;
        }
        let so_far = std::mem::take(figures);
        if name == data::IDLE {
            // One thread, as the peer's.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().map_err(|error| error.to_string())?;
            *figures = runtime.block_on(data::idle(options.clone(), so_far))?;
            continue;
        }
        let task = runtime.spawn(data::measure(options.clone(), data::CROWD, so_far));
        *figures = runtime.block_on(task).map_err(|error| error.to_string())??;
    }
    #[cfg(feature = "peers")]
    measure_peers(options, figures)?;
    Ok(())
}

/// The same of peers, for the ratios. Messages of str0m cannot be larger than what it queues.
#[cfg(feature = "peers")]
fn measure_peers(options: &Options, figures: &mut Figures) -> Result<(), String> {
    use beside::{str0m, webrtc};

    for case in data::CASES {
        let name = format!("{} {}", case.name, webrtc::SUFFIX);
        if options.wants(Group::Datachannel, &name) {
            webrtc::measure(options.time(), case, figures)?;
        }
        let name = format!("{} {}", case.name, str0m::SUFFIX);
        if case.size() <= 65_536 && options.wants(Group::Datachannel, &name) {
            str0m::measure(options, case, figures)?;
        }
    }
    let name = format!("{} {}", data::IDLE, str0m::SUFFIX);
    match options.wants(Group::Datachannel, &name) {
        true if options.alone => str0m::idle(options, figures)?,
        true => figures.take_in(&alone(options, &name)?)?,
        false => return Ok(()),
    }
    for what in ["rss", "cpu"] {
        let (ours, theirs) = (format!("{} {what}", data::IDLE), format!("{name} {what}"));
        if let Some((ours, theirs)) = figures.get(&ours).zip(figures.get(&theirs)) {
            let share = format!("{name} {what} share");
            figures.add(&share, ours / theirs, "", "ours, in parts of the peer's");
        }
    }
    Ok(())
}

/// Measures one figure in a process of its own, since its memory is part of it.
fn alone(options: &Options, name: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = std::process::Command::new(program);
    command.args(["datachannel", "--alone", "--json", "--only", name, "--seconds"]);
    command.arg(options.seconds.to_string());
    if options.usual_datagrams {
        command.arg("--usual-datagrams");
    }
    if options.any_address {
        command.arg("--any-address");
    }
    if let Some(bytes) = options.socket_buffer {
        command.args(["--socket-buffer", &bytes.to_string()]);
    }
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{name}: its process ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
