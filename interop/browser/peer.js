// One connection that obeys the signalling protocol of interop/README.md: `command(object)` returns a
// promise of the reply, `report(string)` (a binding of the debugging protocol) carries the events.
'use strict';

const emit = (event) => globalThis.report(JSON.stringify(event));
const channels = new Map();
const received = new Map();
let pc = null;
let wanted = [];
let echoing = false;

function start({ media: sections = [], echo = false, iceServers = [], iceTransportPolicy = 'all' }) {
  wanted = sections;
  echoing = echo;
  pc = new RTCPeerConnection({ iceServers, iceTransportPolicy });
  const states = () => emit({ event: 'state', connection: pc.connectionState, ice: pc.iceConnectionState });
  pc.onconnectionstatechange = states;
  pc.oniceconnectionstatechange = states;
  pc.onicecandidate = ({ candidate }) => emit({ event: 'candidate', candidate: candidate?.toJSON() ?? null });
  pc.onicecandidateerror = ({ url, errorCode, errorText }) =>
    emit({ event: 'server', reason: `${url}: ${errorCode} ${errorText}` });
  pc.ondatachannel = ({ channel }) => {
    const { label, id, ordered, maxRetransmits, maxPacketLifeTime, protocol } = channel;
    emit({ event: 'channel', label, id, ordered, maxRetransmits, maxPacketLifeTime, protocol });
    adopt(channel, echoing);
  };
  pc.ontrack = ({ track, transceiver }) => {
    received.set(track.kind, transceiver.receiver);
    media.play(track);
    if (wanted.some((w) => w.kind === track.kind && w.source === 'echo')) {
      transceiver.direction = 'sendrecv';
      transceiver.sender.replaceTrack(track);
    }
    emit({ event: 'track', kind: track.kind });
  };
  for (const { kind, source } of wanted) {
    if (source === 'tone') pc.addTrack(media.tone());
    if (source === 'moving') pc.addTrack(media.picture());
  }
  return {};
}

// Echoing offers need a section of their own; answers use what the offer brought.
function offerSections() {
  for (const { kind, source } of wanted) {
    if (source === 'echo' && !pc.getTransceivers().some((t) => t.receiver.track.kind === kind)) pc.addTransceiver(kind);
  }
}

function preferCodecs() {
  for (const transceiver of pc.getTransceivers()) {
    const kind = transceiver.receiver.track.kind;
    const codec = wanted.find((w) => w.kind === kind)?.codec;
    if (!codec) continue;
    const known = RTCRtpReceiver.getCapabilities(kind).codecs;
    const name = (c) => c.mimeType.split('/')[1].toLowerCase();
    const chosen = known.filter((c) => name(c) === codec.toLowerCase());
    transceiver.setCodecPreferences([...chosen, ...known.filter((c) => name(c) === 'rtx')]);
  }
}

function adopt(channel, echo) {
  const { label } = channel;
  const state = { channel, echo, collect: null };
  channels.set(label, state);
  channel.binaryType = 'arraybuffer';
  channel.onopen = () => emit({ event: 'open', label });
  channel.onclose = () => emit({ event: 'channel-closed', label });
  let queue = Promise.resolve();
  channel.onmessage = ({ data }) => {
    if (state.echo) channel.send(data);
    if (state.collect) return collected(label, state, new Uint8Array(data));
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
    const kind = typeof data === 'string' ? 'text' : 'binary';
    queue = queue.then(async () =>
      emit({ event: 'message', label, kind, size: bytes.length, sha256: await pattern.hash(bytes) }),
    );
  };
}

async function collected(label, state, bytes) {
  const { collect } = state;
  collect.buffer.set(bytes, collect.size);
  collect.size += bytes.length;
  collect.started ??= performance.now();
  if (collect.size < collect.buffer.length) return;
  const seconds = (performance.now() - collect.started) / 1000;
  state.collect = null;
  emit({ event: 'collected', label, size: collect.size, sha256: await pattern.hash(collect.buffer), seconds });
}

// Sends `total` bytes in messages of `chunk`, never more than a few messages ahead of the network.
async function flood({ label, total, chunk, seed }) {
  const { channel } = channels.get(label);
  const bytes = pattern.bytes(total, seed);
  channel.bufferedAmountLowThreshold = 512 * 1024;
  for (let at = 0; at < total; at += chunk) {
    if (channel.bufferedAmount > 1024 * 1024) {
      await new Promise((resolve) => (channel.onbufferedamountlow = resolve));
    }
    channel.send(bytes.subarray(at, Math.min(at + chunk, total)));
  }
  return { sha256: await pattern.hash(bytes) };
}

async function stats() {
  const all = [...(await pc.getStats()).values()];
  const transport = all.find((s) => s.type === 'transport') ?? {};
  const used = (s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded';
  const pair = all.find((s) => s.id === transport.selectedCandidatePairId) ?? all.find(used) ?? {};
  const candidate = (id) => {
    const c = all.find((s) => s.id === id);
    return c && `${c.candidateType} ${c.protocol} ${c.address}:${c.port}`;
  };
  const local = all.find((s) => s.id === pair.localCandidateId);
  return {
    route: { kind: local?.candidateType, relayProtocol: local?.relayProtocol },
    connection: pc.connectionState,
    ice: pc.iceConnectionState,
    signaling: pc.signalingState,
    dtls: transport.dtlsState,
    dtlsRole: transport.dtlsRole,
    tlsVersion: transport.tlsVersion,
    dtlsCipher: transport.dtlsCipher,
    srtpCipher: transport.srtpCipher,
    local: candidate(pair.localCandidateId),
    remote: candidate(pair.remoteCandidateId),
    bytesSent: transport.bytesSent,
    bytesReceived: transport.bytesReceived,
    channels: Object.fromEntries([...channels].map(([label, { channel }]) => [label, channel.readyState])),
  };
}

const described = () => ({ type: pc.localDescription.type, sdp: pc.localDescription.sdp });

const commands = {
  new: start,
  channel({ label, echo, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id }) {
    const init = { ordered, maxRetransmits, maxPacketLifeTime, negotiated, id };
    for (const name of Object.keys(init)) if (init[name] === undefined) delete init[name];
    adopt(pc.createDataChannel(label, init), echo ?? false);
    return {};
  },
  async offer() {
    offerSections();
    preferCodecs();
    await pc.setLocalDescription(await pc.createOffer());
    return described();
  },
  async answer() {
    preferCodecs();
    await pc.setLocalDescription(await pc.createAnswer());
    return described();
  },
  async remote({ type, sdp }) {
    await pc.setRemoteDescription({ type, sdp });
    return {};
  },
  async candidate({ candidate }) {
    await pc.addIceCandidate(candidate ?? undefined);
    return {};
  },
  async gathered() {
    while (pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', resolve, { once: true }));
    }
    return described();
  },
  async send({ label, kind, size, seed }) {
    const data = kind === 'text' ? pattern.text(size, seed) : pattern.bytes(size, seed);
    channels.get(label).channel.send(data);
    return { sha256: await pattern.hash(typeof data === 'string' ? new TextEncoder().encode(data) : data) };
  },
  collect({ label, total }) {
    channels.get(label).collect = { buffer: new Uint8Array(total), size: 0, started: null };
    return {};
  },
  flood,
  async measure({ kind, seconds }) {
    const receiver = received.get(kind);
    if (!receiver) throw new Error(`no ${kind} track has come`);
    return kind === 'audio' ? { heard: await media.listen(receiver.track, seconds) } : media.watch(receiver, seconds);
  },
  'close-channel'({ label }) {
    channels.get(label).channel.close();
    return {};
  },
  stats,
  close() {
    pc.close();
    return {};
  },
};

async function command(request) {
  const work = commands[request.do];
  if (!work) throw new Error(`this peer knows no command "${request.do}"`);
  return (await work(request)) ?? {};
}
