//! The sending side: numbers, header extensions, history, retransmissions, per stream.

mod elements;
mod history;
mod sender;
mod sequencer;

pub(crate) use elements::{Elements, HopExtensions};
pub(crate) use history::History;
pub(crate) use sender::{Repeat, Resumed, Sender};
pub(crate) use sequencer::Place;
