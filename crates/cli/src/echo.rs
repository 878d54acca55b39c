//! What a data channel does, by its label.

use dunlin::{DataChannel, Error};

use crate::throughput;

/// `throughput` measures; every other channel echoes.
pub(crate) async fn channel(channel: DataChannel) -> Result<(), Error> {
    log::info!("channel {:?}", channel.label());
    match channel.label() {
        "throughput" => throughput::run(channel).await,
        _ => dunlin::echo::channel(channel).await,
    }
}
