//! Protection profiles of `use_srtp` (RFC 5764, section 4.1.2; RFC 7714, section 14.2).

/// A protection profile. The value is that of the DTLS extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Profile {
    /// AES-128 in counter mode, HMAC-SHA1 with tags of 80 bits.
    Aes128CmSha1_80 = 0x0001,
    /// AES-128 in counter mode, HMAC-SHA1 with tags of 32 bits for RTP and 80 bits for RTCP.
    Aes128CmSha1_32 = 0x0002,
    /// AES-128-GCM with tags of 128 bits.
    AeadAes128Gcm = 0x0007,
    /// AES-256-GCM with tags of 128 bits.
    AeadAes256Gcm = 0x0008,
}

/// The id of a profile that dunlin does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SRTP protection profile {0:#06x} is not known")]
pub struct UnknownProfile(pub u16);

impl TryFrom<u16> for Profile {
    type Error = UnknownProfile;

    fn try_from(id: u16) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.id() == id)
            .ok_or(UnknownProfile(id))
    }
}

impl Profile {
    /// Every profile, the strongest first.
    pub const ALL: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
    ];

    /// The name in the IANA registry of DTLS-SRTP protection profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "SRTP_AES128_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    /// The id in the DTLS extension.
    #[must_use]
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// Bytes of a master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes to export from DTLS: `2 * (SRTPSecurityParams.master_key_len + master_salt_len)`
    /// (RFC 5764, section 4.2).
    #[must_use]
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Bytes that protection adds to an RTP packet.
    #[must_use]
    pub const fn overhead_rtp(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 10,
            Self::Aes128CmSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes that protection adds to a compound of RTCP packets: the tag, and the word with the index.
    ///
    /// RFC 5764, section 4.1.2, on the profile with short tags: "RTCP auth_tag_length: 80".
    #[must_use]
    pub const fn overhead_rtcp(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 10 + 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16 + 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_lengths() {
        for profile in Profile::ALL {
            assert_eq!(Profile::try_from(profile.id()), Ok(profile));
        }
        assert_eq!(Profile::try_from(5), Err(UnknownProfile(5)), "NULL cipher");
        assert_eq!(Profile::Aes128CmSha1_80.keying_material_len(), 60);
        assert_eq!(Profile::AeadAes128Gcm.keying_material_len(), 56);
        assert_eq!(Profile::AeadAes256Gcm.keying_material_len(), 88);
    }
}
