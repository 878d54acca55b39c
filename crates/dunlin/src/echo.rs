//! Sending back what comes: the smallest whole programs on channels and tracks, used by examples and tests.

use dunlin_peerconnection::{Direction, NegotiatedCodec, PayloadType};

use crate::data_channel::DataChannel;
use crate::error::Error;
use crate::peer_connection::PeerConnection;
use crate::track::{Feedback, TrackReceiver};

/// Sends every message back until the channel is closed.
///
/// # Errors
/// When the connection fails, or the channel is closed while a message is on its way back.
pub async fn channel(mut channel: DataChannel) -> Result<(), Error> {
    while let Some(message) = channel.recv().await? {
        channel.send(message).await?;
    }
    Ok(())
}

/// Makes every transceiver that the peer's offer brought send as well as receive.
///
/// Between `set_remote_description` and `set_local_description`: what an offer brings only receives at first.
pub fn accept(pc: &PeerConnection) {
    for transceiver in pc.transceivers() {
        if let Err(error) = transceiver.set_direction(Direction::SendRecv) {
            log::debug!("a transceiver does not send back: {error}");
        }
    }
}

/// Sends every packet back on the transceiver it came on, and passes key frame requests on, until the peer
/// stops sending.
pub async fn track(mut track: TrackReceiver) {
    let sender = track.transceiver().sender();
    let mut codecs = (track.codecs(), sender.codecs());
    let mut refused = 0_u64;
    loop {
        tokio::select! {
            packet = track.recv() => {
                let Some(packet) = packet else { break };
                let mut outgoing = packet.forward();
                let mut payload_type = same_codec(outgoing.payload_type, &codecs.0, &codecs.1);
                if payload_type.is_none() {
                    // A track is told of when the offer is set; its codecs are known with the answer.
                    codecs = (track.codecs(), sender.codecs());
                    payload_type = same_codec(outgoing.payload_type, &codecs.0, &codecs.1);
                }
                let Some(payload_type) = payload_type else { continue };
                outgoing.payload_type = payload_type;
                if sender.send_packet(outgoing).is_err() {
                    refused += 1;
                }
            }
            feedback = sender.feedback() => match feedback {
                Some(Feedback::KeyframeRequest) => {
                    if let Err(error) = track.request_keyframe() {
                        log::debug!("a key frame request is not passed on: {error}");
                    }
                }
                None => break,
            },
        }
    }
    log::debug!(
        "a track's echo ended: {refused} packets were refused, {} dropped",
        track.dropped()
    );
}

/// The number that the other direction has for the codec of `payload_type`.
fn same_codec(
    payload_type: PayloadType,
    received: &[NegotiatedCodec],
    sent: &[NegotiatedCodec],
) -> Option<PayloadType> {
    let number = payload_type.get();
    let codec = received.iter().find(|codec| codec.payload_type == number)?;
    let same = |other: &&NegotiatedCodec| {
        other.name.eq_ignore_ascii_case(&codec.name)
            && other.clock_rate == codec.clock_rate
            && other.channels == codec.channels
    };
    // Two profiles of one codec differ by their number only, which both directions mostly share.
    let exact = sent
        .iter()
        .filter(same)
        .find(|other| other.payload_type == number);
    PayloadType::new(exact.or_else(|| sent.iter().find(same))?.payload_type)
}
