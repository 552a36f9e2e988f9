"""Hypercorn, with an application of ASGI and nothing but its defaults.

`python3 server.py PORT CERT KEY PAGE` serves the page at `/`, WebSockets that the server closes at
`/ws/WHAT/ROUND`, and the convention of docs/check.md at `/`; without CERT without TLS.
"""

import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config

CODE = 4000
MESSAGE = 16 * 1024
PIECE = bytes(64 * 1024)
PIECES = 160
WITH_THE_200 = 20
OF_UPLOAD = 16
# A message that has not left for so long waits for the window of the browser.
HELD = 0.1

PORT, CERT, KEY, PAGE = (sys.argv[1:] + [None] * 3)[:4]

held = {}


def future(round_):
    return held.setdefault(round_, asyncio.get_running_loop().create_future())


async def send_much(send, round_):
    told = future(round_)
    for _ in range(PIECES):
        sent = asyncio.ensure_future(send({"type": "websocket.send", "bytes": PIECE}))
        _, waiting = await asyncio.wait({sent}, timeout=HELD)
        if waiting and not told.done():
            told.set_result("the server waits")
        await sent
    if not told.done():
        told.set_result("all has left")


async def closes_first(what, round_, receive, send):
    if what == "plain":
        await receive()
    if what == "flight":
        for n in range(WITH_THE_200):
            await send({"type": "websocket.send", "text": str(n)})
    if what == "upload":
        for _ in range(OF_UPLOAD):
            await receive()
    if what == "window":
        await send_much(send, round_)
    await send({"type": "websocket.close", "code": CODE, "reason": f"{what} {round_}"})


async def convention(receive, send):
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is None or not text.startswith("adieu-check:"):
            kept = {"text": text} if text is not None else {"bytes": event["bytes"]}
            await send({"type": "websocket.send", **kept})
            continue
        verb, _, rest = text.removeprefix("adieu-check:").partition(" ")
        if verb == "panic":
            raise RuntimeError("as the check asked")
        if verb == "close":
            code, _, reason = rest.partition(" ")
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
            return
        left = int(rest)
        while left > 0:
            await send({"type": "websocket.send", "bytes": b"\x55" * min(left, MESSAGE)})
            left -= MESSAGE


async def answer(path, send):
    if path.startswith("/held/"):
        body = (await future(int(path.split("/")[2]))).encode()
    else:
        with open(PAGE, "rb") as page:
            body = page.read()
    headers = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        return await answer(scope["path"], send)
    await receive()
    await send({"type": "websocket.accept"})
    parts = scope["path"].split("/")
    if parts[1] == "ws":
        return await closes_first(parts[2], int(parts[3]), receive, send)
    return await convention(receive, send)


config = Config()
config.bind = [f"127.0.0.1:{PORT}"]
config.accesslog = None
config.errorlog = None
if CERT:
    config.certfile, config.keyfile = CERT, KEY
asyncio.run(serve(app, config))
