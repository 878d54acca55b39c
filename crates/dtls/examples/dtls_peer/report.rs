//! What the program says on standard error: sentences, or JSON with `--json`.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;

use dunlin_dtls::{CipherSuite, CloseReason, Connection, Version};

use crate::options::Options;

type Error = Box<dyn std::error::Error>;

/// Says what happens.
pub(crate) struct Reporter {
    json: bool,
    export: Option<String>,
    key_log: Option<File>,
}

impl Reporter {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let open = |path| File::options().create(true).append(true).open(path);
        Ok(Self {
            json: options.json,
            export: options.export.clone(),
            key_log: options.key_log.as_ref().map(open).transpose()?,
        })
    }

    /// A sentence for people.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    pub(crate) fn listening(&mut self, address: SocketAddr) {
        if self.json {
            eprintln!("{{\"event\":\"listening\",\"address\":\"{address}\"}}");
        } else {
            eprintln!("waiting on {address}");
        }
    }

    pub(crate) fn connected(&mut self, connection: &Connection) -> Result<(), Error> {
        let version = match connection.version() {
            Some(Version::Dtls12) => "1.2",
            Some(Version::Dtls13) => "1.3",
            _ => "?",
        };
        let suite = connection.cipher_suite().map_or("?", CipherSuite::name);
        let group = connection
            .group()
            .map(|group| format!("{group:?}"))
            .unwrap_or_default();
        let alpn = connection
            .alpn()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let signature = connection
            .peer_signature_scheme()
            .map(|scheme| format!("{scheme:?}"));
        let srtp = connection.srtp_profile();
        if self.json {
            eprintln!(
                "{{\"event\":\"connected\",\"version\":\"{version}\",\"suite\":\"{suite}\",\"group\":\"{group}\",\
                 \"srtp\":{},\"alpn\":{},\"signature\":{}}}",
                srtp.map_or("null".to_owned(), |profile| profile.to_string()),
                quoted(alpn.as_deref()),
                quoted(signature.as_deref()),
            );
        } else {
            eprintln!(
                "connected: DTLS {version}, {suite}, {group}, SRTP profile {srtp:?}, protocol {alpn:?}, \
                 the peer signs with {signature:?}"
            );
        }
        if let Some(label) = &self.export {
            let mut out = [0; 32];
            connection.export(label, None, &mut out)?;
            let hex: String = out.iter().map(|byte| format!("{byte:02X}")).collect();
            eprintln!("exported: {hex}");
        }
        Ok(())
    }

    /// A line of the key log.
    pub(crate) fn key(&mut self, line: &str) -> Result<(), Error> {
        if let Some(file) = &mut self.key_log {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    pub(crate) fn closed(&mut self, reason: &CloseReason, connection: &Connection) {
        let stats = connection.stats();
        if self.json {
            let drops = stats.drops.total();
            eprintln!(
                "{{\"event\":\"closed\",\"reason\":{},\"stats\":{{\"datagramsSent\":{},\"datagramsReceived\":{},\
                 \"flights\":{},\"retransmissions\":{},\"acksSent\":{},\"acksReceived\":{},\"keyUpdatesSent\":{},\
                 \"keyUpdatesReceived\":{},\"drops\":{drops}}}}}",
                quoted(Some(&reason.to_string())),
                stats.datagrams_sent,
                stats.datagrams_received,
                stats.flights,
                stats.retransmissions,
                stats.acks_sent,
                stats.acks_received,
                stats.key_updates_sent,
                stats.key_updates_received,
            );
        } else {
            eprintln!("{reason}\n{stats:?}");
        }
    }
}

/// A string of JSON, or null.
fn quoted(text: Option<&str>) -> String {
    let Some(text) = text else {
        return "null".to_owned();
    };
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
