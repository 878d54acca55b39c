//! Mobility tickets (RFC 8016): which allocation, which of its moves, and a MAC over both. Whose allocation that is, is
//! compared by who reads the ticket: it is worth nothing to another user.

use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hmac::HmacKey;

use super::table::Key;

/// Bytes of a ticket.
const LEN: usize = 28;

/// Makes and checks tickets.
#[derive(Debug)]
pub(super) struct Tickets(HmacKey);

/// The ticket was not made here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forged;

impl Tickets {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(HmacKey::new(HashAlgorithm::Sha256, secret))
    }

    pub(super) fn make(&self, allocation: Key, moves: u32) -> [u8; LEN] {
        let mut ticket = [0; LEN];
        ticket[..4].copy_from_slice(&allocation.index.to_be_bytes());
        ticket[4..8].copy_from_slice(&allocation.generation.to_be_bytes());
        ticket[8..12].copy_from_slice(&moves.to_be_bytes());
        let mac = self.0.sign(&[b"ticket", &ticket[..12]]);
        ticket[12..].copy_from_slice(&mac[..16]);
        ticket
    }

    /// The allocation and the number of moves before this one.
    pub(super) fn read(&self, ticket: &[u8]) -> Result<(Key, u32), Forged> {
        let (body, mac) = ticket.split_at_checked(12).ok_or(Forged)?;
        if mac.len() != LEN - 12 || self.0.verify(&[b"ticket", body], mac).is_err() {
            return Err(Forged);
        }
        let number = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let key = Key {
            index: number(0),
            generation: number(4),
        };
        Ok((key, number(8)))
    }
}
