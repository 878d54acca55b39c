//! usrsctp: the distribution has the library, our program is built against it.

use super::apt;
use crate::run::{command, exists, root, run, target};
use std::path::{Path, PathBuf};

const HEADER: &str = "/usr/include/usrsctp.h";
const PACKAGE: &str = "libusrsctp-dev";

/// Builds `interop/usrsctp/peer.c`; where the program is.
pub(crate) fn program() -> Result<PathBuf, String> {
    if !Path::new(HEADER).is_file() {
        apt::install(&[PACKAGE], &["usrsctp".to_owned()])?;
    }
    let compiler = ["cc", "gcc", "clang"].into_iter().find(|name| exists(name));
    let compiler = compiler.ok_or("the peer usrsctp needs a C compiler")?;
    let folder = target().join("interop-usrsctp");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let program = folder.join("peer");
    let source = root().join("interop").join("usrsctp").join("peer.c");
    // The program's own clock takes the place of the library's.
    let mut build = command(
        compiler,
        &["-std=gnu11", "-O1", "-Wall", "-Wextra", "-rdynamic", "-o"],
    );
    build.arg(&program).arg(source).arg("-lusrsctp");
    run(&mut build)?;
    Ok(program)
}
