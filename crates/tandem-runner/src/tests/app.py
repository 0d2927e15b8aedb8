"""A tiny app for tests: tells its environment, ends when it is told to, leaves traces in /data."""
import http.server, json, os, signal, sys, threading, time

def trace(name, text):
    with open("/data/" + name, "a") as file:
        file.write(text + "\n")

def stop(signum, frame):
    trace("stopped", str(signum))
    sys.exit(0)

def watch():
    while True:
        if os.path.exists("/data/exit"):
            os.remove("/data/exit")
            print("ending with code 7", flush=True)
            os._exit(7)
        time.sleep(0.01)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        broken = os.path.exists("/data/broken")
        body = b"no such table\n" if broken else json.dumps(dict(os.environ)).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

signal.signal(signal.SIGTERM, stop)
threading.Thread(target=watch, daemon=True).start()
trace("starts", os.environ["TANDEM_INSTANCE"])
print("hello from the app", flush=True)
port = int(os.environ["PORT"]) + int(os.environ.get("SHIFT", "0"))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
