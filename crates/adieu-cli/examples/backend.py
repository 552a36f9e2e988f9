"""A backend of the gateway, for a chat: it hears when people come and leave, answers what they
say, and brings `@ben hello` to each tab of the user ben.

Python 3.9 or later, nothing to install. ADIEU_BACKEND_SECRET as for the gateway (two of them while
the secret is being replaced); ADIEU_API_KEY too, if the gateway has one.
"""

import base64
import binascii
import collections
import concurrent.futures
import hashlib
import hmac
import http.server
import json
import logging
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:8080")
API_KEY = os.environ.get("ADIEU_API_KEY")
PORT = int(os.environ.get("PORT", "3000"))
MAX_BODY = 7 * 1024 * 1024  # a message of 1 MiB, as JSON


def read_secrets(text):
    """The keys in ADIEU_BACKEND_SECRET: one, or two with a space or a comma between them."""
    keys = []
    for secret in text.replace(",", " ").split():
        try:
            key = base64.b64decode(secret[len("whsec_"):], validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith("whsec_") or len(key) < 24:
            return []
        keys.append(key)
    return keys


SECRETS = read_secrets(os.environ.get("ADIEU_BACKEND_SECRET", ""))


def is_signed(headers, body):
    """Whether the gateway has signed this, not more than five minutes ago."""
    id, when = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not when.isdecimal() or abs(time.time() - int(when)) > 300:
        return False
    given = headers.get("webhook-signature", "").split(" ")
    for key in SECRETS:
        mac = hmac.new(key, f"{id}.{when}.".encode() + body, hashlib.sha256).digest()
        own = b"v1," + base64.b64encode(mac)
        if any(hmac.compare_digest(own, one.encode()) for one in given):
            return True
    return False


def send_to_user(user, text):
    """Sends a text to all sessions of a user, from anywhere in the program."""
    # People choose their names: one stands in JSON, for in a URL ".." would be another path.
    body = json.dumps({"to": [{"userId": user}], "text": text}).encode()
    url = f"{GATEWAY}/api/messages"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    if API_KEY:
        request.add_header("authorization", f"Bearer {API_KEY}")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        logging.error("the gateway answered %s: %s", error.code, said)
    except OSError as error:
        logging.error("the gateway cannot be reached at %s: %s", GATEWAY, error)


def judge(data):
    """What is answered to a client that wants to come in: a status and an object."""
    # In life: look at data["token"], or at the cookies in data["headers"]. Who may not come in is
    # answered with a reason: 403, {"reason": "log in first"}
    query = urllib.parse.parse_qs(data.get("query") or "")
    return 200, {"userId": query["user"][0]} if "user" in query else {}


def hear(event):
    """What is answered to an event: messages for its session, and an end of it."""
    type, user, data = event["type"], event.get("userid"), event.get("data")
    shown = data if isinstance(data, str) else json.dumps(data)
    logging.info("%s %s %s %s", type, event["sessionid"], user or "", shown)
    if type != "message" or not isinstance(data, str):
        return {}
    to = re.match(r"@(\S+)\s+(.+)", data, re.DOTALL)
    if to and user:
        send_to_user(to[1], f"{user}: {to[2]}")
        return {}
    return {"send": [{"text": f"echo: {data}"}]}


# Answers to the last events, by id: what is told again is not done again. A database would keep
# them for longer.
ANSWERS = collections.OrderedDict()
LOCK = threading.Lock()


def hear_once(event):
    with LOCK:
        answer = ANSWERS.get(event["id"])
        if answer is not None:
            known = True
        else:
            known, answer = False, concurrent.futures.Future()
            ANSWERS[event["id"]] = answer
            if len(ANSWERS) > 10_000:
                ANSWERS.popitem(last=False)
    if not known:
        try:
            answer.set_result(hear(event))
        except Exception as error:
            with LOCK:  # it is told again
                ANSWERS.pop(event["id"], None)
            answer.set_exception(error)
    return answer.result()


def hear_all(events):
    """A verdict on each event of a batch (`adieu serve --batch`), in their order."""
    verdicts = []
    for event in events:
        try:
            verdicts.append({"id": event["id"], "status": 200, **hear_once(event)})
        except Exception:
            logging.exception("an event of a batch could not be answered")
            verdicts.append({"id": event["id"], "status": 500})
    return verdicts


class Hooks(http.server.BaseHTTPRequestHandler):
    """Takes events over connections that are kept."""

    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece.
    wbufsize = -1

    def do_POST(self):
        try:
            status, said = self.read_and_answer()
        except Exception:
            logging.exception("an event could not be answered")
            status, said = 500, {"error": "see the log"}
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read_and_answer(self):
        length = int(self.headers.get("content-length", "0"))
        if length > MAX_BODY:
            # It is read all the same, so that the answer to it arrives.
            while length > 0:
                length -= len(self.rfile.read(min(length, 65536))) or length
            return 413, {"error": "too long"}
        body = self.rfile.read(max(length, 0))
        if not is_signed(self.headers, body):
            # Not as {"reason": …}: that would be a verdict on the person who wants to come in.
            return 401, {"error": "not signed by the gateway"}
        event = json.loads(body)
        if isinstance(event, list):
            return 200, hear_all(event)
        if event["type"] in ("connect", "resume"):
            return judge(event["data"])
        return 200, hear_once(event)

    def log_message(self, *_):
        """Events are printed, requests are not."""


if __name__ == "__main__":
    if not SECRETS:
        sys.exit("ADIEU_BACKEND_SECRET is missing or malformed: whsec_ and base64 is needed")
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Hooks)
    except OSError as error:
        sys.exit(f"cannot listen on port {PORT}: {error}; name another one in PORT and --backend")
    # Lines of several threads do not mix in it.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.info("listening on %s", server.server_address[1])
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
