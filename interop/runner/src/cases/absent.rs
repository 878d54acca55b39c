//! What peers cannot do, and why. `--against libwebrtc` shows that it is not our doing.

use super::Id;
use crate::peers::Kind;

/// Why a peer cannot take part in a case, if it cannot.
pub fn reason(case: Id, peer: Kind, peer_offers: bool) -> Option<&'static str> {
    if peer.is_small()
        && matches!(
            case,
            Id::Bulk | Id::Lossy | Id::AudioEcho | Id::Video(_) | Id::Together
        )
    {
        return Some("this peer program has data channels only, and counts nothing");
    }
    if case == Id::Interleaved && !matches!(peer, Kind::Chromium | Kind::Libwebrtc) {
        return Some("it has no I-DATA, or no switch for it");
    }
    if case == Id::IceTcp && !matches!(peer, Kind::Dunlin | Kind::Chromium | Kind::Libwebrtc) {
        return Some("it opens no TCP connection to a candidate, or only when told to");
    }
    if case == Id::Usrsctp && peer != Kind::Firefox {
        return Some(
            "only Firefox has usrsctp behind a switch; node-datachannel and GStreamer have nothing else",
        );
    }
    match peer {
        Kind::Libwebrtc if case == Id::Video("H264") => {
            Some("the wheel encodes H264 only with a codec that Cisco serves as a download")
        }
        Kind::Firefox if case == Id::Video("H264") => {
            Some("Firefox encodes H264 only with a codec that Cisco serves as a download")
        }
        Kind::Firefox if matches!(case, Id::AudioEcho | Id::Together) => {
            Some("Firefox starts no AudioContext where there is no sound device")
        }
        Kind::Aiortc if case == Id::Trickle => Some("aiortc gathers before it describes, nothing trickles"),
        Kind::Werift => werift(case, peer_offers),
        Kind::Gstreamer => gstreamer(case, peer_offers),
        Kind::NodeDatachannel if !peer_offers && matches!(case, Id::Unordered | Id::NoRetransmits) => {
            Some("libdatachannel does not tell what kind of channel was opened")
        }
        Kind::Pion => pion(case, peer_offers),
        _ => None,
    }
}

fn werift(case: Id, peer_offers: bool) -> Option<&'static str> {
    match (case, peer_offers) {
        (Id::DataEcho, _) => Some("werift sends nothing for an empty message"),
        (Id::PeerCloses, _) => Some("werift ends without a word"),
        (Id::DtlsActive, false) => Some("werift answers `active` to an offer that says `active`"),
        (Id::DtlsPassive, true) => Some("werift numbers the channels of its offers like a DTLS server"),
        _ => None,
    }
}

fn pion(case: Id, peer_offers: bool) -> Option<&'static str> {
    match case {
        Id::DataEcho => {
            Some("pion 3 reads messages of up to 65,535 bytes, and ends the channel at a longer one")
        }
        Id::DtlsActive if !peer_offers => {
            Some("pion answers `active` to an offer that says `active`, and then waits as the server")
        }
        _ => None,
    }
}

fn gstreamer(case: Id, peer_offers: bool) -> Option<&'static str> {
    match case {
        Id::PeerClosesChannel | Id::WeCloseChannel | Id::InTurn if peer_offers => {
            Some("webrtcbin opens a second channel before anybody can listen to that event")
        }
        Id::DataEcho => Some("webrtcbin 1.22 sends nothing for an empty message"),
        Id::PeerCloses => Some("webrtcbin ends without a word"),
        Id::WeClose => Some("webrtcbin does not notice that the other side has closed"),
        _ => None,
    }
}
