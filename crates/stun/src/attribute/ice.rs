//! The attributes of ICE connectivity checks (RFC 8445, sections 7.1 and 16.1).

use crate::attribute;
use crate::message::Message;
use crate::writer::Writer;

impl Message<'_> {
    /// PRIORITY: what the priority of a peer-reflexive candidate found by this check will be.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.fixed(attribute::PRIORITY).map(u32::from_be_bytes)
    }

    /// Whether there is a USE-CANDIDATE.
    #[must_use]
    pub fn use_candidate(&self) -> bool {
        self.attribute(attribute::USE_CANDIDATE).is_some()
    }

    /// ICE-CONTROLLING: the sender's tie-breaker.
    #[must_use]
    pub fn ice_controlling(&self) -> Option<u64> {
        self.fixed(attribute::ICE_CONTROLLING).map(u64::from_be_bytes)
    }

    /// ICE-CONTROLLED: the sender's tie-breaker.
    #[must_use]
    pub fn ice_controlled(&self) -> Option<u64> {
        self.fixed(attribute::ICE_CONTROLLED).map(u64::from_be_bytes)
    }
}

impl Writer<'_> {
    /// Appends PRIORITY.
    pub fn priority(&mut self, priority: u32) -> &mut Self {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    /// Appends USE-CANDIDATE.
    pub fn use_candidate(&mut self) -> &mut Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// Appends ICE-CONTROLLING.
    pub fn ice_controlling(&mut self, tie_breaker: u64) -> &mut Self {
        self.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
    }

    /// Appends ICE-CONTROLLED.
    pub fn ice_controlled(&mut self, tie_breaker: u64) -> &mut Self {
        self.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes())
    }
}
