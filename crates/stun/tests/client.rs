//! The Binding client's story, in virtual time.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, Client, Config, Event, Failure, Message, Retransmission, Step, Writer};

fn path() -> Path {
    Path::udp(
        "192.0.2.1:5000".parse().unwrap(),
        "198.51.100.1:3478".parse().unwrap(),
    )
}

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

fn request(client: &mut Client, now: Instant) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let transmit = client.poll_transmit(now, &mut out)?;
    assert_eq!(transmit.path, path());
    let message = Message::parse(&out).unwrap();
    assert_eq!(
        (message.class(), message.verify_fingerprint()),
        (Class::Request, Some(true))
    );
    Some(out)
}

fn answer(request: &[u8], address: &str) -> BytesMut {
    let mut out = Vec::new();
    Writer::success(&mut out, &Message::parse(request).unwrap())
        .xor_mapped_address(address.parse().unwrap())
        .fingerprint();
    BytesMut::from(&out[..])
}

type Responder<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// RFC 8489, section 6.2.1: 0 ms, 500 ms, 1500 ms, 3500 ms, 7500 ms, 15500 ms, 31500 ms; failed after 39500 ms.
#[test]
fn an_unanswered_request_is_sent_seven_times_and_then_given_up() {
    let start = base();
    let mut client = Client::new(Config::new(path()), [1; 32], start);
    let mut sent = Vec::new();
    let mut bytes = Vec::new();
    let failed_at = loop {
        let now = client.poll_timeout().expect("a live client waits for something");
        client.handle_timeout(now);
        while let Some(request) = request(&mut client, now) {
            sent.push((now - start).as_millis());
            bytes.push(request);
        }
        if let Some(event) = client.poll_event() {
            assert_eq!(event, Event::Failed(Failure::Timeout(7)));
            break (now - start).as_millis();
        }
    };
    assert_eq!(sent, [0, 500, 1500, 3500, 7500, 15500, 31500]);
    assert_eq!(failed_at, 39500);
    assert!(
        bytes.windows(2).all(|pair| pair[0] == pair[1]),
        "a retransmission is the same bytes"
    );
    assert!(client.is_closed());
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn an_answer_is_an_event_and_a_changed_one_is_another() {
    let start = base();
    let mut client = Client::new(Config::new(path()), [1; 32], start);
    let first = request(&mut client, start).unwrap();
    let now = start + Duration::from_millis(30);
    client.handle_datagram(now, path(), answer(&first, "203.0.113.9:4000"));
    assert_eq!(
        client.poll_event(),
        Some(Event::MappedAddress("203.0.113.9:4000".parse().unwrap()))
    );
    assert_eq!(client.stats().round_trip, Some(Duration::from_millis(30)));
    for (port, event) in [(4000, false), (4001, true)] {
        let now = client.poll_timeout().unwrap();
        client.handle_timeout(now);
        let next = request(&mut client, now).unwrap();
        assert_ne!(next, first, "every transaction has its own id");
        client.handle_datagram(now, path(), answer(&next, &format!("203.0.113.9:{port}")));
        assert_eq!(client.poll_event().is_some(), event);
    }
}

#[test]
fn answers_from_elsewhere_with_another_id_or_a_wrong_fingerprint_change_nothing() {
    let start = base();
    let mut client = Client::new(Config::new(path()), [1; 32], start);
    let request = request(&mut client, start).unwrap();
    let good = answer(&request, "203.0.113.9:4000");
    let other = Path::udp(path().local, "198.51.100.2:3478".parse().unwrap());
    client.handle_datagram(start, other, good.clone());
    let mut wrong_id = request.clone();
    wrong_id[19] ^= 1;
    client.handle_datagram(start, path(), answer(&wrong_id, "203.0.113.9:4000"));
    let mut wrong_fingerprint = good.clone();
    *wrong_fingerprint.last_mut().unwrap() ^= 1;
    client.handle_datagram(start, path(), wrong_fingerprint);
    client.handle_datagram(start, path(), BytesMut::from(&request[..]));
    assert_eq!(client.poll_event(), None);
    let stats = client.stats();
    assert_eq!(
        (
            stats.dropped_other_path,
            stats.dropped_malformed,
            stats.dropped_unexpected
        ),
        (1, 1, 2)
    );
    client.handle_datagram(start, path(), good);
    assert!(client.poll_event().is_some());
}

#[test]
fn refusals_and_answers_without_an_address_end_it() {
    let start = base();
    let refuse = |request: &[u8]| {
        let mut out = Vec::new();
        Writer::error(&mut out, &Message::parse(request).unwrap(), 400, "Bad Request");
        out
    };
    let empty = |request: &[u8]| {
        let mut out = Vec::new();
        Writer::success(&mut out, &Message::parse(request).unwrap());
        out
    };
    let unknown = |request: &[u8]| {
        let mut out = Vec::new();
        Writer::success(&mut out, &Message::parse(request).unwrap())
            .attribute(0x7fff, &[])
            .xor_mapped_address("192.0.2.1:1".parse().unwrap());
        out
    };
    let cases: [(Responder<'_>, Failure); 3] = [
        (&refuse, Failure::Refused(400)),
        (&empty, Failure::NotUnderstood),
        (&unknown, Failure::NotUnderstood),
    ];
    for (respond, failure) in cases {
        let mut client = Client::new(Config::new(path()), [1; 32], start);
        let request = request(&mut client, start).unwrap();
        client.handle_datagram(start, path(), BytesMut::from(&respond(&request)[..]));
        assert_eq!(client.poll_event(), Some(Event::Failed(failure)));
        assert_eq!(client.poll_timeout(), None);
    }
}

/// What a server of RFC 3489 answers: MAPPED-ADDRESS, SOURCE-ADDRESS and CHANGED-ADDRESS.
#[test]
fn the_answer_of_an_old_server_is_understood() {
    let start = base();
    let mut client = Client::new(Config::new(path()), [1; 32], start);
    let request = request(&mut client, start).unwrap();
    let address = [0, 1, 0x0f, 0xa0, 203, 0, 113, 9];
    let mut out = Vec::new();
    Writer::success(&mut out, &Message::parse(&request).unwrap())
        .attribute(0x0001, &address)
        .attribute(0x0004, &address)
        .attribute(0x0005, &address);
    client.handle_datagram(start, path(), BytesMut::from(&out[..]));
    let expected = Event::MappedAddress("203.0.113.9:4000".parse().unwrap());
    assert_eq!(client.poll_event(), Some(expected));
}

/// RFC 8489, section 6.2.2: "there are no retransmissions at the STUN protocol level" over TCP, and Ti is 39.5 s.
#[test]
fn over_tcp_a_request_is_sent_once() {
    let start = base();
    let mut config = Config::new(path());
    config.path.transport = Transport::Tcp;
    let mut client = Client::new(config, [1; 32], start);
    assert!(client.poll_transmit(start, &mut Vec::new()).is_some());
    assert_eq!(client.poll_timeout(), Some(start + Duration::from_millis(39_500)));
    client.handle_timeout(start + Duration::from_millis(39_500));
    assert_eq!(client.poll_event(), Some(Event::Failed(Failure::Timeout(1))));
}

#[test]
fn a_late_timer_takes_one_step_and_a_spurious_one_none() {
    let start = base();
    let mut schedule = Retransmission::new(start, Duration::from_millis(500));
    assert_eq!(
        schedule.on_timeout(start + Duration::from_millis(499)),
        Step::Nothing
    );
    assert_eq!(
        schedule.round_trip(start + Duration::from_millis(80)),
        Some(Duration::from_millis(80))
    );
    let late = start + Duration::from_secs(60);
    assert_eq!(schedule.on_timeout(late), Step::Send);
    assert_eq!(schedule.on_timeout(late), Step::Nothing);
    assert_eq!(schedule.poll_timeout(), Some(late + Duration::from_secs(1)));
    // Karn: which of the two requests was answered is not known.
    assert_eq!(schedule.round_trip(late), None);
    let mut impatient = Retransmission::with_limits(start, Duration::from_millis(10), u32::MAX, u32::MAX);
    for _ in 0..100 {
        let due = impatient.poll_timeout().unwrap();
        assert_eq!(impatient.on_timeout(due), Step::Send);
    }
}
