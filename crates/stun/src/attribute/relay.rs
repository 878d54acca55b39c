//! The addresses and the payload of a relay (RFC 8656, section 18). The other attributes of TURN are typed in the
//! turn crate.

use std::net::SocketAddr;

use crate::attribute;
use crate::message::Message;
use crate::writer::Writer;

impl<'a> Message<'a> {
    /// XOR-PEER-ADDRESS: the first one.
    #[must_use]
    pub fn xor_peer_address(&self) -> Option<SocketAddr> {
        self.xor_address(attribute::XOR_PEER_ADDRESS)
    }

    /// XOR-RELAYED-ADDRESS.
    #[must_use]
    pub fn xor_relayed_address(&self) -> Option<SocketAddr> {
        self.xor_address(attribute::XOR_RELAYED_ADDRESS)
    }

    /// DATA: what a peer sent or is to receive.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::DATA)
    }
}

impl Writer<'_> {
    /// Appends XOR-PEER-ADDRESS.
    pub fn xor_peer_address(&mut self, address: SocketAddr) -> &mut Self {
        self.xor_address(attribute::XOR_PEER_ADDRESS, address)
    }

    /// Appends XOR-RELAYED-ADDRESS.
    pub fn xor_relayed_address(&mut self, address: SocketAddr) -> &mut Self {
        self.xor_address(attribute::XOR_RELAYED_ADDRESS, address)
    }

    /// Appends DATA.
    pub fn data(&mut self, data: &[u8]) -> &mut Self {
        self.attribute(attribute::DATA, data)
    }
}
