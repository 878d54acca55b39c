// What the page sends (a tone, a moving picture) and how it judges what comes back.
'use strict';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const media = {
  context: null,

  audio() {
    media.context ??= new AudioContext({ sampleRate: 48000 });
    return media.context;
  },

  // A 440 Hz sine wave.
  tone() {
    const context = media.audio();
    const oscillator = new OscillatorNode(context, { frequency: 440 });
    const quieter = new GainNode(context, { gain: 0.5 });
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    oscillator.connect(quieter).connect(destination);
    oscillator.start();
    return destination.stream.getAudioTracks()[0];
  },

  // A bar that walks over a changing colour, 30 times a second.
  picture() {
    const canvas = document.createElement('canvas');
    canvas.width = 320;
    canvas.height = 240;
    const paint = canvas.getContext('2d');
    let frame = 0;
    setInterval(() => {
      paint.fillStyle = `hsl(${(frame * 3) % 360} 60% 50%)`;
      paint.fillRect(0, 0, 320, 240);
      paint.fillStyle = 'white';
      paint.fillRect((frame * 4) % 320, 0, 24, 240);
      paint.fillText(String(frame++), 10, 20);
    }, 33);
    return canvas.captureStream(30).getVideoTracks()[0];
  },

  // Elements make the browser decode; a remote audio track is silent in WebAudio unless an element plays it.
  play(track) {
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.muted = true;
    element.srcObject = new MediaStream([track]);
    document.body.appendChild(element);
    element.play().catch(() => {});
  },

  // Listens for a while: the strongest frequency, how loud it is, and how much of the sound it is.
  async listen(track, seconds) {
    const context = media.audio();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
    new MediaStreamAudioSourceNode(context, { mediaStream: new MediaStream([track]) }).connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount);
    const binWidth = context.sampleRate / analyser.fftSize;
    const heard = [];
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await sleep(100);
      analyser.getFloatFrequencyData(bins);
      const power = bins.map((db) => 10 ** (db / 10));
      let peak = 0;
      for (let i = 1; i < power.length; i++) if (power[i] > power[peak]) peak = i;
      let near = 0;
      let all = 1e-12;
      for (let i = 1; i < power.length; i++) {
        all += power[i];
        if (Math.abs(i - peak) <= 4) near += power[i];
      }
      heard.push({ frequency: peak * binWidth, level: bins[peak], share: near / all });
    }
    return heard;
  },

  // Watches the decoder for a while.
  async watch(receiver, seconds) {
    const read = async () => {
      const report = await receiver.getStats();
      const inbound = [...report.values()].find((s) => s.type === 'inbound-rtp') ?? {};
      return { ...inbound, codec: report.get(inbound.codecId)?.mimeType };
    };
    let last = await read();
    const first = last;
    let longestGap = 0;
    let since = performance.now();
    const end = since + seconds * 1000;
    while (performance.now() < end) {
      await sleep(100);
      const now = await read();
      const at = performance.now();
      if ((now.framesDecoded ?? 0) > (last.framesDecoded ?? 0)) {
        longestGap = Math.max(longestGap, at - since);
        since = at;
      }
      last = now;
    }
    longestGap = Math.max(longestGap, performance.now() - since);
    return {
      frames: (last.framesDecoded ?? 0) - (first.framesDecoded ?? 0),
      longestGap: longestGap / 1000,
      freezes: (last.freezeCount ?? 0) - (first.freezeCount ?? 0),
      codec: last.codec,
      width: last.frameWidth,
      height: last.frameHeight,
      keyFrames: last.keyFramesDecoded,
      packets: last.packetsReceived,
      lost: last.packetsLost,
      nacks: last.nackCount,
      plis: last.pliCount,
      decoder: last.decoderImplementation,
    };
  },
};
