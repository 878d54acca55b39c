// The signalling protocol of interop/README.md on standard input and output, for peers in JavaScript.
import { createInterface } from 'node:readline';
import './pattern.js';

export const report = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// Tells what came through a channel: text as a string, anything else as bytes.
export async function reportMessage(label, data) {
  const text = typeof data === 'string';
  const bytes = text ? new TextEncoder().encode(data) : new Uint8Array(data);
  const sha256 = await pattern.hash(bytes);
  report({ event: 'message', label, kind: text ? 'text' : 'binary', size: bytes.length, sha256 });
}

// A message to send, and its hash.
export async function contents({ kind, size, seed }) {
  const data = kind === 'text' ? pattern.text(size, seed) : Buffer.from(pattern.bytes(size, seed));
  return { data, sha256: await pattern.hash(Buffer.from(data)) };
}

// Serves commands by the functions of an object, until the runner is gone.
export function serve(commands) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', async (line) => {
    const { request, do: name, ...rest } = JSON.parse(line);
    try {
      const work = commands[name];
      if (!work) throw new Error(`this peer knows no command "${name}"`);
      report({ reply: request, ok: (await work(rest)) ?? {} });
    } catch (error) {
      report({ reply: request, error: String(error) });
    }
  });
  lines.on('close', () => process.exit(0));
}
