import asyncio
from unittest.mock import Mock

import uvicorn
from uvicorn.server import ServerState

from jobs.serving import Connection


def test_a_request_is_answered_a_turn_after_it_was_read():
    asked = []

    async def application(scope, receive, send):
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        config = uvicorn.Config(application, http=Connection)
        config.load()
        state = ServerState()
        for path, seen in (("/a", []), ("/b", ["/a"])):
            connection = Connection(config, state, {}, asyncio.get_running_loop())
            transport = Mock(is_closing=lambda: False, get_extra_info=lambda _: None)
            connection.connection_made(transport)
            connection.data_received(f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
            turns = 0
            while path not in asked:
                assert asked == seen
                await asyncio.sleep(0)
                turns += 1
            assert turns == 2  # the one between, and the one that answers
            assert b"204" in transport.write.call_args_list[0][0][0]

    asyncio.run(main())
