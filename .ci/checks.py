"""What the check scripts share: a check that ends the script, and the version of the package."""

import pathlib
import re
import sys


def check(holds, message):
    """Ends the script with its name and a message unless the condition holds."""
    if not holds:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def package_version():
    return re.search(r'^version = "(.*)"', pathlib.Path("Cargo.toml").read_text(), re.M)[1]
