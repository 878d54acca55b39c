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
}

impl Flavour {
    /// Features to switch off in Chromium.
    pub fn chromium(self) -> &'static [&'static str] {
        match self {
            Flavour::Usual | Flavour::Dtls12 => &[],
            Flavour::WithoutHybrid => &["WebRtcPqcForDtls"],
        }
    }

    /// Preferences of Firefox.
    pub fn firefox(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Flavour::Usual => &[],
            Flavour::WithoutHybrid => &[
                ("media.webrtc.enable_pq_hybrid_kex", "false"),
                ("media.webrtc.send_mlkem_keyshare", "false"),
            ],
            Flavour::Dtls12 => &[("media.peerconnection.dtls.version.max", "771")],
        }
    }
}
