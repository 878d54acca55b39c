//! Both directions of an SRTP session over one DTLS association (RFC 5764, section 4.2).

use bytes::BytesMut;
use dunlin_crypto::BackendError;
use dunlin_rtp::{Header, ParseError};

use crate::Profile;
use crate::cipher::{Opener, Sealer};
use crate::inbound::Inbound;
use crate::key_derivation::KeyDerivation;
use crate::outbound::Outbound;

/// Which end of the DTLS association this is: the client's keys protect what the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The DTLS client.
    Client,
    /// The DTLS server.
    Server,
}

/// The bounds of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// SSRCs per direction, for RTP and for RTCP each. A packet of one more is refused. Default 1024, which is
    /// far above what one peer connection uses (an SSRC takes about 200 bytes received, 20 KiB sent).
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_streams: 1024 }
    }
}

/// Why a session cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NewError {
    /// The keying material has another length than [`Profile::keying_material_len`].
    #[error("{profile:?} takes {} bytes of keying material, not {len}", profile.keying_material_len())]
    KeyingMaterial {
        /// The profile.
        profile: Profile,
        /// The bytes that were given.
        len: usize,
    },
    /// The crypto backend refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why a packet was not protected. Where the packet was encrypted before this was found, it is cut off `out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// The bytes are not a plain RTP or RTCP packet.
    #[error("not a packet to protect: {0}")]
    Malformed(ParseError),
    /// There are [`Config::max_streams`] SSRCs already.
    #[error("too many SSRCs are sent")]
    TooManyStreams,
    /// The sequence number is one of another packet that was sent on this SSRC. Only the very same packet may
    /// be sent again.
    #[error("another packet was sent with this SSRC and sequence number")]
    IndexReused,
    /// The sequence number lies before the first of the stream, or the key has protected all it may.
    #[error("the packet's index is outside of what the key may protect")]
    IndexRange,
}

/// Why a received packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// Not an RTP or RTCP packet, or too short to hold a tag.
    #[error("malformed")]
    Malformed,
    /// The tag does not fit: forged, damaged, or of another key.
    #[error("authentication failed")]
    Unauthentic,
    /// A packet with this index was received before.
    #[error("replayed")]
    Replayed,
    /// Too far behind the newest packet to tell whether it was received before.
    #[error("too old")]
    TooOld,
    /// There are [`Config::max_streams`] SSRCs already.
    #[error("too many SSRCs")]
    TooManyStreams,
}

/// How many received packets were dropped, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drops {
    /// [`Reject::Malformed`].
    pub malformed: u64,
    /// [`Reject::Unauthentic`].
    pub unauthentic: u64,
    /// [`Reject::Replayed`].
    pub replayed: u64,
    /// [`Reject::TooOld`].
    pub too_old: u64,
    /// [`Reject::TooManyStreams`].
    pub too_many_streams: u64,
}

impl Drops {
    fn count(&mut self, reject: Reject) {
        *match reject {
            Reject::Malformed => &mut self.malformed,
            Reject::Unauthentic => &mut self.unauthentic,
            Reject::Replayed => &mut self.replayed,
            Reject::TooOld => &mut self.too_old,
            Reject::TooManyStreams => &mut self.too_many_streams,
        } += 1;
    }
}

/// The keys and contexts of both directions. A pure transform: it keeps no packets and no time.
pub struct Session {
    profile: Profile,
    outbound: Outbound,
    inbound: Inbound,
    drops: Drops,
}

impl Session {
    /// A session with the default [`Config`].
    ///
    /// `keying_material` is what DTLS exports with the label "EXTRACTOR-dtls_srtp": client key, server key,
    /// client salt, server salt.
    ///
    /// # Errors
    /// [`NewError`] when the keying material does not fit the profile.
    pub fn new(profile: Profile, keying_material: &[u8], role: Role) -> Result<Self, NewError> {
        Self::with_config(&Config::default(), profile, keying_material, role)
    }

    /// A session with bounds of the caller's choice.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_config(
        config: &Config,
        profile: Profile,
        keying_material: &[u8],
        role: Role,
    ) -> Result<Self, NewError> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        if keying_material.len() != profile.keying_material_len() {
            return Err(NewError::KeyingMaterial {
                profile,
                len: keying_material.len(),
            });
        }
        let (keys, salts) = keying_material.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_salt, server_salt) = salts.split_at(salt_len);
        let mut client = KeyDerivation::new(client_key, client_salt)?;
        let mut server = KeyDerivation::new(server_key, server_salt)?;
        // RFC 5764, section 4.2: what the client writes is protected with client_write_SRTP_master_key.
        let (local, remote) = match role {
            Role::Client => (&mut client, &mut server),
            Role::Server => (&mut server, &mut client),
        };
        let sealer = Sealer::new(profile, local)?;
        let opener = Opener::new(profile, remote)?;
        let inbound = Inbound::new(
            opener,
            config.max_streams,
            profile.overhead_rtp(),
            profile.overhead_rtcp(),
        );
        Ok(Self {
            profile,
            outbound: Outbound::new(sealer, config.max_streams),
            inbound,
            drops: Drops::default(),
        })
    }

    /// Protects the RTP packet in `out[start..]` in place and appends its tag.
    ///
    /// A packet may be sent again, with the sequence number it had, if it is the same byte for byte.
    ///
    /// # Errors
    /// [`ProtectError`]; the packet must not be sent.
    pub fn protect_rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.outbound.protect_rtp(out, start)
    }

    /// Protects the compound of RTCP packets in `out[start..]` in place, and appends index and tag.
    ///
    /// # Errors
    /// [`ProtectError`]; the packet must not be sent.
    pub fn protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.outbound.protect_rtcp(out, start)
    }

    /// Verifies and decrypts an RTP packet in place, and cuts its tag off.
    ///
    /// # Errors
    /// [`Reject`]; the content of `packet` is then unspecified. It was counted.
    pub fn unprotect_rtp(&mut self, packet: &mut BytesMut) -> Result<Header, Reject> {
        self.inbound
            .unprotect_rtp(packet)
            .inspect_err(|reject| self.drops.count(*reject))
    }

    /// Verifies and decrypts a compound of RTCP packets in place, and cuts index and tag off.
    ///
    /// # Errors
    /// [`Reject`]; the content of `packet` is then unspecified. It was counted.
    pub fn unprotect_rtcp(&mut self, packet: &mut BytesMut) -> Result<(), Reject> {
        self.inbound
            .unprotect_rtcp(packet)
            .inspect_err(|reject| self.drops.count(*reject))
    }

    /// Bytes that protection adds to an RTP packet.
    #[must_use]
    pub fn overhead_rtp(&self) -> usize {
        self.profile.overhead_rtp()
    }

    /// Bytes that protection adds to a compound of RTCP packets.
    #[must_use]
    pub fn overhead_rtcp(&self) -> usize {
        self.profile.overhead_rtcp()
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// How many received packets were dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.drops
    }

    /// Received streams that have a context: RTP and RTCP each counted.
    #[must_use]
    pub fn inbound_streams(&self) -> usize {
        self.inbound.streams()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
