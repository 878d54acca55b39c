//! What the matrix knows of a peer program: how it is started and how to read what it prints.

use super::files::Files;
use super::program::Texts;
use super::setup::{Role, Setup, Version};
use super::{dimpl, gnutls, nss, openssl};
use std::net::SocketAddr;
use tokio::process::Command;

/// The label whose keying material both ends print (RFC 5764, section 4.2).
pub const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// How many bytes of it.
pub const LENGTH: usize = 32;

/// One peer program.
#[derive(Debug)]
pub struct Driver {
    pub name: &'static str,
    pub versions: &'static [Version],
    /// As a server it chooses a port itself and says which.
    pub chooses_port: bool,
    /// What is worth saying of it whatever is asked: for the legend.
    pub remarks: &'static [&'static str],
    /// Why it cannot do this.
    pub absent: fn(&Setup) -> Option<&'static str>,
    /// Starts it; as a server it listens on the address, as a client it goes there.
    pub command: fn(&Setup, &Files, SocketAddr) -> Command,
    /// Where it listens, once it does; it was told the address.
    pub listening: fn(&Texts, SocketAddr) -> Option<SocketAddr>,
    /// What it says of the connection, once there is one.
    pub connected: fn(&Setup, &Texts) -> Option<Connected>,
    /// How it is made to close the connection.
    pub close: fn(Role) -> Close,
    /// It takes no data from its input and sends back what comes.
    pub echoes: fn(&Setup) -> bool,
}

/// What a peer says of its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connected {
    /// The exported keying material as hexadecimal digits, if it prints that.
    pub exported: Option<String>,
}

/// How a peer is made to say goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    Line(&'static str),
    EndOfInput,
    Cannot(&'static str),
}

pub const ALL: &[&Driver] = &[
    &openssl::DRIVER,
    &gnutls::DRIVER,
    &nss::DRIVER,
    &nss::WITH_FIREFOX,
    &dimpl::DRIVER,
];

impl Driver {
    /// Why the peer has no part in this cell, if so.
    pub fn refuses(&self, setup: &Setup) -> Option<&'static str> {
        let their_role = match setup.we {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        if let Close::Cannot(reason) = (self.close)(their_role)
            && setup.peer_closes
        {
            return Some(reason);
        }
        (self.absent)(setup)
    }
}

/// The text between `before` and the end of its line.
pub fn after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    // Only a whole line counts: the rest may still be on its way.
    let (line, _) = rest.split_once('\n')?;
    Some(line.trim())
}
