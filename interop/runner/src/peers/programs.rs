//! The peers that are programs: what each is started with.

use super::{Flavour, Kind, folder};
use std::path::PathBuf;
use tokio::process::Command;

/// The command that starts a peer program, if the peer is one.
pub fn command(kind: Kind, flavour: Flavour) -> Option<Command> {
    match kind {
        Kind::Libwebrtc => {
            let mut command = venv_python("libwebrtc");
            command.env("WRTC_ALLOW_LOOPBACK", "1");
            command.envs(flavour.field_trials().map(|trials| ("WRTC_FIELD_TRIALS", trials)));
            Some(command)
        }
        Kind::Aiortc => Some(venv_python("aiortc")),
        Kind::Werift => Some(node("werift")),
        Kind::NodeDatachannel => Some(node("node-datachannel")),
        Kind::Gstreamer => Some(gstreamer()),
        Kind::Pion => Some(Command::new(made("pion").join("peer"))),
        Kind::Dunlin | Kind::Chromium | Kind::Firefox => None,
    }
}

/// What setup made: `DUNLIN_INTEROP_…`, else in `target/interop-NAME`.
fn made(name: &str) -> PathBuf {
    let variable = format!("DUNLIN_INTEROP_{}", name.to_uppercase());
    std::env::var_os(variable).map_or_else(
        || folder("..").join("target").join(format!("interop-{name}")),
        PathBuf::from,
    )
}

fn venv_python(name: &str) -> Command {
    let interpreter = std::env::var_os("DUNLIN_INTEROP_PYTHON")
        .map_or_else(|| made("venv").join("bin").join("python3"), PathBuf::from);
    let mut command = Command::new(interpreter);
    command.arg("-u").arg(folder(name).join("peer.py"));
    python(&mut command);
    command
}

/// Modules are looked up from where setup installed them.
fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder(name).join("peer.mjs")).arg(made("node"));
    command
}

/// The distribution's own Python has the bindings.
fn gstreamer() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-u").arg(folder("gstreamer").join("peer.py"));
    python(&mut command);
    command
}

/// What every peer in Python wants: the protocol's modules, and no traces in the folders.
fn python(command: &mut Command) {
    command.env("PYTHONPATH", folder("protocol"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
}
