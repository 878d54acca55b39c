//! The oracle of data channels: what was said, against what is heard. Order, exactly once, every byte.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dunlin_peerconnection::Message;

use super::plan::Channel;

/// All that was said and heard.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By who says it, and the index of the channel.
    flows: BTreeMap<(usize, usize), Flow>,
    pub(crate) heard: u64,
}

/// One direction of a channel.
#[derive(Debug)]
struct Flow {
    ordered: bool,
    reliable: bool,
    sizes: Vec<usize>,
    said: usize,
    heard: BTreeSet<usize>,
}

impl Ledger {
    pub(crate) fn new(channels: &[Channel]) -> Self {
        let mut flows = BTreeMap::new();
        for (index, channel) in channels.iter().enumerate() {
            for (side, sizes) in channel.messages.iter().enumerate() {
                let (ordered, reliable) = (channel.init.ordered, channel.is_reliable());
                let flow = Flow {
                    ordered,
                    reliable,
                    sizes: sizes.clone(),
                    said: 0,
                    heard: BTreeSet::new(),
                };
                flows.insert((side, index), flow);
            }
        }
        Self { flows, heard: 0 }
    }

    /// What this side says next on this channel.
    pub(crate) fn next(&self, side: usize, channel: usize) -> Option<Message> {
        let flow = self.flows.get(&(side, channel))?;
        let size = *flow.sizes.get(flow.said)?;
        Some(compose(side, channel, flow.said, size))
    }

    /// The connection took it.
    pub(crate) fn said(&mut self, side: usize, channel: usize) {
        self.flows
            .entry((side, channel))
            .and_modify(|flow| flow.said += 1);
    }

    /// This side heard this on this channel.
    ///
    /// # Panics
    /// When it was never said, or not like this, or was heard before, or is out of order.
    pub(crate) fn hear(&mut self, side: usize, channel: usize, message: &Message) {
        let speaker = 1 - side;
        let flow = self
            .flows
            .get_mut(&(speaker, channel))
            .expect("a channel of the plan");
        let number = number_of(message);
        assert!(
            number < flow.said,
            "channel {channel}: side {side} heard message {number}, which was never said"
        );
        let said = compose(speaker, channel, number, flow.sizes[number]);
        assert!(
            *message == said,
            "channel {channel}: message {number} arrived changed"
        );
        if flow.ordered {
            let last = flow.heard.last().copied();
            assert!(
                last.is_none_or(|last| last < number),
                "channel {channel}: message {number} came after {last:?}"
            );
            let expected = flow.heard.len();
            assert!(
                !flow.reliable || number == expected,
                "channel {channel}: {number} came instead of {expected}"
            );
        }
        assert!(
            flow.heard.insert(number),
            "channel {channel}: message {number} arrived twice"
        );
        self.heard += 1;
    }

    /// Whether all was said, and all that must arrive has.
    pub(crate) fn is_complete(&self) -> bool {
        self.flows.values().all(|flow| {
            flow.said == flow.sizes.len() && (!flow.reliable || flow.heard.len() == flow.sizes.len())
        })
    }

    /// What is missing, in words.
    pub(crate) fn missing(&self) -> String {
        let missing = |((side, channel), flow): (&(usize, usize), &Flow)| {
            let (said, heard, all) = (flow.said, flow.heard.len(), flow.sizes.len());
            let open = said < all || (flow.reliable && heard < all);
            open.then(|| format!("channel {channel} from side {side}: {said} of {all} said, {heard} heard"))
        };
        self.flows
            .iter()
            .filter_map(missing)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Every other message is text. It begins with its number, and every byte of the rest is known.
fn compose(side: usize, channel: usize, number: usize, size: usize) -> Message {
    let mut data = format!("{number} {side} {channel} ").into_bytes();
    let text = number.is_multiple_of(2);
    while data.len() < size {
        let byte = (data.len() * 7 + number) as u8;
        data.push(if text { b'a' + byte % 26 } else { byte });
    }
    match String::from_utf8(data) {
        Ok(string) if text => Message::Text(string),
        Ok(string) => Message::Binary(Bytes::from(string)),
        Err(error) => Message::Binary(Bytes::from(error.into_bytes())),
    }
}

fn number_of(message: &Message) -> usize {
    let data = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(data) => data,
    };
    let digits = data.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_peerconnection::DataChannelInit;

    fn ledger() -> Ledger {
        let channel = Channel {
            creator: 0,
            init: DataChannelInit::default(),
            messages: [vec![20, 30, 40], Vec::new()],
        };
        let mut ledger = Ledger::new(&[channel]);
        (0..3).for_each(|_| ledger.said(0, 0));
        ledger
    }

    #[test]
    fn in_order_and_once_is_complete() {
        let mut ledger = ledger();
        for (number, size) in [20, 30, 40].into_iter().enumerate() {
            assert!(!ledger.is_complete());
            ledger.hear(1, 0, &compose(0, 0, number, size));
        }
        assert!(ledger.is_complete(), "{}", ledger.missing());
    }

    #[test]
    #[should_panic(expected = "came instead of 0")]
    fn out_of_order_is_noticed() {
        ledger().hear(1, 0, &compose(0, 0, 1, 30));
    }

    #[test]
    #[should_panic(expected = "came after")]
    fn twice_is_noticed() {
        let mut ledger = ledger();
        ledger.hear(1, 0, &compose(0, 0, 0, 20));
        ledger.hear(1, 0, &compose(0, 0, 0, 20));
    }

    #[test]
    #[should_panic(expected = "changed")]
    fn a_changed_byte_is_noticed() {
        ledger().hear(1, 0, &compose(0, 0, 0, 21));
    }
}
