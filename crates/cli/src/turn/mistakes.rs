//! What no operator can mean: numbers out of range and options that contradict each other, told before anything is opened.
//!
//! Some of them come from turnserver.conf, where 0 is "no limit".

use std::collections::BTreeSet;

use super::error::TurnError;
use super::options::Options;

/// More threads than any host has cores, each with its own sockets.
const MOST_WORKERS: u64 = 1024;
/// A nonce that is good for longer than a day is no nonce (RFC 8656, section 5: "at least once every hour").
const OLDEST_NONCE: u64 = 86_400;
/// LIFETIME has 32 bits of seconds (RFC 8656, section 18.2).
const LONGEST: u64 = u32::MAX as u64;
/// A second has to carry one datagram at least.
const LEAST_BPS: u64 = 1500;
/// RFC 8489, sections 14.9 and 14.14: "fewer than 128 characters".
const LONGEST_TEXT: usize = 127;

/// Looks through the options.
pub(super) fn check(options: &Options) -> Result<(), TurnError> {
    ranges(options)?;
    contradictions(options)?;
    texts(options)?;
    users(&options.user)
}

fn ranges(options: &Options) -> Result<(), TurnError> {
    let count = |value: Option<usize>| value.map(|value| value as u64);
    let ranges = [
        ("workers", count(options.workers), 0, MOST_WORKERS),
        ("nonce-seconds", options.nonce_seconds, 1, OLDEST_NONCE),
        ("total-quota", count(options.total_quota), 1, u64::MAX),
        ("user-quota", count(options.user_quota), 1, u64::MAX),
        ("default-lifetime", options.default_lifetime, 1, LONGEST),
        ("max-lifetime", options.max_lifetime, 1, LONGEST),
        ("max-bps", options.max_bps, LEAST_BPS, u64::MAX),
        ("max-connections", count(options.max_connections), 1, u64::MAX),
    ];
    for (option, value, least, most) in ranges {
        match value {
            Some(value) if value < least => return Err(TurnError::TooSmall(option, value, least)),
            Some(value) if value > most => return Err(TurnError::TooLarge(option, value, most)),
            _ => {}
        }
    }
    match (options.default_lifetime, options.max_lifetime) {
        (Some(usual), Some(longest)) if usual > longest => Err(TurnError::Lifetimes(usual, longest)),
        _ => Ok(()),
    }
}

fn contradictions(options: &Options) -> Result<(), TurnError> {
    let discovers = !options.nat_discovery.is_empty();
    let pairs = [
        ("stun-only", options.stun_only, "no-stun", options.no_stun),
        ("nat-discovery", discovers, "no-stun", options.no_stun),
        ("nat-discovery", discovers, "no-udp", options.no_udp),
    ];
    for (one, has_one, other, has_other) in pairs {
        if has_one && has_other {
            return Err(TurnError::Contradiction(one, other));
        }
    }
    let nowhere = |address: &std::net::SocketAddr| address.port() == 0 || address.ip().is_unspecified();
    match options.alternate_server.filter(nowhere) {
        Some(address) => Err(TurnError::Alternate(address)),
        None => Ok(()),
    }
}

fn texts(options: &Options) -> Result<(), TurnError> {
    let fits = |text: &String| (1..=LONGEST_TEXT).contains(&text.chars().count());
    if options.realm.as_ref().is_some_and(|realm| !fits(realm)) {
        return Err(TurnError::Text("realm"));
    }
    if options.software.as_ref().is_some_and(|software| !fits(software)) {
        return Err(TurnError::Text("software"));
    }
    if options.shared_secret.iter().any(String::is_empty) {
        return Err(TurnError::EmptySecret);
    }
    Ok(())
}

/// The name and the password of a user.
pub(super) fn split_user(text: &str) -> Result<(&str, &str), TurnError> {
    let split = text.split_once(':').filter(|(name, _)| !name.is_empty());
    // The text may be a password: it is not to be found in a log.
    let (name, password) = split.ok_or(TurnError::User)?;
    match password {
        "" => Err(TurnError::NoPassword(name.to_owned())),
        password => Ok((name, password)),
    }
}

fn users(texts: &[String]) -> Result<(), TurnError> {
    let mut names = BTreeSet::new();
    for text in texts {
        let (name, _) = split_user(text)?;
        if !names.insert(name) {
            return Err(TurnError::SameUser(name.to_owned()));
        }
    }
    Ok(())
}
