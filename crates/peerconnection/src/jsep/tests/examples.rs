//! The exchanges of RFC 8829 section 7, from both seats, and answered by us.

use super::*;

fn read(name: &str) -> SessionDescription {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdp/tests/data/rfc8829");
    let text = std::fs::read_to_string(format!("{folder}/{name}.sdp")).unwrap();
    SessionDescription::parse(&text).unwrap()
}

/// Makes what the application of the example must have made before it got to this offer.
fn prepare(side: &mut Side, offer: &SessionDescription) {
    for media in offer.media.iter().skip(side.state.sections.len()) {
        match MediaKind::of(&media.kind) {
            Some(kind) => drop(side.add(kind, Direction::SendRecv)),
            None => side.state.set_data_wanted(),
        }
    }
}

/// Replays the exchanges from the seat of whoever made the first offer, or of the other one.
fn replay(exchanges: &[&str], first: bool) -> (Side, Vec<Applied>) {
    let mut side = Side::new("seat");
    let mut told = Vec::new();
    let opener = read(&format!("{}-offer", exchanges[0])).origin.session_id;
    for exchange in exchanges {
        for (kind, what) in [(SdpType::Offer, "offer"), (SdpType::Answer, "answer")] {
            let sdp = read(&format!("{exchange}-{what}"));
            if (sdp.origin.session_id == opener) == first {
                if kind == SdpType::Offer {
                    prepare(&mut side, &sdp);
                }
                told.push(apply_local(&mut side.state, kind, &sdp).unwrap());
            } else {
                told.push(side.remote(kind, &sdp));
            }
        }
    }
    assert_eq!(side.state.signaling(), SignalingState::Stable);
    (side, told)
}

#[test]
fn the_simple_example() {
    for first in [true, false] {
        let (side, told) = replay(&["a1"], first);
        assert_eq!(told[1].media.as_ref().unwrap().len(), 2);
        let expected = if first {
            DtlsRole::Passive
        } else {
            DtlsRole::Active
        };
        assert_eq!(told[1].dtls_role, Some(expected));
        assert!(
            side.state
                .transceivers()
                .iter()
                .all(|known| known.current_direction() == Some(Direction::SendRecv))
        );
    }
}

#[test]
fn the_detailed_example_keeps_roles_and_credentials_in_its_second_exchange() {
    for first in [true, false] {
        let (side, told) = replay(&["b1", "b2"], first);
        assert!(told[1].data.is_some() && told[3].data.is_some());
        assert_eq!(
            told[3].dtls_role, told[1].dtls_role,
            "setup:passive keeps the roles"
        );
        assert!(told.iter().all(|told| !told.ice_restart && !told.dtls_restart));
        assert_eq!(told[3].media.as_ref().unwrap().len(), 3);
        let video = &told[3].media.as_ref().unwrap()[1];
        // The second offer comes from the other side, which sends video; the answer only receives.
        assert_eq!((video.send.is_some(), video.receive.is_some()), (!first, first));
        let direction = if first {
            Direction::RecvOnly
        } else {
            Direction::SendOnly
        };
        assert_eq!(side.state.transceivers()[1].current_direction(), Some(direction));
        if first {
            assert_eq!(video.receive.as_ref().unwrap().rids, ["1", "2", "3"]);
        }
    }
}

#[test]
fn the_early_transport_warmup_example() {
    for first in [true, false] {
        let (side, told) = replay(&["c1", "c2"], first);
        assert_eq!(told[3].media.as_ref().unwrap().len(), 2);
        assert!(
            side.state
                .transceivers()
                .iter()
                .all(|known| known.current_direction() == Some(Direction::SendRecv))
        );
    }
}

/// The examples write transport attributes and rtcp-mux into the tagged section only (RFC 9143 section 7.3).
#[test]
fn each_offer_of_the_examples_is_answered() {
    for name in ["a1", "b1", "b2", "c1", "c2"] {
        let mut bob = Side::new("bob");
        let offer = read(&format!("{name}-offer"));
        bob.remote(SdpType::Offer, &offer);
        let (answer, _) = bob.answer();
        assert!(
            answer.media.iter().all(|media| media.port != 0),
            "{name}: {answer}"
        );
        assert_eq!(
            answer.bundle_groups().next().unwrap().mids.len(),
            offer.media.len(),
            "{name}"
        );
    }
}
