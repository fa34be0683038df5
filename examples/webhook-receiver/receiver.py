"""A receiver for rotation by a webhook, with Python's standard library alone. docs/rotation-webhook.md has the contract.

Replace the class Service by calls to your service; the rest can stay. Every step can come again, also after it was done.

    python3 receiver.py --port 8443 --cert tls.crt --key tls.key --signing-key signing.key --state passwords.json

With serviceAccountToken in the object, instead of --signing-key, where the ServiceAccount of the receiver has the
ClusterRole system:auth-delegator:

    --audience https://rotate.shop.svc:8443 --service-account shop/rotator
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
import urllib.request

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


class Signature:
    """Requests that are signed with a key."""

    def __init__(self, key):
        self.key = key

    def proves(self, headers, body):
        return is_signed(self.key, headers, body)


class Token:
    """Requests with a token of one ServiceAccount for this receiver. The API server says whose a token is."""

    REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

    def __init__(self, audience, account, server, ca, own_token):
        self.audience, self.server, self.own_token = audience, server, own_token
        self.user = "system:serviceaccount:" + account.replace("/", ":")
        self.tls = ssl.create_default_context(cafile=ca)

    def proves(self, headers, _):
        scheme, _, token = (headers["authorization"] or "").partition(" ")
        if scheme != "Bearer" or not token:
            return False
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]},
        }
        # The kubelet renews this token.
        with open(self.own_token, encoding="utf-8") as file:
            own = file.read().strip()
        request = urllib.request.Request(
            self.server + self.REVIEWS,
            json.dumps(review).encode(),
            {"content-type": "application/json", "authorization": "Bearer " + own},
        )
        with urllib.request.urlopen(request, timeout=5, context=self.tls) as answer:
            status = json.load(answer).get("status", {})
        found = status.get("authenticated") is True and self.audience in status.get("audiences", [])
        return found and status["user"]["username"] == self.user


def handler(service, proof):
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            length = self.headers.get("content-length", "")
            if not length.isdecimal() or int(length) > LARGEST_BODY:
                return self.reply(413, {})
            body = self.rfile.read(int(length))
            try:
                if not proof.proves(self.headers, body):
                    return self.reply(401, {})
            except OSError:
                # The API server does not answer, so whose token it is is not known. The operator tries again.
                return self.reply(503, {})
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
    for name in ("cert", "key", "state"):
        options.add_argument(f"--{name}", required=True)
    proofs = options.add_mutually_exclusive_group(required=True)
    proofs.add_argument("--signing-key")
    proofs.add_argument("--audience")
    options.add_argument("--service-account", metavar="NAMESPACE/NAME")
    # As in a pod.
    mounted = "/var/run/secrets/kubernetes.io/serviceaccount/"
    options.add_argument("--api-server", default="https://kubernetes.default.svc")
    options.add_argument("--api-ca", default=mounted + "ca.crt")
    options.add_argument("--api-token", default=mounted + "token")
    options = options.parse_args()
    if (options.audience is None) != (options.service_account is None):
        raise SystemExit("--audience and --service-account belong together")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.cert, options.key)
    if options.audience:
        proof = Token(options.audience, options.service_account, options.api_server, options.api_ca, options.api_token)
    else:
        with open(options.signing_key, encoding="utf-8") as file:
            proof = Signature(signing_key(file.read().strip()))
    server = Server((options.address, options.port), handler(Service(options.state), proof), tls)
    print("listening on port", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
