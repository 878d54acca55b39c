//! The check list (RFC 8445, section 6.1.2): which pairs there are, and which is checked next.

use std::collections::VecDeque;
use std::time::Instant;

use dunlin_net::Path;

use crate::candidate::same_address;
use crate::pair::{Pair, PairId, PairState};
use crate::role::Role;

/// A check that goes before the ordinary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) pair: PairId,
    /// Carries USE-CANDIDATE.
    pub(crate) nominate: bool,
    /// It lets others go first until then; `None`: it never did.
    from: Option<Instant>,
}

/// All pairs and the triggered-check queue. One data stream with one component (everything is bundled and
/// multiplexed), so there is one list.
#[derive(Debug)]
pub(crate) struct CheckList {
    /// In the order of their ids, which only grow.
    pairs: Vec<Pair>,
    triggered: VecDeque<Trigger>,
    next_id: u32,
    max_pairs: usize,
    /// Where the last datagram's pair stood: the next one's is most likely the same.
    last_hit: usize,
}

impl CheckList {
    pub(crate) fn new(max_pairs: usize) -> Self {
        Self {
            pairs: Vec::new(),
            triggered: VecDeque::new(),
            next_id: 0,
            max_pairs,
            last_hit: 0,
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Pair> {
        self.pairs.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Pair> {
        self.pairs.iter_mut()
    }

    fn place(&self, id: PairId) -> Option<usize> {
        // As long as none between them was removed, the distance of two ids is that of their places.
        let first = self.pairs.first()?.id;
        let guess = id.0.checked_sub(first.0)? as usize;
        match self.pairs.get(guess) {
            Some(pair) if pair.id == id => Some(guess),
            _ => self.pairs.binary_search_by_key(&id, |pair| pair.id).ok(),
        }
    }

    pub(crate) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(self.place(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        let place = self.place(id)?;
        self.pairs.get_mut(place)
    }

    /// The pair that stands there, to go through all while they change.
    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut Pair> {
        self.pairs.get_mut(place)
    }

    pub(crate) fn find(&self, path: Path, generation: u32) -> Option<&Pair> {
        self.pairs
            .iter()
            .find(|pair| pair.generation == generation && same_path(pair.path, path))
    }

    /// The pair that a datagram of this path belongs to, if the peer has proved itself on it. A few nanoseconds
    /// when it is the pair of the datagram before.
    pub(crate) fn accepting(&mut self, path: Path) -> Option<&mut Pair> {
        let accepts = |pair: &Pair| pair.path == path && pair.accepts_data();
        if !self.pairs.get(self.last_hit).is_some_and(accepts) {
            self.last_hit = self
                .pairs
                .iter()
                .position(|pair| same_path(pair.path, path) && pair.accepts_data())?;
        }
        self.pairs.get_mut(self.last_hit)
    }

    /// Adds a pair (whose `id` and `state` are set here) unless the list is full of better ones.
    ///
    /// RFC 8445, section 6.1.2.5: "an ICE agent MUST limit the total number of connectivity checks the agent
    /// performs", by discarding the pairs of the lowest priority. Those whose consent has ended go last: as long as they are
    /// there, nobody asks for it again.
    pub(crate) fn insert(&mut self, mut pair: Pair) -> Option<PairId> {
        if self.pairs.len() >= self.max_pairs {
            let spare = |p: &&Pair| {
                matches!(
                    p.state,
                    PairState::Frozen | PairState::Waiting | PairState::Failed
                )
            };
            let worst = self
                .pairs
                .iter()
                .filter(spare)
                .min_by_key(|p| (p.is_dead(), p.is_pending(), p.priority))?;
            if worst.is_pending() && worst.priority >= pair.priority {
                return None;
            }
            let worst = worst.id;
            self.remove(worst);
        }
        pair.id = PairId(self.next_id);
        self.next_id += 1;
        pair.state = self.initial_state(&pair);
        let id = pair.id;
        self.pairs.push(pair);
        Some(id)
    }

    /// RFC 8445, section 6.1.2.6: of each foundation, the pair with the highest priority is Waiting, the others are
    /// Frozen. RFC 8838, section 12 keeps that up for pairs that come later: one whose foundation has succeeded
    /// is Waiting at once.
    fn initial_state(&mut self, new: &Pair) -> PairState {
        let mut group = self.pairs.iter_mut().filter(|pair| pair.same_foundation(new));
        if group.any(|pair| pair.state == PairState::Succeeded) {
            return PairState::Waiting;
        }
        let mut state = PairState::Waiting;
        for pair in self.pairs.iter_mut().filter(|pair| pair.same_foundation(new)) {
            match pair.state {
                PairState::Waiting if pair.priority < new.priority => pair.state = PairState::Frozen,
                PairState::Waiting | PairState::InProgress => state = PairState::Frozen,
                _ => {}
            }
        }
        state
    }

    pub(crate) fn remove(&mut self, id: PairId) {
        self.retain(|pair| pair.id != id);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Pair) -> bool) {
        self.pairs.retain(keep);
        let pairs = &self.pairs;
        self.triggered
            .retain(|trigger| pairs.iter().any(|pair| pair.id == trigger.pair));
    }

    /// Gives back the room that no pair uses.
    pub(crate) fn shrink(&mut self) {
        self.pairs.shrink_to_fit();
        self.triggered.shrink_to_fit();
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// RFC 8445, section 7.3.1.1: "A change in roles will require an agent to recompute pair priorities".
    pub(crate) fn set_role(&mut self, role: Role) {
        for pair in &mut self.pairs {
            pair.set_role(role);
        }
    }

    /// RFC 8445, section 7.2.5.3.3: "The agent MUST set the states for all other Frozen candidate pairs in
    /// all checklists with the same foundation to Waiting."
    pub(crate) fn thaw_like(&mut self, id: PairId) {
        let Some(model) = self.get(id).cloned() else {
            return;
        };
        for pair in &mut self.pairs {
            if pair.state == PairState::Frozen && pair.same_foundation(&model) {
                pair.state = PairState::Waiting;
            }
        }
    }

    /// Puts a check into the triggered queue, once. It lets others go first until `from`.
    pub(crate) fn trigger(&mut self, pair: PairId, from: Instant) {
        if !self.is_triggered(pair) {
            let from = Some(from);
            let place = self.triggered.partition_point(|trigger| trigger.from <= from);
            let nominate = false;
            self.triggered.insert(place, Trigger { pair, nominate, from });
        }
    }

    /// Puts the check that nominates this pair, and no other, at the head of the queue.
    pub(crate) fn trigger_nomination(&mut self, pair: PairId) {
        self.cancel_trigger(pair);
        for trigger in &mut self.triggered {
            trigger.nominate = false;
        }
        let (nominate, from) = (true, None);
        self.triggered.push_front(Trigger { pair, nominate, from });
    }

    /// The pair of the nomination that waits in the queue.
    pub(crate) fn next_nomination(&self) -> Option<PairId> {
        let nominates = self.triggered.iter().find(|trigger| trigger.nominate);
        nominates.map(|trigger| trigger.pair)
    }

    pub(crate) fn cancel_trigger(&mut self, pair: PairId) {
        self.triggered.retain(|trigger| trigger.pair != pair);
    }

    pub(crate) fn clear_triggers(&mut self) {
        self.triggered.clear();
    }

    fn is_triggered(&self, id: PairId) -> bool {
        self.triggered.iter().any(|trigger| trigger.pair == id)
    }

    /// When the first of the triggered queue has let others go first for long enough.
    pub(crate) fn triggered_from(&self, now: Instant) -> Option<Instant> {
        let first = self.triggered.front()?;
        Some(first.from.unwrap_or(now))
    }

    /// Whether a pair of this generation waits for its turn.
    pub(crate) fn has_ordinary(&self, generation: u32) -> bool {
        let waits = |pair: &Pair| {
            matches!(pair.state, PairState::Waiting | PairState::Frozen) && !pair.needs_permission
        };
        self.pairs.iter().any(|pair| {
            pair.generation == generation
                && waits(pair)
                && !self.is_triggered(pair.id)
                // A frozen pair waits for the check of its foundation that is under way.
                && (pair.state == PairState::Waiting || !self.foundation_is_busy(pair))
        })
    }

    /// RFC 8445, section 6.1.4.2: first the triggered-check queue, in order.
    pub(crate) fn next_triggered(&mut self) -> Option<Trigger> {
        self.triggered.pop_front()
    }

    /// When no pair is Waiting, one of each foundation that is not busy thaws (RFC 8445, section 6.1.4.2).
    pub(crate) fn thaw_idle(&mut self, generation: u32) {
        if self.next_ordinary(generation, |_| false).is_none() {
            while let Some(id) = self.next_to_thaw(generation) {
                if let Some(pair) = self.get_mut(id) {
                    pair.state = PairState::Waiting;
                }
            }
        }
    }

    /// "The highest-priority candidate pair" that is Waiting (RFC 8445, section 6.1.4.2); those that are `late` come behind
    /// the others.
    pub(crate) fn next_ordinary(&self, generation: u32, late: impl Fn(&Pair) -> bool) -> Option<PairId> {
        let waits = |pair: &&Pair| {
            pair.generation == generation && pair.state == PairState::Waiting && !pair.needs_permission
        };
        let all = self.pairs.iter().filter(waits);
        // What is triggered has its turn already, and is to take nobody else's.
        let all = all.filter(|pair| !self.is_triggered(pair.id));
        all.max_by_key(|pair| (!late(pair), pair.priority, std::cmp::Reverse(pair.id)))
            .map(|pair| pair.id)
    }

    fn next_to_thaw(&self, generation: u32) -> Option<PairId> {
        let frozen = |pair: &&Pair| {
            pair.generation == generation && pair.state == PairState::Frozen && !pair.needs_permission
        };
        let idle = self
            .pairs
            .iter()
            .filter(frozen)
            .filter(|pair| !self.foundation_is_busy(pair));
        idle.max_by_key(|pair| (pair.priority, std::cmp::Reverse(pair.id)))
            .map(|pair| pair.id)
    }

    fn foundation_is_busy(&self, like: &Pair) -> bool {
        // A pair that has to wait for its relay holds up no other.
        let busy = |pair: &Pair| {
            matches!(pair.state, PairState::Waiting | PairState::InProgress) && !pair.needs_permission
        };
        self.pairs
            .iter()
            .any(|pair| busy(pair) && pair.same_foundation(like))
    }
}

/// The same two ends; the scope of a link-local address does not count.
fn same_path(a: Path, b: Path) -> bool {
    a.transport == b.transport && same_address(a.local, b.local) && same_address(a.remote, b.remote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::{Candidate, Kind};
    use crate::pair::Outcome;
    use crate::pair_stats::Counters;
    use std::net::SocketAddr;
    use std::time::Duration;

    #[allow(clippy::disallowed_methods)]
    fn pair(local_port: u16, remote_port: u16, foundation: &str, priority: u64) -> Pair {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        Pair {
            id: PairId(0),
            generation: 1,
            path: Path::udp(address(local_port), address(remote_port)),
            local: Candidate::udp(Kind::Host, address(local_port), 1, "L").into(),
            remote: Candidate::udp(Kind::Host, address(remote_port), 1, foundation).into(),
            reflexive_priority: 1,
            base_priority: 1,
            base_foundation: "L".into(),
            priority,
            state: PairState::Frozen,
            needs_permission: false,
            consent: None,
            use_candidate_at: None,
            nomination: None,
            checked_at: None,
            answered_in: None,
            hoped_since: None,
            last_heard: std::time::Instant::now(),
            rtt: None,
            outcome: Outcome::Untried,
            requests_sent: 0,
            responses_received: 0,
            requests_received: 0,
            last_request: None,
            counters: Counters::default(),
        }
    }

    fn states(list: &CheckList) -> Vec<PairState> {
        list.iter().map(|pair| pair.state).collect()
    }

    #[test]
    fn one_pair_of_each_foundation_waits_and_it_is_the_best() {
        use PairState::{Frozen, Waiting};
        let mut list = CheckList::new(10);
        let low = list.insert(pair(1, 1, "A", 5)).unwrap();
        let high = list.insert(pair(1, 2, "A", 9)).unwrap();
        let other = list.insert(pair(1, 3, "B", 7)).unwrap();
        assert_eq!(states(&list), [Frozen, Waiting, Waiting]);
        assert_eq!(list.next_ordinary(1, |_| false), Some(high));
        list.get_mut(high).unwrap().state = PairState::InProgress;
        assert_eq!(list.next_ordinary(1, |_| false), Some(other));
        list.get_mut(other).unwrap().state = PairState::InProgress;
        assert_eq!(
            list.next_ordinary(1, |_| false),
            None,
            "low waits for high, of the same foundation"
        );
        assert!(!list.has_ordinary(1));
        list.get_mut(high).unwrap().state = PairState::Failed;
        assert!(list.has_ordinary(1));
        list.thaw_idle(1);
        assert_eq!(list.next_ordinary(1, |_| false), Some(low));
    }

    #[test]
    fn success_thaws_the_foundation_also_for_pairs_to_come() {
        let mut list = CheckList::new(10);
        let first = list.insert(pair(1, 1, "A", 5)).unwrap();
        let second = list.insert(pair(1, 2, "A", 4)).unwrap();
        list.get_mut(first).unwrap().state = PairState::Succeeded;
        list.thaw_like(first);
        assert_eq!(list.get(second).unwrap().state, PairState::Waiting);
        let third = list.insert(pair(1, 3, "A", 3)).unwrap();
        assert_eq!(list.get(third).unwrap().state, PairState::Waiting);
    }

    #[test]
    fn a_full_list_gives_up_its_worst_pair_for_a_better_one_only() {
        let mut list = CheckList::new(2);
        let a = list.insert(pair(1, 1, "A", 5)).unwrap();
        let b = list.insert(pair(1, 2, "B", 6)).unwrap();
        assert_eq!(list.insert(pair(1, 3, "C", 4)), None);
        assert!(list.insert(pair(1, 4, "D", 9)).is_some());
        assert!(list.get(a).is_none() && list.get(b).is_some());
        for pair in list.iter_mut() {
            pair.state = PairState::InProgress;
        }
        assert_eq!(
            list.insert(pair(1, 5, "E", 99)),
            None,
            "checks under way are not given up"
        );
        assert_eq!(list.len(), 2);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_triggered_check_is_queued_once_and_a_nomination_goes_first() {
        let (mut list, now) = (CheckList::new(3), Instant::now());
        let a = list.insert(pair(1, 1, "A", 5)).unwrap();
        let b = list.insert(pair(1, 2, "B", 5)).unwrap();
        list.trigger(a, now);
        list.trigger(a, now);
        list.trigger_nomination(a);
        list.trigger_nomination(b);
        let mut next = || {
            list.next_triggered()
                .map(|trigger| (trigger.pair, trigger.nominate))
        };
        assert_eq!(next(), Some((b, true)));
        assert_eq!(next(), Some((a, false)));
        assert_eq!(next(), None);
        list.trigger(a, now);
        list.remove(a);
        assert_eq!(list.next_triggered(), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_triggered_check_lets_those_go_first_that_come_in_its_moment() {
        let (mut list, now, moment) = (CheckList::new(5), Instant::now(), Duration::from_millis(2));
        let [relayed, soon, later, nominated] =
            [1, 2, 3, 4].map(|port| list.insert(pair(1, port, "A", 5)).unwrap());
        list.trigger(relayed, now + moment);
        assert_eq!(list.triggered_from(now), Some(now + moment));
        list.trigger(soon, now);
        assert_eq!(list.triggered_from(now), Some(now));
        list.trigger(later, now + moment * 2);
        list.trigger_nomination(nominated);
        let order: Vec<PairId> =
            std::iter::from_fn(|| list.next_triggered().map(|trigger| trigger.pair)).collect();
        assert_eq!(order, [nominated, soon, relayed, later]);
        assert_eq!(list.triggered_from(now), None);
    }
}
