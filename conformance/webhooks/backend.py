"""A backend that has the official library verify and parse what `adieu serve` sends, and counts by
type. GET /counts says what it has counted. Run by `cargo xtask webhooks`."""

import collections
import http.server
import json
import os
import threading
import urllib.parse

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["SECRET"])
EVENTS = collections.Counter()  # by type; a repeat counts once
FAILURES = []
IDS = set()
FORGED = 0
LOCK = threading.Lock()


def refused_forgeries(body, headers):
    """The library has to refuse a changed body, another id and an old time, or proves nothing."""
    text = body.decode()
    old = str(int(headers["webhook-timestamp"]) - 301)
    forgeries = [
        (text.replace("1.0", "1.1"), headers),
        (text, {**headers, "webhook-id": "another"}),
        (text, {**headers, "webhook-timestamp": old}),
    ]
    for payload, fields in forgeries:
        try:
            WEBHOOK.verify(payload, fields)
        except WebhookVerificationError:
            continue
        raise AssertionError("the library took a forgery")
    return len(forgeries)


def hear(body, headers):
    global FORGED
    event = WEBHOOK.verify(body, headers)
    if event["id"] != headers["webhook-id"] or event["specversion"] != "1.0":
        raise AssertionError(f"what is {event['id']}?")
    type, data = event["type"], event.get("data")
    with LOCK:
        if event["id"] in IDS:
            return {}
        IDS.add(event["id"])
        EVENTS[type] += 1
        if len(IDS) <= 100:
            FORGED += refused_forgeries(body, headers)
    if type == "connect":
        return {"userId": urllib.parse.parse_qs(data["query"])["user"][0]}
    if type != "message":
        return {}
    # The test knows both forms of what it said.
    if event["datacontenttype"] == "application/octet-stream":
        return {"send": [{"binary": event["data_base64"]}]}
    return {"send": [{"text": data}]}


class Hooks(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        with LOCK:
            self.end(200, {"events": EVENTS, "forged": FORGED, "failures": FAILURES})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            said = hear(body, headers)
        except Exception as error:
            FAILURES.append(repr(error))
            return self.end(401, {})
        self.end(200, said)

    def end(self, status, said):
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
print(SERVER.server_address[1], flush=True)
SERVER.serve_forever()
