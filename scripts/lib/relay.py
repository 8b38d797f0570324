"""A TCP relay: what one client alone uses to reach a server, so that it alone can be cut off (by SIGSTOP).

Usage: relay.py LISTEN_PORT SERVER_PORT
"""

import asyncio
import sys


async def pump(reader, writer):
    try:
        while True:
            data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def run(listen, server):
    async def connected(reader, writer):
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", server)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", listen) as relay:
        await relay.serve_forever()


asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
