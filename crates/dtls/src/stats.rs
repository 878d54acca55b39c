//! What a connection counts.

/// Counters of one connection since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Datagrams that `poll_transmit` wrote: handshake and alerts, not what `seal` wrote.
    pub datagrams_sent: u64,
    /// Records of application data that authenticated.
    pub data_received: u64,
    /// Records of application data that `seal` wrote.
    pub data_sent: u64,
    /// Flights sent for the first time.
    pub flights: u64,
    /// Flights sent again, because the timer fired or because the peer sent its own flight again.
    pub retransmissions: u64,
    /// ACKs sent (RFC 9147, section 7).
    pub acks_sent: u64,
    /// ACKs received.
    pub acks_received: u64,
    /// KeyUpdates sent (RFC 9147, section 8); a retransmission does not count.
    pub key_updates_sent: u64,
    /// KeyUpdates received.
    pub key_updates_received: u64,
    /// Records and fragments that were dropped, by reason.
    pub drops: Drops,
}

/// Counters of what was dropped, by reason. A drop is never an error: the network, or anybody on it, may do this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The rest of a datagram that holds no whole record.
    pub malformed_record: u64,
    /// A record of a version, content type or epoch that has no place here.
    pub unexpected_record: u64,
    /// A record whose tag does not verify.
    pub unauthentic: u64,
    /// A record that came before, or is too old for the replay window.
    pub replayed: u64,
    /// A record protected with keys that are not there yet, when the buffer for such records was full.
    pub early_overflow: u64,
    /// An alert without protection: doubted, not obeyed (see [`Config::doubt`](crate::Config::doubt)).
    pub unauthenticated_alert: u64,
    /// An ACK that is malformed, or that anybody can have written about what nobody can have read.
    pub bad_ack: u64,
    /// A malformed alert.
    pub malformed_alert: u64,
    /// A handshake fragment whose header lies or whose message is not due.
    pub unexpected_fragment: u64,
    /// A handshake fragment that contradicts an earlier one of the same message, which was thrown away for it.
    pub contradicting_fragment: u64,
    /// A handshake fragment that would go beyond a bound of the configuration.
    pub oversized_fragment: u64,
    /// A handshake message that came before.
    pub repeated_message: u64,
    /// A ClientHello that was refused while waiting for a better one.
    pub refused_hello: u64,
    /// Application data that came while the event queue was full.
    pub queue_full: u64,
}

impl Drops {
    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.malformed_record
            + self.unexpected_record
            + self.unauthentic
            + self.replayed
            + self.early_overflow
            + self.unauthenticated_alert
            + self.bad_ack
            + self.malformed_alert
            + self.unexpected_fragment
            + self.contradicting_fragment
            + self.oversized_fragment
            + self.repeated_message
            + self.refused_hello
            + self.queue_full
    }
}
