//! webrtc-rs (0.21, over the `rtc` crates) beside our data channels: two of its peers on a runtime like ours, which open their
//! sockets themselves.

use crate::cpu;
use crate::data::Case;
use crate::figures::Figures;
use crate::link::text;
use bytes::BytesMut;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::runtime::default_runtime;

/// What a figure of the peer is called, after ours.
pub const SUFFIX: &str = "webrtc-rs";
/// What it may queue, and how large a message may be.
const LIMIT: usize = 1 << 20;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the receiver has.
#[derive(Debug, Default)]
struct Received {
    bytes: AtomicU64,
    messages: AtomicU64,
}

/// Counts what comes, and says when all candidates are there.
struct Handler {
    gathered: mpsc::UnboundedSender<()>,
    received: Arc<Received>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.send(());
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let received = self.received.clone();
        tokio::spawn(async move {
            while let Some(event) = channel.poll().await {
                if let DataChannelEvent::OnMessage(message) = event {
                    received
                        .bytes
                        .fetch_add(message.data.len() as u64, Ordering::Relaxed);
                    received.messages.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

struct Peer {
    connection: Arc<dyn PeerConnection>,
    gathered: mpsc::UnboundedReceiver<()>,
}

impl Peer {
    async fn new(received: &Arc<Received>) -> Result<Self, String> {
        let (sender, gathered) = mpsc::unbounded_channel();
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(LIMIT as u32));
        let handler = Handler {
            gathered: sender,
            received: received.clone(),
        };
        let connection = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_setting_engine(settings.build())
            .with_handler(Arc::new(handler))
            .with_runtime(default_runtime().ok_or("webrtc-rs has no runtime")?)
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .with_data_channel_send_buffer_limit(LIMIT)
            .build()
            .await
            .map_err(text)?;
        Ok(Self {
            connection: Arc::new(connection),
            gathered,
        })
    }

    /// Sets its own description, and answers it with all candidates.
    async fn describe(&mut self, description: RTCSessionDescription) -> Result<String, String> {
        self.connection
            .set_local_description(description)
            .await
            .map_err(text)?;
        self.gathered.recv().await;
        let description = self.connection.local_description().await;
        Ok(description.ok_or("webrtc-rs has no description of its own")?.sdp)
    }
}

/// Two peers with an open channel.
async fn connect(received: &Arc<Received>) -> Result<(Peer, Peer, Arc<dyn DataChannel>), String> {
    let (mut here, mut there) = (Peer::new(received).await?, Peer::new(received).await?);
    let channel = here
        .connection
        .create_data_channel("bench", None)
        .await
        .map_err(text)?;
    let offer = here.connection.create_offer(None).await.map_err(text)?;
    let offer = here.describe(offer).await?;
    let offer = RTCSessionDescription::offer(offer).map_err(text)?;
    there
        .connection
        .set_remote_description(offer)
        .await
        .map_err(text)?;
    let answer = there.connection.create_answer(None).await.map_err(text)?;
    let answer = there.describe(answer).await?;
    let answer = RTCSessionDescription::answer(answer).map_err(text)?;
    here.connection
        .set_remote_description(answer)
        .await
        .map_err(text)?;
    while let Some(event) = channel.poll().await {
        if matches!(event, DataChannelEvent::OnOpen) {
            return Ok((here, there, channel));
        }
    }
    Err("webrtc-rs: its channel did not open".to_owned())
}

/// Fills a channel, as `data::measure` does with ours.
pub fn measure(time: Duration, case: Case, figures: &mut Figures) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(text)?;
    let received = Arc::new(Received::default());
    let measured = runtime.block_on(async {
        let connecting = tokio::time::timeout(PATIENCE, connect(&received));
        let (here, there, channel) = connecting.await.map_err(text)??;
        let payload = BytesMut::from(vec![7; case.size()].as_slice());
        let sender = tokio::spawn(async move { while channel.send(payload.clone()).await.is_ok() {} });
        tokio::time::sleep(time / 4).await;
        let count = || {
            let [bytes, messages] = [&received.bytes, &received.messages];
            [bytes, messages].map(|counter| counter.load(Ordering::Relaxed) as f64)
        };
        let (from, cpu_from, before) = (tokio::time::Instant::now(), cpu::used(), count());
        tokio::time::sleep(time).await;
        let took = [
            from.elapsed().as_secs_f64(),
            (cpu::used() - cpu_from).as_secs_f64(),
        ];
        let after = count();
        sender.abort();
        drop((here, there));
        Ok::<_, String>(([after[0] - before[0], after[1] - before[1]], took))
    });
    runtime.shutdown_background();
    let (gone, took) = measured?;
    super::report(case, SUFFIX, gone, took, figures);
    Ok(())
}
