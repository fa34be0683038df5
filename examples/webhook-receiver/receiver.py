"""A receiver for rotation by a webhook, with Python's standard library alone. docs/rotation-webhook.md has the contract.

Replace the class Service by calls to your service; the rest can stay. Every step can come again, also after it was done.

    python3 receiver.py --port 8443 --cert tls.crt --key tls.key --signing-key signing.key --state passwords.json
"""

import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import threading
import time

# How old a request may be, in seconds. An older one could be a recording.
TOLERANCE = 300
# Three values of AWS have at most 64 KiB each, and escapes in JSON.
LARGEST_BODY = 1024 * 1024


class Service:
    """What the password is for. Here: a file with one password for each user."""

    def __init__(self, path):
        self.path = path

    def _read(self):
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)

    def accepts(self, value):
        return value is not None and hmac.compare_digest(
            self._read().get(value["username"], "").encode(), value["password"].encode()
        )

    def set(self, value):
        users = self._read()
        users[value["username"]] = value["password"]
        # Whole or not at all.
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(users, file)
        os.replace(self.path + ".new", self.path)


def answer(service, request):
    """The outcome of a step, and why if it is Refused. The reason is one word of letters, never a value."""
    step = request["step"]
    pending, current, previous = (request.get(name) for name in ("pending", "current", "previous"))
    if pending and current and pending["username"] != current["username"]:
        return "Refused", "UserChanged"
    if step == "apply":
        if service.accepts(pending):
            return "AlreadyApplied", None
        # Only those who know the password may change it.
        if not (service.accepts(current) or service.accepts(previous)):
            return "Refused", "NoPasswordAccepted"
        service.set(pending)
        return "Applied", None
    if step == "verify":
        return ("Verified", None) if service.accepts(pending) else ("Refused", "PasswordRefused")
    if step == "undo":
        if service.accepts(current):
            return "NothingToUndo", None
        if not (service.accepts(pending) or service.accepts(previous)):
            return "Refused", "NoPasswordAccepted"
        service.set(current)
        return "Undone", None
    if step == "check":
        return ("Accepted", None) if service.accepts(current) else ("Refused", "PasswordRefused")
    return "Refused", "UnknownStep"


def signing_key(text):
    """whsec_ and base64, or the bytes of the text."""
    key = base64.b64decode(text[6:]) if text.startswith("whsec_") else text.encode()
    if len(key) < 24:
        raise SystemExit("the signing key is shorter than 24 bytes")
    return key


def is_signed(key, headers, body):
    """https://www.standardwebhooks.com. The header can have several signatures, such as those of two keys."""
    try:
        name, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        if abs(time.time() - int(timestamp)) > TOLERANCE:
            return False
        signed = f"{name}.{timestamp}.".encode() + body
    except (KeyError, TypeError, ValueError):
        return False
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    found = (headers["webhook-signature"] or "").split(" ")
    return any(hmac.compare_digest(expected, one.encode()) for one in found)


def handler(service, key):
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            length = self.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > LARGEST_BODY:
                return self.reply(413, {})
            body = self.rfile.read(int(length))
            if not is_signed(key, self.headers, body):
                return self.reply(401, {})
            request = json.loads(body)
            # One step at a time.
            with lock:
                outcome, reason = answer(service, request)
            # No values in the log.
            print(request["step"], request["object"]["name"], request["versionId"], outcome, reason or "", flush=True)
            self.reply(200, {"outcome": outcome} | ({"reason": reason} if reason else {}))

        def reply(self, status, content):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


class Server(http.server.ThreadingHTTPServer):
    """TLS begins in the thread of the connection, so a client that says nothing keeps nobody waiting."""

    def __init__(self, address, handler_class, tls):
        super().__init__(address, handler_class)
        self.tls = tls

    def finish_request(self, request, client_address):
        request.settimeout(30)
        with self.tls.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, request, client_address):
        print("a request was not answered", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--address", default="")
    options.add_argument("--port", type=int, required=True)
    for name in ("cert", "key", "signing-key", "state"):
        options.add_argument(f"--{name}", required=True)
    options = options.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.cert, options.key)
    with open(options.signing_key, encoding="utf-8") as file:
        key = signing_key(file.read().strip())
    server = Server((options.address, options.port), handler(Service(options.state), key), tls)
    print("listening on port", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
