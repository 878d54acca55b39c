//! Browsers that are told something besides the usual.

/// What a browser is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flavour {
    #[default]
    Usual,
    /// DTLS without the group X25519MLKEM768.
    WithoutHybrid,
    /// DTLS 1.2 at most; Firefox only.
    Dtls12,
    /// Any certificate of a TURN server is good enough; Chromium only.
    AnyCertificate,
    /// I-DATA (RFC 8260), which Chromium and libwebrtc do not offer by default.
    Interleaving,
    /// The SCTP stack of former times; Firefox only.
    Usrsctp,
}

impl Flavour {
    /// Features to switch off in Chromium.
    pub fn chromium(self) -> &'static [&'static str] {
        match self {
            Flavour::WithoutHybrid => &["WebRtcPqcForDtls"],
            _ => &[],
        }
    }

    /// Switches of Chromium.
    pub fn switches(self) -> &'static [&'static str] {
        match self {
            Flavour::AnyCertificate => &["--ignore-certificate-errors"],
            _ => &[],
        }
    }

    /// Field trials of Chromium and of libwebrtc.
    pub fn field_trials(self) -> Option<&'static str> {
        (self == Flavour::Interleaving).then_some("WebRTC-DataChannelMessageInterleaving/Enabled/")
    }

    /// Preferences of Firefox.
    pub fn firefox(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Flavour::Usual | Flavour::AnyCertificate | Flavour::Interleaving => &[],
            Flavour::Usrsctp => &[("media.peerconnection.sctp.use_dcsctp", "false")],
            Flavour::WithoutHybrid => &[
                ("media.webrtc.enable_pq_hybrid_kex", "false"),
                ("media.webrtc.send_mlkem_keyshare", "false"),
            ],
            Flavour::Dtls12 => &[("media.peerconnection.dtls.version.max", "771")],
        }
    }
}
