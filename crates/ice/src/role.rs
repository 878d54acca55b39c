//! Who nominates, and what happens when both sides think they do (RFC 8445, sections 6.1.1 and 7.3.1.1).

use std::fmt;

/// The role of an agent in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates the pair that both will use.
    Controlling,
    /// Waits for the nomination.
    Controlled,
}

impl Role {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Role::Controlling => Role::Controlled,
            Role::Controlled => Role::Controlling,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Controlling => "controlling",
            Role::Controlled => "controlled",
        })
    }
}

/// What an agent does about the role that a check claims for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The roles fit.
    None,
    /// Answer with 487 and keep the role.
    Refuse,
    /// Take the other role and go on.
    Switch,
}

/// RFC 8445, section 7.3.1.1: whoever has the larger tie-breaker becomes controlling.
pub(crate) fn detect_conflict(ours: Role, our_tie_breaker: u64, claimed: Option<(Role, u64)>) -> Conflict {
    match claimed {
        // "If the agent's tiebreaker value is larger than or equal to the contents of the ICE-CONTROLLING
        // attribute, the agent generates a Binding error response and includes an ERROR-CODE attribute with a
        // value of 487 (Role Conflict) but retains its role."
        Some((Role::Controlling, theirs)) if ours == Role::Controlling => {
            if our_tie_breaker >= theirs {
                Conflict::Refuse
            } else {
                Conflict::Switch
            }
        }
        // "If the agent's tiebreaker value is larger than or equal to the contents of the ICE-CONTROLLED
        // attribute, the agent switches to the controlling role", else it answers 487.
        Some((Role::Controlled, theirs)) if ours == Role::Controlled => {
            if our_tie_breaker >= theirs {
                Conflict::Switch
            } else {
                Conflict::Refuse
            }
        }
        _ => Conflict::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_tie_breaker_controls_whoever_notices() {
        use Role::{Controlled, Controlling};
        assert_eq!(
            detect_conflict(Controlling, 9, Some((Controlling, 5))),
            Conflict::Refuse
        );
        assert_eq!(
            detect_conflict(Controlling, 5, Some((Controlling, 9))),
            Conflict::Switch
        );
        assert_eq!(
            detect_conflict(Controlled, 9, Some((Controlled, 5))),
            Conflict::Switch
        );
        assert_eq!(
            detect_conflict(Controlled, 5, Some((Controlled, 9))),
            Conflict::Refuse
        );
        assert_eq!(
            detect_conflict(Controlled, 5, Some((Controlling, 9))),
            Conflict::None
        );
        assert_eq!(
            detect_conflict(Controlling, 5, Some((Controlled, 9))),
            Conflict::None
        );
        assert_eq!(detect_conflict(Controlling, 5, None), Conflict::None);
        // "If the agent's tiebreaker value is larger than or equal to": with equal ones, who controls stays, and who is
        // controlled takes over.
        assert_eq!(
            detect_conflict(Controlling, 5, Some((Controlling, 5))),
            Conflict::Refuse
        );
        assert_eq!(
            detect_conflict(Controlled, 5, Some((Controlled, 5))),
            Conflict::Switch
        );
    }
}
