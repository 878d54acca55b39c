//! Nominating again (draft-thatcher-tsvwg-renomination): the controlling side moves the session to a better pair without
//! an ICE restart, and the last nomination wins.
//!
//! Two dialects are spoken. Neither is used before the peer's description has its option, and ours had it too.

use std::cmp::Reverse;

use dunlin_stun::attribute::{GOOG_NOMINATION, NOMINATION};
use dunlin_stun::{Message, Writer};
use log::debug;

use crate::agent::Agent;
use crate::pair::{Pair, PairId};
use crate::role::Role;

/// How nominations are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Renomination {
    /// What libwebrtc and Pion do: the ICE option `renomination`, and an attribute from the range that may be left
    /// unread. USE-CANDIDATE without it is an ordinary nomination.
    Deployed,
    /// draft-thatcher-tsvwg-renomination: the ICE option `renomination2`, and an attribute that must be understood.
    /// USE-CANDIDATE without it means nothing.
    Draft,
}

impl Renomination {
    /// The ICE options that announce both dialects (RFC 8839, section 5.6).
    pub const OPTIONS: &'static str = "renomination renomination2";

    /// The dialect that these ICE options of a peer allow; of two, the one that is specified.
    #[must_use]
    pub fn of_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let known = options.into_iter().filter_map(|option| match option {
            "renomination" => Some(Self::Deployed),
            "renomination2" => Some(Self::Draft),
            _ => None,
        });
        known.max_by_key(|dialect| *dialect == Self::Draft)
    }

    fn attribute(self) -> u16 {
        match self {
            Self::Deployed => GOOG_NOMINATION,
            Self::Draft => NOMINATION,
        }
    }

    /// Appends the number of a nomination.
    pub(crate) fn write(self, writer: &mut Writer<'_>, number: u32) {
        writer.attribute(self.attribute(), &number.to_be_bytes());
    }
}

/// What a check of the controlling side says about its pair; of two checks the greater one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nominates {
    /// Nothing.
    No,
    /// RFC 8445, section 7.3.1.5: USE-CANDIDATE.
    Once,
    /// With a number.
    Numbered(u32),
}

/// Where both sides are with their numbers, in one generation.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// What the peer's description allows; `None` also while there is none.
    pub(crate) dialect: Option<Renomination>,
    /// Controlling: the last that was sent.
    sent: u32,
    /// And for which pair.
    sent_for: Option<PairId>,
    /// And the first for it after the last for another one.
    since: u32,
    /// Controlled: the highest that was accepted.
    accepted: Option<u32>,
}

impl Numbers {
    /// Controlling: the number of a new nomination. "Subsequent nomination requests for that same ICE generation and
    /// component MUST use a strictly greater value than any prior nomination request" (section 3.3).
    pub(crate) fn next(&mut self, pair: PairId) -> Option<(Renomination, u32)> {
        let dialect = self.dialect?;
        self.sent = self.sent.saturating_add(1);
        if self.sent_for != Some(pair) {
            (self.sent_for, self.since) = (Some(pair), self.sent);
        }
        Some((dialect, self.sent))
    }

    /// Controlling: whether no other pair was nominated after this nomination of `pair`, so that its answer says what the peer
    /// uses. Without numbers, no other ever is.
    pub(crate) fn stands(&self, pair: PairId, number: Option<u32>) -> bool {
        number.is_none_or(|number| self.sent_for == Some(pair) && number >= self.since)
    }

    /// Controlled: "The controlled side MUST compare the received NOMINATION value against the highest previously
    /// accepted NOMINATION value for the current ICE generation and component" (section 3.3).
    pub(crate) fn accept(&mut self, number: u32) -> bool {
        let news = self.accepted.is_none_or(|highest| number > highest);
        if news {
            self.accepted = Some(number);
        }
        news
    }

    /// Whether this is the nomination that counts.
    pub(crate) fn is_latest(&self, number: Option<u32>) -> bool {
        number.is_some() && number == self.accepted
    }

    pub(crate) fn has_accepted(&self) -> bool {
        self.accepted.is_some()
    }
}

impl Agent {
    /// How the peer's description lets nominations be repeated, from its ICE options
    /// ([`Renomination::of_options`]). To be told with each new credentials of the peer, before them.
    pub fn set_remote_renomination(&mut self, dialect: Option<Renomination>) {
        self.offered_renomination = dialect.filter(|_| self.config.renomination);
        if self.current.remote.is_some() {
            self.numbers.dialect = self.offered_renomination;
        }
    }

    /// The dialect in use with this peer.
    #[must_use]
    pub fn renomination(&self) -> Option<Renomination> {
        self.numbers.dialect
    }

    /// Whether an attribute that must be understood is: that of the draft, once negotiated; and until the answer tells,
    /// for an offerer "MUST be prepared to work with an answerer that is using either" (section 3.2).
    pub(crate) fn understands(&self, attribute: u16) -> bool {
        let draft = match self.current.remote {
            Some(_) => self.numbers.dialect == Some(Renomination::Draft),
            None => self.config.renomination,
        };
        attribute == NOMINATION && draft
    }

    /// What a check says about its pair.
    pub(crate) fn nominates(&self, check: &Message<'_>) -> Nominates {
        let number = |dialect: Renomination| {
            let value = check.attribute(dialect.attribute())?.try_into().ok()?;
            Some(u32::from_be_bytes(value))
        };
        let once = match check.use_candidate() {
            true => Nominates::Once,
            false => Nominates::No,
        };
        match (self.numbers.dialect, self.current.remote.is_some()) {
            // Section 3.3: "If the NOMINATION attribute is absent, the request MUST be similarly ignored".
            (Some(Renomination::Draft), _) => match number(Renomination::Draft) {
                Some(number) if check.use_candidate() => Nominates::Numbered(number),
                _ => Nominates::No,
            },
            // Zero is what libwebrtc sends for "not nominated".
            (Some(Renomination::Deployed), _) => match number(Renomination::Deployed) {
                Some(0) => Nominates::No,
                Some(number) => Nominates::Numbered(number),
                None => once,
            },
            (None, true) => once,
            // "Where the SDP answer has not yet arrived" both are possible (section 3.3).
            (None, false) if self.config.renomination => {
                let number = number(Renomination::Draft).or_else(|| number(Renomination::Deployed));
                number.map_or(once, Nominates::Numbered)
            }
            (None, false) => once,
        }
    }

    /// Controlling, after a nomination: a pair that is better than the one in use is nominated in its place.
    ///
    /// Better is what has a higher priority: that is what tells a direct path from a relay, and one interface from
    /// another. It is also what keeps two pairs from taking turns.
    pub(crate) fn consider_renomination(&mut self) {
        let renominates = self.role == Role::Controlling && self.numbers.dialect.is_some();
        if !renominates || self.transactions.nominating(&self.numbers).is_some() {
            return;
        }
        let Some(current) = self.nominated.and_then(|id| self.list.get(id)) else {
            return;
        };
        let (priority, generation) = (current.priority, current.generation);
        let better =
            |pair: &&Pair| pair.generation == generation && pair.is_valid() && pair.priority > priority;
        let best = self.list.iter().filter(better);
        if let Some(best) = best.max_by_key(|pair| (pair.priority, Reverse(pair.id))) {
            debug!("ice: {} is better than the pair in use", best.path);
            let id = best.id;
            self.list.trigger_nomination(id);
        }
    }

    /// Whether pairs are still formed and checked although one is nominated: both sides may find a better one, or need
    /// another one.
    pub(crate) fn may_improve(&self) -> bool {
        self.nominated.is_none() || self.numbers.dialect.is_some() || self.is_silent()
    }

    /// Pairs that stay beside the nominated one: those that may still turn out to be better, and with the controlling
    /// side, which "MUST periodically send ICE consent checks on any candidate pair it wants to keep available" (section
    /// 3.1), those that work. Direct ones, the best few of them. The controlled side answers these checks, and makes
    /// the pair anew when it is nominated.
    pub(crate) fn kept_pairs(&self, nominated: PairId) -> Vec<PairId> {
        if self.numbers.dialect.is_none() {
            return vec![nominated];
        }
        let controlling = self.role == Role::Controlling;
        let direct = |pair: &&Pair| self.route(pair.path).is_some_and(|route| route.relay.is_none());
        let wanted = |pair: &&Pair| {
            let worth = pair.is_pending() || (controlling && pair.is_valid());
            pair.id != nominated && pair.generation == self.current.number && worth
        };
        let mut others: Vec<&Pair> = self.list.iter().filter(wanted).filter(direct).collect();
        others.sort_by_key(|pair| Reverse((pair.is_valid(), pair.priority)));
        others.truncate(self.config.max_kept_pairs);
        std::iter::once(nominated)
            .chain(others.iter().map(|pair| pair.id))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_dialects_the_one_that_is_specified_is_spoken() {
        let of = |text: &'static str| Renomination::of_options(text.split(' '));
        assert_eq!(of("trickle ice2"), None);
        assert_eq!(of("trickle renomination"), Some(Renomination::Deployed));
        assert_eq!(of("renomination2 renomination"), Some(Renomination::Draft));
        assert_eq!(of(Renomination::OPTIONS), Some(Renomination::Draft));
    }

    #[test]
    fn numbers_rise_and_only_higher_ones_are_accepted() {
        let mut numbers = Numbers::default();
        let (one, two) = (PairId(1), PairId(2));
        assert_eq!(numbers.next(one), None, "not negotiated");
        assert!(numbers.stands(one, None) && numbers.stands(two, None));
        numbers.dialect = Some(Renomination::Draft);
        assert_eq!(numbers.next(one), Some((Renomination::Draft, 1)));
        assert_eq!(numbers.next(two), Some((Renomination::Draft, 2)));
        assert!(!numbers.stands(one, Some(1)) && numbers.stands(two, Some(2)));
        // The answer to the first says nothing of the third: the peer may have heard the second in between.
        assert_eq!(numbers.next(one), Some((Renomination::Draft, 3)));
        assert_eq!(numbers.next(one), Some((Renomination::Draft, 4)));
        let standing = [1, 2, 3, 4].map(|number| numbers.stands(one, Some(number)));
        assert_eq!(standing, [false, false, true, true]);
        assert!(numbers.accept(7) && !numbers.accept(7) && !numbers.accept(6) && numbers.accept(u32::MAX));
        assert!(numbers.is_latest(Some(u32::MAX)) && !numbers.is_latest(None) && !numbers.is_latest(Some(7)));
    }
}
