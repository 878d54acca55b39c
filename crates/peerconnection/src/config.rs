//! What a peer connection is made with.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dunlin_dtls::Certificate;
use dunlin_ice::{HiddenHosts, ServerReport, StunServer, TransportPolicy, TurnServer};

use crate::jsep::{Codecs, HeaderExtensions};

/// Everything that can be set. `Config::default()` is what a browser would do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The certificate that this connection shows; `None` makes a new one (RFC 8827, section 6.5, asks for
    /// a new key per call; servers share one to save its cost). Default `None`.
    pub certificate: Option<Certificate>,
    /// STUN servers that tell us our reflexive addresses. Default none.
    pub stun_servers: Vec<SocketAddr>,
    /// STUN servers that are asked over TCP, TLS or DTLS; they only appear in reports. Default none.
    pub stun_ways: Vec<StunServer>,
    /// TURN servers that relay for us when no direct path works. Default none.
    pub turn_servers: Vec<TurnServer>,
    /// Servers that the owner could not make addresses of: they only appear in reports. Default none.
    pub failed_servers: Vec<ServerReport>,
    /// Whether only relayed candidates are used (`RTCConfiguration.iceTransportPolicy`). Default all.
    pub ice_transport_policy: TransportPolicy,
    /// Addresses of a 1:1 NAT in front of us: host candidates are announced with these. Default none.
    pub external_ips: Vec<IpAddr>,
    /// Whether host candidates are announced (RFC 8828, section 5.2: not in mode 3). Default true.
    pub advertise_hosts: bool,
    /// Which of them are hidden behind names ([`Event::PublishName`](crate::Event::PublishName)). Default: none.
    pub hidden_hosts: HiddenHosts,
    /// Whether we are an ICE-lite server (RFC 8445, section 2.5). Default false.
    pub ice_lite: bool,
    /// The DTLS role an answer takes when the offer leaves the choice (RFC 8842, section 5.3). Default active.
    pub answer_setup: AnswerSetup,
    /// The codecs offered and accepted, in order of preference.
    pub codecs: Codecs,
    /// The RTP header extensions offered and accepted.
    pub header_extensions: HeaderExtensions,
    /// SRTP protection profiles by their code points, in order of preference (RFC 5764, section 4.1.2).
    /// Default AES-128-GCM, AES-256-GCM, AES128-CM-SHA1-80.
    pub srtp_profiles: Vec<u16>,
    /// The largest UDP payload sent, in bytes. Default 1200 (RFC 8261, section 5: what fits where the path
    /// MTU is not known).
    pub max_datagram: usize,
    /// The largest UDP payload that data channels look for on a path, in bytes (RFC 8899; RFC 8261, section 5): over
    /// loopback and jumbo frames fewer, larger datagrams carry the same. What sends them must set the DF bit. Nothing larger
    /// than [`Config::max_datagram`] is looked for, or asked for, with 0, nor where the peer does not say that it takes
    /// it: browsers do not. Default 16,368: what a record of DTLS holds, and a fourth of what leaves in one system call
    /// (UDP GSO).
    pub max_path_datagram: usize,
    /// The largest data-channel message that is taken from the peer, in bytes; 0 is no limit. Messages larger than half of
    /// [`Config::receive_buffer`] can be received only in pieces. Default 256 KiB.
    pub max_message_size: usize,
    /// How many data channels there may be at once. Default 65,535.
    pub max_channels: usize,
    /// How many bytes may wait in the send queue of all channels; one message may always. Default 4 MiB.
    pub send_buffer: usize,
    /// How many received bytes may wait for `receive` before the peer is asked to pause. Default 4 MiB.
    pub receive_buffer: usize,
    /// How many RTP packets may wait for `poll_event` before the oldest is dropped. Default 2048.
    pub max_rtp_events: usize,
    /// How many DTLS datagrams are kept while the remote description is missing. Default 16.
    pub max_early_datagrams: usize,
    /// The wall clock at the moment of `new`, as the time since 1970: what sender reports carry (RFC 3550, section
    /// 6.4.1). Default `None`: a fixed date, which only keeps the streams of this connection in step.
    pub wall_clock: Option<Duration>,
    /// After how long without any answer a path is given up (RFC 7675, section 5.1). Default 30 s.
    pub consent_timeout: Duration,
}

/// The DTLS role that an answer takes (RFC 8842, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerSetup {
    /// We open the handshake: `a=setup:active`. What RFC 8842 recommends.
    #[default]
    Active,
    /// The offerer opens it: `a=setup:passive`.
    Passive,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            certificate: None,
            stun_servers: Vec::new(),
            stun_ways: Vec::new(),
            turn_servers: Vec::new(),
            failed_servers: Vec::new(),
            ice_transport_policy: TransportPolicy::All,
            external_ips: Vec::new(),
            advertise_hosts: true,
            hidden_hosts: HiddenHosts::None,
            ice_lite: false,
            answer_setup: AnswerSetup::default(),
            codecs: Codecs::default(),
            header_extensions: HeaderExtensions::default(),
            srtp_profiles: vec![0x0007, 0x0008, 0x0001],
            max_datagram: 1200,
            max_path_datagram: 16_368,
            max_message_size: 256 * 1024,
            max_channels: 65_535,
            send_buffer: 4 * 1024 * 1024,
            receive_buffer: 4 * 1024 * 1024,
            max_rtp_events: 2048,
            max_early_datagrams: 16,
            wall_clock: None,
            consent_timeout: Duration::from_secs(30),
        }
    }
}
