//! Peers in Python: pinned wheels in a venv under `target/`.

use crate::run::{command, exists, output, run, target};
use std::path::PathBuf;

/// The venv's interpreter, or that of `DUNLIN_INTEROP_PYTHON`.
pub(crate) fn interpreter() -> PathBuf {
    match std::env::var_os("DUNLIN_INTEROP_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => target().join("interop-venv").join("bin").join("python3"),
    }
}

/// Whether there is a Python that makes venvs.
pub(crate) fn there() -> bool {
    let mut probe = command("python3", &["-c", "import venv, ensurepip"]);
    interpreter().is_file() || exists("python3") && probe.output().is_ok_and(|result| result.status.success())
}

/// Makes sure that `module` can be imported, by installing `wheel`.
pub(crate) fn wheel(module: &str, wheel: &str) -> Result<(), String> {
    let python = interpreter();
    let program = python.display().to_string();
    let import = format!("import {module}");
    let mut probe = command(&program, &["-c", &import]);
    if python.is_file() && probe.output().is_ok_and(|result| result.status.success()) {
        return Ok(());
    }
    if std::env::var_os("DUNLIN_INTEROP_PYTHON").is_some() {
        return Err(format!(
            "DUNLIN_INTEROP_PYTHON is {program}, which cannot `{import}`: pip install {wheel} there, or unset it"
        ));
    }
    if !python.is_file() {
        let venv = target().join("interop-venv").display().to_string();
        run(&mut command("python3", &["-m", "venv", "--clear", &venv]))?;
    }
    let mut install = command(&program, &["-m", "pip", "install", "--quiet"]);
    install.args(["--disable-pip-version-check", wheel]);
    run(&mut install).map_err(|reason| {
        format!(
            "{reason}\na peer is the wheel {wheel} of PyPI: pip must reach a package index (see `pip config`)"
        )
    })?;
    output(&mut command(&program, &["-c", &import])).map(drop)
}
