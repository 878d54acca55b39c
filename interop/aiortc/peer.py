"""One aiortc connection that obeys the signalling protocol of interop/README.md over standard input and output.

Run it with the interpreter of a venv that has `aiortc` (`cargo xtask setup` makes one).
"""

import asyncio

import aiortc
import protocol
from aiortc.sdp import candidate_from_sdp
from protocol import report, report_message


class Peer:
    """The commands of the protocol; each returns the reply."""

    def __init__(self):
        self.pc = None
        self.echo = False
        self.channels = {}

    async def new(self, media=(), echo=False):
        if media:
            raise RuntimeError("this peer has no media")
        self.echo = echo
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.pc.on("connectionstatechange", self._states)
        self.pc.on("iceconnectionstatechange", self._states)
        self.pc.on("datachannel", self._opened_by_them)

    def _states(self):
        report(event="state", connection=self.pc.connectionState, ice=self.pc.iceConnectionState)

    def _opened_by_them(self, channel):
        report(
            event="channel",
            label=channel.label,
            id=channel.id,
            ordered=channel.ordered,
            maxRetransmits=channel.maxRetransmits,
            maxPacketLifeTime=channel.maxPacketLifeTime,
            protocol=channel.protocol,
        )
        self._adopt(channel, self.echo)
        if channel.readyState == "open":
            report(event="open", label=channel.label)

    def _adopt(self, channel, echo):
        label = channel.label
        self.channels[label] = channel

        def message(data):
            if echo:
                channel.send(data)
            report_message(label, data)

        channel.on("message", message)
        channel.on("open", lambda: report(event="open", label=label))
        channel.on("close", lambda: report(event="channel-closed", label=label))

    async def channel(self, label, echo=False, **options):
        self._adopt(self.pc.createDataChannel(label, **options), echo)

    def _described(self):
        local = self.pc.localDescription
        return {"type": local.type, "sdp": local.sdp}

    async def offer(self):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self._described()

    async def answer(self):
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return self._described()

    async def gathered(self):
        # It gathers before it describes.
        return self._described()

    async def remote(self, type, sdp):
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(type=type, sdp=sdp))

    async def candidate(self, candidate=None):
        text = (candidate or {}).get("candidate", "")
        if not text:
            return
        parsed = candidate_from_sdp(text.removeprefix("candidate:"))
        parsed.sdpMid = candidate.get("sdpMid")
        parsed.sdpMLineIndex = candidate.get("sdpMLineIndex")
        await self.pc.addIceCandidate(parsed)

    async def send(self, label, kind, size, seed):
        data, hashed = protocol.contents(kind, size, seed)
        self.channels[label].send(data)
        return {"sha256": hashed}

    async def close_channel(self, label):
        self.channels[label].close()

    async def stats(self):
        transport = self.pc.sctp and self.pc.sctp.transport
        # Nothing public tells the version.
        tls = getattr(transport, "_ssl", None)
        versions = {"DTLSv1.2": "FEFD", "DTLSv1.3": "FEFC"}
        return {
            "connection": self.pc.connectionState,
            "ice": self.pc.iceConnectionState,
            "signaling": self.pc.signalingState,
            "dtls": transport and transport.state,
            "tlsVersion": tls and versions.get(tls.get_protocol_version_name()),
            "dtlsCipher": tls and tls.get_cipher_name(),
            "channels": {label: channel.readyState for label, channel in self.channels.items()},
        }

    async def close(self):
        await self.pc.close()


asyncio.run(protocol.serve(Peer()))
