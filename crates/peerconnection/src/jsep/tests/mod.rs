//! Offers and answers, told as tests: two of our states with each other, and ours with what other stacks wrote.

mod corpus;
mod examples;
mod glare;
mod numbers;
mod refusals;
mod rejection;
mod two_sides;

use dunlin_sdp::SessionDescription;

use super::*;
use crate::description::SdpType;
use crate::state::SignalingState;

const FINGERPRINT: &str =
    "sha-256 39:29:C7:A0:27:93:91:D2:83:A3:8D:56:F6:E6:87:B6:5E:F2:31:49:43:68:6A:CA:30:2D:E4:2A:75:5C:03:06";

/// One side: its state and its transport.
struct Side {
    state: State,
    local: LocalTransport,
}

impl Side {
    fn new(name: &str) -> Self {
        let settings = Settings {
            cname: name.to_owned(),
            ..Settings::default()
        };
        Self::with(name, settings)
    }

    fn with(name: &str, settings: Settings) -> Self {
        let local = LocalTransport {
            ufrag: format!("ufrag-{name}"),
            password: format!("password-of-22-characters-{name}"),
            fingerprints: vec![FINGERPRINT.to_owned()],
            ..LocalTransport::default()
        };
        let mut seed = [0; 32];
        seed[31] = name.as_bytes()[0];
        Self {
            state: State::new(settings, seed),
            local,
        }
    }

    fn add(&mut self, kind: MediaKind, direction: Direction) -> TransceiverId {
        self.state.add_transceiver(
            kind,
            TransceiverInit {
                direction,
                ..TransceiverInit::default()
            },
        )
    }

    fn offer(&mut self) -> SessionDescription {
        let offer = through_text(&create_offer(&self.state, &self.local).unwrap());
        apply_local(&mut self.state, SdpType::Offer, &offer).unwrap();
        offer
    }

    fn answer(&mut self) -> (SessionDescription, Applied) {
        let answer = through_text(&create_answer(&self.state, &self.local).unwrap());
        let applied = apply_local(&mut self.state, SdpType::Answer, &answer).unwrap();
        (answer, applied)
    }

    fn remote(&mut self, kind: SdpType, sdp: &SessionDescription) -> Applied {
        apply_remote(&mut self.state, kind, sdp).unwrap()
    }

    fn direction(&self, id: TransceiverId) -> Option<Direction> {
        self.state.transceiver(id).unwrap().current_direction()
    }
}

/// What signalling carries.
fn through_text(sdp: &SessionDescription) -> SessionDescription {
    SessionDescription::parse(&sdp.to_string()).unwrap()
}

/// What each of the two sides was told in an exchange.
struct Told {
    offer: SessionDescription,
    answer: SessionDescription,
    by_offer: Applied,
    answerer: Applied,
    offerer: Applied,
}

/// A whole exchange. `between` may change the answerer after it got the offer.
fn negotiate_with(offerer: &mut Side, answerer: &mut Side, between: impl FnOnce(&mut State)) -> Told {
    let offer = offerer.offer();
    let by_offer = answerer.remote(SdpType::Offer, &offer);
    between(&mut answerer.state);
    let (answer, answered) = answerer.answer();
    let offerer_told = offerer.remote(SdpType::Answer, &answer);
    assert_eq!(offerer.state.signaling(), SignalingState::Stable);
    assert_eq!(answerer.state.signaling(), SignalingState::Stable);
    Told {
        offer,
        answer,
        by_offer,
        answerer: answered,
        offerer: offerer_told,
    }
}

fn negotiate(offerer: &mut Side, answerer: &mut Side) -> Told {
    negotiate_with(offerer, answerer, |_| {})
}
