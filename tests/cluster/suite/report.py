"""Counts checks and prints one line each."""

import threading
import time
import traceback

# Seconds for what the product does not bound: the start of a pod, an event. A busy node takes longer than an idle one.
BUSY = 180


class Failed(Exception):
    """Why a check or a step failed."""


class NotYet(Failed):
    """A state that can change, so a wait continues: no such pod, no connection."""


def wait_for(condition, seconds, what, details=lambda: ""):
    """Polls until the condition returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        try:
            value, reason = condition(), ""
        except NotYet as failure:
            value, reason = None, str(failure)
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}: {reason or details()}")
        time.sleep(0.25)


class Report:
    """Results of all groups; thread-safe."""

    def __init__(self):
        self.passed, self.failures = 0, []
        self.lock, self.began = threading.Lock(), time.monotonic()

    def passes(self, name):
        with self.lock:
            self.passed += 1
            self._print("ok", name)

    def passes_quietly(self):
        """Counts one of many checks that share a line."""
        with self.lock:
            self.passed += 1

    def fails(self, name, reason):
        with self.lock:
            self.failures.append(name)
            self._print("FAILED", name)
            for line in str(reason).strip().splitlines()[:20]:
                print(f"             {line[:300]}", flush=True)

    def note(self, text):
        with self.lock:
            self._print("", text)

    def _print(self, result, text):
        print(f"{time.monotonic() - self.began:5.0f} {result:6} {text}", flush=True)

    def check(self, name, test, *args):
        """Runs a test: it fails by an exception or by returning False or None. Returns whether it passed."""
        try:
            value = test(*args)
            if value is None or value is False:
                raise Failed("the condition does not hold")
        except Failed as failure:
            self.fails(name, failure)
            return False
        except Exception:  # a missing field or an unexpected answer fails this check, not the run
            self.fails(name, traceback.format_exc().strip())
            return False
        self.passes(name)
        return True

    def run_group(self, group, *args):
        """Runs one group of checks; a step that fails between checks ends the group."""
        begun = time.monotonic()
        try:
            group(*args)
        except Exception as failure:
            reason = failure if isinstance(failure, Failed) else traceback.format_exc().strip()
            self.fails(f"group {group.__name__}: a step failed, its other checks did not run", reason)
        self.note(f"group {group.__name__}: {time.monotonic() - begun:.0f} s")
