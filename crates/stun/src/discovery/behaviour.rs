//! How a NAT behaves, in the terms of RFC 4787, sections 4.1 and 5, and in words.

use std::fmt;
use std::net::SocketAddr;

/// Which outside address a socket's datagrams get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mapping {
    /// None but its own: there is no NAT.
    NoNat,
    /// Always the same.
    EndpointIndependent,
    /// Another one for each address that it sends to.
    AddressDependent,
    /// Another one for each address and port that it sends to.
    AddressAndPortDependent,
    /// The server could not be asked from both of its addresses.
    Unknown,
}

/// Whose datagrams to the outside address are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filtering {
    /// Everybody's.
    EndpointIndependent,
    /// Those of addresses that the socket sent to.
    AddressDependent,
    /// Those of addresses and ports that the socket sent to.
    AddressAndPortDependent,
    /// The server could not be asked to answer from elsewhere.
    Unknown,
}

/// What was discovered. `Display` says it in sentences for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behaviour {
    /// Our socket.
    pub local: SocketAddr,
    /// Our socket as the server sees it.
    pub mapped: Option<SocketAddr>,
    /// Which outside address it gets.
    pub mapping: Mapping,
    /// Who may send to that.
    pub filtering: Filtering,
    /// The server has no second address, so that mapping and filtering could not be told.
    pub server_has_one_address: bool,
    /// Whether something on the way rewrites addresses inside messages, a generic ALG (RFC 5780, section 3.6): such a box may
    /// spoil other protocols, too. `None`: the server does not say the address in plain.
    pub rewritten: Option<bool>,
    /// Whether datagrams that are larger than a packet get through, there and back (section 3.5). `None`: the server does
    /// not know PADDING.
    pub fragments: Option<bool>,
    /// Whether a datagram to our own outside address comes back in (section 3.4), so that two hosts behind this NAT can
    /// reach each other by it. `None`: there is no NAT, or no second socket to send it from.
    pub hairpinning: Option<bool>,
}

impl Behaviour {
    pub(super) fn unknown(local: SocketAddr) -> Self {
        Self {
            local,
            mapped: None,
            mapping: Mapping::Unknown,
            filtering: Filtering::Unknown,
            server_has_one_address: false,
            rewritten: None,
            fragments: None,
            hairpinning: None,
        }
    }

    /// Whether two peers behind such NATs can usually reach each other without a relay.
    #[must_use]
    pub fn direct_is_likely(&self) -> Option<bool> {
        match self.mapping {
            Mapping::NoNat | Mapping::EndpointIndependent => Some(true),
            Mapping::AddressDependent | Mapping::AddressAndPortDependent => Some(false),
            Mapping::Unknown => None,
        }
    }
}

impl Behaviour {
    fn tell_the_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rewritten == Some(true) {
            writeln!(
                f,
                "a box on the way rewrites addresses inside messages (a generic ALG): expect trouble with other protocols"
            )?;
        }
        match self.fragments {
            Some(true) => writeln!(f, "fragments: datagrams larger than a packet get through")?,
            Some(false) => writeln!(f, "fragments: datagrams larger than a packet are lost")?,
            None => {}
        }
        match self.hairpinning {
            Some(true) => writeln!(
                f,
                "hairpinning: hosts behind this NAT reach each other by its outside addresses"
            ),
            Some(false) => writeln!(
                f,
                "hairpinning: none, the outside address cannot be reached from inside"
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mapping::NoNat => "there is no NAT: the address outside is the address inside",
            Mapping::EndpointIndependent => "endpoint-independent: one address outside, whoever it sends to",
            Mapping::AddressDependent => "address-dependent: another address outside for each address it sends to",
            Mapping::AddressAndPortDependent => {
                "address- and port-dependent (\"symmetric\"): another address outside for each address and port it sends to"
            }
            Mapping::Unknown => "unknown: the server did not answer from its second address",
        })
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Filtering::EndpointIndependent => "endpoint-independent: everybody may send to it",
            Filtering::AddressDependent => "address-dependent: only addresses it has sent to may send to it",
            Filtering::AddressAndPortDependent => {
                "address- and port-dependent: only addresses and ports it has sent to may send to it"
            }
            Filtering::Unknown => "unknown: the server cannot answer from a second address",
        })
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mapped {
            Some(mapped) => writeln!(f, "{} is seen as {mapped}", self.local)?,
            None => writeln!(f, "{} is not seen", self.local)?,
        }
        self.tell_the_rest(f)?;
        if self.server_has_one_address {
            if self.mapping == Mapping::NoNat {
                writeln!(f, "mapping: {}", self.mapping)?;
            }
            return f
                .write_str("the server has one address only: ask one that supports RFC 5780 to learn more");
        }
        writeln!(f, "mapping: {}", self.mapping)?;
        writeln!(f, "filtering: {}", self.filtering)?;
        f.write_str(match self.direct_is_likely() {
            Some(true) => {
                "direct connections are likely; a TURN server is needed only for peers behind stricter NATs"
            }
            Some(false) => {
                "direct connections work only with peers that are easy to reach: have a TURN server"
            }
            None => "whether direct connections work cannot be told",
        })
    }
}
