//! The dependency edges of ARCHITECTURE.md: every arrow points down. Only `[dependencies]` and
//! `[build-dependencies]` count; tests may use what they like.

use super::finding::Finding;
use crate::run::{command, output, root};
use serde_json::Value;
use std::path::Path;

/// For each crate, the crates of this workspace it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("dunlin-net", &[]),
    ("dunlin-crypto", &[]),
    ("dunlin-stun", &["dunlin-crypto", "dunlin-net"]),
    ("dunlin-turn", &["dunlin-stun", "dunlin-crypto", "dunlin-net"]),
    ("dunlin-ice", &["dunlin-turn", "dunlin-stun", "dunlin-net"]),
    ("dunlin-dtls", &["dunlin-crypto"]),
    ("dunlin-sctp", &["dunlin-crypto"]),
    ("dunlin-rtp", &[]),
    ("dunlin-srtp", &["dunlin-rtp", "dunlin-crypto"]),
    ("dunlin-sdp", &[]),
    ("dunlin-media", &["dunlin-rtp"]),
    (
        "dunlin-peerconnection",
        &[
            "dunlin-ice",
            "dunlin-dtls",
            "dunlin-sctp",
            "dunlin-srtp",
            "dunlin-media",
            "dunlin-rtp",
            "dunlin-sdp",
            "dunlin-net",
        ],
    ),
    // crypto: for the seed of a connection only. turn, dtls: for the TURN server (docs/decisions/0012); stun: for the
    // discovery of NATs.
    (
        "dunlin",
        &[
            "dunlin-peerconnection",
            "dunlin-turn",
            "dunlin-stun",
            "dunlin-dtls",
            "dunlin-net",
            "dunlin-crypto",
        ],
    ),
    ("dunlin-cli", &["dunlin"]),
    // dtls: the liar in the middle, which the fuzz targets use as well.
    (
        "dunlin-sim",
        &[
            "dunlin-peerconnection",
            "dunlin-turn",
            "dunlin-dtls",
            "dunlin-net",
        ],
    ),
    ("dunlin-interop", &["dunlin", "dunlin-sctp"]),
    // below dunlin: to measure parts alone beside what uses them; turn: a client.
    (
        "dunlin-bench",
        &[
            "dunlin",
            "dunlin-peerconnection",
            "dunlin-dtls",
            "dunlin-ice",
            "dunlin-stun",
            "dunlin-sctp",
            "dunlin-turn",
            "dunlin-crypto",
            "dunlin-net",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that only some crates may name.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "openssl",
        &["dunlin-crypto"],
        "crypto is the only crate that names a crypto backend",
    ),
    (
        "tokio",
        &["dunlin", "dunlin-cli", "dunlin-interop", "dunlin-bench"],
        "below the facade there is no runtime: the world comes in by argument",
    ),
    (
        "tokio-rustls",
        &["dunlin"],
        "TLS is a transport of TURN, and transports are the facade's",
    ),
    (
        "quinn-udp",
        &["dunlin", "dunlin-bench"],
        "below the facade there are no sockets",
    ),
    (
        "tokio-rustls",
        &["dunlin"],
        "TLS is a transport of TURN, and transports are the facade's",
    ),
    (
        "socket2",
        &["dunlin", "dunlin-bench", "dunlin-interop"],
        "below the facade there are no sockets",
    ),
];

/// One dependency as `cargo metadata` tells it.
#[derive(Debug)]
struct Edge {
    from: String,
    to: String,
    manifest: String,
    local: bool,
}

/// Asks cargo for the dependencies and compares.
pub(super) fn check() -> Result<Vec<Finding>, String> {
    let text = output(&mut command(
        "cargo",
        &["metadata", "--no-deps", "--format-version", "1", "--offline"],
    ))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let mut findings = Vec::new();
    for edge in edges(&metadata, &root()) {
        if let Some(sentence) = objection(&edge) {
            let line = line_of(&root().join(&edge.manifest), &edge.to);
            findings.push(Finding {
                path: edge.manifest,
                line,
                sentence,
            });
        }
    }
    Ok(findings)
}

/// The normal and build dependencies of every package.
fn edges(metadata: &Value, root: &Path) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in array(&metadata["packages"]) {
        let from = package["name"].as_str().unwrap_or_default();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let manifest = manifest
            .strip_prefix(root)
            .unwrap_or(manifest)
            .display()
            .to_string();
        for dependency in array(&package["dependencies"]) {
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            edges.push(Edge {
                from: from.to_owned(),
                to: dependency["name"].as_str().unwrap_or_default().to_owned(),
                manifest: manifest.clone(),
                local: dependency["path"].is_string(),
            });
        }
    }
    edges
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Why an edge may not be, if it may not.
fn objection(edge: &Edge) -> Option<String> {
    if !edge.local {
        let (_, allowed, why) = RESERVED.iter().find(|(name, ..)| *name == edge.to)?;
        let may = allowed.contains(&edge.from.as_str());
        return (!may).then(|| format!("{} may not depend on {}: {why}", edge.from, edge.to));
    }
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == edge.from) else {
        return Some(format!(
            "{} has no place in the map: add it to xtask/src/tidy/edges.rs",
            edge.from
        ));
    };
    let may = allowed.contains(&edge.to.as_str());
    (!may).then(|| {
        format!(
            "{} may not depend on {}: every arrow points down",
            edge.from, edge.to
        )
    })
}

/// The line of the manifest that names the dependency.
fn line_of(manifest: &Path, name: &str) -> usize {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let named = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    text.lines().position(named).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edge(from: &str, to: &str, local: bool) -> Edge {
        Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            manifest: String::new(),
            local,
        }
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        assert_eq!(objection(&edge("dunlin-ice", "dunlin-stun", true)), None);
        assert_eq!(
            objection(&edge("dunlin-stun", "dunlin-ice", true)).as_deref(),
            Some("dunlin-stun may not depend on dunlin-ice: every arrow points down")
        );
        assert!(objection(&edge("dunlin-new", "dunlin-ice", true)).is_some());
    }

    #[test]
    fn only_crypto_names_a_crypto_backend() {
        assert_eq!(objection(&edge("dunlin-crypto", "openssl", false)), None);
        assert!(objection(&edge("dunlin-dtls", "openssl", false)).is_some());
        assert_eq!(objection(&edge("dunlin-dtls", "bytes", false)), None);
    }

    #[test]
    fn the_table_itself_has_no_cycle() {
        for (index, (name, below)) in EDGES.iter().enumerate() {
            for other in *below {
                let place = EDGES.iter().position(|(known, _)| known == other);
                assert!(
                    place.is_some_and(|place| place < index),
                    "{name} -> {other} points up"
                );
            }
        }
    }

    #[test]
    fn dev_dependencies_are_free() {
        let metadata = json!({"packages": [{
            "name": "dunlin-stun",
            "manifest_path": "/repo/crates/stun/Cargo.toml",
            "dependencies": [
                {"name": "dunlin-ice", "kind": "dev", "path": "/repo/crates/ice"},
                {"name": "dunlin-net", "kind": null, "path": "/repo/crates/net"},
                {"name": "cc", "kind": "build", "path": null},
            ],
        }]});
        let edges = edges(&metadata, Path::new("/repo"));
        let names: Vec<_> = edges.iter().map(|edge| edge.to.as_str()).collect();
        assert_eq!(names, ["dunlin-net", "cc"]);
        assert_eq!(edges[0].manifest, "crates/stun/Cargo.toml");
    }
}
