//! Two hosts behind NATs of the kernel, and a public network between them, out of network namespaces.
//!
//! ```text
//! a 10.1.0.2 -- 10.1.0.1 na 203.0.113.11 --+-- bridge --+-- 203.0.113.12 nb 10.2.0.1 -- 10.2.0.2 b
//!   10.3.0.2 -- 10.3.0.1 nc 203.0.113.13 --+            |
//!                         public: 203.0.113.1 and .2 ---+
//! ```
//!
//! The names of the namespaces hold the number of this process, interfaces live inside them only, so that several labs
//! can stand side by side; whatever happens, the namespaces go with the lab, and those of a process that was killed with
//! the next lab.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// What every name begins with.
const PREFIX: &str = "dunlin-nat";
/// Where servers listen: one of each kind.
pub const SERVERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)),
];

/// How a NAT behaves, in the words of RFC 4787.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Endpoint-independent mapping, address-and-port-dependent filtering: a home router.
    Cone,
    /// Another port for every destination.
    Symmetric,
    /// Endpoint-independent in mapping and filtering: everything from outside is let in.
    Full,
    /// A cone that lets no UDP through.
    NoUdp,
    /// A cone that lets nothing through but TCP to the ports of the web.
    WebOnly,
}

impl Nat {
    pub fn name(self) -> &'static str {
        match self {
            Nat::Cone => "cone",
            Nat::Symmetric => "sym",
            Nat::Full => "full",
            Nat::NoUdp => "noudp",
            Nat::WebOnly => "web",
        }
    }

    /// Its rules. What comes from outside unasked must not reach the NAT's own sockets: the kernel would note it as a flow
    /// and then need another port for the flow that goes out to the same address.
    fn rules(self, inside: &str) -> String {
        let (mut before, mut refused, mut let_in) = (String::new(), "", "");
        let source = match self {
            Nat::Symmetric => "oifname ext masquerade fully-random;",
            _ => "oifname ext masquerade;",
        };
        match self {
            Nat::Full => {
                before = format!("iifname ext udp dport 1024-65535 dnat to {inside};");
                let_in = "iifname ext accept;";
            }
            Nat::NoUdp => refused = "meta l4proto udp drop;",
            Nat::WebOnly => refused = "meta l4proto udp drop; iifname int tcp dport != { 80, 443 } drop;",
            Nat::Cone | Nat::Symmetric => {}
        }
        format!(
            "flush ruleset
            table ip nat {{
                chain before {{ type nat hook prerouting priority -100; {before} }}
                chain behind {{ type nat hook postrouting priority 100; {source} }}
            }}
            table ip filter {{
                chain own {{ type filter hook input priority 0; iifname ext meta l4proto {{ udp, tcp }} drop; }}
                chain through {{
                    type filter hook forward priority 0;
                    {refused}
                    iifname ext ct state established,related accept;
                    {let_in}
                    iifname ext drop;
                }}
            }}"
        )
    }
}

/// A host, and the NAT before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
    /// The second uplink of A; it is no host of its own.
    C,
}

impl Side {
    fn letter(self) -> char {
        match self {
            Side::A => 'a',
            Side::B => 'b',
            Side::C => 'c',
        }
    }

    fn number(self) -> u8 {
        match self {
            Side::A => 1,
            Side::B => 2,
            Side::C => 3,
        }
    }
}

/// Why there is no lab.
#[derive(Debug)]
pub enum NoLab {
    /// The kernel, or our rights, do not allow it.
    Refused(String),
    /// Something else.
    Failed(String),
}

/// The namespaces; they go with this.
#[derive(Debug)]
pub struct Lab {
    name: String,
    made: Vec<String>,
}

impl Lab {
    /// Builds it.
    pub fn up(a: Nat, b: Nat) -> Result<Lab, NoLab> {
        for (program, version) in [("ip", "-V"), ("nft", "-v")] {
            run(words(&[program, version]), "")
                .map_err(|reason| NoLab::Failed(format!("{reason} (`cargo xtask setup` installs it)")))?;
        }
        forget_the_dead();
        let mut lab = Lab {
            name: format!("{PREFIX}-{}", std::process::id()),
            made: Vec::new(),
        };
        lab.trial().map_err(NoLab::Refused)?;
        lab.build(a, b).map_err(NoLab::Failed)?;
        Ok(lab)
    }

    /// A namespace and a table of rules in it: what a kernel or a container may refuse.
    fn trial(&mut self) -> Result<(), String> {
        self.add("public")?;
        self.rules(&self.public(), "table ip trial { }\ndelete table ip trial")
    }

    fn build(&mut self, a: Nat, b: Nat) -> Result<(), String> {
        // coturn gives a relay up for good when it has no route to some peer; this one leads nowhere.
        let public = "link add bridge type bridge
            address add 203.0.113.1/24 dev bridge
            address add 203.0.113.2/24 dev bridge
            link set bridge up";
        self.ip(&self.public(), &format!("{public}\n{}", nowhere("bridge")))?;
        for (side, nat) in [(Side::A, a), (Side::B, b)] {
            self.add(&side.letter().to_string())?;
            self.uplink(side, nat)?;
        }
        Ok(())
    }

    /// A NAT between the public network and its host.
    fn uplink(&mut self, side: Side, nat: Nat) -> Result<(), String> {
        let (host, number) = (if side == Side::C { Side::A } else { side }, side.number());
        let (inner, outer) = (self.host(host), self.add(&format!("n{}", side.letter()))?);
        let port = format!("port{number}");
        let cable = if side == Side::C { "eth1" } else { "eth0" };
        self.ip(
            &outer,
            &format!(
                "link add ext type veth peer name {port} netns {}
                link add int type veth peer name {cable} netns {inner}
                address add 203.0.113.1{number}/24 dev ext
                address add 10.{number}.0.1/24 dev int
                link set int up",
                self.public()
            ),
        )?;
        self.ip(
            &self.public(),
            &format!("link set {port} master bridge\nlink set {port} up"),
        )?;
        // By its source address, so that each uplink carries its own; the metric lets the first win otherwise.
        self.ip(
            &inner,
            &format!(
                "address add 10.{number}.0.2/24 dev {cable}
                link set {cable} up
                route add default via 10.{number}.0.1 metric {number}
                route add default via 10.{number}.0.1 table {number}
                rule add from 10.{number}.0.2 table {number}"
            ),
        )?;
        let forward = ["sysctl", "-qw", "net.ipv4.ip_forward=1"];
        run(self.enter(&outer, &forward), "")?;
        self.nat(side, nat)
    }

    /// Gives A a second uplink, behind a NAT of its own.
    pub fn second_uplink(&mut self, nat: Nat) -> Result<(), String> {
        self.uplink(Side::C, nat)
    }

    /// Takes an uplink's interface away from its host, as a cable that is pulled out together with its socket.
    pub fn cut(&self, side: Side) -> Result<(), String> {
        match side {
            Side::C => self.ip(&self.host(Side::A), "link delete eth1"),
            _ => self.ip(&self.host(side), "link delete eth0"),
        }
    }

    /// Lays the uplinks of a host anew, its first one only, after one of them was cut.
    pub fn restore(&mut self, side: Side, nat: Nat) -> Result<(), String> {
        let host = self.host(side);
        for (old, cable) in [(side, "eth0"), (Side::C, "eth1")] {
            let (outer, number) = (format!("{}-n{}", self.name, old.letter()), old.number());
            self.ip(&host, &format!("rule delete from 10.{number}.0.2 table {number}"))?;
            // They would go with the namespace, but later. One of them is gone already.
            let _ = self.ip(&host, &format!("link delete {cable}"));
            self.ip(&self.public(), &format!("link delete port{number}"))?;
            remove(&outer);
            self.made.retain(|made| *made != outer);
        }
        self.uplink(side, nat)
    }

    /// Makes a NAT behave like this from now on; what it knew it forgets.
    pub fn nat(&self, side: Side, nat: Nat) -> Result<(), String> {
        let outer = format!("{}-n{}", self.name, side.letter());
        self.rules(&outer, &nat.rules(&format!("10.{}.0.2", side.number())))?;
        // Mappings of a masquerade go when its interface goes down, and so do the routes.
        self.ip(
            &outer,
            &format!("link set ext down\nlink set ext up\n{}", nowhere("ext")),
        )
    }

    /// Loads packet filter rules.
    pub fn rules(&self, namespace: &str, rules: &str) -> Result<(), String> {
        run(self.enter(namespace, &["nft", "-f", "-"]), rules)
    }

    /// The namespace of a host.
    pub fn host(&self, side: Side) -> String {
        format!("{}-{}", self.name, side.letter())
    }

    /// The namespace of the servers.
    pub fn public(&self) -> String {
        format!("{}-public", self.name)
    }

    fn add(&mut self, role: &str) -> Result<String, String> {
        let name = format!("{}-{role}", self.name);
        run(words(&["ip", "netns", "add", &name]), "")?;
        self.made.push(name.clone());
        self.ip(&name, "link set lo up")?;
        Ok(name)
    }

    /// Runs commands of `ip`, one a line.
    fn ip(&self, namespace: &str, commands: &str) -> Result<(), String> {
        run(words(&["ip", "-netns", namespace, "-batch", "-"]), commands)
    }

    fn enter(&self, namespace: &str, program: &[&str]) -> Command {
        let mut command = words(&["ip", "netns", "exec", namespace]);
        command.args(program);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.made {
            remove(name);
        }
    }
}

/// A default route to a neighbour that is not there, so that sending to private addresses is no error.
fn nowhere(device: &str) -> String {
    format!(
        "neighbor replace 203.0.113.254 lladdr 02:00:00:00:00:01 dev {device} nud permanent
        route replace default via 203.0.113.254"
    )
}

/// Removes what a killed process left.
fn forget_the_dead() {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let listed = listed.map(|output| output.stdout).unwrap_or_default();
    for name in String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
    {
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(name);
        }
    }
}

fn remove(namespace: &str) {
    let _ = words(&["ip", "netns", "delete", namespace])
        .stderr(Stdio::null())
        .status();
}

fn words(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Runs a program that reads this; what it says on standard error is the reason of a failure.
fn run(mut command: Command, input: &str) -> Result<(), String> {
    let program = format!("{command:?}").replace('"', "");
    let failed = |error: std::io::Error| format!("{program}: {error}");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_say_what_the_names_do() {
        let has = |nat: Nat, text: &str| nat.rules("10.1.0.2").contains(text);
        assert!(has(Nat::Symmetric, "fully-random") && !has(Nat::Cone, "fully-random"));
        assert!(has(Nat::Full, "dnat to 10.1.0.2") && !has(Nat::Cone, "dnat"));
        assert!(has(Nat::NoUdp, "udp drop") && !has(Nat::Symmetric, "udp drop"));
    }
}
