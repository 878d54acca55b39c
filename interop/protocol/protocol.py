"""The signalling protocol of interop/README.md on standard input and output, for peers in Python.

The runner puts this folder on the path of modules.
"""

import asyncio
import json
import sys

import pattern


def report(**event):
    """Writes one line to the runner."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def report_message(label, data):
    """Tells what came through a channel: text as `str`, anything else as bytes."""
    kind = "text" if isinstance(data, str) else "binary"
    raw = data.encode() if isinstance(data, str) else bytes(data)
    report(event="message", label=label, kind=kind, size=len(raw), sha256=pattern.sha256(raw))


def contents(kind, size, seed):
    """A message to send, and its hash."""
    data = pattern.text(size, seed) if kind == "text" else pattern.binary(size, seed)
    return data, pattern.sha256(data.encode() if kind == "text" else data)


def split(request):
    """The number of a request, the name of the method that serves it, and its arguments."""
    number, name = request.pop("request"), request.pop("do")
    return number, name.replace("-", "_"), {key: value for key, value in request.items() if value is not None}


def method(peer, name):
    """The method of a command."""
    work = getattr(peer, name, None)
    if work is None or name.startswith("_"):
        raise RuntimeError(f'this peer knows no command "{name}"')
    return work


async def _answer(peer, request):
    number, name, arguments = split(request)
    try:
        reply = await method(peer, name)(**arguments)
        report(reply=number, ok=reply or {})
    except Exception as error:  # whatever the stack says is the reply
        report(reply=number, error=f"{type(error).__name__}: {error}")


async def serve(peer):
    """Serves commands by the coroutine methods of `peer`, each in a task of its own, until the runner is gone."""
    tasks = set()
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        task = asyncio.ensure_future(_answer(peer, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
