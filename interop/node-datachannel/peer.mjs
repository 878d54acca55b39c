// One libdatachannel connection that obeys the signalling protocol of interop/README.md over standard input and
// output. The argument is the folder that has `node-datachannel` in its node_modules (`cargo xtask setup` makes one).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { contents, report, reportMessage, serve } from '../protocol/protocol.mjs';

const require = createRequire(join(process.argv[2], 'peer.js'));
const { PeerConnection } = require('node-datachannel');

const channels = new Map();
let pc = null;
let described = null;

function adopt(label, channel, echo) {
  channels.set(label, channel);
  let queue = Promise.resolve();
  channel.onOpen(() => report({ event: 'open', label }));
  channel.onClosed(() => report({ event: 'channel-closed', label }));
  channel.onMessage((data) => {
    if (echo) send(channel, data);
    queue = queue.then(() => reportMessage(label, data));
  });
}

function send(channel, data) {
  if (typeof data === 'string') channel.sendMessage(data);
  else channel.sendMessageBinary(Buffer.from(data));
}

// It describes itself in an event.
function describe(type) {
  return new Promise((resolve) => {
    described = resolve;
    pc.setLocalDescription(type);
  });
}

// Candidates of an offer are told once it is answered: checks that arrive while the answer is being applied let DTLS
// begin before its fingerprint is known, and libdatachannel gives up.
let held = [];

function tell(candidate) {
  if (held) held.push(candidate);
  else report({ event: 'candidate', candidate });
}

function release() {
  const candidates = held ?? [];
  held = null;
  candidates.forEach(tell);
}

serve({
  new({ media = [], echo = false }) {
    if (media.length > 0) throw new Error('this peer has no media');
    pc = new PeerConnection('peer', { iceServers: [], disableAutoNegotiation: true });
    const states = () => report({ event: 'state', connection: pc.state(), ice: pc.iceState() });
    pc.onStateChange(states);
    pc.onIceStateChange(states);
    pc.onLocalDescription((sdp, type) => described?.({ type, sdp }));
    // There is one m-line at most.
    pc.onLocalCandidate((candidate, sdpMid) => tell({ candidate, sdpMid, sdpMLineIndex: 0 }));
    pc.onGatheringStateChange((state) => state === 'complete' && tell(null));
    pc.onDataChannel((channel) => {
      // What kind of channel it is, it does not tell.
      const [label, id, protocol] = [channel.getLabel(), channel.getId(), channel.getProtocol()];
      report({ event: 'channel', label, id, protocol });
      adopt(label, channel, echo);
      if (channel.isOpen()) report({ event: 'open', label });
    });
  },
  channel({ label, echo = false, ordered = true, ...options }) {
    adopt(label, pc.createDataChannel(label, { unordered: !ordered, ...options }), echo);
  },
  offer: () => describe('offer'),
  answer: () => describe('answer'),
  async gathered() {
    while (pc.gatheringState() !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10));
    return pc.localDescription();
  },
  remote({ type, sdp }) {
    pc.setRemoteDescription(sdp, type);
    release();
  },
  candidate({ candidate }) {
    if (candidate?.candidate) pc.addRemoteCandidate(candidate.candidate, candidate.sdpMid ?? '0');
  },
  async send({ label, ...message }) {
    const { data, sha256 } = await contents(message);
    send(channels.get(label), data);
    return { sha256 };
  },
  'close-channel'({ label }) {
    channels.get(label).close();
  },
  stats() {
    // Nothing tells the version of DTLS.
    return {
      connection: pc.state(),
      ice: pc.iceState(),
      signaling: pc.signalingState(),
      channels: Object.fromEntries([...channels].map(([label, channel]) => [label, channel.isOpen()])),
    };
  },
  close() {
    pc.close();
  },
});
