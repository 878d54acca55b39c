//! Installing the interop peers: from the distribution, from PyPI in a venv and from npm in a folder under `target/`.
//! Only what is missing, and only for the peers asked for.

mod apt;
mod browser;
mod go;
mod gstreamer;
mod node;
mod python;
mod usrsctp;

use crate::run::exists;
pub(crate) use go::folder as pion;
pub(crate) use node::folder as node_modules;
pub(crate) use python::interpreter as python;
pub(crate) use usrsctp::program as usrsctp;

/// A peer: what it needs and how to see whether that is there.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Debian packages, installed together with those of the other peers.
    packages: &'static [&'static str],
    /// Whether what the packages bring is there already.
    there: fn() -> bool,
    /// What is to do besides.
    finish: fn() -> Result<(), String>,
    /// It takes part in `xtask test`.
    fast: bool,
    /// It is a WebRTC stack, for the cases; otherwise it speaks DTLS only.
    web: bool,
}

const PROGRAM: Peer = Peer {
    name: "",
    packages: &[],
    there: || true,
    finish: || Ok(()),
    fast: true,
    web: false,
};

const STACK: Peer = Peer { web: true, ..PROGRAM };

/// Every peer that there is.
const ALL: &[Peer] = &[
    Peer {
        name: "openssl",
        packages: &["openssl"],
        there: || exists("openssl"),
        ..PROGRAM
    },
    Peer {
        name: "gnutls",
        packages: &["gnutls-bin"],
        there: || exists("gnutls-cli") && exists("gnutls-serv"),
        ..PROGRAM
    },
    Peer {
        name: "nss",
        packages: &["libnss3-tools"],
        there: nss,
        fast: false,
        ..PROGRAM
    },
    Peer {
        name: "nss-firefox",
        packages: &["libnss3-tools", "firefox-esr"],
        there: || nss() && browser::firefox(),
        fast: false,
        ..PROGRAM
    },
    Peer {
        name: "dimpl",
        ..PROGRAM
    },
    Peer {
        name: "chromium",
        packages: &["chromium"],
        there: browser::chromium,
        ..STACK
    },
    Peer {
        name: "libwebrtc",
        packages: &["python3", "python3-venv"],
        there: python::there,
        finish: || python::wheel("webrtc", "wrtc==0.1.0"),
        ..STACK
    },
    Peer {
        name: "aiortc",
        packages: &["python3", "python3-venv"],
        there: python::there,
        finish: || python::wheel("aiortc", "aiortc==1.16.0"),
        ..STACK
    },
    Peer {
        name: "werift",
        packages: &["nodejs", "npm"],
        there: node::there,
        finish: node::modules,
        // As a DTLS server it fails now and then, see the legend of the matrix.
        fast: false,
        ..STACK
    },
    Peer {
        name: "node-datachannel",
        packages: &["nodejs", "npm"],
        there: node::there,
        finish: node::modules,
        ..STACK
    },
    Peer {
        name: "firefox",
        packages: &["firefox-esr"],
        there: browser::firefox,
        fast: false,
        ..STACK
    },
    Peer {
        name: "gstreamer",
        packages: gstreamer::PACKAGES,
        there: gstreamer::there,
        fast: false,
        ..STACK
    },
    Peer {
        name: "pion",
        packages: go::PACKAGES,
        there: go::there,
        finish: go::build,
        fast: false,
        ..STACK
    },
];

fn nss() -> bool {
    ["tstclnt", "certutil", "pk12util"]
        .iter()
        .all(|program| exists(program))
}

/// Makes sure that coturn's client programs are there.
pub(crate) fn coturn() -> Result<(), String> {
    install_missing(&[("turnutils_uclient", "coturn")], "coturn")
}

/// Makes sure that network namespaces, the kernel's packet filter and coturn can be commanded.
pub(crate) fn network() -> Result<(), String> {
    let wanted = [("ip", "iproute2"), ("nft", "nftables"), ("turnserver", "coturn")];
    install_missing(&wanted, "nat")
}

/// Makes sure that a browser can be told whom to trust.
pub(crate) fn certificates() -> Result<(), String> {
    install_missing(&[("certutil", "libnss3-tools")], "firefox")
}

fn install_missing(wanted: &[(&str, &str)], whose: &str) -> Result<(), String> {
    let missing = wanted.iter().filter(|(program, _)| !exists(program));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    apt::install(&packages, &[whose.to_owned()])
}

/// Peers of a command.
pub(crate) type Peers = Vec<&'static Peer>;

/// All peers.
pub(crate) fn all() -> Peers {
    ALL.iter().collect()
}

/// The peers of `xtask test`.
pub(crate) fn fast() -> Peers {
    ALL.iter().filter(|peer| peer.fast).collect()
}

/// Those of these that are WebRTC stacks.
pub(crate) fn stacks(peers: &Peers) -> Peers {
    peers.iter().copied().filter(|peer| peer.web).collect()
}

/// The peers that the cases run against where none is named.
pub(crate) fn usual() -> Peers {
    named(&["chromium".to_owned(), "libwebrtc".to_owned()])
}

/// The peers named in the arguments of a command.
pub(crate) fn named(arguments: &[String]) -> Peers {
    ALL.iter()
        .filter(|peer| arguments.iter().any(|argument| argument == peer.name))
        .collect()
}

/// The names, as arguments.
pub(crate) fn names(peers: &Peers) -> Vec<String> {
    peers.iter().map(|peer| peer.name.to_owned()).collect()
}

/// Makes sure the peers can be started, installing what is missing where that is allowed.
pub(crate) fn peers(peers: &Peers) -> Result<(), String> {
    let missing: Peers = peers.iter().copied().filter(|peer| !(peer.there)()).collect();
    let mut packages: Vec<&str> = missing.iter().flat_map(|peer| peer.packages).copied().collect();
    // Certificates for DTLS peers are made by the program; the namespace for some stacks by another.
    let always = [("openssl", "openssl"), ("ip", "iproute2")];
    packages.extend(
        always
            .iter()
            .filter(|(program, _)| !exists(program))
            .map(|(_, package)| package),
    );
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        apt::install(&packages, &names(&missing))?;
    }
    if let Some(peer) = missing.iter().find(|peer| !(peer.there)()) {
        let packages = peer.packages.join(", ");
        return Err(format!(
            "{}: {packages} were installed, but something is still not there",
            peer.name
        ));
    }
    peers.iter().try_for_each(|peer| (peer.finish)())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_their_names_among_options() {
        let arguments = ["gnutls", "--repeat", "3", "openssl"].map(str::to_owned);
        assert_eq!(names(&named(&arguments)), ["openssl", "gnutls"]);
    }

    #[test]
    fn the_suite_runs_the_fast_ones() {
        let fast = names(&fast());
        assert!(fast.contains(&"chromium".to_owned()), "{fast:?}");
        assert!(!fast.contains(&"pion".to_owned()), "{fast:?}");
        assert_eq!(names(&stacks(&usual())), ["chromium", "libwebrtc"]);
    }
}
