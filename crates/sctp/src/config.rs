//! What can be set about an association, and the bound of every queue and table in it.

use std::time::Duration;

use crate::types::Tsn;

/// Which controller decides how much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CongestionControl {
    /// Models the path by its bandwidth and its shortest round trip, after BBR (draft-ietf-ccwg-bbr): fills a path
    /// that loses a few percent at random, and keeps its queue short.
    #[default]
    Bbr,
    /// RFC 9438 with HyStart++ (RFC 9406): fills the queue until it loses, and takes every loss for a full queue.
    Cubic,
}

/// Which stream sends next (RFC 8260, section 3). Where the peer takes I-DATA, they take turns at each fragment, and a large
/// message of one stream never holds up another; otherwise at each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheduler {
    /// Messages go in the order in which they were handed over.
    FirstCome,
    /// One after the other.
    RoundRobin,
    /// Each stream gets a share of the bytes in proportion to its priority, as RFC 8831, section 6.4, wants it for data
    /// channels.
    #[default]
    WeightedFair,
    /// The stream with the highest priority goes first, and those of equal priority take turns.
    Priority,
}

/// The settings of an [`Association`](crate::Association). Times of more than a year count as a year.
///
/// ```
/// let mut config = dunlin_sctp::Config::default();
/// config.max_message_size = 65_536;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Our port. Default 5000 (RFC 8841, section 5: what `a=sctp-port` usually says).
    pub local_port: u16,
    /// The peer's port. Default 5000.
    pub remote_port: u16,
    /// The largest packet to send, in bytes, with the SCTP header and without what carries it. Default 1191: fits
    /// with DTLS, UDP and IPv6 headers in the 1,280 bytes every IPv6 path carries (RFC 8261, section 5: at most
    /// 1,200 bytes when the path MTU is unknown).
    pub max_datagram: usize,
    /// The largest packet to look for on the path, in bytes (RFC 8899): where larger ones than [`Config::max_datagram`]
    /// arrive, many fragments share a packet. They must not be fragmented below, so datagrams need the DF bit. Only where
    /// the peer lists PAD (RFC 4820) among its extensions: some stacks end the connection when a packet is larger than
    /// their buffer. We list it unless this is 0. Default 0: nothing larger is looked for.
    pub max_path_datagram: usize,
    /// The largest message that may be sent, in bytes: what the peer said with `a=max-message-size`. Default
    /// 262,144 (Chromium's).
    pub max_message_size: usize,
    /// The largest message taken from the peer, in bytes; a larger one ends the association. Default 262,144.
    pub max_receive_message_size: usize,
    /// A message that has grown to so many bytes is delivered in pieces of that size, or more where a gap was filled, as
    /// [`Event::Piece`](crate::Event::Piece), so that it may be larger than the window; `None` delivers whole messages
    /// only. Default `None`.
    pub partial_delivery: Option<usize>,
    /// Bytes that received messages and fragments may occupy until they are polled, bookkeeping included, at most: the window
    /// that is offered begins with 2 MiB, or what the next sentence asks for, and grows to four times what the reader takes
    /// in a round trip. Never less than twice [`Config::max_receive_message_size`] is used, or with partial delivery four
    /// pieces. Default 36 MiB: fills 1 Gbit/s at 100 ms three times over.
    pub receive_window: usize,
    /// Bytes that may wait to be sent for the first time; more are refused. Default 16 MiB.
    pub max_send_buffer: usize,
    /// Bytes that may be under way, sent and not yet acknowledged, whatever window the peer offers: congestion control makes it
    /// as much as the path takes. At least 65,532. Default 36 MiB, 32,767 chunks of 1,160 bytes; more chunks than that are never under way.
    pub max_outstanding: usize,
    /// Streams each way, the peer's number permitting. Unused ones cost nothing. Default 65,535 (RFC 8831,
    /// section 6.2).
    pub streams: u16,
    /// Streams each way that a peer may ask for beyond those (RFC 6525, sections 5.2.5 and 5.2.6). Default 65,535.
    pub max_streams: u16,
    /// Whether to accept, and where the peer does too, to send packets with a zero checksum (RFC 9653). Only for
    /// use over DTLS, which is what the peer is told. Default `true`.
    pub zero_checksum: bool,
    /// Whether to use I-DATA chunks (RFC 8260) where the peer does too, so that large messages do not hold up other streams.
    /// Default `true`.
    pub interleaving: bool,
    /// Whether to use Explicit Congestion Notification (RFC 3168; RFC 4960, appendix A) where the peer does too: packets with
    /// new data say that routers may mark them instead of dropping them, marks are echoed, and echoes reacted to. For a path
    /// that swallows such packets, or marks all of them, it switches itself off. Whoever drives the association has to carry the
    /// marks: [`Association::ecn_capable`](crate::Association::ecn_capable) and
    /// [`Association::handle_marked_datagram`](crate::Association::handle_marked_datagram). Default `true`.
    pub ecn: bool,
    /// Which stream sends next. Default [`Scheduler::WeightedFair`].
    pub scheduler: Scheduler,
    /// The retransmission timeout before the first measurement. Default 500 ms (dcsctp's; RFC 9260 says 1 s).
    pub rto_initial: Duration,
    /// The least retransmission timeout. Default 400 ms (dcsctp's; RFC 9260 says 1 s). Keep it above the peer's
    /// delay of acknowledgements, 200 ms.
    pub rto_min: Duration,
    /// The greatest retransmission timeout. Default 10 s (RFC 9260 says 60 s: too long for someone who waits).
    pub rto_max: Duration,
    /// How long an acknowledgement may wait for a second packet; at most 500 ms. Default 50 ms (RFC 9260: 200 ms).
    pub sack_delay: Duration,
    /// Time between HEARTBEATs on an idle path; `None` switches them off. Default 30 s (RFC 9260).
    pub heartbeat_interval: Option<Duration>,
    /// Retransmissions of INIT or COOKIE ECHO before giving up; `None` never gives up. Default 8 (RFC 9260).
    pub max_init_retransmits: Option<u32>,
    /// Timeouts in a row before the peer counts as unreachable; `None` leaves that to others, such as ICE consent.
    /// Default 10 (RFC 9260: Association.Max.Retrans).
    pub max_retransmits: Option<u32>,
    /// How long a state cookie may be echoed. Default 60 s (RFC 9260).
    pub cookie_lifetime: Duration,
    /// What decides how much is under way and how fast it goes out. Default [`CongestionControl::Bbr`].
    pub congestion: CongestionControl,
    /// The first congestion window, in packets of [`Config::max_datagram`]. Default 10 (RFC 6928; dcsctp's).
    pub initial_window: u32,
    /// Answers to control chunks that may wait to be sent; more are dropped. At least 2. Default 16.
    pub max_pending_replies: usize,
    /// Separate ranges of TSNs that may have arrived beyond a gap; what would open another is dropped. Default
    /// 1,024.
    pub max_gaps: usize,
    /// The first TSN to send. Default `None`: random. Only for tests of the wrap.
    pub initial_tsn: Option<Tsn>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            local_port: 5000,
            remote_port: 5000,
            max_datagram: 1191,
            max_path_datagram: 0,
            max_message_size: 256 << 10,
            max_receive_message_size: 256 << 10,
            partial_delivery: None,
            receive_window: 36 << 20,
            max_send_buffer: 16 << 20,
            max_outstanding: 36 << 20,
            streams: u16::MAX,
            max_streams: u16::MAX,
            zero_checksum: true,
            interleaving: true,
            ecn: true,
            scheduler: Scheduler::default(),
            rto_initial: Duration::from_millis(500),
            rto_min: Duration::from_millis(400),
            rto_max: Duration::from_secs(10),
            sack_delay: Duration::from_millis(50),
            heartbeat_interval: Some(Duration::from_secs(30)),
            max_init_retransmits: Some(8),
            max_retransmits: Some(10),
            cookie_lifetime: Duration::from_secs(60),
            congestion: CongestionControl::default(),
            initial_window: 10,
            max_pending_replies: 16,
            max_gaps: 1024,
            initial_tsn: None,
        }
    }
}

/// The least room for a packet: an INIT ACK with its cookie must fit.
pub(crate) const MIN_DATAGRAM: usize = 256;
/// Longer times than a year count as a year, so that they can be added up.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// What we send of our own waits among the answers: two INITs at once.
const LEAST_REPLIES: usize = 2;
/// The most that a window may be.
const MAX_WINDOW: usize = 1 << 31;
/// The most: chunk lengths are 16 bits.
pub(crate) const MAX_DATAGRAM: usize = 65_532;

impl Config {
    /// The settings with impossible values replaced by the nearest possible ones.
    pub(crate) fn sanitized(mut self) -> Self {
        self.max_datagram = usable_datagram(self.max_datagram);
        self.max_path_datagram = usable_path_datagram(self.max_path_datagram);
        self.partial_delivery = self.partial_delivery.map(|piece| piece.max(1));
        self.receive_window = self
            .receive_window
            .max(self.least_window())
            .clamp(1500, MAX_WINDOW);
        self.streams = self.streams.max(1);
        // RFC 9260, section 6.2: "MUST NOT allow the maximum delay … to be configured to be more than 500 ms".
        self.sack_delay = self.sack_delay.min(Duration::from_millis(500));
        self.rto_min = self.rto_min.clamp(Duration::from_millis(1), LONGEST);
        self.rto_max = self.rto_max.clamp(self.rto_min, LONGEST);
        self.rto_initial = self.rto_initial.clamp(self.rto_min, self.rto_max);
        self.heartbeat_interval = self.heartbeat_interval.map(|interval| interval.min(LONGEST));
        self.cookie_lifetime = self.cookie_lifetime.min(LONGEST);
        self.initial_window = self.initial_window.max(2);
        self.max_outstanding = self.max_outstanding.max(MAX_DATAGRAM);
        self.max_pending_replies = self.max_pending_replies.max(LEAST_REPLIES);
        self
    }

    /// The least receive window that cannot be filled by messages that are not whole.
    pub(crate) fn least_window(&self) -> usize {
        match self.partial_delivery {
            Some(piece) => piece.saturating_mul(4),
            None => self.max_receive_message_size.saturating_mul(2),
        }
    }
}

/// `bytes` brought into range and rounded down to whole four-byte words, since chunks are padded.
pub(crate) fn usable_datagram(bytes: usize) -> usize {
    bytes.clamp(MIN_DATAGRAM, MAX_DATAGRAM) / 4 * 4
}

/// The same for packets to look for, of which there may be none.
pub(crate) fn usable_path_datagram(bytes: usize) -> usize {
    bytes.min(MAX_DATAGRAM) / 4 * 4
}
