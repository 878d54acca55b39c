//! Which sections of a description share the one transport (RFC 9143; RFC 9429 section 4.1.1).

use std::collections::BTreeMap;

use dunlin_sdp::{MediaDescription, SessionDescription};

/// The sections that share a transport, as indices; the first one is the tagged section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bundle {
    pub(crate) members: Vec<usize>,
    rtcp_mux: bool,
}

impl Bundle {
    /// The first BUNDLE group with a section that can be used, in the group's order; without a group the first
    /// section that can be used, alone.
    pub(crate) fn of(sdp: &SessionDescription) -> Self {
        let usable: Vec<bool> = sdp.media.iter().map(is_usable).collect();
        let mids: BTreeMap<&str, usize> = sdp
            .media
            .iter()
            .enumerate()
            .filter_map(|(index, media)| Some((media.mid()?, index)))
            .collect();
        for group in sdp.bundle_groups() {
            let mut free = usable.clone();
            let indices = group
                .mids
                .iter()
                .filter_map(|mid| mids.get(mid.as_str()).copied());
            let members: Vec<usize> = indices
                .filter(|index| std::mem::take(&mut free[*index]))
                .collect();
            if !members.is_empty() {
                let rtcp_mux = members.iter().any(|index| sdp.media[*index].rtcp_mux());
                return Self { members, rtcp_mux };
            }
        }
        Self {
            members: usable.iter().position(|usable| *usable).into_iter().collect(),
            rtcp_mux: false,
        }
    }

    pub(crate) fn contains(&self, index: usize) -> bool {
        self.members.contains(&index)
    }

    /// Whether RTCP is multiplexed in this section. RFC 9143 section 9.3 asks for `rtcp-mux` in all bundled sections of
    /// offers, and in the tagged one only elsewhere, so that one section speaks for all.
    pub(crate) fn has_rtcp_mux(&self, sdp: &SessionDescription, index: usize) -> bool {
        (self.rtcp_mux && self.contains(index)) || sdp.media[index].rtcp_mux()
    }

    /// The section whose transport attributes count: the tagged one, else the first that has credentials.
    pub(crate) fn transport_section(&self, sdp: &SessionDescription) -> Option<usize> {
        let has = |index: &&usize| sdp.ice_credentials(&sdp.media[**index]).is_some();
        self.members.iter().find(has).or(self.members.first()).copied()
    }
}

/// Neither rejected nor of a protocol that is not spoken here.
fn is_usable(media: &MediaDescription) -> bool {
    !media.is_rejected() && is_supported(media)
}

/// RFC 9429 section 5.1.2: besides `UDP/TLS/RTP/SAVPF`, all RTP profiles "MUST be accepted" and are used as if they were
/// it. RFC 8841 section 4 for data.
pub(crate) fn is_supported(media: &MediaDescription) -> bool {
    match media.kind {
        dunlin_sdp::MediaKind::Audio | dunlin_sdp::MediaKind::Video => matches!(
            media.protocol.as_str(),
            "UDP/TLS/RTP/SAVPF"
                | "UDP/TLS/RTP/SAVP"
                | "TCP/DTLS/RTP/SAVPF"
                | "TCP/DTLS/RTP/SAVP"
                | "TCP/TLS/RTP/SAVPF"
                | "TCP/TLS/RTP/SAVP"
                | "RTP/SAVPF"
                | "RTP/SAVP"
                | "RTP/AVPF"
                | "RTP/AVP"
        ),
        dunlin_sdp::MediaKind::Application => {
            let protocol = matches!(media.protocol.as_str(), "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP");
            protocol && media.formats == dunlin_sdp::Formats::Other(vec!["webrtc-datachannel".to_owned()])
        }
        dunlin_sdp::MediaKind::Other(_) => false,
    }
}
