"""What this peer sends (a tone, a moving picture) and how it judges what comes back."""

import asyncio
import math
import struct
import time

import webrtc

RATE = 48000
TONE = 440.0
WIDTH, HEIGHT = 320, 240


async def tone(writer):
    """Writes a 440 Hz sine wave in frames of 10 ms, for ever."""
    frames = RATE // 100
    start, sent = time.monotonic(), 0
    while True:
        wave = [int(12000 * math.sin(2 * math.pi * TONE * (sent + i) / RATE)) for i in range(frames)]
        init = webrtc.AudioDataInit(
            format="s16",
            sample_rate=RATE,
            number_of_frames=frames,
            number_of_channels=1,
            timestamp=sent * 1_000_000 // RATE,
            data=struct.pack(f"<{frames}h", *wave),
        )
        await writer.write(webrtc.AudioData(init))
        sent += frames
        await asyncio.sleep(max(0.0, start + sent / RATE - time.monotonic()))


async def picture(writer):
    """Writes a bar that walks over a changing grey, 30 times a second, for ever."""
    start, frame = time.monotonic(), 0
    chroma = b"\x80" * (WIDTH * HEIGHT // 2)
    while True:
        row = bytearray([(frame * 3) % 200] * WIDTH)
        bar = (frame * 4) % (WIDTH - 24)
        row[bar : bar + 24] = b"\xeb" * 24
        init = webrtc.VideoFrameBufferInit(
            format="I420", coded_width=WIDTH, coded_height=HEIGHT, timestamp=int(time.monotonic() * 1e6)
        )
        await writer.write(webrtc.VideoFrame(bytes(row) * HEIGHT + chroma, init))
        frame += 1
        await asyncio.sleep(max(0.0, start + frame / 30 - time.monotonic()))


def judge(samples):
    """The frequency of a piece of sound, how loud it is, and how much of it is one sine wave at 440 Hz."""
    power = sum(x * x for x in samples) / len(samples)
    if power < 1:
        return {"frequency": 0.0, "level": -100.0, "share": 0.0}
    crossings = sum(1 for a, b in zip(samples, samples[1:]) if a < 0 <= b)
    step = 2 * math.pi * TONE / RATE
    real = sum(x * math.cos(step * i) for i, x in enumerate(samples))
    imaginary = sum(x * math.sin(step * i) for i, x in enumerate(samples))
    at_tone = 2 * (real * real + imaginary * imaginary) / len(samples) ** 2
    return {
        "frequency": crossings * RATE / len(samples),
        "level": 10 * math.log10(power / 32768**2),
        "share": at_tone / power,
    }


async def listen(track, seconds):
    """Listens for a while and judges every tenth of a second."""
    reader = webrtc.MediaStreamTrackProcessor(webrtc.MediaStreamTrackProcessorInit(track=track)).readable.get_reader()
    heard, samples = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = await asyncio.wait_for(reader.read(), 5)
        if result.done:
            break
        sound = result.value
        count = sound.number_of_frames
        plane = bytearray(count * 2)
        sound.copy_to(plane, webrtc.AudioDataCopyToOptions(plane_index=0, format="s16-planar"))
        if sound.sample_rate != RATE:
            raise RuntimeError(f"the sound has {sound.sample_rate} samples a second, not {RATE}")
        sound.close()
        samples.extend(struct.unpack(f"<{count}h", plane))
        if len(samples) >= RATE // 10:
            heard.append(judge(samples[: RATE // 10]))
            samples = []
    return {"heard": heard}


async def _inbound(receiver):
    report = await receiver.get_stats()
    for entry in report.values():
        if getattr(entry.type, "value", entry.type) == "inbound-rtp":
            codec = report.get(entry.codec_id) if entry.codec_id else None
            return entry, codec
    return None, None


async def watch(receiver, seconds):
    """Watches the decoder for a while."""
    first, _ = await _inbound(receiver)
    frames = start = (first and first.frames_decoded) or 0
    entry = codec = None
    longest, since = 0.0, time.monotonic()
    end = since + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.1)
        entry, codec = await _inbound(receiver)
        now = (entry and entry.frames_decoded) or 0
        if now > frames:
            longest, since = max(longest, time.monotonic() - since), time.monotonic()
        frames = now
    value = lambda name: getattr(entry, name, None)
    return {
        "frames": frames - start,
        "longestGap": max(longest, time.monotonic() - since),
        "freezes": (value("freeze_count") or 0) - ((first and first.freeze_count) or 0),
        "codec": codec and codec.mime_type,
        "width": value("frame_width"),
        "height": value("frame_height"),
        "keyFrames": value("key_frames_decoded"),
        "packets": value("packets_received"),
        "lost": value("packets_lost"),
        "nacks": value("nack_count"),
        "plis": value("pli_count"),
        "decoder": value("decoder_implementation"),
    }
