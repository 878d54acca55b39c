//! The cases: what each is called, what it proves and what it costs.

mod absent;
pub mod data;
mod failure;
mod media;
mod transport;

use crate::emulator::Link;
use crate::pair::Pair;
use crate::peers::{Flavour, Kind, Seat};
use std::time::Duration;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub id: Id,
    /// Units of load on the machine while it runs.
    pub load: u32,
    /// When it is given up.
    pub limit: Duration,
}

/// Which case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    DataEcho,
    Unordered,
    NoRetransmits,
    Negotiated,
    TwentyChannels,
    InTurn,
    ThousandChannels,
    Interleaved,
    Usrsctp,
    Lossy,
    PeerClosesChannel,
    WeCloseChannel,
    Bulk,
    AudioEcho,
    Video(&'static str),
    Together,
    Trickle,
    NoTrickle,
    IceTcp,
    DtlsActive,
    DtlsPassive,
    PeerCloses,
    WeClose,
    PeerVanishes,
    WrongFingerprint,
}

const fn case(name: &'static str, id: Id, load: u32, seconds: u64, what: &'static str) -> Case {
    Case {
        name,
        what,
        id,
        load,
        limit: Duration::from_secs(seconds),
    }
}

/// Every case, those that wait longest first.
pub const ALL: &[Case] = &[
    case(
        "peer-vanishes",
        Id::PeerVanishes,
        0,
        70,
        "the peer is killed: we report it within the consent time",
    ),
    case(
        "video-av1",
        Id::Video("AV1"),
        2,
        60,
        "AV1 comes back: frames decoded for 10 s, no gap over 1 s",
    ),
    case("video-vp9", Id::Video("VP9"), 2, 60, "VP9 comes back"),
    case("video-h264", Id::Video("H264"), 2, 60, "H264 comes back"),
    case("video-vp8", Id::Video("VP8"), 2, 60, "VP8 comes back"),
    case(
        "together",
        Id::Together,
        2,
        60,
        "audio, video and data in one connection",
    ),
    case(
        "audio-echo",
        Id::AudioEcho,
        1,
        40,
        "a 440 Hz tone comes back and is heard",
    ),
    case(
        "data-32-mib",
        Id::Bulk,
        2,
        60,
        "32 MiB from the offerer through one channel, hashed",
    ),
    case(
        "data-echo",
        Id::DataEcho,
        1,
        40,
        "text and binary, 0 B to 256 KiB, come back as they were",
    ),
    case("data-unordered", Id::Unordered, 1, 30, "an unordered channel"),
    case(
        "data-no-retransmits",
        Id::NoRetransmits,
        1,
        30,
        "a channel with maxRetransmits 0",
    ),
    case(
        "data-negotiated",
        Id::Negotiated,
        1,
        30,
        "a channel both sides make with the same id",
    ),
    case(
        "data-20-channels",
        Id::TwentyChannels,
        1,
        30,
        "20 channels at once",
    ),
    case(
        "data-interleaved",
        Id::Interleaved,
        1,
        40,
        "I-DATA is agreed on, and messages of all sizes come back",
    ),
    case(
        "data-usrsctp",
        Id::Usrsctp,
        1,
        60,
        "messages of all sizes come back from usrsctp",
    ),
    case(
        "data-600-in-turn",
        Id::InTurn,
        1,
        120,
        "600 channels come and go, 60 at a time",
    ),
    case(
        "data-1000-channels",
        Id::ThousandChannels,
        2,
        120,
        "1,000 channels, each echoes",
    ),
    case(
        "data-256-mib-lossy",
        Id::Lossy,
        4,
        600,
        "we send 256 MiB through 2 % loss and 50 ms of delay each way",
    ),
    case(
        "data-close-by-peer",
        Id::PeerClosesChannel,
        1,
        30,
        "the peer closes a channel, the connection lives on",
    ),
    case(
        "data-close-by-us",
        Id::WeCloseChannel,
        1,
        30,
        "we close a channel, the connection lives on",
    ),
    case("trickle", Id::Trickle, 1, 30, "candidates after the descriptions"),
    case(
        "no-trickle",
        Id::NoTrickle,
        1,
        30,
        "candidates in the descriptions only",
    ),
    case(
        "ice-tcp",
        Id::IceTcp,
        1,
        30,
        "nothing but TCP candidates: the peer connects to our listener",
    ),
    case("dtls-active", Id::DtlsActive, 1, 30, "we are the DTLS client"),
    case("dtls-passive", Id::DtlsPassive, 1, 30, "we are the DTLS server"),
    case(
        "peer-closes",
        Id::PeerCloses,
        1,
        30,
        "the peer closes the connection and we notice at once",
    ),
    case(
        "we-close",
        Id::WeClose,
        1,
        30,
        "we close the connection and the peer notices at once",
    ),
    case(
        "wrong-fingerprint",
        Id::WrongFingerprint,
        1,
        40,
        "another certificate than announced: no data, and a reason",
    ),
];

impl Case {
    /// Why a peer cannot take part, if it cannot.
    pub fn absent(&self, peer: Kind, peer_offers: bool) -> Option<&'static str> {
        absent::reason(self.id, peer, peer_offers)
    }

    /// True if the case kills its peer, which must then share nothing with others.
    pub fn alone(&self) -> bool {
        self.id == Id::PeerVanishes
    }

    /// What the peer is told besides the usual.
    pub fn flavour(&self) -> Flavour {
        match self.id {
            Id::Interleaved => Flavour::Interleaving,
            Id::Usrsctp => Flavour::Usrsctp,
            _ => Flavour::Usual,
        }
    }

    /// The network between the two, if it is to be worse than it is.
    pub fn link(&self) -> Option<Link> {
        (self.id == Id::Lossy).then_some(Link {
            delay: Duration::from_millis(50),
            loss: 0.02,
        })
    }

    /// Candidates of TCP only reach the other side: no UDP gets through.
    pub fn tcp_only(&self) -> bool {
        self.id == Id::IceTcp
    }

    /// It takes longer than belongs into every run.
    pub fn is_big(&self) -> bool {
        matches!(self.id, Id::ThousandChannels | Id::Lossy)
    }

    /// Runs it; the text of a success is shown beside it.
    pub async fn run(&self, pair: &Pair, peer: &mut Seat) -> Result<String, String> {
        match self.id {
            Id::DataEcho => data::echo(pair).await,
            Id::Unordered => data::unordered(pair).await,
            Id::NoRetransmits => data::no_retransmits(pair).await,
            Id::Negotiated => data::negotiated(pair).await,
            Id::InTurn => data::in_turn(pair).await,
            Id::TwentyChannels => data::channels(pair, 20, 16_384).await,
            Id::ThousandChannels => data::channels(pair, 1000, 100).await,
            Id::Interleaved => data::interleaved(pair).await,
            Id::Usrsctp => data::echo(pair).await,
            Id::Lossy => data::lossy(pair).await,
            Id::PeerClosesChannel => data::close(pair, &pair.peer, &pair.ours).await,
            Id::WeCloseChannel => data::close(pair, &pair.ours, &pair.peer).await,
            Id::Bulk => data::bulk(pair).await,
            Id::AudioEcho => media::audio(pair).await,
            Id::Video(codec) => media::video(pair, codec).await,
            Id::Together => media::together(pair).await,
            Id::Trickle => transport::trickle(pair).await,
            Id::NoTrickle => transport::no_trickle(pair).await,
            Id::IceTcp => transport::ice_tcp(pair).await,
            Id::DtlsActive => transport::dtls_role(pair, "client").await,
            Id::DtlsPassive => transport::dtls_role(pair, "server").await,
            Id::PeerCloses => failure::closes(&pair.peer, &pair.ours, pair).await,
            Id::WeClose => failure::closes(&pair.ours, &pair.peer, pair).await,
            Id::PeerVanishes => failure::vanishes(pair, peer).await,
            Id::WrongFingerprint => failure::wrong_fingerprint(pair).await,
        }
    }
}
