//! The contract: the same verbs, with the same names and in the same order, in every crate that has a machine.

use super::finding::{Finding, Source};
use super::lines::lines;

/// What a machine must offer, in this order. Other functions may stand between.
struct Machine {
    folder: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
}

/// For machines that know addresses.
const ADDRESSED: &[&str] = &[
    "fn new(config: Config, seed: [u8; 32], now: Instant) -> Self",
    "fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut)",
    "fn handle_timeout(&mut self, now: Instant)",
    "fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit>",
    "fn poll_event(&mut self) -> Option<Event>",
    "fn poll_timeout(&self) -> Option<Instant>",
];

/// For machines that ride on a path.
const RIDING: &[&str] = &[
    "fn new(config: Config, seed: [u8; 32], now: Instant) -> Self",
    "fn handle_datagram(&mut self, now: Instant, data: Bytes",
    "fn handle_timeout(&mut self, now: Instant)",
    "fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool",
    "fn poll_event(&mut self) -> Option<Event>",
    "fn poll_timeout(&self) -> Option<Instant>",
];

/// For media: RTP and RTCP travel side by side, so the verbs that carry bytes come in pairs.
const MEDIA: &[&str] = &[
    "fn new(config: Config, seed: [u8; 32], now: Instant) -> Self",
    "fn handle_rtp(&mut self, now: Instant, ",
    "fn handle_rtcp(&mut self, now: Instant, ",
    "fn handle_timeout(&mut self, now: Instant)",
    "fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool",
    "fn poll_rtp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool",
    "fn poll_event(&mut self) -> Option<Event>",
    "fn poll_timeout(&self) -> Option<Instant>",
];

const MACHINES: &[Machine] = &[
    Machine {
        folder: "crates/stun/src/",
        kind: "Client",
        verbs: ADDRESSED,
    },
    Machine {
        folder: "crates/ice/src/",
        kind: "Agent",
        verbs: ADDRESSED,
    },
    Machine {
        folder: "crates/peerconnection/src/",
        kind: "PeerConnection",
        verbs: ADDRESSED,
    },
    Machine {
        folder: "crates/dtls/src/",
        kind: "Connection",
        verbs: RIDING,
    },
    Machine {
        folder: "crates/sctp/src/",
        kind: "Association",
        verbs: RIDING,
    },
    Machine {
        folder: "crates/media/src/",
        kind: "Session",
        verbs: MEDIA,
    },
];

/// Machines that a crate may have; if it has them, the contract holds.
const OPTIONAL: &[Machine] = &[
    Machine {
        folder: "crates/turn/src/",
        kind: "Client",
        verbs: ADDRESSED,
    },
    Machine {
        folder: "crates/turn/src/",
        kind: "Server",
        verbs: ADDRESSED,
    },
];

/// Checks every machine.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = MACHINES
        .iter()
        .flat_map(|machine| check_machine(machine, sources))
        .collect();
    for machine in OPTIONAL {
        let declaration = format!("pub struct {}", machine.kind);
        let mut own = sources
            .iter()
            .filter(|source| source.path.starts_with(machine.folder));
        if own.any(|source| source.text.contains(&declaration)) {
            findings.extend(check_machine(machine, sources));
        }
    }
    findings
}

/// A public function of the machine: where it is and how it starts, on one line.
struct Function<'a> {
    source: &'a Source,
    line: usize,
    signature: String,
}

fn check_machine(machine: &Machine, sources: &[Source]) -> Vec<Finding> {
    let own: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path.starts_with(machine.folder))
        .collect();
    let functions: Vec<Function<'_>> = own
        .iter()
        .flat_map(|source| public_functions(source, machine.kind))
        .collect();
    let mut findings = Vec::new();
    let mut last: Option<&Function<'_>> = None;
    for verb in machine.verbs {
        let name = verb.split('(').next().unwrap_or(verb);
        let named = |function: &&Function<'_>| function.signature.starts_with(&format!("{name}("));
        let Some(function) = functions.iter().find(named) else {
            let path = format!("{}lib.rs", machine.folder);
            let sentence = format!(
                "{} has no public `{name}`: the contract asks for `{verb}`",
                machine.kind
            );
            findings.push(Finding {
                path,
                line: 1,
                sentence,
            });
            continue;
        };
        if !function.signature.starts_with(verb) {
            let sentence = format!("`{}` is not the contract's `{verb}`", function.signature);
            findings.push(function.source.finding(function.line, sentence));
        }
        let out_of_order =
            last.is_some_and(|last| last.source.path == function.source.path && last.line > function.line);
        if out_of_order {
            let sentence = format!("`{name}` stands before the verb that the contract puts ahead of it");
            findings.push(function.source.finding(function.line, sentence));
        }
        last = Some(function);
    }
    findings
}

/// The public functions in the `impl KIND` blocks of a file.
fn public_functions<'a>(source: &'a Source, kind: &str) -> Vec<Function<'a>> {
    let lines = lines(&source.text);
    let opening = format!("impl {kind} {{");
    let mut functions = Vec::new();
    let mut inside = false;
    for (index, line) in lines.iter().enumerate() {
        if line.raw == opening {
            inside = true;
        } else if line.raw == "}" {
            inside = false;
        }
        let Some(rest) = line.code.strip_prefix("    pub ").filter(|_| inside) else {
            continue;
        };
        let Some(start) = rest
            .strip_prefix("const ")
            .or(Some(rest))
            .filter(|rest| rest.starts_with("fn "))
        else {
            continue;
        };
        let mut signature = start.to_owned();
        for next in lines.iter().skip(index + 1).take(12) {
            if signature.ends_with(['{', ';']) {
                break;
            }
            signature.push(' ');
            signature.push_str(next.code.trim());
        }
        functions.push(Function {
            source,
            line: line.number,
            signature: one_line(&signature),
        });
    }
    functions
}

/// A signature as it would stand on one line.
fn one_line(signature: &str) -> String {
    let text = signature
        .trim_end_matches(['{', ';', ' '])
        .replace("( ", "(")
        .replace(", )", ")");
    // An argument that is not used yet is still that argument.
    text.replace("mut config: ", "config: ")
        .replace("_now: ", "now: ")
        .replace("_out: ", "out: ")
        .replace("_path: ", "path: ")
        .replace("_data: ", "data: ")
}

#[cfg(test)]
mod tests {
    use super::super::finding::source;
    use super::*;

    const MACHINE: Machine = Machine {
        folder: "crates/x/src/",
        kind: "Client",
        verbs: ADDRESSED,
    };

    fn client(order: &[usize]) -> Source {
        let mut text = "//! X.\nimpl Client {\n".to_owned();
        for index in order {
            text.push_str(&format!(
                "    pub {} {{\n        body()\n    }}\n",
                ADDRESSED[*index]
            ));
        }
        text.push_str("}\n");
        source("crates/x/src/client.rs", &text)
    }

    #[test]
    fn the_verbs_in_their_order_pass() {
        assert_eq!(check_machine(&MACHINE, &[client(&[0, 1, 2, 3, 4, 5])]), []);
    }

    #[test]
    fn a_missing_verb_and_a_wrong_order_are_found() {
        let missing = check_machine(&MACHINE, &[client(&[0, 1, 2, 3, 4])]);
        assert_eq!(missing.len(), 1);
        assert!(missing[0].sentence.contains("poll_timeout"));
        let order = check_machine(&MACHINE, &[client(&[0, 1, 2, 4, 3, 5])]);
        assert_eq!(order.len(), 1);
        assert_eq!(order[0].path, "crates/x/src/client.rs");
    }

    #[test]
    fn another_signature_is_found_and_line_breaks_do_not_matter() {
        let wrapped = "impl Client {\n    pub fn poll_transmit(\n        &mut self,\n        now: Instant,\n        \
                       out: &mut Vec<u8>,\n    ) -> Option<Transmit> {\n    }\n}\n";
        let wrapped = source("crates/x/src/a.rs", wrapped);
        let functions = public_functions(&wrapped, "Client");
        assert_eq!(functions[0].signature, ADDRESSED[3]);
        let other = client(&[0, 1, 2, 3, 4, 5])
            .text
            .replace("now: Instant, path", "path");
        let other = source("crates/x/src/client.rs", &other);
        assert_eq!(check_machine(&MACHINE, &[other]).len(), 1);
    }
}
