"""One webrtcbin of GStreamer that obeys the signalling protocol of interop/README.md over standard input and output.

Run it with the distribution's own Python, for which `cargo xtask setup` installs the bindings.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")

import protocol  # noqa: E402
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402
from protocol import report, report_message  # noqa: E402


class Peer:
    """The commands of the protocol; each returns the reply. Events come from threads of GStreamer's own."""

    def __init__(self):
        self.pipeline = None
        self.webrtc = None
        self.echo = False
        self.channels = {}
        self.opened = set()
        self.lock = threading.Lock()

    def new(self, media=(), echo=False):
        if media:
            raise RuntimeError("this peer has no media")
        self.echo = echo
        self.pipeline = Gst.Pipeline.new("peer")
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        for name in ("connection-state", "ice-connection-state"):
            self.webrtc.connect(f"notify::{name}", lambda *_: self._states())
        self.webrtc.connect("notify::ice-gathering-state", lambda *_: self._gathering())
        self.webrtc.connect("on-ice-candidate", self._candidate)
        self.webrtc.connect("on-data-channel", self._opened_by_them)
        self.pipeline.set_state(Gst.State.PLAYING)

    def _property(self, name):
        return self.webrtc.get_property(name).value_nick

    def _states(self):
        report(event="state", connection=self._property("connection-state"), ice=self._property("ice-connection-state"))

    def _gathering(self):
        if self._property("ice-gathering-state") == "complete":
            report(event="candidate", candidate=None)

    def _candidate(self, _, line, candidate):
        # The mid is the section's, and there is one section.
        report(event="candidate", candidate={"candidate": candidate, "sdpMLineIndex": line})

    def _opened_by_them(self, _, channel):
        report(
            event="channel",
            label=channel.get_property("label"),
            id=channel.get_property("id"),
            ordered=channel.get_property("ordered"),
            maxRetransmits=self._limit(channel, "max-retransmits"),
            maxPacketLifeTime=self._limit(channel, "max-packet-lifetime"),
            protocol=channel.get_property("protocol") or "",
        )
        self._adopt(channel, self.echo)
        # It may have opened before anybody listened. (Of a channel of our own that cannot be asked: in its first state,
        # which the bindings do not know, the question crashes.)
        if channel.get_property("ready-state").value_nick == "open":
            self._open(channel.get_property("label"))

    @staticmethod
    def _limit(channel, name):
        value = channel.get_property(name)
        return None if value < 0 else value

    def _adopt(self, channel, echo):
        label = channel.get_property("label")
        self.channels[label] = channel

        def text(_, data):
            if echo:
                self._send(channel, data or "")
            report_message(label, data or "")

        def binary(_, data):
            raw = data.get_data() if data else b""
            if echo:
                self._send(channel, raw)
            report_message(label, raw)

        channel.connect("on-message-string", text)
        channel.connect("on-message-data", binary)
        channel.connect("on-open", lambda _: self._open(label))
        channel.connect("on-close", lambda _: report(event="channel-closed", label=label))

    def _open(self, label):
        with self.lock:
            if label in self.opened:
                return
            self.opened.add(label)
        report(event="open", label=label)

    def channel(self, label, echo=False, **options):
        init = Gst.Structure.new_empty("options")
        names = {"maxRetransmits": "max-retransmits", "maxPacketLifeTime": "max-packet-lifetime"}
        for name, value in options.items():
            init.set_value(names.get(name, name), value)
        channel = self.webrtc.emit("create-data-channel", label, init)
        if channel is None:
            raise RuntimeError("webrtcbin makes no such channel")
        self._adopt(channel, echo)

    def _promised(self, signal, *arguments):
        """Emits a signal that takes a promise at its end, and waits for the reply."""
        promise = Gst.Promise.new()
        self.webrtc.emit(signal, *arguments, promise)
        promise.wait()
        reply = promise.get_reply()
        if reply is not None and reply.has_field("error"):
            raise RuntimeError(str(reply.get_value("error")))
        # The reply belongs to the promise: both have to outlive what is read from it.
        return promise, reply

    def _describe(self, kind):
        promise, reply = self._promised(f"create-{kind}", None)
        description = reply.get_value(kind)
        self._promised("set-local-description", description)
        del promise
        return self._described()

    def _described(self):
        local = self.webrtc.get_property("local-description")
        kind = GstWebRTC.WebRTCSDPType.to_string(local.type)
        return {"type": kind, "sdp": local.sdp.as_text()}

    def offer(self):
        return self._describe("offer")

    def answer(self):
        return self._describe("answer")

    def gathered(self):
        while self._property("ice-gathering-state") != "complete":
            GLib.usleep(10_000)
        return self._described()

    def remote(self, type, sdp):
        kinds = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        description = GstWebRTC.WebRTCSessionDescription.new(kinds[type], message)
        self._promised("set-remote-description", description)

    def candidate(self, candidate=None):
        text = (candidate or {}).get("candidate", "")
        if text:
            self.webrtc.emit("add-ice-candidate", candidate.get("sdpMLineIndex") or 0, text)

    def send(self, label, kind, size, seed):
        data, hashed = protocol.contents(kind, size, seed)
        self._send(self.channels[label], data)
        return {"sha256": hashed}

    @staticmethod
    def _send(channel, data):
        """Empty messages are sent as nothing at all, which webrtcbin marks as such on the wire."""
        if isinstance(data, str):
            channel.emit("send-string", data or None)
        else:
            channel.emit("send-data", GLib.Bytes.new(data) if data else None)

    def close_channel(self, label):
        self.channels[label].emit("close")

    def stats(self):
        # Nothing tells the version of DTLS.
        return {
            "connection": self._property("connection-state"),
            "ice": self._property("ice-connection-state"),
            "signaling": self._property("signaling-state"),
            "channels": {
                label: channel.get_property("ready-state").value_nick for label, channel in self.channels.items()
            },
        }

    def close(self):
        self.pipeline.set_state(Gst.State.NULL)


def main():
    Gst.init(None)
    peer = Peer()
    for line in sys.stdin:
        number, name, arguments = protocol.split(json.loads(line))
        try:
            reply = protocol.method(peer, name)(**arguments)
            report(reply=number, ok=reply or {})
        except Exception as error:  # whatever GStreamer says is the reply
            report(reply=number, error=f"{type(error).__name__}: {error}")


main()
