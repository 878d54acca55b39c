//! Installing the interop peers: Chromium from the distribution, libwebrtc from PyPI in a venv under `target/`.

use crate::run::{command, exists, output, run, target};
use std::path::PathBuf;

/// The Python wheel that carries libwebrtc, pinned.
const WRTC: &str = "wrtc==0.1.0";

/// Which peers a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peers {
    pub(crate) chromium: bool,
    pub(crate) libwebrtc: bool,
}

impl Peers {
    pub(crate) const ALL: Peers = Peers {
        chromium: true,
        libwebrtc: true,
    };
}

/// The peers named in the arguments of `xtask interop`; none named means all.
pub(crate) fn wanted(arguments: &[String]) -> Peers {
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    match (named("chromium"), named("libwebrtc")) {
        (false, false) => Peers::ALL,
        (chromium, libwebrtc) => Peers { chromium, libwebrtc },
    }
}

/// Makes sure the peers can be started, installing what is missing where that is allowed.
pub(crate) fn peers(peers: Peers) -> Result<(), String> {
    if peers.chromium {
        chromium()?;
    }
    if peers.libwebrtc {
        libwebrtc()?;
    }
    Ok(())
}

/// Chromium, as the distribution packages it.
fn chromium() -> Result<(), String> {
    if chromium_program().is_some() {
        return Ok(());
    }
    apt(
        &["chromium"],
        "the interop cases and the page test drive a headless Chromium",
    )?;
    chromium_program()
        .map(drop)
        .ok_or_else(|| "chromium was installed but is not on the PATH".to_owned())
}

/// The browser to start: `DUNLIN_CHROMIUM`, else the first of the usual names on the PATH.
fn chromium_program() -> Option<String> {
    std::env::var("DUNLIN_CHROMIUM").ok().or_else(|| {
        ["chromium", "chromium-browser"]
            .iter()
            .find(|name| exists(name))
            .map(|s| (*s).to_owned())
    })
}

/// The venv's Python interpreter.
pub(crate) fn python() -> PathBuf {
    match std::env::var_os("DUNLIN_INTEROP_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => target().join("interop-venv").join("bin").join("python3"),
    }
}

/// libwebrtc: a venv with the pinned wheel.
fn libwebrtc() -> Result<(), String> {
    let python = python();
    let program = python.display().to_string();
    let probe = &["-c", "import webrtc"];
    if python.is_file()
        && command(&program, probe)
            .output()
            .is_ok_and(|result| result.status.success())
    {
        return Ok(());
    }
    if std::env::var_os("DUNLIN_INTEROP_PYTHON").is_some() {
        return Err(format!(
            "DUNLIN_INTEROP_PYTHON is {program}, which cannot `import webrtc`: \
                            pip install {WRTC} there, or unset it"
        ));
    }
    if !exists("python3") {
        apt(
            &["python3", "python3-venv"],
            "the libwebrtc peer is a Python program",
        )?;
    }
    let venv = target().join("interop-venv").display().to_string();
    if run(&mut command("python3", &["-m", "venv", "--clear", &venv])).is_err() {
        apt(&["python3-venv"], "the libwebrtc peer lives in a Python venv")?;
        run(&mut command("python3", &["-m", "venv", "--clear", &venv]))?;
    }
    run(&mut command(
        &program,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            WRTC,
        ],
    ))
    .map_err(|reason| {
        format!(
            "{reason}\nthe libwebrtc peer is the wheel {WRTC} of PyPI: \
                     pip must reach a package index (see `pip config`)"
        )
    })?;
    output(&mut command(&program, probe)).map(drop)
}

/// Installs Debian packages when we are root on a machine with apt, and otherwise says what to do.
fn apt(packages: &[&str], why: &str) -> Result<(), String> {
    let list = packages.join(" ");
    let by_hand = format!(
        "{why}; install it with\n    sudo apt-get install --no-install-recommends {list}\n\
                           or the like of your distribution, then run this again"
    );
    if !exists("apt-get") {
        return Err(by_hand);
    }
    if output(&mut command("id", &["-u"]))?.trim() != "0" {
        return Err(format!(
            "{by_hand} (only root may install it, and this is not root)"
        ));
    }
    let options = ["-o", "DPkg::Lock::Timeout=300", "-qq"];
    let mut update = command("apt-get", &options);
    update.arg("update").env("DEBIAN_FRONTEND", "noninteractive");
    let mut install = command("apt-get", &options);
    install
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut update)
        .and_then(|()| run(&mut install))
        .map_err(|reason| format!("{reason}\n{by_hand}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peer_named_means_every_peer() {
        assert_eq!(wanted(&["--json".to_owned()]), Peers::ALL);
        assert_eq!(
            wanted(&["chromium".to_owned(), "--repeat".to_owned(), "3".to_owned()]),
            Peers {
                chromium: true,
                libwebrtc: false
            }
        );
    }
}
