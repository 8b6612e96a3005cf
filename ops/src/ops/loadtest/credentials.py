"""Where the token comes from that opens the service: never the command line, which others on a machine can read."""

import asyncio
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ops.loadtest.errors import InputError

# For a command that prints a token: gcloud takes some seconds, and may refresh a login over the network.
COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """One source of a token, at most; it is asked anew before each repetition, for an identity token lives an hour."""

    variable: str | None = None
    file: Path | None = None
    command: str | None = None

    async def token(self) -> str | None:
        """Return the token, None where no source is named.

        Raises:
            InputError: the source has none.

        """
        if self.variable is not None:
            return self._checked(os.environ.get(self.variable, ""), f"the variable {self.variable} is empty or unset")
        if self.file is not None:
            try:
                return self._checked(self.file.read_text(encoding="utf-8"), f"--token-file {self.file}: is empty")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "is not UTF-8"
                raise InputError(f"--token-file {self.file}: cannot be read ({why})") from error
        return self._checked(await self._printed(), "--token-command: printed nothing") if self.command else None

    def _checked(self, text: str, empty: str) -> str:
        token = text.strip()
        if not token:
            raise InputError(f"{empty}; a token is wanted, as `gcloud auth print-identity-token` prints it")
        if not token.isascii() or any(character.isspace() for character in token):
            raise InputError("the token holds a blank, or what is no ASCII: it is none")
        return token

    async def _printed(self) -> str:
        """Return what the command prints; the event loop goes on meanwhile, for it may have to end the run."""
        pipe = asyncio.subprocess.PIPE
        try:
            program, *words = shlex.split(self.command or "")
            process = await asyncio.create_subprocess_exec(program, *words, stdout=pipe, stderr=pipe)
        except (OSError, ValueError) as error:
            raise InputError(f"--token-command {self.command!r}: {error}") from error
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                out, complaint = await process.communicate()
        except TimeoutError:
            raise InputError(f"--token-command {self.command!r}: printed nothing for {COMMAND_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = " ".join(complaint.decode(errors="replace").split())[-200:]
            raise InputError(f"--token-command {self.command!r} ended with {process.returncode}: {said}")
        return out.decode(errors="replace")
