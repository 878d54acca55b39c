//! ChannelData and stream framing under round trips, lies and noise (THREATS 15).

use dunlin_stun::{Class, Message, Method, TransactionId, Writer, attribute as kinds};
use dunlin_turn::attribute::{
    AdditionalAddressFamily, AddressErrorCode, ConnectionId, EvenPort, Icmp, Lifetime, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use dunlin_turn::{Authenticator, ChannelData, ChannelNumber, Credentials, Frame, next_frame};
use proptest::prelude::*;

fn write(channel: ChannelNumber, data: &[u8], stream: bool, out: &mut Vec<u8>) -> bool {
    let append = |out: &mut Vec<u8>| {
        out.extend_from_slice(data);
        true
    };
    if stream {
        ChannelData::write_stream(out, channel, append)
    } else {
        ChannelData::write_datagram(out, channel, append)
    }
}

#[test]
fn lengths_that_lie_are_no_channel_data_and_padding_is() {
    let data = [0x4f, 0xff, 0, 2, 7, 8, 0, 0];
    let expected = ChannelData {
        channel: ChannelNumber::MAX,
        data: &[7, 8],
    };
    assert_eq!(ChannelData::parse(&data), Some(expected));
    assert_eq!(ChannelData::parse(&data[..6]), Some(expected));
    for len in 0..6 {
        assert_eq!(ChannelData::parse(&data[..len]), None);
    }
    // "Note that 0 is a valid length."
    assert_eq!(ChannelData::parse(&[0x40, 0, 0, 0]).unwrap().data, b"");
}

#[test]
fn only_the_numbers_of_rfc_8656_are_channels() {
    for number in 0..=u16::MAX {
        let valid = (0x4000..=0x4fff).contains(&number);
        assert_eq!(ChannelNumber::new(number).is_some(), valid);
        let [a, b] = number.to_be_bytes();
        assert_eq!(ChannelData::parse(&[a, b, 0, 0]).is_some(), valid);
    }
}

/// THREATS 15: a length does not wrap in its 16 bits.
#[test]
fn data_that_does_not_fit_leaves_the_buffer_as_it_was() {
    let mut out = vec![1, 2, 3];
    assert!(!write(ChannelNumber::MIN, &vec![0; 65_536], false, &mut out));
    assert!(!ChannelData::write_stream(&mut out, ChannelNumber::MIN, |out| {
        out.push(9);
        false
    }));
    assert_eq!(out, [1, 2, 3]);
    assert!(write(ChannelNumber::MIN, &vec![0; 65_535], true, &mut out));
    assert_eq!(next_frame(&out[3..]), Frame::ChannelData(65_540));
}

#[test]
fn a_stream_out_of_step_is_noticed() {
    assert_eq!(next_frame(b"POST / HTTP/1.1"), Frame::Invalid);
    assert_eq!(next_frame(&[0x50, 0, 0, 0]), Frame::Invalid);
    assert_eq!(next_frame(&[0, 1, 0, 3]), Frame::Invalid);
    assert_eq!(next_frame(&[0, 1, 0, 0, 0x21, 0x12, 0xa4]), Frame::Incomplete);
    assert_eq!(next_frame(&[0, 1, 0, 0, 0x21, 0x13]), Frame::Invalid);
    assert_eq!(next_frame(&[]), Frame::Incomplete);
}

proptest! {
    /// Whatever a stream holds, its frames come out whole, however the bytes are cut.
    #[test]
    fn a_stream_is_cut_where_it_was_joined(parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..50)), 0..10)) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (channel, data) in &parts {
            let start = stream.len();
            if *channel {
                prop_assert!(write(ChannelNumber::MIN, data, true, &mut stream));
                expected.push(Frame::ChannelData(stream.len() - start));
            } else {
                Writer::new(&mut stream, Class::Indication, Method::SEND, TransactionId([1; 12])).data(data);
                expected.push(Frame::Stun(stream.len() - start));
            }
        }
        let mut rest = &stream[..];
        for frame in expected {
            prop_assert_eq!(next_frame(rest), frame);
            let (Frame::Stun(len) | Frame::ChannelData(len)) = frame else { unreachable!() };
            for short in 0..len {
                prop_assert_eq!(next_frame(&rest[..short]), Frame::Incomplete);
            }
            rest = &rest[len..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn channel_data_survives(number in 0x4000u16..0x5000, data in prop::collection::vec(any::<u8>(), 0..100), stream: bool) {
        let channel = ChannelNumber::new(number).unwrap();
        let mut out = Vec::new();
        prop_assert!(write(channel, &data, stream, &mut out));
        prop_assert_eq!(ChannelData::parse(&out), Some(ChannelData { channel, data: &data }));
        prop_assert_eq!(out.len() % 4 == 0 || !stream, true);
    }

    #[test]
    fn noise_never_panics(data in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = (ChannelData::parse(&data), next_frame(&data));
    }

    #[test]
    fn values_of_any_length_never_panic(value in prop::collection::vec(any::<u8>(), 0..20), code in 300u16..700) {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Error, Method::ALLOCATE, TransactionId([1; 12]));
        writer.error_code(code, "");
        for kind in [
            kinds::CHANNEL_NUMBER, kinds::LIFETIME, kinds::REQUESTED_TRANSPORT, kinds::REQUESTED_ADDRESS_FAMILY,
            kinds::ADDITIONAL_ADDRESS_FAMILY, kinds::EVEN_PORT, kinds::RESERVATION_TOKEN, kinds::ADDRESS_ERROR_CODE,
            kinds::ICMP, kinds::CONNECTION_ID, kinds::MOBILITY_TICKET, kinds::REALM, kinds::NONCE,
            kinds::PASSWORD_ALGORITHMS,
        ] {
            writer.attribute(kind, &value);
        }
        let message = Message::parse(&out).unwrap();
        let length = value.len();
        prop_assert_eq!(ChannelNumber::read(&message).is_some(), length == 4);
        prop_assert_eq!(Lifetime::read(&message).is_some(), length == 4);
        prop_assert_eq!(RequestedTransport::read(&message).is_some(), length == 4);
        prop_assert_eq!(RequestedAddressFamily::read(&message).is_some(), length == 4);
        prop_assert_eq!(AdditionalAddressFamily::read(&message).is_some(), length == 4);
        prop_assert_eq!(EvenPort::read(&message).is_some(), length == 1);
        prop_assert_eq!(ReservationToken::read(&message).is_some(), length == 8);
        prop_assert_eq!(Icmp::read(&message).is_some(), length == 8);
        prop_assert_eq!(ConnectionId::read(&message).is_some(), length == 4);
        prop_assert_eq!(MobilityTicket::read(&message), Some(MobilityTicket(&value)));
        let _ = AddressErrorCode::read(&message);
        let credentials = Credentials { username: "u".to_owned(), password: "p".to_owned() };
        let _ = Authenticator::answer(&credentials, &message).map(|_| ());
    }
}
