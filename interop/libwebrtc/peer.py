"""One libwebrtc connection that obeys the signalling protocol of interop/README.md over standard input and output.

Run it with the interpreter of a venv that has `wrtc` (`cargo xtask setup` makes one).
"""

import asyncio
import time

import media
import pattern
import protocol
import webrtc
from protocol import report, report_message


def plain(value):
    """An enum's text, or the value itself."""
    return getattr(value, "value", value)


class Channel:
    """A data channel and what to do with its messages."""

    def __init__(self, channel, echo):
        self.channel = channel
        self.echo = echo
        self.buffer = None
        self.total = 0
        self.started = None
        self.low = asyncio.Event()
        channel.binary_type = "arraybuffer"
        label = channel.label
        channel.on("open", lambda _: report(event="open", label=label))
        channel.on("close", lambda _: report(event="channel-closed", label=label))
        channel.on("message", lambda message: self.message(message.data))
        channel.on("bufferedamountlow", lambda _: self.low.set())

    def message(self, data):
        if self.echo:
            self.channel.send(data)
        raw = data.encode() if isinstance(data, str) else bytes(data)
        label = self.channel.label
        if self.buffer is None:
            report_message(label, data)
            return
        self.started = self.started or time.monotonic()
        self.buffer += raw
        if len(self.buffer) >= self.total:
            seconds = time.monotonic() - self.started
            hashed = pattern.sha256(self.buffer)
            report(event="collected", label=label, size=len(self.buffer), sha256=hashed, seconds=seconds)
            self.buffer = None


class Peer:
    """The commands of the protocol; each returns the reply."""

    def __init__(self):
        self.pc = None
        self.wanted = []
        self.echo = False
        self.channels = {}
        self.received = {}
        self.tasks = set()
        self.generators = []

    def spawn(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def new(self, media=(), echo=False, iceServers=(), iceTransportPolicy="all", **_):
        self.wanted, self.echo = list(media), echo
        servers = [webrtc.RTCIceServer(**server) for server in iceServers]
        policy = webrtc.RTCIceTransportPolicy(iceTransportPolicy)
        self.pc = webrtc.RTCPeerConnection(
            webrtc.RTCConfiguration(ice_servers=servers, ice_transport_policy=policy)
        )
        self.pc.on("connectionstatechange", lambda _: self.states())
        self.pc.on("iceconnectionstatechange", lambda _: self.states())
        self.pc.on("icecandidate", lambda event: self.candidate_event(event.candidate))
        self.pc.on("datachannel", lambda event: self.channel_event(event.channel))
        self.pc.on("track", self.track_event)
        for section in self.wanted:
            self.source(section["kind"], section["source"])

    def source(self, kind, name):
        from media import picture, tone

        if name not in ("tone", "moving"):
            return
        track = webrtc.MediaStreamTrackGenerator(kind)
        self.generators.append(track)
        self.pc.add_track(track)
        self.spawn((tone if name == "tone" else picture)(track.writable.get_writer()))

    def states(self):
        connection, ice = plain(self.pc.connection_state), plain(self.pc.ice_connection_state)
        report(event="state", connection=connection, ice=ice)

    def candidate_event(self, candidate):
        value = candidate and {
            "candidate": candidate.candidate,
            "sdpMid": candidate.sdp_mid,
            "sdpMLineIndex": candidate.sdp_m_line_index,
            "usernameFragment": candidate.username_fragment,
        }
        report(event="candidate", candidate=value)

    def channel_event(self, channel):
        report(
            event="channel",
            label=channel.label,
            id=channel.id,
            ordered=channel.ordered,
            maxRetransmits=channel.max_retransmits,
            maxPacketLifeTime=channel.max_packet_life_time,
            protocol=channel.protocol,
        )
        self.channels[channel.label] = Channel(channel, self.echo)
        if plain(channel.ready_state) == "open":
            report(event="open", label=channel.label)

    async def track_event(self, event):
        kind = plain(event.track.kind)
        self.received[kind] = event.transceiver.receiver
        if any(s["kind"] == kind and s["source"] == "echo" for s in self.wanted):
            event.transceiver.direction = "sendrecv"
            await event.transceiver.sender.replace_track(event.track)
        report(event="track", kind=kind)

    def offer_sections(self):
        for section in self.wanted:
            there = any(plain(t.receiver.track.kind) == section["kind"] for t in self.pc.get_transceivers())
            if section["source"] == "echo" and not there:
                self.pc.add_transceiver(section["kind"])

    def prefer_codecs(self):
        for transceiver in self.pc.get_transceivers():
            kind = plain(transceiver.receiver.track.kind)
            codec = next((s.get("codec") for s in self.wanted if s["kind"] == kind), None)
            if not codec:
                continue
            known = webrtc.RTCRtpReceiver.get_capabilities(kind).codecs
            name = lambda c: c.mime_type.split("/")[1].lower()
            chosen = [c for c in known if name(c) == codec.lower()]
            if not chosen:
                raise RuntimeError(f"this libwebrtc has no {codec}")
            transceiver.set_codec_preferences(chosen + [c for c in known if name(c) == "rtx"])

    def described(self):
        local = self.pc.local_description
        return {"type": plain(local.type), "sdp": local.sdp}

    async def channel(self, label, echo=False, **options):
        names = {"maxRetransmits": "max_retransmits", "maxPacketLifeTime": "max_packet_life_time"}
        init = {names.get(name, name): value for name, value in options.items() if value is not None}
        channel = self.pc.create_data_channel(label, webrtc.RTCDataChannelInit(**init))
        self.channels[label] = Channel(channel, echo)

    async def offer(self):
        self.offer_sections()
        self.prefer_codecs()
        await self.pc.set_local_description(await self.pc.create_offer())
        return self.described()

    async def answer(self):
        self.prefer_codecs()
        await self.pc.set_local_description(await self.pc.create_answer())
        return self.described()

    async def remote(self, type, sdp):
        await self.pc.set_remote_description(webrtc.RTCSessionDescriptionInit(type=type, sdp=sdp))

    async def candidate(self, candidate=None):
        if candidate is None:
            return
        await self.pc.add_ice_candidate(
            webrtc.RTCIceCandidateInit(
                candidate=candidate["candidate"],
                sdp_mid=candidate.get("sdpMid"),
                sdp_m_line_index=candidate.get("sdpMLineIndex"),
            )
        )

    async def gathered(self):
        while plain(self.pc.ice_gathering_state) != "complete":
            await asyncio.sleep(0.01)
        return self.described()

    async def send(self, label, kind, size, seed):
        data, hashed = protocol.contents(kind, size, seed)
        self.channels[label].channel.send(data)
        return {"sha256": hashed}

    async def collect(self, label, total):
        channel = self.channels[label]
        channel.buffer, channel.total, channel.started = bytearray(), total, None

    async def flood(self, label, total, chunk, seed):
        state = self.channels[label]
        channel = state.channel
        data = pattern.binary(total, seed)
        channel.buffered_amount_low_threshold = 512 * 1024
        for at in range(0, total, chunk):
            while channel.buffered_amount > 1024 * 1024:
                state.low.clear()
                await asyncio.wait([asyncio.ensure_future(state.low.wait())], timeout=0.05)
            channel.send(data[at : at + chunk])
        return {"sha256": pattern.sha256(data)}

    async def measure(self, kind, seconds):
        receiver = self.received.get(kind)
        if receiver is None:
            raise RuntimeError(f"no {kind} track has come")
        if kind == "audio":
            return await media.listen(receiver.track, seconds)
        return await media.watch(receiver, seconds)

    async def close_channel(self, label):
        self.channels[label].channel.close()

    async def stats(self):
        report = await self.pc.get_stats()
        entries = list(report.values())
        transport = next((s for s in entries if plain(s.type) == "transport"), None)
        value = lambda name: plain(getattr(transport, name, None))
        pair = report.get(value("selected_candidate_pair_id") or "")
        return {
            "connection": plain(self.pc.connection_state),
            "ice": plain(self.pc.ice_connection_state),
            "signaling": plain(self.pc.signaling_state),
            "dtls": value("dtls_state"),
            "dtlsRole": value("dtls_role"),
            "tlsVersion": value("tls_version"),
            "dtlsCipher": value("dtls_cipher"),
            "srtpCipher": value("srtp_cipher"),
            "route": self.route(report, pair),
            "local": self.address(report, pair, "local_candidate_id"),
            "remote": self.address(report, pair, "remote_candidate_id"),
            "channels": {label: plain(c.channel.ready_state) for label, c in self.channels.items()},
        }

    @staticmethod
    def route(report, pair):
        local = pair and report.get(pair.local_candidate_id)
        if not local:
            return {}
        return {"kind": plain(local.candidate_type), "relayProtocol": plain(local.relay_protocol)}

    @staticmethod
    def address(report, pair, name):
        candidate = pair and report.get(getattr(pair, name))
        return candidate and f"{plain(candidate.candidate_type)} {candidate.protocol} {candidate.address}:{candidate.port}"

    async def close(self):
        self.pc.close()


asyncio.run(protocol.serve(Peer()))
