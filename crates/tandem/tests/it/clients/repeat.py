"""A websocket server that repeats what it is sent: `repeat.py PORT_FILE`."""

import os
import sys

from websockets.sync.server import serve


def repeat(connection):
    for message in connection:
        connection.send(message)


with serve(repeat, "127.0.0.1", 0, max_size=8 << 20) as server:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(server.socket.getsockname()[1]))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    server.serve_forever()
