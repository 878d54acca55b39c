//! Peers in JavaScript: pinned packages of npm in a folder under `target/`.

use crate::run::{command, exists, run, target};
use std::path::PathBuf;

/// Both at once: npm removes from a folder what it is not asked for.
const PACKAGES: &[&str] = &["werift@0.24.4", "node-datachannel@0.33.4"];

/// The folder with the modules, or that of `DUNLIN_INTEROP_NODE`.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("DUNLIN_INTEROP_NODE").map_or_else(|| target().join("interop-node"), PathBuf::from)
}

/// Whether there is Node.js, with npm if that is still needed.
pub(crate) fn there() -> bool {
    exists("node") && (installed() || exists("npm"))
}

/// The versions that are installed are those that we want.
fn installed() -> bool {
    let right = |package: &&str| {
        let Some((name, version)) = package.split_once('@') else {
            return false;
        };
        let manifest = folder().join("node_modules").join(name).join("package.json");
        std::fs::read_to_string(manifest)
            .is_ok_and(|text| text.contains(&format!("\"version\": \"{version}\"")))
    };
    PACKAGES.iter().all(right)
}

/// Installs the modules.
pub(crate) fn modules() -> Result<(), String> {
    if installed() {
        return Ok(());
    }
    let folder = folder();
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut install = command(
        "npm",
        &["install", "--silent", "--no-audit", "--no-fund", "--no-save"],
    );
    install.arg("--prefix").arg(&folder).args(PACKAGES);
    run(&mut install).map_err(|reason| {
        let packages = PACKAGES.join(" and ");
        format!("{reason}\npeers are the packages {packages} of npm, which must reach a registry (see `npm config`)")
    })
}
