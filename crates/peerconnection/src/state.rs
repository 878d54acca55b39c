//! The states of a connection, by their W3C names (webrtc-pc, sections 4.3 and 5.6).

use std::fmt;

macro_rules! w3c_name {
    ($type:ty { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// The name that browsers use.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// Where offer and answer stand (webrtc-pc, section 4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignalingState {
    /// Nothing is being negotiated.
    #[default]
    Stable,
    /// A local offer waits for its answer.
    HaveLocalOffer,
    /// A remote offer waits for our answer.
    HaveRemoteOffer,
    /// A remote offer was answered provisionally.
    HaveLocalPranswer,
    /// Our offer was answered provisionally.
    HaveRemotePranswer,
    /// The connection was closed.
    Closed,
}

w3c_name!(SignalingState {
    Stable => "stable",
    HaveLocalOffer => "have-local-offer",
    HaveRemoteOffer => "have-remote-offer",
    HaveLocalPranswer => "have-local-pranswer",
    HaveRemotePranswer => "have-remote-pranswer",
    Closed => "closed",
});

/// Whether all local candidates are known (webrtc-pc, section 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IceGatheringState {
    /// Gathering has not begun: there is no local description.
    #[default]
    New,
    /// Candidates may still come.
    Gathering,
    /// All local candidates are known.
    Complete,
}

w3c_name!(IceGatheringState { New => "new", Gathering => "gathering", Complete => "complete" });

/// Whether ICE has a path (webrtc-pc, section 4.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IceConnectionState {
    /// No checks yet.
    #[default]
    New,
    /// Candidate pairs are being checked.
    Checking,
    /// A path works; better ones may still be found.
    Connected,
    /// A path works and no better one is looked for.
    Completed,
    /// No pair works.
    Failed,
    /// The peer has not answered for some seconds; it may come back.
    Disconnected,
    /// The connection was closed.
    Closed,
}

w3c_name!(IceConnectionState {
    New => "new",
    Checking => "checking",
    Connected => "connected",
    Completed => "completed",
    Failed => "failed",
    Disconnected => "disconnected",
    Closed => "closed",
});

/// The state of the DTLS transport (webrtc-pc, section 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsState {
    /// The handshake has not begun.
    #[default]
    New,
    /// The handshake is going on.
    Connecting,
    /// Keys are agreed and the peer's certificate is the one its description names.
    Connected,
    /// The peer said goodbye, or we did.
    Closed,
    /// The handshake failed, or the peer reported an error.
    Failed,
}

w3c_name!(DtlsState {
    New => "new",
    Connecting => "connecting",
    Connected => "connected",
    Closed => "closed",
    Failed => "failed",
});

/// ICE and DTLS together (webrtc-pc, section 4.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConnectionState {
    /// Nothing has begun.
    #[default]
    New,
    /// ICE or DTLS is being established.
    Connecting,
    /// Media and data can flow.
    Connected,
    /// The peer has not answered for some seconds; it may come back.
    Disconnected,
    /// ICE or DTLS failed; the reason is in `Event::Failed`.
    Failed,
    /// The connection was closed.
    Closed,
}

w3c_name!(ConnectionState {
    New => "new",
    Connecting => "connecting",
    Connected => "connected",
    Disconnected => "disconnected",
    Failed => "failed",
    Closed => "closed",
});

impl ConnectionState {
    /// Aggregates the states of the one transport of a BUNDLE.
    #[must_use]
    pub fn of(ice: IceConnectionState, dtls: DtlsState) -> Self {
        use DtlsState as Dtls;
        use IceConnectionState as Ice;
        match (ice, dtls) {
            (Ice::Closed, _) | (_, Dtls::Closed) => ConnectionState::Closed,
            (Ice::Failed, _) | (_, Dtls::Failed) => ConnectionState::Failed,
            (Ice::Disconnected, _) => ConnectionState::Disconnected,
            (Ice::New, Dtls::New) => ConnectionState::New,
            (Ice::Connected | Ice::Completed, Dtls::Connected) => ConnectionState::Connected,
            _ => ConnectionState::Connecting,
        }
    }
}

/// The state of a data channel (webrtc-pc, section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelState {
    /// Not usable yet; what is sent now is refused.
    #[default]
    Connecting,
    /// Usable.
    Open,
    /// Closing: what was queued is still delivered.
    Closing,
    /// Closed.
    Closed,
}

w3c_name!(ChannelState {
    Connecting => "connecting",
    Open => "open",
    Closing => "closing",
    Closed => "closed",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_connected_only_when_ice_and_dtls_both_are() {
        use ConnectionState as State;
        let of = ConnectionState::of;
        assert_eq!(of(IceConnectionState::New, DtlsState::New), State::New);
        assert_eq!(
            of(IceConnectionState::Checking, DtlsState::New),
            State::Connecting
        );
        assert_eq!(
            of(IceConnectionState::Connected, DtlsState::Connecting),
            State::Connecting
        );
        assert_eq!(
            of(IceConnectionState::Completed, DtlsState::Connected),
            State::Connected
        );
        assert_eq!(
            of(IceConnectionState::Disconnected, DtlsState::Connected),
            State::Disconnected
        );
        assert_eq!(
            of(IceConnectionState::Connected, DtlsState::Failed),
            State::Failed
        );
        assert_eq!(of(IceConnectionState::Closed, DtlsState::Failed), State::Closed);
    }
}
