//! A network of our own: where we are root, the program starts itself again in a network namespace with loopback, a
//! pair of veth interfaces and a default route, which is what some peers need to have candidates at all.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Set once we are inside.
const INSIDE: &str = "DUNLIN_INTEROP_NAMESPACE";

/// Nothing answers behind the route, it only has to be there. What is sent to the address stays inside.
const NETWORK: &str = "ip link set lo up \
    && ip link add dunlin0 type veth peer name dunlin1 \
    && ip address add 10.77.0.1/24 dev dunlin0 \
    && ip link set dunlin0 up && ip link set dunlin1 up \
    && ip route add default via 10.77.0.254";

/// Moves into the namespace; comes back only where that is not allowed, or when we are inside.
pub fn enter() {
    if std::env::var_os(INSIDE).is_some() || !allowed() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let script = format!("{NETWORK} && exec \"$0\" \"$@\"");
    let error = in_namespace(&script)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("no network of our own: {error}");
}

/// The address of this host that others on its network know: the namespace's; where we are in none, the loopback's.
pub fn address() -> IpAddr {
    match std::env::var_os(INSIDE) {
        Some(_) => IpAddr::from([10, 77, 0, 1]),
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// Tries it.
fn allowed() -> bool {
    let mut trial = in_namespace(NETWORK);
    trial
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-c", script]);
    command
}
