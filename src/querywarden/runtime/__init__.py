"""The world, active: sockets, TLS, processes, timers and the loop; asyncio lives in this ring only."""
