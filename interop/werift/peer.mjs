// One werift connection that obeys the signalling protocol of interop/README.md over standard input and output.
// The argument is the folder that has `werift` in its node_modules (`cargo xtask setup` makes one).
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { contents, report, reportMessage, serve } from '../protocol/protocol.mjs';

const require = createRequire(join(process.argv[2], 'peer.js'));
const { RTCPeerConnection } = require('werift');

const channels = new Map();
let pc = null;

function adopt(channel, echo) {
  const { label } = channel;
  channels.set(label, channel);
  let queue = Promise.resolve();
  channel.onMessage.subscribe((data) => {
    if (echo) channel.send(data);
    queue = queue.then(() => reportMessage(label, data));
  });
  channel.stateChanged.subscribe((state) => {
    if (state === 'open') report({ event: 'open', label });
    if (state === 'closed') report({ event: 'channel-closed', label });
  });
}

function openedByThem(channel, echo) {
  const { label, id, ordered, maxRetransmits, maxPacketLifeTime, protocol } = channel;
  report({ event: 'channel', label, id, ordered, maxRetransmits, maxPacketLifeTime, protocol });
  adopt(channel, echo);
  if (channel.readyState === 'open') report({ event: 'open', label });
}

// Told of no STUN server, werift asks one on the Internet and waits for it. This one refuses at once (RFC 8489,
// section 5: a Binding error response, with nothing in it).
async function refusingServer() {
  const socket = createSocket('udp4');
  socket.on('message', (request, { port, address }) => {
    const answer = Buffer.from(request.subarray(0, 20));
    answer.writeUInt16BE(0x0111, 0);
    answer.writeUInt16BE(0, 2);
    socket.send(answer, port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return `stun:127.0.0.1:${socket.address().port}`;
}

const described = () => ({ type: pc.localDescription.type, sdp: pc.localDescription.sdp });

serve({
  async new({ media = [], echo = false }) {
    if (media.length > 0) throw new Error('this peer has no media');
    pc = new RTCPeerConnection({ iceServers: [{ urls: await refusingServer() }] });
    const states = () => report({ event: 'state', connection: pc.connectionState, ice: pc.iceConnectionState });
    pc.connectionStateChange.subscribe(states);
    pc.iceConnectionStateChange.subscribe(states);
    pc.onIceCandidate.subscribe((candidate) => report({ event: 'candidate', candidate: candidate?.toJSON() ?? null }));
    pc.onDataChannel.subscribe((channel) => openedByThem(channel, echo));
  },
  channel({ label, echo = false, ...options }) {
    adopt(pc.createDataChannel(label, options), echo);
  },
  async offer() {
    await pc.setLocalDescription(await pc.createOffer());
    return described();
  },
  async answer() {
    await pc.setLocalDescription(await pc.createAnswer());
    return described();
  },
  async gathered() {
    while (pc.iceGatheringState !== 'complete') await pc.iceGatheringStateChange.asPromise();
    return described();
  },
  async remote({ type, sdp }) {
    await pc.setRemoteDescription({ type, sdp });
  },
  async candidate({ candidate }) {
    if (candidate?.candidate) await pc.addIceCandidate(candidate);
  },
  async send({ label, ...message }) {
    const { data, sha256 } = await contents(message);
    channels.get(label).send(data);
    return { sha256 };
  },
  'close-channel'({ label }) {
    channels.get(label).close();
  },
  async stats() {
    const all = [...(await pc.getStats()).values()];
    const transport = all.find((entry) => entry.type === 'transport') ?? {};
    const versions = { 'DTLS 1.2': 'FEFD', 'DTLS 1.3': 'FEFC' };
    return {
      connection: pc.connectionState,
      ice: pc.iceConnectionState,
      signaling: pc.signalingState,
      dtls: transport.dtlsState,
      dtlsRole: transport.dtlsRole,
      tlsVersion: versions[transport.tlsVersion],
      dtlsCipher: transport.dtlsCipher,
      channels: Object.fromEntries([...channels].map(([label, channel]) => [label, channel.readyState])),
    };
  },
  async close() {
    await pc.close();
  },
});
