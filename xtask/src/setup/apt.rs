//! Debian packages.

use crate::run::{command, exists, output, run};

/// Installs packages when we are root on a machine with apt, and otherwise says what to do.
pub(crate) fn install(packages: &[&str], peers: &[String]) -> Result<(), String> {
    let list = packages.join(" ");
    let by_hand = format!(
        "the peers {} need {list}; install that with\n    sudo apt-get install --no-install-recommends {list}\n\
         or the like of your distribution, then run this again",
        peers.join(", ")
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
