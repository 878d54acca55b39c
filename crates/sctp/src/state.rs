//! The states of an association (RFC 9260, section 4). Each variant owns what is valid only there.

use crate::packet::init::Init;
use crate::send::outstanding::Outstanding;
use crate::tcb::Tcb;

/// Where an association stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing has begun; an INIT or a COOKIE ECHO of the peer is answered.
    Closed,
    /// INIT was sent.
    CookieWait(CookieWait),
    /// COOKIE ECHO was sent.
    CookieEchoed(Box<Tcb>, CookieEcho),
    /// ESTABLISHED, or one of the states of the shutdown.
    Open(Box<Tcb>, Phase),
    /// It is over.
    Ended,
}

#[derive(Debug)]
pub(crate) struct CookieWait {
    /// What our INIT says.
    pub(crate) local: Init,
    pub(crate) retransmissions: u32,
    /// The INIT leaves out what old stacks do not know.
    pub(crate) plain: bool,
    /// How many cookies the peer found stale.
    pub(crate) stale: u8,
    /// What rode on a COOKIE ECHO that was too late: it keeps its TSNs, since our INIT stays the same.
    pub(crate) carried: Option<Outstanding>,
}

#[derive(Debug)]
pub(crate) struct CookieEcho {
    pub(crate) cookie: Vec<u8>,
    /// To be sent with the next packet.
    pub(crate) due: bool,
    pub(crate) retransmissions: u32,
    /// How many cookies before this one the peer found stale.
    pub(crate) stale: u8,
}

/// ESTABLISHED and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Established,
    /// We are to shut down, and data is outstanding.
    ShutdownPending,
    ShutdownSent,
    /// The peer shuts down, and data is outstanding.
    ShutdownReceived,
    ShutdownAckSent,
}

impl Phase {
    /// Section 6: "Data transmission MUST only happen in the ESTABLISHED, SHUTDOWN-PENDING, and SHUTDOWN-RECEIVED
    /// states." SACK chunks are processed in the same ones.
    pub(crate) fn sends_data(self) -> bool {
        matches!(
            self,
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived
        )
    }

    /// "DATA chunks MUST only be received … in ESTABLISHED, SHUTDOWN-PENDING, and SHUTDOWN-SENT states."
    pub(crate) fn receives_data(self) -> bool {
        matches!(
            self,
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent
        )
    }
}

impl State {
    pub(crate) fn tcb(&self) -> Option<&Tcb> {
        match self {
            State::CookieEchoed(tcb, _) | State::Open(tcb, _) => Some(tcb),
            _ => None,
        }
    }

    pub(crate) fn tcb_mut(&mut self) -> Option<&mut Tcb> {
        match self {
            State::CookieEchoed(tcb, _) | State::Open(tcb, _) => Some(tcb),
            _ => None,
        }
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        match self {
            State::Open(_, phase) => Some(*phase),
            _ => None,
        }
    }

    /// The tag that the peer must use.
    pub(crate) fn local_tag(&self) -> Option<u32> {
        match self {
            State::CookieWait(wait) => Some(wait.local.tag),
            _ => self.tcb().map(|tcb| tcb.local.tag),
        }
    }
}
