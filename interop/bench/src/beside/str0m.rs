//! str0m beside our data channels: the same machine, the same sizes, two peers in this process, each in a thread of its own
//! around a UDP socket, as its documentation does it.

use crate::data::{Case, IDLE_LINKS};
use crate::figures::Figures;
use crate::link::text;
use crate::{Options, cpu, memory};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// What a figure of the peer is called, after ours.
pub const SUFFIX: &str = "str0m";
/// Datagrams of one turn at most.
const BATCH: usize = 64;
/// A second look at whether to stop, whatever happens.
const AWHILE: Duration = Duration::from_millis(50);
/// The size asked for socket buffers: as ours.
const SOCKET_BUFFER: usize = 4 << 20;

/// One peer on its socket.
struct Node {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    next: Instant,
    buffer: Vec<u8>,
}

impl Node {
    fn new(options: &Options) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        socket.set_nonblocking(true).map_err(text)?;
        let bytes = options.socket_buffer.unwrap_or(SOCKET_BUFFER);
        let reference = socket2::SockRef::from(&socket);
        reference.set_recv_buffer_size(bytes).map_err(text)?;
        reference.set_send_buffer_size(bytes).map_err(text)?;
        let local = socket.local_addr().map_err(text)?;
        let mut rtc = Rtc::builder().build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(text)?);
        Ok(Self {
            rtc,
            socket,
            local,
            next: Instant::now(),
            buffer: vec![0; 2048],
        })
    }

    /// Sends what there is to send, until there is only a time to wait for.
    fn drain(&mut self, on: &mut impl FnMut(Event)) -> Result<(), String> {
        loop {
            match self.rtc.poll_output().map_err(text)? {
                Output::Timeout(at) => {
                    self.next = at;
                    return Ok(());
                }
                // What does not fit the socket is lost, as on a link.
                Output::Transmit(transmit) => {
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => on(event),
            }
        }
    }

    /// Takes what has come and what is due; whether there was anything.
    fn turn(&mut self, on: &mut impl FnMut(Event)) -> Result<bool, String> {
        let mut any = false;
        for _ in 0..BATCH {
            let Ok((len, source)) = self.socket.recv_from(&mut self.buffer) else {
                break;
            };
            any = true;
            if let Ok(contents) = self.buffer[..len].try_into() {
                let received = Receive {
                    proto: Protocol::Udp,
                    source,
                    destination: self.local,
                    contents,
                };
                let input = Input::Receive(Instant::now(), received);
                self.rtc.handle_input(input).map_err(text)?;
            }
            self.drain(on)?;
        }
        let now = Instant::now();
        if now >= self.next {
            self.rtc.handle_input(Input::Timeout(now)).map_err(text)?;
            self.drain(on)?;
            any = true;
        }
        Ok(any)
    }
}

/// Waits until one of the nodes has something to do; which of them have.
fn wait<'a>(nodes: impl Iterator<Item = &'a Node> + Clone) -> Result<Vec<bool>, String> {
    let next = nodes.clone().map(|node| node.next).min();
    let time = next.map_or(AWHILE, |at| {
        at.saturating_duration_since(Instant::now()).min(AWHILE)
    });
    let readable = |node: &'a Node| PollFd::new(&node.socket, PollFlags::IN);
    let mut sockets: Vec<PollFd<'_>> = nodes.clone().map(readable).collect();
    let time = Timespec::try_from(time).map_err(text)?;
    poll(&mut sockets, Some(&time)).map_err(text)?;
    let now = Instant::now();
    let ready = sockets
        .iter()
        .zip(nodes)
        .map(|(socket, node)| !socket.revents().is_empty() || node.next <= now);
    Ok(ready.collect())
}

/// Two peers with an open channel.
fn connect(options: &Options) -> Result<(Node, Node, ChannelId), String> {
    let (mut here, mut there) = (Node::new(options)?, Node::new(options)?);
    let mut changes = here.rtc.sdp_api();
    let channel = changes.add_channel("bench".to_owned());
    let (offer, pending) = changes.apply().ok_or("str0m makes no offer")?;
    let offer = SdpOffer::from_sdp_string(&offer.to_sdp_string()).map_err(text)?;
    let answer = there.rtc.sdp_api().accept_offer(offer).map_err(text)?;
    let answer = SdpAnswer::from_sdp_string(&answer.to_sdp_string()).map_err(text)?;
    here.rtc.sdp_api().accept_answer(pending, answer).map_err(text)?;
    here.drain(&mut |_| {})?;
    there.drain(&mut |_| {})?;
    let (mut open, until) = (0, Instant::now() + Duration::from_secs(10));
    while open < 2 {
        let mut count = |event| open += usize::from(matches!(event, Event::ChannelOpen(..)));
        if !(here.turn(&mut count)? | there.turn(&mut count)?) {
            wait([&here, &there].into_iter())?;
        }
        if Instant::now() > until {
            return Err("str0m: not connected after 10 s".to_owned());
        }
    }
    Ok((here, there, channel))
}

/// Fills a channel, as `data::measure` does with ours.
pub fn measure(options: &Options, case: Case, figures: &mut Figures) -> Result<(), String> {
    let time = options.time();
    let (mut here, mut there, channel) = connect(options)?;
    let stop = Arc::new(AtomicBool::new(false));
    let received = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (stopped, size) = (stop.clone(), case.size());
    let sender = std::thread::spawn(move || -> Result<(), String> {
        let payload = vec![7; size];
        while !stopped.load(Ordering::Relaxed) {
            let mut any = here.turn(&mut |_| {})?;
            for _ in 0..1000 {
                let mut open = here.rtc.channel(channel).ok_or("str0m: the channel is gone")?;
                let taken = open.write(true, &payload).map_err(text)?;
                here.drain(&mut |_| {})?;
                if !taken {
                    break;
                }
                any = true;
            }
            if !any {
                wait(std::iter::once(&here))?;
            }
        }
        Ok(())
    });
    let (stopped, counted) = (stop.clone(), received.clone());
    let receiver = std::thread::spawn(move || -> Result<(), String> {
        let mut count = |event| {
            if let Event::ChannelData(data) = event {
                counted[0].fetch_add(data.data.len() as u64, Ordering::Relaxed);
                counted[1].fetch_add(1, Ordering::Relaxed);
            }
        };
        while !stopped.load(Ordering::Relaxed) {
            if !there.turn(&mut count)? {
                wait(std::iter::once(&there))?;
            }
        }
        Ok(())
    });
    let count = || [0, 1].map(|at: usize| received[at].load(Ordering::Relaxed) as f64);
    std::thread::sleep(time / 4);
    let (from, cpu_from, before) = (Instant::now(), cpu::used(), count());
    std::thread::sleep(time);
    let (took, cpu) = (
        from.elapsed().as_secs_f64(),
        (cpu::used() - cpu_from).as_secs_f64(),
    );
    let after = count();
    stop.store(true, Ordering::Relaxed);
    for thread in [sender, receiver] {
        thread.join().map_err(|_| "str0m: its thread panicked")??;
    }
    let gone = [after[0] - before[0], after[1] - before[1]];
    super::report(case, SUFFIX, gone, [took, cpu], figures);
    Ok(())
}

/// Connections with an open channel that nobody uses, all driven by one thread.
pub fn idle(options: &Options, figures: &mut Figures) -> Result<(), String> {
    let unknown = "the system does not say how much memory this process has";
    drop(connect(options)?);
    let before = memory::now().ok_or(unknown)?;
    let mut nodes = Vec::with_capacity(2 * IDLE_LINKS);
    for _ in 0..IDLE_LINKS {
        let (here, there, _) = connect(options)?;
        nodes.extend([here, there]);
    }
    let run = |nodes: &mut Vec<Node>, time: Duration| -> Result<(), String> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let ready = wait(nodes.iter())?;
            for (node, _) in nodes.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                node.turn(&mut |_| {})?;
            }
        }
        Ok(())
    };
    run(&mut nodes, Duration::from_secs(1))?;
    let peers = nodes.len() as f64;
    let each = (memory::now().ok_or(unknown)? - before) * 1e3 / peers;
    figures.add(&format!("data idle {SUFFIX} rss"), each, "kB", "a peer");
    let (from, cpu_from) = (Instant::now(), cpu::used());
    run(&mut nodes, options.time().max(Duration::from_secs(10)))?;
    let share = (cpu::used() - cpu_from).as_secs_f64() / from.elapsed().as_secs_f64() * 100.0;
    let note = format!("of a core, {peers} peers");
    figures.add(&format!("data idle {SUFFIX} cpu"), share, "%", note);
    Ok(())
}
