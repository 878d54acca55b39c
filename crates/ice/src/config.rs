//! What an agent may be told, with the defaults of the RFCs, and a bound for every table.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::filter::RemoteFilter;
use crate::hiding::HiddenHosts;
use crate::role::Role;
use crate::server::{ServerReport, StunServer, TransportPolicy, TurnServer};

/// The settings of an [`Agent`](crate::Agent). Times of more than a year count as a year.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The role to start with: the offerer controls (RFC 8445, section 6.1.1). Conflicts repair themselves.
    /// Default: controlling.
    pub role: Role,
    /// Only answer checks and send none (RFC 8445, section 2.5): for servers on public addresses. Default: false.
    pub lite: bool,
    /// Whether the controlling side may nominate again when a better pair works, with peers that know how
    /// ([`Renomination`](crate::Renomination)); the parent puts its options into the description. Default: true.
    pub renomination: bool,
    /// STUN servers that tell server-reflexive addresses. Default: none.
    pub stun_servers: Vec<SocketAddr>,
    /// STUN servers that are asked over TCP, TLS or DTLS, by ways that the parent opens. Their answers appear in reports;
    /// they see another socket than those that candidates are of. At most [`max_turn_servers`](Self::max_turn_servers).
    /// Default: none.
    pub stun_ways: Vec<StunServer>,
    /// TURN servers that relay for us. A relayed address is the last resort; with many servers, the first to answer are
    /// as good as any. Default: none.
    pub turn_servers: Vec<TurnServer>,
    /// Servers that the parent could not make addresses of, for the reports. Default: none.
    pub failed_servers: Vec<ServerReport>,
    /// Which candidates are used. Default: all.
    pub transport_policy: TransportPolicy,
    /// Whether TCP connections are opened to the peer's passive candidates (RFC 6544) when nothing works
    /// [`tcp_delay`](Self::tcp_delay) after its description came. Default: true.
    pub tcp_active: bool,
    /// The start that UDP has. Default: 500 ms.
    pub tcp_delay: Duration,
    /// Whether the parent is asked for the address of candidates that hide it behind a name
    /// (draft-ietf-mmusic-mdns-ice-candidates). Default: true.
    pub resolve_names: bool,
    /// Whether the addresses of this host are told to the peer (RFC 8828, section 5.2: in mode 3 they are not). Without
    /// them, it learns what STUN and TURN servers see, and what its own checks show. Default: true.
    pub advertise_hosts: bool,
    /// Which of the addresses that are told are hidden behind names, for which the parent answers on the local network
    /// ([`Event::PublishName`](crate::Event::PublishName)). Default: none. A browser has to keep them from web pages; the
    /// parent of this agent is trusted by its user, and a name fails where multicast does.
    pub hidden_hosts: HiddenHosts,
    /// Addresses that a 1:1 NAT gives this host. Host candidates of the same family are advertised with these
    /// instead of the interface's (loopback and link-local ones stay as they are). Default: none.
    pub external_ips: Vec<IpAddr>,
    /// Which remote addresses may be checked. Default: all that can be a peer.
    pub remote_filter: RemoteFilter,

    /// How long a STUN or TURN server has to give an address (TURN: from the way to it being asked for); gathering goes
    /// on without it then. Default: 15 s, over UDP twelve requests to a STUN server in three transactions, and five to a
    /// TURN server. RFC 8489, section 6.2.1 would go on for 39.5 s, for which nobody wants to wait who sends all candidates
    /// at once.
    pub gathering_timeout: Duration,
    /// Ta, the time between two checks, that is proposed to the peer (RFC 8445, section 14.2; the parent puts it into the
    /// description as `ice-pacing`). The larger proposal of the two counts, and that of a peer that makes none is 50 ms
    /// ([`Agent::set_remote_pacing`](crate::Agent::set_remote_pacing)). Requests to STUN servers keep this distance.
    /// Default: 10 ms, which is a tenth of a megabit per second for the time that checks take. Less than 5 ms counts as 5.
    pub pacing: Duration,
    /// The time between a triggered or nominating check and the check before it: RFC 8445, section 14.2 lets no
    /// agent go below the default of 5 ms, and less counts as that.
    pub min_pacing: Duration,
    /// The least time before a check is sent again (RFC 8445, section 14.3). Default: 500 ms.
    pub initial_rto: Duration,
    /// How often a check is sent before its pair fails (RFC 8489, section 6.2.1: Rc). Default: 7, which with
    /// `initial_rto` is 39.5 s.
    pub max_check_requests: u32,
    /// How long a controlling agent that has a valid pair waits for better ones whose checks are under way, when
    /// both ends of the valid pair are host candidates. Default: 100 ms. Nothing better pending: no wait at all.
    pub nomination_wait_host: Duration,
    /// The same when one end is reflexive. Default: 500 ms.
    pub nomination_wait: Duration,
    /// The same when one end is relayed: the choice is for long, and data flows meanwhile. Default: 2 s, in which a
    /// check of a direct path is repeated twice.
    pub nomination_wait_relay: Duration,
    /// How long an agent waits for a path at least, whatever happened to its candidates (RFC 8863, section 4).
    /// Default: 39.5 s.
    pub pac_timeout: Duration,
    /// Consent checks come at 0.8 to 1.2 times this interval (RFC 7675, section 5.1). Default: 5 s. On a pair in reserve,
    /// which nothing is sent on, they come at 0.8 to 1.2 times [`keepalive_interval`](Self::keepalive_interval) while they
    /// are answered.
    pub consent_interval: Duration,
    /// Consent ends this long after the last response (RFC 7675, section 5.1). Default: 30 s.
    pub consent_timeout: Duration,
    /// Nothing heard for this long (the peer's consent checks and data count): state `Disconnected`, which heals
    /// with the next sign of life. Default: 7 s, more than one consent interval at its longest.
    pub disconnected_timeout: Duration,
    /// A lite agent, which sends no checks, keeps NAT bindings alive with an indication after this long without
    /// other datagrams (RFC 8445, section 11: Tr). STUN servers are asked again as often. Default: 15 s.
    pub keepalive_interval: Duration,
    /// How long after nomination the other pairs (after a restart: the old pair) still live (RFC 8445, section
    /// 8.3.1). Default: 3 s.
    pub release_delay: Duration,

    /// TURN servers that are asked; the others are left out. Default: 8.
    pub max_turn_servers: usize,
    /// Local addresses. Default: 32.
    pub max_local_addresses: usize,
    /// Local candidates, with the reflexive ones. Default: 96.
    pub max_local_candidates: usize,
    /// Remote candidates from signalling. Default: 64.
    pub max_remote_candidates: usize,
    /// Remote candidates learned from checks. Default: 16.
    pub max_peer_reflexive: usize,
    /// Candidate pairs (RFC 8445, section 6.1.2.5). Default: 100.
    pub max_pairs: usize,
    /// With renomination: direct pairs that stay beside the chosen one, with consent, to be chosen later. Default: 3.
    pub max_kept_pairs: usize,
    /// TCP connections to the peer that are asked for in one generation. Default: 16.
    pub max_tcp_connects: usize,
    /// Names that are resolved in one generation. Default: 16.
    pub max_names: usize,
    /// Checks that came before the peer's credentials were known. Default: 16.
    pub max_early_checks: usize,
    /// Requests without an answer so far. Default: 256.
    pub max_transactions: usize,
    /// Datagrams that wait for `poll_transmit`. Default: 256.
    pub max_queued: usize,
    /// Events that wait for `poll_event`; the oldest go first. Default: 512.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Controlling,
            lite: false,
            renomination: true,
            stun_servers: Vec::new(),
            stun_ways: Vec::new(),
            turn_servers: Vec::new(),
            failed_servers: Vec::new(),
            transport_policy: TransportPolicy::All,
            tcp_active: true,
            tcp_delay: Duration::from_millis(500),
            resolve_names: true,
            advertise_hosts: true,
            hidden_hosts: HiddenHosts::None,
            external_ips: Vec::new(),
            remote_filter: RemoteFilter::default(),
            gathering_timeout: Duration::from_secs(15),
            pacing: Duration::from_millis(10),
            min_pacing: Duration::from_millis(5),
            initial_rto: Duration::from_millis(500),
            max_check_requests: 7,
            nomination_wait_host: Duration::from_millis(100),
            nomination_wait: Duration::from_millis(500),
            nomination_wait_relay: Duration::from_secs(2),
            pac_timeout: Duration::from_millis(39_500),
            consent_interval: Duration::from_secs(5),
            consent_timeout: Duration::from_secs(30),
            disconnected_timeout: Duration::from_secs(7),
            keepalive_interval: Duration::from_secs(15),
            release_delay: Duration::from_secs(3),
            max_turn_servers: 8,
            max_local_addresses: 32,
            max_local_candidates: 96,
            max_remote_candidates: 64,
            max_peer_reflexive: 16,
            max_pairs: 100,
            max_kept_pairs: 3,
            max_tcp_connects: 16,
            max_names: 16,
            max_early_checks: 16,
            max_transactions: 256,
            max_queued: 256,
            max_events: 512,
        }
    }
}

impl Config {
    /// The same with every timer long enough that time goes on between two steps, and short enough that times can be
    /// added up. RFC 8445, section 14.2: "Regardless of the Ta value chosen", transactions "MUST NOT be sent more often than
    /// once every 5 ms".
    pub(crate) fn sane(mut self) -> Self {
        const LEAST: Duration = Duration::from_millis(1);
        const LEAST_PACING: Duration = Duration::from_millis(5);
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        for timer in [
            &mut self.gathering_timeout,
            &mut self.initial_rto,
            &mut self.consent_interval,
            &mut self.consent_timeout,
            &mut self.disconnected_timeout,
            &mut self.keepalive_interval,
        ] {
            *timer = (*timer).max(LEAST);
        }
        for pacing in [&mut self.pacing, &mut self.min_pacing] {
            *pacing = (*pacing).max(LEAST_PACING);
        }
        for timer in [
            &mut self.tcp_delay,
            &mut self.gathering_timeout,
            &mut self.pacing,
            &mut self.min_pacing,
            &mut self.initial_rto,
            &mut self.nomination_wait_host,
            &mut self.nomination_wait,
            &mut self.nomination_wait_relay,
            &mut self.pac_timeout,
            &mut self.consent_interval,
            &mut self.consent_timeout,
            &mut self.disconnected_timeout,
            &mut self.keepalive_interval,
            &mut self.release_delay,
        ] {
            *timer = (*timer).min(YEAR);
        }
        self.max_pairs = self.max_pairs.max(1);
        self.max_transactions = self.max_transactions.max(8);
        self.max_queued = self.max_queued.max(8);
        self.max_events = self.max_events.max(8);
        self
    }
}
