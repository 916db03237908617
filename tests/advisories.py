#!/usr/bin/env python3
"""A snapshot of the RustSec advisories for the crates in Cargo.lock.

    tests/advisories.py update [CLONE]        writes tests/advisories.toml from a clone of
                                              https://github.com/rustsec/advisory-db, or from GitHub
    tests/advisories.py repository FOLDER     writes a Git repository with the snapshot for cargo-deny

A check against the newest advisories can fail without a change of ours. So the tests use this
snapshot, which also needs no access to GitHub. It contains the facts of each advisory and no text.
"""

import pathlib
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "tests" / "advisories.toml"
DATABASE = "https://github.com/rustsec/advisory-db"


def main():
    match sys.argv[1:]:
        case ["update"]:
            with tempfile.TemporaryDirectory() as clone:
                git("clone", "--quiet", "--depth=1", DATABASE, clone)
                update(clone)
        case ["update", clone]:
            update(clone)
        case ["repository", folder]:
            repository(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)


def update(clone):
    """Writes the snapshot from HEAD of a clone of the database."""
    crates = locked_crates()
    commit, date = git("-C", clone, "log", "-1", "--format=%H %cs").split()
    advisories = []
    for path in git("-C", clone, "ls-tree", "-r", "--name-only", "HEAD", "crates").splitlines():
        if path.split("/")[1] in crates:
            text = git("-C", clone, "show", f"HEAD:{path}")
            advisories.append(facts(text.split("```toml")[1].split("```")[0]))
    lines = [
        "# The RustSec advisories for the crates in Cargo.lock. Update: `just advisories`.",
        f'commit = "{commit}"',
        f'date = "{date}"',
        "crates = [",
        *(f'    "{crate}",' for crate in sorted(crates)),
        "]",
    ]
    SNAPSHOT.write_text("\n".join(lines) + "\n" + "".join(sorted(advisories)))
    print(f"{len(advisories)} advisories of {date}")


def facts(advisory):
    """Returns what decides whether an advisory applies, as a table of the snapshot."""
    parsed = tomllib.loads(advisory)
    head, versions = parsed["advisory"], parsed.get("versions", {})
    lines = ["", "[[advisory]]"]
    for key in ["id", "package", "date", "informational", "withdrawn"]:
        if key in head:
            lines.append(f'{key} = "{head[key]}"')
    for key in ["patched", "unaffected"]:
        lines.append(f"{key} = {quoted(versions.get(key, []))}")
    return "\n".join(lines) + "\n"


def repository(folder):
    """Writes the snapshot as cargo-deny expects the database."""
    snapshot = tomllib.loads(SNAPSHOT.read_text())
    if unknown := sorted(locked_crates() - set(snapshot["crates"])):
        sys.exit(
            f"the advisories of {', '.join(unknown)} are not in tests/advisories.toml; "
            "run `just advisories`"
        )
    for advisory in snapshot["advisory"]:
        lists = {key: advisory.pop(key) for key in ["patched", "unaffected"]}
        number = advisory["id"]
        path = folder / "crates" / advisory["package"] / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "```toml\n[advisory]\n"
            + "".join(f'{key} = "{value}"\n' for key, value in advisory.items())
            + "\n[versions]\n"
            + "".join(f"{key} = {quoted(value)}\n" for key, value in lists.items())
            + f"```\n\n# https://rustsec.org/advisories/{number}\n"
        )
    git("init", "--quiet", "--initial-branch=main", str(folder))
    git("-C", str(folder), "add", "--all")
    name = ["-c", "user.name=snapshot", "-c", "user.email=snapshot@localhost"]
    git("-C", str(folder), *name, "commit", "--quiet", "--message", snapshot["date"])


def locked_crates():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {package["name"] for package in lock["package"] if "source" in package}


def quoted(values):
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


main()
