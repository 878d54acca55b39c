//! pion: the distribution has the sources, our program is built against them.

use crate::run::{command, exists, root, run, target};
use std::path::{Path, PathBuf};

pub(crate) const PACKAGES: &[&str] = &["golang-go", "golang-github-pion-webrtc.v3-dev"];

/// Where Debian puts the sources of Go packages.
const SOURCES: &str = "/usr/share/gocode";

/// Where the program is built.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("DUNLIN_INTEROP_PION").map_or_else(|| target().join("interop-pion"), PathBuf::from)
}

pub(crate) fn there() -> bool {
    exists("go")
        && Path::new(SOURCES)
            .join("src/github.com/pion/webrtc/peerconnection.go")
            .is_file()
}

/// Builds the program in a GOPATH of its own, so that nothing is downloaded.
pub(crate) fn build() -> Result<(), String> {
    let folder = folder();
    let source = folder.join("gopath").join("src").join("peer");
    let failed = |error: std::io::Error| format!("{}: {error}", source.display());
    std::fs::create_dir_all(&source).map_err(failed)?;
    for name in ["go.mod", "peer.go"] {
        let from = root().join("interop").join("pion").join(name);
        std::fs::copy(from, source.join(name)).map_err(failed)?;
    }
    let mut build = command("go", &["build", "-o"]);
    build.arg(folder.join("peer")).arg(".").current_dir(&source);
    build
        .env("GO111MODULE", "off")
        .env("GOCACHE", folder.join("cache"));
    build.env("GOPATH", format!("{}:{SOURCES}", folder.join("gopath").display()));
    run(&mut build)
}
