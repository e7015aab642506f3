"""The process that answers for trained nets: it alone loads torch, so that the server stays small and is not held up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from chainrule.core.errors import ChainruleError, InputError

LINE = 2**26             # bytes of an answer at most
PATIENCE = 120.0         # seconds that an answer may take; the first one loads the data
NICENESS = 5             # it gives way to training


class Answering:
    """Hands questions, one after the other, to a child process that is started with the first one and again where it has ended."""

    def __init__(self, root: Path):
        self.root = root
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: dict[str, Any]) -> Any:
        """The answer. Raises InputError with the child's sentence, ChainruleError where it has ended or takes too long."""
        async with self._turn:
            try:
                child = await self._running()
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write(json.dumps(question).encode() + b"\n")
                await child.stdin.drain()
                line = await asyncio.wait_for(child.stdout.readline(), PATIENCE)
            except asyncio.CancelledError:
                await self._end()                            # its answer would be taken for that to the next question
                raise
            except (TimeoutError, OSError, ValueError):
                await self._end()
                raise ChainruleError("The answer took too long, or was too large. Ask for less.") from None
            if not line:
                await self._end()
                raise ChainruleError("The process that answers has ended. Ask again.")
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["answer"]

    async def close(self) -> None:
        await self._end()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chainrule.serve.worker", str(self.root), stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=LINE,
                env={**os.environ, "OMP_NUM_THREADS": "1"})
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
