"""Clients of Python against a balancer: `ask.py LIBRARY ADDRESS AUTHORITY`, the address as `http://localhost:8080`."""

import asyncio
import ssl
import sys

library, address, authority = sys.argv[1:]
scheme = address.split(":")[0]
pieces = [b"piece %d " % number for number in range(1000)]
whole = sum(map(len, pieces))


def check(answer, **expected):
    said = answer.json()
    assert answer.status_code == 200, answer
    assert said["proto"] == scheme and said["for"] in ("127.0.0.1", "::1"), said
    for name, value in expected.items():
        assert said[name] == value, (name, said)


def ask(session, streamed):
    for number in range(50):
        check(session.get(f"{address}/get?{number}"), method="GET", path=f"/get?{number}", length=0)
    check(session.post(f"{address}/form", data={"a": "1"}), method="POST", length=3)
    # Without a length: in chunks.
    check(session.put(f"{address}/put", **streamed), method="PUT", length=whole)
    check(session.request("DELETE", f"{address}/gone"), method="DELETE")
    head = session.head(f"{address}/big")
    assert int(head.headers["Content-Length"]) == 2 << 20 and not head.content, head.headers
    assert session.get(f"{address}/big").content == bytes(range(256)) * 8192
    assert session.get(f"{address}/events").text.count("data: ") == 3
    unknown = session.get(f"{address}/get", headers={"Host": "other.example"})
    assert unknown.status_code == 404 and "other.example" in unknown.text, unknown.text
    check(session.get(f"{address}/after"), path="/after")


def by_requests():
    import requests

    with requests.Session() as session:
        session.verify = authority
        session.trust_env = False
        ask(session, {"data": iter(pieces)})


def by_httpx():
    import httpx

    context = ssl.create_default_context(cafile=authority)
    with httpx.Client(verify=context, trust_env=False) as session:
        ask(session, {"content": iter(pieces)})


async def talk():
    # Not the client with threads: ssl of Python 3.11 reads and writes on two of them at once, and breaks off (with nginx as well).
    from websockets.asyncio.client import connect

    context = ssl.create_default_context(cafile=authority) if scheme == "https" else None
    uri = address.replace("http", "ws", 1) + "/socket"
    sockets = [await connect(uri, ssl=context, max_size=8 << 20, proxy=None) for _ in range(20)]
    for number in range(50):
        for socket in sockets:
            await socket.send(f"message {number}")
        for socket in sockets:
            assert await socket.recv() == f"message {number}"
    long = "z" * (4 << 20)
    await sockets[0].send(long)
    assert await sockets[0].recv() == long
    await (await sockets[0].ping())
    for socket in sockets:
        await socket.close()
        assert socket.close_code == 1000, socket.close_code


def by_websockets():
    asyncio.run(asyncio.wait_for(talk(), 60))


{"requests": by_requests, "httpx": by_httpx, "websockets": by_websockets}[library]()
print("well")
