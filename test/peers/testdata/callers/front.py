"""A service that asks its backend with requests or urllib3, as its argument says.

It prints its port, reads its backend's URL from the first line that it is given,
and then answers each GET with what became of one call.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

how = sys.argv[1]
backend = None
known = threading.Event()


def session():
    s = requests.Session()
    if how == "urllib3":
        retry = Retry(total=3, backoff_factor=0.1, status_forcelist=[503], raise_on_status=False)
        s.mount("http://", HTTPAdapter(max_retries=retry, pool_maxsize=32))
    else:
        s.mount("http://", HTTPAdapter(pool_maxsize=32))
    return s


caller = session()


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known.wait()
        pass_on = {k: v for k, v in self.headers.items() if k.lower() == "traceparent"}
        options = {"timeout": 0.3} if how == "timeout" else {}
        try:
            status = caller.get(backend + self.path, headers=pass_on, **options).status_code
        except requests.RequestException:
            status = 502
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
server.daemon_threads = True
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
backend = sys.stdin.readline().strip()
known.set()
sys.stdin.read()  # until whoever started this has gone
