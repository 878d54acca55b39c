// The page of `dunlin serve`: a call, a chat, a throughput test and the stats of both sides.
"use strict";

const $ = (id) => document.getElementById(id);
const call = { pc: null, ws: null, stream: null, chat: null, ping: null, throughput: null, timers: [], started: 0 };

// ---- telling the user -----------------------------------------------------------------------------------

function note(text) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  item.append(time, text);
  $("events").append(item);
  $("events").scrollTop = $("events").scrollHeight;
}

// The first reason is the one to read; what follows from it goes to the list.
function fail(text) {
  note(text);
  if (!$("notice").hidden) return;
  $("notice").textContent = text;
  $("notice").hidden = false;
}

function show(name, value) {
  const item = document.querySelector(`[data-state=${name}]`);
  item.querySelector("span").textContent = value;
  item.className = ["connected", "completed", "open", "stable"].includes(value) ? "good"
    : ["failed", "closed", "disconnected"].includes(value) ? "bad"
    : value === "new" ? "" : "wait";
}

const rate = (bytesPerSecond) =>
  bytesPerSecond >= 1e6 ? `${(bytesPerSecond / 1e6).toFixed(1)} MB/s` : `${(bytesPerSecond / 1e3).toFixed(0)} kB/s`;

// ---- what is sent ---------------------------------------------------------------------------------------

// The generated picture carries the time in a row of black and white squares, so that the round trip of the
// picture itself can be read when it comes back.
const BITS = 16;

function generatedStream() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 360];
  const g = canvas.getContext("2d");
  const draw = () => {
    const now = performance.now();
    const hue = (now / 40) % 360;
    g.fillStyle = `hsl(${hue} 45% 30%)`;
    g.fillRect(0, 0, 640, 360);
    g.fillStyle = `hsl(${(hue + 180) % 360} 80% 65%)`;
    g.beginPath();
    g.arc(320 + 220 * Math.cos(now / 700), 190 + 90 * Math.sin(now / 450), 46, 0, 2 * Math.PI);
    g.fill();
    g.fillStyle = "white";
    g.font = "bold 40px system-ui";
    g.fillText(new Date().toLocaleTimeString() + "." + String(Date.now() % 1000).padStart(3, "0"), 24, 330);
    const stamp = Math.floor(now) % (1 << BITS);
    for (let bit = 0; bit < BITS; bit++) {
      g.fillStyle = stamp >> bit & 1 ? "white" : "black";
      g.fillRect(bit * 40, 0, 40, 40);
    }
  };
  draw();
  const timer = setInterval(draw, 33);
  const audio = new AudioContext();
  const [tone, gain, out] = [audio.createOscillator(), audio.createGain(), audio.createMediaStreamDestination()];
  tone.frequency.value = 440;
  gain.gain.value = 0.2;
  tone.connect(gain).connect(out);
  tone.start();
  const stream = canvas.captureStream(30);
  stream.addTrack(out.stream.getAudioTracks()[0]);
  stream.stopAll = () => { clearInterval(timer); audio.close(); };
  return stream;
}

async function localStream() {
  if ($("source").value === "generated") return generatedStream();
  try {
    if (!navigator.mediaDevices) throw new Error("this page is not served over HTTPS or from localhost");
    const video = { width: 640, height: 360, frameRate: 30 };
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    note(`No camera or microphone (${error.message}): a generated picture and tone are sent instead.`);
    $("source").value = "generated";
    return generatedStream();
  }
}

// ---- the call -------------------------------------------------------------------------------------------

function openSignalling() {
  const ws = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  call.ws = ws;
  show("signaling", "connecting");
  ws.onmessage = (event) => onSignal(JSON.parse(event.data)).catch((error) => fail(`Signalling: ${error.message}`));
  ws.onclose = () => {
    show("signaling", "closed");
    if (call.ws === ws && $("notice").hidden) {
      fail("The program that served this page does not answer any more. Is it still running?");
    }
  };
  return new Promise((resolve, reject) => {
    ws.onopen = () => { show("signaling", "open"); resolve(); };
    ws.onerror = () => reject(new Error("the signalling WebSocket cannot be opened: is dunlin still running?"));
  });
}

async function onSignal(message) {
  const pc = call.pc;
  if (!pc) return;
  switch (message.type) {
    case "answer":
      await pc.setRemoteDescription(message);
      note("dunlin answered.");
      break;
    case "candidate":
      if (message.candidate.candidate) note(`dunlin can be reached at ${candidateText(message.candidate.candidate)}.`);
      await pc.addIceCandidate(message.candidate);
      break;
    case "state":
      show("server", message.connection);
      note(`dunlin: ${message.what}`);
      break;
    case "stats":
      table("stats-dunlin", serverRows(message.stats));
      break;
    case "error":
      fail(message.message);
      break;
  }
}

const send = (message) => call.ws.readyState === WebSocket.OPEN && call.ws.send(JSON.stringify(message));

async function start() {
  $("notice").hidden = true;
  $("call").disabled = true;
  try {
    call.stream = await localStream();
    $("local").srcObject = call.stream;
    await openSignalling();
    call.started = performance.now();
    const iceServers = await (await fetch("ice")).json();
    if (iceServers.length > 0) note("dunlin relays for this browser if need be.");
    const pc = call.pc = new RTCPeerConnection({ iceServers });
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      if (candidate.candidate) note(`This browser can be reached at ${candidateText(candidate.candidate)}.`);
      send({ type: "candidate", candidate });
    };
    pc.oniceconnectionstatechange = () => { show("ice", pc.iceConnectionState); note(`ICE is ${pc.iceConnectionState}.`); };
    pc.onconnectionstatechange = () => onConnectionState(pc);
    pc.ontrack = (event) => onTrack(event);
    for (const track of call.stream.getTracks()) {
      const transceiver = pc.addTransceiver(track, { streams: [call.stream] });
      if (track.kind === "video") preferCodec(transceiver);
    }
    openChannels(pc);
    await pc.setLocalDescription();
    send(pc.localDescription);
    note("The offer is sent.");
    $("hangup").disabled = false;
    call.timers.push(setInterval(showStats, 1000), setInterval(readPicture, 100), setInterval(sendPing, 500));
  } catch (error) {
    fail(`The call could not be started: ${error.message}`);
    stop();
  }
}

function preferCodec(transceiver) {
  const wanted = $("codec").value;
  if (!wanted) return;
  const all = RTCRtpReceiver.getCapabilities("video").codecs;
  const first = all.filter((codec) => codec.mimeType.toUpperCase() === `VIDEO/${wanted}`);
  if (first.length === 0) note(`This browser has no ${wanted}: it chooses another codec.`);
  transceiver.setCodecPreferences([...first, ...all.filter((codec) => !first.includes(codec))]);
}

function onConnectionState(pc) {
  show("connection", pc.connectionState);
  note(`The connection is ${pc.connectionState}.`);
  if (pc.connectionState === "connected" && call.started) {
    $("setup").textContent = `${Math.round(performance.now() - call.started)} ms`;
    call.started = 0;
  }
  if (pc.connectionState === "failed") {
    fail("The connection failed: no path between this browser and dunlin works any more, or the handshake did not succeed. "
      + "The addresses and states of both sides are below; if dunlin runs behind a NAT, start it with --ice-ip.");
  }
}

function onTrack(event) {
  note(`${event.track.kind} comes back.`);
  const remote = $("remote");
  if (!remote.srcObject) remote.srcObject = new MediaStream();
  remote.srcObject.addTrack(event.track);
  if (event.track.kind === "audio") watchLevel(event.track);
}

function watchLevel(track) {
  const audio = call.audio = new AudioContext();
  const analyser = audio.createAnalyser();
  audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  call.timers.push(setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    $("level").value = Math.min(1, Math.sqrt(power) * 4);
  }, 100));
}

function stop() {
  for (const timer of call.timers) clearInterval(timer);
  call.timers = [];
  if (call.pc) call.pc.close();
  const ws = call.ws;
  call.ws = null;
  if (ws) ws.close();
  if (call.stream) {
    call.stream.getTracks().forEach((track) => track.stop());
    if (call.stream.stopAll) call.stream.stopAll();
  }
  if (call.audio) call.audio.close();
  Object.assign(call, { pc: null, stream: null, audio: null, chat: null, ping: null, throughput: null });
  $("local").srcObject = $("remote").srcObject = null;
  for (const state of ["ice", "connection", "server"]) show(state, "closed");
  $("call").disabled = false;
  $("hangup").disabled = true;
  enableData(false);
}

// ---- data channels --------------------------------------------------------------------------------------

function enableData(on) {
  for (const element of [$("text"), $("chat").querySelector("button"), $("upload"), $("download")]) element.disabled = !on;
}

function openChannels(pc) {
  call.chat = pc.createDataChannel("echo");
  call.chat.onopen = () => { enableData(true); note("The data channel is open."); };
  call.chat.onclose = () => enableData(false);
  call.chat.onmessage = (event) => say(event.data, "back");
  call.ping = pc.createDataChannel("ping", { ordered: false, maxRetransmits: 0 });
  call.ping.onmessage = (event) => {
    $("rtt-data").textContent = `${(performance.now() - Number(event.data)).toFixed(1)} ms`;
  };
  call.throughput = pc.createDataChannel("throughput");
  call.throughput.binaryType = "arraybuffer";
}

function sendPing() {
  if (call.ping && call.ping.readyState === "open") call.ping.send(String(performance.now()));
}

function say(text, className) {
  const line = document.createElement("p");
  line.className = className;
  line.textContent = text;
  $("log").append(line);
  $("log").scrollTop = $("log").scrollHeight;
}

const SECONDS = 3;

// Sends messages for some seconds, keeping the channel's buffer filled; dunlin says what arrived.
async function upload() {
  const channel = call.throughput;
  const message = new Uint8Array(Number($("size").value));
  enableData(false);
  channel.bufferedAmountLowThreshold = 1 << 20;
  channel.send(JSON.stringify({ command: "upload" }));
  const begin = performance.now();
  while (performance.now() - begin < SECONDS * 1000 && channel.readyState === "open") {
    if (channel.bufferedAmount > 4 << 20) {
      await new Promise((resolve) => {
        channel.onbufferedamountlow = resolve;
        setTimeout(resolve, 500);
      });
    } else {
      channel.send(message);
    }
    $("progress").value = (performance.now() - begin) / (SECONDS * 1000);
  }
  channel.onmessage = (event) => {
    const result = JSON.parse(event.data);
    $("rate-up").textContent = rate(result.bytes / result.seconds);
    note(`${(result.bytes / 1e6).toFixed(0)} MB from browser to dunlin in ${result.seconds.toFixed(2)} s.`);
    enableData(true);
  };
  channel.send(JSON.stringify({ command: "end" }));
}

// Asks dunlin to send for some seconds, and counts.
function download() {
  const channel = call.throughput;
  enableData(false);
  let [bytes, begin] = [0, 0];
  channel.onmessage = (event) => {
    if (typeof event.data === "string") {
      const seconds = (performance.now() - begin) / 1000;
      $("rate-down").textContent = rate(bytes / seconds);
      note(`${(bytes / 1e6).toFixed(0)} MB from dunlin to browser in ${seconds.toFixed(2)} s.`);
      enableData(true);
      return;
    }
    begin = begin || performance.now();
    bytes += event.data.byteLength;
    $("progress").value = (performance.now() - begin) / (SECONDS * 1000);
  };
  channel.send(JSON.stringify({ command: "download", seconds: SECONDS, size: Number($("size").value) }));
}

// ---- figures --------------------------------------------------------------------------------------------

// Reads the time out of the squares of a generated picture that came back.
function readPicture() {
  const video = $("remote");
  if ($("source").value !== "generated" || !video.videoWidth) return;
  const canvas = readPicture.canvas ||= document.createElement("canvas");
  [canvas.width, canvas.height] = [BITS, 1];
  const g = canvas.getContext("2d", { willReadFrequently: true });
  g.drawImage(video, 0, video.videoHeight / 18, video.videoWidth, 1, 0, 0, BITS, 1);
  const pixels = g.getImageData(0, 0, BITS, 1).data;
  let stamp = 0;
  for (let bit = 0; bit < BITS; bit++) if (pixels[bit * 4] > 127) stamp |= 1 << bit;
  const period = 1 << BITS;
  const age = (Math.floor(performance.now()) - stamp % period + period) % period;
  if (age < 5000) $("rtt-picture").textContent = `${age} ms`;
}

function table(id, rows) {
  $(id).replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("tr");
    for (const text of [name, value]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

// The version as it is called; on the wire it counts down.
function version(code) {
  return { FEFD: "1.2", FEFC: "1.3" }[code] || code || "";
}

// dunlin's stats have the names of webrtc-stats; the table shows what a person asks first.
function serverRows(stats) {
  const { transport, candidatePair: pair, sctp } = stats;
  const rows = [
    ["DTLS", `${transport.dtlsState} ${version(transport.tlsVersion)} ${transport.dtlsCipher || ""}`],
    ["key agreement", transport.tlsGroup || "–"],
    ["SRTP", transport.srtpCipher || "–"], ["DTLS role", transport.dtlsRole],
  ];
  if (pair) {
    rows.push(["path", `${candidateText(pair.local)} → ${candidateText(pair.remote)}`]);
    if (pair.currentRoundTripTime != null) rows.push(["round trip", `${(pair.currentRoundTripTime * 1000).toFixed(1)} ms`]);
  }
  rows.push(["bytes sent", transport.bytesSent], ["bytes received", transport.bytesReceived]);
  for (const rtp of stats.inboundRtp) {
    rows.push([`${rtp.kind} in`, `${rtp.packetsReceived} packets, ${rtp.packetsLost} lost`]);
    if (rtp.kind === "video") rows.push(["NACK / PLI sent", `${rtp.nackCount} / ${rtp.pliCount}`]);
  }
  for (const rtp of stats.outboundRtp) {
    rows.push([`${rtp.kind} out`, `${rtp.packetsSent} packets, ${rtp.retransmittedPacketsSent} again`]);
    if (rtp.kind === "video") rows.push(["PLI received", rtp.pliCount]);
  }
  for (const channel of stats.dataChannels) {
    rows.push([`channel ${channel.label}`, `${channel.state}, ${channel.messagesSent} out, ${channel.messagesReceived} in`]);
  }
  if (sctp) {
    rows.push(["SCTP window", `${sctp.congestionWindow} bytes, ${sctp.bytesInFlight} in flight`],
      ["SCTP sent again", `${sctp.retransmissions} chunks, ${sctp.timeouts} time-outs`]);
  }
  const dropped = Object.values(transport.drops).reduce((sum, count) => sum + count, transport.iceDrops + transport.dtlsDrops);
  rows.push(["datagrams dropped", dropped]);
  return rows;
}

// "candidate:1 1 udp 2122317567 10.0.0.1 5000 typ host …" as "host 10.0.0.1:5000".
function candidateText(line) {
  const words = line.split(" ");
  return words.length < 8 ? line : `${words[7]} ${words[4]}:${words[5]}${words[2].toLowerCase() === "udp" ? "" : ` ${words[2]}`}`;
}

async function showStats() {
  const pc = call.pc;
  if (!pc) return;
  const report = new Map([...(await pc.getStats())]);
  const rows = [];
  for (const stats of report.values()) {
    if (stats.type === "transport") {
      const pair = report.get(stats.selectedCandidatePairId);
      rows.push(["DTLS", `${stats.dtlsState} ${version(stats.tlsVersion)} ${stats.dtlsCipher || ""}`],
        ["SRTP", stats.srtpCipher || "–"], ["DTLS role", stats.dtlsRole || "–"]);
      if (pair) {
        const end = (id) => { const c = report.get(id); return c ? `${c.candidateType} ${c.address || "?"}:${c.port}` : "?"; };
        rows.push(["path", `${end(pair.localCandidateId)} → ${end(pair.remoteCandidateId)}`]);
        if (pair.currentRoundTripTime !== undefined) {
          $("rtt-ice").textContent = `${(pair.currentRoundTripTime * 1000).toFixed(1)} ms`;
        }
        rows.push(["bytes sent", pair.bytesSent], ["bytes received", pair.bytesReceived]);
      }
    } else if (stats.type === "inbound-rtp") {
      const codec = report.get(stats.codecId);
      rows.push([`${stats.kind} in`, `${codec ? codec.mimeType : "?"} ${stats.packetsReceived} packets, ${stats.packetsLost} lost`]);
      if (stats.kind === "video") {
        $("fps").textContent = stats.framesPerSecond ?? "0";
        rows.push(["frames decoded", `${stats.framesDecoded} (${stats.frameWidth || "?"}×${stats.frameHeight || "?"})`],
          ["freezes", stats.freezeCount ?? 0], ["PLI sent", stats.pliCount ?? 0]);
      }
    } else if (stats.type === "outbound-rtp") {
      rows.push([`${stats.kind} out`, `${stats.packetsSent} packets, ${stats.bytesSent} bytes`]);
      if (stats.kind === "video") rows.push(["key frames", stats.keyFramesEncoded ?? 0]);
    } else if (stats.type === "data-channel") {
      rows.push([`channel ${stats.label}`, `${stats.state}, ${stats.messagesSent} out, ${stats.messagesReceived} in`]);
    }
  }
  table("stats-browser", rows);
}

// ---- wiring ---------------------------------------------------------------------------------------------

$("call").onclick = start;
$("hangup").onclick = () => { stop(); note("You hung up."); };
$("listen").onchange = () => { $("remote").muted = !$("listen").checked; };
$("chat").onsubmit = (event) => {
  event.preventDefault();
  if (!$("text").value || !call.chat) return;
  say($("text").value, "mine");
  call.chat.send($("text").value);
  $("text").value = "";
};
$("upload").onclick = () => upload().catch((error) => fail(`Upload: ${error.message}`));
$("download").onclick = download;
const wishes = new URLSearchParams(location.search);
if (wishes.has("generated")) $("source").value = "generated";
if (wishes.has("call")) start();
