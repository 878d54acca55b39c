//! As many channels as there can be.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use super::{A, B, World, init};
use crate::config::Config;
use crate::data_channel::{ChannelFailure, DataChannelInit, Message};
use crate::error::CreateChannelError;
use crate::event::Event;
use crate::state::ChannelState;

/// 65,535 streams, 32,768 of them even and 32,767 odd: both sides open all that they can, talk on each, and close them all.
#[test]
fn all_65_535_channels_open_carry_messages_close_and_open_again() {
    let mut world = World::connected();
    for side in &mut world.sides {
        side.channels.max_channels = 200_000;
    }
    for round in 0..2 {
        let begun = world.now;
        let ids = [(A, 32_768), (B, 32_767)].map(|(side, count)| {
            let ids: Vec<_> = (0..count)
                .map(|_| world.create(side, "", init()).unwrap())
                .collect();
            assert_eq!(world.create(side, "", init()), Err(CreateChannelError::NoIdLeft));
            ids
        });
        world.run(Duration::from_secs(20));
        for side in [A, B] {
            let accepted = world.accepted(side);
            assert_eq!(accepted.len(), ids[1 - side].len() * (round + 1));
        }
        println!("all are open after {:?} of virtual time", world.now - begun);
        for side in [A, B] {
            for id in &ids[side] {
                world.send(side, *id, "x").unwrap();
            }
        }
        world.run(Duration::from_secs(20));
        for side in [A, B] {
            let accepted = world.accepted(side);
            for id in &accepted[accepted.len() - ids[1 - side].len()..] {
                assert_eq!(world.receive(side, *id), Some(Message::from("x")));
            }
        }
        for side in [A, B] {
            for id in &ids[side] {
                world.close(side, *id);
            }
        }
        // One request at a time (RFC 6525, section 5.1.1), each for as many streams as a packet can name.
        world.run(Duration::from_secs(60));
        for side in [A, B] {
            for id in &ids[side] {
                assert_eq!(world.state(side, *id), Some(ChannelState::Closed));
                world.sides[side].channels.forget(*id);
            }
            for id in world.accepted(side) {
                world.sides[side].channels.forget(id);
            }
            assert!(world.sides[side].channels.is_empty());
        }
    }
}

/// Created before the role is known, when nobody can tell how many identifiers there will be.
#[test]
fn channels_beyond_the_identifiers_fail_when_the_role_is_known() {
    let mut world = World::new(Config::default(), 1);
    world.sides[B].channels.max_channels = 200_000;
    let ids: Vec<_> = (0..32_769)
        .map(|_| world.create(B, "", init()).unwrap())
        .collect();
    let last = ids[32_767..].to_vec();
    world.set_roles();
    for id in &last {
        let channel = world.sides[B].channels.get(*id).unwrap();
        assert_eq!(channel.state(), ChannelState::Closed);
        assert_eq!(channel.failure(), Some(ChannelFailure::NoIdLeft));
    }
    let closed = |event: &Event| matches!(event, Event::ChannelClosed(id) if last.contains(id));
    assert_eq!(
        world.sides[B].events.iter().filter(|event| closed(event)).count(),
        2
    );
    let usable = world.sides[B].channels.get(ids[32_766]).unwrap();
    assert_eq!(usable.stream(), Some(65_533));
}

#[test]
fn the_number_of_channels_is_limited_for_both_sides() {
    let mut config = Config::default();
    config.max_channels = 3;
    let mut world = World::new(config, 1);
    world.connect();
    for id in 0..3 {
        let negotiated = DataChannelInit {
            negotiated: true,
            id: Some(id),
            ..init()
        };
        world.create(B, "", negotiated).unwrap();
    }
    assert_eq!(
        world.create(B, "", init()),
        Err(CreateChannelError::TooMany { limit: 3 })
    );
    let refused = world.create(A, "", init()).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.state(A, refused), Some(ChannelState::Closed));
}

/// What an open channel costs, on both sides together, with what the association keeps of its stream; and that nothing of it
/// stays when it is closed.
#[test]
fn an_open_channel_costs_about_a_kilobyte_on_each_side() {
    let mut world = World::connected();
    let count = 10_000;
    let mut ids = Vec::with_capacity(count);
    let opened = allocation_counter::measure(|| {
        for i in 0..count {
            ids.push(world.create(A, &format!("channel {i}"), init()).unwrap());
        }
        world.run(Duration::from_secs(10));
        for side in &mut world.sides {
            side.told.shrink_to_fit();
        }
    });
    let accepted = world.accepted(B);
    assert_eq!(accepted.len(), count);
    let told = 2 * count as i64 * size_of::<Event>() as i64;
    let each = (opened.bytes_current - told) / (2 * count as i64);
    println!("an open channel: {each} bytes a side");
    assert!(each < 1100, "{each}");
    let closed = allocation_counter::measure(|| {
        for id in &ids {
            world.close(A, *id);
        }
        world.run(Duration::from_secs(60));
        for (side, ids) in [(A, &ids), (B, &accepted)] {
            for id in ids {
                world.sides[side].channels.forget(*id);
            }
            world.sides[side].told = Vec::new();
        }
    });
    let left = (opened.bytes_current + closed.bytes_current) / (2 * count as i64);
    println!("and when it is closed: {left} bytes a side");
    assert!(left < 600, "{left}");
}
