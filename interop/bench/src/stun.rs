//! A Binding request as ICE sends it: read, verified, written; beside stun-types where the peers are measured.

use crate::figures::Figures;
use crate::tight::{Cost, cost};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};
use std::hint::black_box;
use std::time::Duration;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const USERNAME: &str = "evtj:h6vY";
const PRIORITY: u32 = 0x6e00_01ff;
const TIE_BREAKER: u64 = 0x932f_f9b1_5126_3b36;

pub fn measure(time: Duration, figures: &mut Figures) -> Result<(), String> {
    let time = time / 3;
    let key = IntegrityKey::short_term(PASSWORD);
    let mut request = Vec::with_capacity(200);
    write(&mut request, &key);
    let parsed = Message::parse(&request).map_err(|error| error.to_string())?;
    if parsed.verify_fingerprint() != Some(true) || parsed.verify_integrity(&key).is_err() {
        return Err("our own request is not authentic".to_owned());
    }

    let ours = cost(time, || {
        let message = Message::parse(black_box(&request)).ok()?;
        message.verify_integrity(&key).ok()?;
        message.verify_fingerprint()
    });
    let theirs = theirs::parse_and_verify(time, &request)?;
    add(figures, "stun parse and verify", ours, theirs, 250);

    let ours = cost(time, || Message::parse(black_box(&request)).map(|m| m.priority()));
    let theirs = theirs::parse(time, &request)?;
    add(figures, "stun parse", ours, theirs, 40);

    let mut out = Vec::with_capacity(200);
    let ours = cost(time, || {
        out.clear();
        write(&mut out, black_box(&key));
        out.len()
    });
    let theirs = theirs::build(time)?;
    add(figures, "stun build", ours, theirs, 500);
    Ok(())
}

fn add(figures: &mut Figures, name: &str, ours: Cost, theirs: Option<Cost>, bar: u32) {
    let mut note = format!("{:.2} allocations (bars {bar} ns, 0)", ours.allocations);
    if let Some(theirs) = theirs {
        note += &format!(
            "; stun-types {:.0} ns, {:.2} allocations: {:.2} of its time",
            theirs.nanoseconds,
            theirs.allocations,
            ours.nanoseconds / theirs.nanoseconds
        );
    }
    figures.add(name, ours.nanoseconds, "ns", note);
}

fn write(out: &mut Vec<u8>, key: &IntegrityKey) {
    Writer::new(out, Class::Request, Method::BINDING, TransactionId([7; 12]))
        .username(USERNAME.as_bytes())
        .priority(PRIORITY)
        .ice_controlling(TIE_BREAKER)
        .use_candidate()
        .integrity(key)
        .fingerprint()
        .finish();
}

#[cfg(feature = "peers")]
mod theirs {
    use super::{PASSWORD, PRIORITY, TIE_BREAKER, USERNAME};
    use crate::tight::{Cost, cost};
    use dunlin_stun::attribute;
    use std::hint::black_box;
    use std::time::Duration;
    use stun_types::attribute::{RawAttribute, Username};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
        MessageWriteMutSlice, ShortTermCredentials,
    };

    /// It checks the fingerprint while it parses.
    pub(super) fn parse_and_verify(time: Duration, request: &[u8]) -> Result<Option<Cost>, String> {
        let key = ShortTermCredentials::new(PASSWORD.to_owned()).make_key();
        let verified = |request| {
            Message::from_bytes(request)
                .ok()?
                .validate_integrity_with_key(&key)
                .ok()
        };
        verified(request).ok_or("stun-types does not take our request")?;
        Ok(Some(cost(time, || verified(black_box(request)))))
    }

    pub(super) fn parse(time: Duration, request: &[u8]) -> Result<Option<Cost>, String> {
        Ok(Some(cost(time, || {
            Message::from_bytes(black_box(request)).map(|message| message.transaction_id())
        })))
    }

    pub(super) fn build(time: Duration) -> Result<Option<Cost>, String> {
        let key = ShortTermCredentials::new(PASSWORD.to_owned()).make_key();
        let username = Username::new(USERNAME).map_err(|error| error.to_string())?;
        let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
        // It knows no attributes of ICE.
        let (priority, tie_breaker) = (PRIORITY.to_be_bytes(), TIE_BREAKER.to_be_bytes());
        let of_ice: [(u16, &[u8]); 3] = [
            (attribute::PRIORITY, &priority),
            (attribute::ICE_CONTROLLING, &tie_breaker),
            (attribute::USE_CANDIDATE, &[]),
        ];
        let mut buffer = [0; 200];
        Ok(Some(cost(time, || {
            let out = MessageWriteMutSlice::new(&mut buffer);
            let mut message = Message::builder(kind, 7u128.into(), out);
            message.add_attribute(&username).ok()?;
            for (kind, value) in of_ice {
                message
                    .add_attribute(&RawAttribute::new(kind.into(), value))
                    .ok()?;
            }
            message
                .add_message_integrity_with_key(black_box(&key), IntegrityAlgorithm::Sha1)
                .ok()?;
            message.add_fingerprint().ok()?;
            Some(message.finish())
        })))
    }
}

#[cfg(not(feature = "peers"))]
mod theirs {
    use crate::tight::Cost;
    use std::time::Duration;

    pub(super) fn parse_and_verify(_: Duration, _: &[u8]) -> Result<Option<Cost>, String> {
        Ok(None)
    }
    pub(super) fn parse(_: Duration, _: &[u8]) -> Result<Option<Cost>, String> {
        Ok(None)
    }
    pub(super) fn build(_: Duration) -> Result<Option<Cost>, String> {
        Ok(None)
    }
}
