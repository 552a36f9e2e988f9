"""Python's websockets, echoing: `peer.py client URL OPTIONS`, `peer.py server OPTIONS`.

The options for permessage-deflate are arguments of its factories, as JSON; without them it has its own.
It prints its version; as a server its port, as a client how it ended."""

import asyncio
import json
import sys
import zlib

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

# No other message has this text; it asks for the tally.
ASKS = "\0tally"


def agreed(connection):
    """What was agreed on, as it is told here."""
    return ", ".join(str(extension) for extension in connection.protocol.extensions)


def in_frames(message):
    """Three frames: a message is compressed as a whole, whatever its frames."""
    first, second = len(message) // 3, len(message) // 2
    return [message[:first], message[first:second], message[second:]]


async def echo(connection):
    """Echoes until it is asked for the tally, and sends that."""
    messages, size, crc = 0, 0, 0
    async for message in connection:
        if message == ASKS:
            tally = {"messages": messages, "bytes": size, "crc": crc}
            tally["extensions"] = agreed(connection)
            tally["offered"] = connection.request.headers.get("Sec-WebSocket-Extensions")
            await connection.send(json.dumps(tally))
            return
        data = message.encode() if isinstance(message, str) else message
        messages, size, crc = messages + 1, size + len(data), zlib.crc32(data, crc)
        await connection.send(message if messages % 4 else in_frames(message))


def settings(factory, options):
    """Arguments of `connect` and `serve`."""
    return {"compression": None, "extensions": [factory(**json.loads(options))]} if options else {}


async def client(url, options=None):
    given = settings(ClientPerMessageDeflateFactory, options)
    async with connect(url, proxy=None, **given) as connection:
        print(websockets.__version__, flush=True)
        await echo(connection)
    print(json.dumps({"code": connection.close_code, "reason": connection.close_reason}), flush=True)


async def answer(connection):
    await echo(connection)
    # The client closes.
    await connection.wait_closed()


async def server(options=None):
    given = settings(ServerPerMessageDeflateFactory, options)
    async with serve(answer, "127.0.0.1", 0, **given) as listening:
        port = listening.sockets[0].getsockname()[1]
        print(f"{websockets.__version__}\n{port}", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run({"client": client, "server": server}[sys.argv[1]](*sys.argv[2:]))
