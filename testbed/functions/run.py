"""Runs a Lambda function's handler on this machine: `run.py MODULE` with the event on standard input, or `run.py MODULE --serve` behind an
endpoint that speaks Lambda's Invoke and says where it listens in its first line."""

import importlib
import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Invoke(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not (self.path.startswith("/2015-03-31/functions/") and self.path.endswith("/invocations")):
            self.send_error(404)
            return
        failed, answer = None, None
        try:
            answer = self.server.handler(event, None)
        except Exception as error:  # a Lambda answers 200 also then
            failed, answer = "Unhandled", {"errorType": type(error).__name__, "errorMessage": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        if failed:
            self.send_header("x-amz-function-error", failed)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    handler = importlib.import_module(sys.argv[1]).lambda_handler
    if sys.argv[2:] == ["--serve"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Invoke)
        server.handler = handler
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
    handler(json.load(sys.stdin), None)


if __name__ == "__main__":
    main()
