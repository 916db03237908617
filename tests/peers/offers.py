"""Opens sockets with Python's websockets and prints the outcome of each attempt.

usage: offers.py URL < attempts. An attempt is {"query", "subprotocols", "headers", "origin"} with all
fields optional. Headers are pairs, so that a name can occur twice.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, NegotiationError


async def attempt(url, *, query="", subprotocols=None, headers=(), origin=None):
    options = dict(
        subprotocols=subprotocols,
        additional_headers=[tuple(pair) for pair in headers],
        origin=origin,
        proxy=None,
        open_timeout=20,
    )
    try:
        async with connect(url + query, **options) as socket:
            return {"status": 101, "protocol": socket.subprotocol}
    except InvalidStatus as refusal:
        return {"status": refusal.response.status_code, "body": refusal.response.body.decode()}
    except NegotiationError as error:
        return {"status": "negotiation", "error": str(error)}


async def main():
    attempts = json.load(sys.stdin)
    print(json.dumps([await attempt(sys.argv[1], **options) for options in attempts]))


asyncio.run(main())
