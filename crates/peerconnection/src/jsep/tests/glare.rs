//! Rollback and glare (RFC 9429 section 4.1.10.2; webrtc-pc section 4.4.1.6).

use super::*;

#[test]
fn a_local_offer_is_taken_back() {
    let mut alice = Side::new("alice");
    let id = alice.add(MediaKind::Audio, Direction::SendRecv);
    let offer = alice.offer();
    assert_eq!(alice.state.transceiver(id).unwrap().mid(), Some("0"));
    apply_local(&mut alice.state, SdpType::Rollback, &offer).unwrap();
    assert_eq!(alice.state.signaling(), SignalingState::Stable);
    assert_eq!(alice.state.transceiver(id).unwrap().mid(), None);
    assert!(alice.state.local_description().is_none());
    assert!(negotiation_needed(&alice.state));
    let again = alice.offer();
    assert_eq!(again.media, offer.media);
}

#[test]
fn a_remote_offer_is_taken_back_with_what_it_made() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer();
    bob.remote(SdpType::Offer, &offer);
    let ids: Vec<_> = bob.state.transceivers().iter().map(Transceiver::id).collect();
    bob.state
        .transceiver_mut(ids[1])
        .unwrap()
        .attach_track(vec!["s".to_owned()]);
    let told = bob.remote(SdpType::Rollback, &offer);
    assert_eq!(told.tracks_removed, ids);
    assert_eq!(told.transceivers_removed, [ids[0]]);
    let kept = &bob.state.transceivers()[0];
    assert_eq!(
        (kept.id(), kept.mid(), kept.direction()),
        (ids[1], None, Direction::SendRecv)
    );
    assert!(bob.state.remote_description().is_none());
}

#[test]
fn a_renegotiation_that_is_taken_back_leaves_the_session_as_it_was() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let id = alice.add(MediaKind::Audio, Direction::SendRecv);
    let first = negotiate(&mut alice, &mut bob);
    let before = bob.state.transceivers().to_vec();
    alice
        .state
        .transceiver_mut(id)
        .unwrap()
        .set_direction(Direction::Inactive);
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer();
    let told = bob.remote(SdpType::Offer, &offer);
    assert_eq!(told.tracks_removed.len(), 1);
    let told = apply_remote(&mut bob.state, SdpType::Rollback, &offer).unwrap();
    assert_eq!(told.tracks_added.len(), 1, "the audio track is back");
    assert_eq!(bob.state.transceivers(), before);
    assert_eq!(bob.state.remote_description().unwrap().1, first.offer);
    assert_eq!(bob.state.local_description().unwrap().1, first.answer);
}

#[test]
fn in_glare_the_polite_side_takes_the_remote_offer() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let video = bob.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer();
    bob.offer();
    let told = bob.remote(SdpType::Offer, &offer);
    assert_eq!(bob.state.signaling(), SignalingState::HaveRemoteOffer);
    assert_eq!(told.tracks_added.len(), 1);
    let (answer, _) = bob.answer();
    alice.remote(SdpType::Answer, &answer);
    assert_eq!(bob.state.transceiver(video).unwrap().mid(), None);
    assert!(negotiation_needed(&bob.state));
    let told = negotiate(&mut bob, &mut alice);
    assert_eq!(told.offer.media.len(), 2);
    assert_eq!(bob.state.transceiver(video).unwrap().mid(), Some("1"));
}

#[test]
fn an_offer_may_be_replaced_before_it_is_answered() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    bob.remote(SdpType::Offer, &alice.offer());
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer();
    assert_eq!(offer.media.len(), 2);
    let told = bob.remote(SdpType::Offer, &offer);
    assert_eq!(told.tracks_added.len(), 2);
    assert_eq!(bob.state.transceivers().len(), 2);
    let (answer, _) = bob.answer();
    alice.remote(SdpType::Answer, &answer);
    assert!(!negotiation_needed(&alice.state));
}

#[test]
fn what_the_application_stopped_stays_stopped() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let id = alice.add(MediaKind::Audio, Direction::SendRecv);
    negotiate(&mut alice, &mut bob);
    let offer = alice.offer();
    alice.state.transceiver_mut(id).unwrap().stop();
    apply_local(&mut alice.state, SdpType::Rollback, &offer).unwrap();
    assert!(alice.state.transceiver(id).unwrap().is_stopped());
    assert!(negotiation_needed(&alice.state));
}
