"""Where the time of a statement goes: the proxy under cProfile while pgbench runs against it.

    python -m benchmarks.profile [--protocol prepared] [--clients 8] [--seconds 5] [--lines 40]
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from benchmarks.systems import Bench, System
from benchmarks.workloads import pgbench, stream


def _serve_profiled(output: str, arguments: list[str]) -> None:
    """Run `querywarden` in this process under the profiler; the profile is written at its end."""
    from querywarden.cli.main import run

    profile = cProfile.Profile()
    sys.argv = ["querywarden", *arguments]
    try:
        profile.runcall(run)
    finally:
        profile.dump_stats(output)


def main() -> int:
    """Measure and print the functions that took longest."""
    if sys.argv[1:2] == ["--serve"]:
        _serve_profiled(sys.argv[2], sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("--protocol", default="prepared", choices=["simple", "extended", "prepared"])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--stream", action="store_true", help="stream a masked result instead")
    parser.add_argument("--sort", default="tottime")
    parser.add_argument("--lines", type=int, default=40)
    options = parser.parse_args()
    output = Path(tempfile.mkdtemp(prefix="querywarden-profile-")) / "proxy.prof"
    real = subprocess.Popen

    def profiled(words: list[str], **rest: object) -> subprocess.Popen[bytes]:
        if "querywarden" in words and "serve" in words:
            words = [sys.executable, "-m", "benchmarks.profile", "--serve", str(output), *words[words.index("querywarden") + 1 :]]
            rest["cwd"] = os.getcwd()
        return real(words, **rest)  # type: ignore[call-overload, no-any-return]

    bench = Bench(proxies=(("proxy", "written"),))
    try:
        with mock.patch("querywarden.demo.program.subprocess.Popen", profiled):
            systems = bench.systems(1, 100_000)
        proxy: System = systems[-1]
        sample = stream(proxy, options.seconds) if options.stream else pgbench(proxy, options.protocol, options.clients, options.seconds)
        print(f"{sample.rate:,.0f} a second under the profiler (far less than without it)")
    finally:
        bench.close()
    text = io.StringIO()
    pstats.Stats(str(output), stream=text).sort_stats(options.sort).print_stats(options.lines)
    print(text.getvalue())
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
