"""A web server of Python's own library that says what it was asked: `echo.py PORT_FILE RESULT_FILE`."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port_file, result_file = sys.argv[1:]

# What a browser does with a balancer in front of it; what came of it goes to /result.
PAGE = b"""<!doctype html><title>clients</title><script>
const send = (result) => fetch("/result", {method: "POST", body: result});
const echo = async (path, options) => (await fetch(path, options)).json();
const socket = () => new Promise((done, fail) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
    const sent = "x".repeat(100000);
    socket.onopen = () => socket.send(sent);
    socket.onerror = () => fail(Error("the websocket failed"));
    socket.onmessage = (event) => { socket.close(); done(event.data === sent); };
});
const events = () => new Promise((done, fail) => {
    const source = new EventSource("/events"), heard = [];
    source.onmessage = (event) => {
        heard.push(event.data);
        if (heard.length === 3) { source.close(); done(heard.join()); }
    };
    source.onerror = () => fail(Error("the events failed"));
});
(async () => {
    const many = await Promise.all(Array.from({length: 50}, (_, number) => echo("/many?" + number)));
    const post = await echo("/post", {method: "POST", body: "y".repeat(300000)});
    return JSON.stringify({
        many: many.filter((one, number) => one.path === "/many?" + number).length,
        post: post.length, proto: post.proto, socket: await socket(), events: await events(),
    });
})().then(send, (error) => send(JSON.stringify({error: String(error)})));
</script>"""


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def say(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(3):
            event = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def answer(self):
        body = self.body()
        if self.path == "/events":
            return self.events()
        if self.path == "/page":
            return self.say("text/html", PAGE)
        if self.path == "/big":
            return self.say("application/octet-stream", bytes(range(256)) * 8192)
        if self.path == "/result":
            with open(result_file + ".new", "wb") as file:
                file.write(body)
            os.rename(result_file + ".new", result_file)
        said = {
            "method": self.command,
            "path": self.path,
            "length": len(body),
            "host": self.headers["Host"],
            "proto": self.headers["X-Forwarded-Proto"],
            "for": self.headers["X-Forwarded-For"],
        }
        self.say("application/json", json.dumps(said).encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *words):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256


server = Server(("127.0.0.1", 0), Echo)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()
