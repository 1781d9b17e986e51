"""The budgets and habits of STYLE.md, enforced. Every exception is listed here with its reason.

In: the tree as it is. Out: one failure a rule, which names file and line. Sizes are a symptom, not the aim: a file that
hits its limit is split where a reader would look for the other half.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from recommender import policy
from schema import settings, stream

ROOT = Path(__file__).parents[1]
ROOMS = ("schema", "ingest", "workers", "recommender", "reports", "tripstream")
MAY_IMPORT = {room: {room, "schema"} for room in ROOMS} | {"tripstream": set(ROOMS), "schema": {"schema"}}
FILE_MAX, FUNCTION_MAX, MEDIAN_MAX, P95_MAX, SQL_MAX = 300, 60, 10, 35, 3
NAMELESS = re.compile(r"(utils?|helpers?|common|managers?|services?|repositor(y|ies))$")
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|COPY|TRUNCATE|MERGE)\s", re.ASCII)
KEYS_LIVE_IN = (
    *(f"schema/{name}.py" for name in ("stream", "live", "realtime", "registry")),
    "workers/queue.py",
)
SKIPPED = {"__pycache__", "build", "node_modules"}

LONG_FILES = {
    "schema/migrations/versions/0001_spine.sql": "one migration, one file: it is read once and never edited",
    "schema/stream.py": "every Redis key of the queue is touched in one file, which is worth fifty lines",
}
COMMANDS = re.compile(r"tripstream/(cli|\w+_commands)\.py")  # import what they run, so that --help answers at once
LAZY_IMPORTS = {
    "schema/migrations/versions/0016_to_date.py schema": "it brings numpy, which only days that are there already need",
    "tripstream/app.py workers": "RQ comes with it, and web processes that are never asked to drain do without",
    "tripstream/operating.py tripstream": "the doctor knows the clock's chores, and RQ comes with them",
    "tripstream/operating.py workers": "drains come with dead letters, which web processes do without",
    "workers/clock.py workers": "rollups bring numpy, and the clock's own process never rolls up",
    "workers/daily.py workers": "it brings numpy, and a worker imports rollups long before it has any to do",
    "workers/merged.py schema": "it brings numpy, and a worker imports rollups long before it has any to do",
    "workers/jobs.py workers": "the clock imports the chores' modules, which a drain never needs",
    "workers/queue.py workers": "jobs import the queue, to ask for their successor",
}
FORMATTED_SQL = {
    "tripstream/embedded_postgres.py": "CREATE DATABASE takes no parameter; the name is a constant",
    "workers/copying.py": "COPY takes no parameters; the columns are schema.event.COLUMNS",
}
SILENCED = {
    "bench/servers.py type: ignore[arg-type]": "keyword overrides of any setting",
    "bench/draining.py noqa: S101": "says to the type checker that Popen was given a pipe",
    "bench/load.py noqa: S101": "says to the type checker that Popen was given a pipe",
    "tripstream/supervisor.py noqa: PTH123": "os.devnull is a name, not a path",
    "tripstream/supervisor.py noqa: S101": "says to the type checker what start() made sure of",
    "tripstream/embedded.py noqa: S101": "says to the type checker what start() made sure of",
    "tripstream/children.py noqa: S101": "says to the type checker that Popen was given a pipe",
    "tripstream/embedded_postgres.py noqa: S108": "asks how large it is, and writes nothing there",
}


@cache
def files(*endings: str) -> list[Path]:
    """Every file of ours with one of these endings, or all of them; what is installed is not even looked into."""
    found: list[Path] = []
    for directory, inner, names in os.walk(ROOT):
        inner[:] = [one for one in inner if not is_hidden(one)]
        found += [Path(directory, one) for one in names if not is_hidden(one)]
    return sorted(path for path in found if not endings or path.suffix in endings)


def is_hidden(part: str) -> bool:
    return (part.startswith(".") and part != ".ci") or part in SKIPPED or part.endswith(".egg-info")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def product() -> list[Path]:
    return [path for path in files(".py") if name(path).split("/")[0] in ROOMS]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function with its lines."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def imports(path: Path) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, bool]]:
    """Every first-party import with its module, and whether it stands inside a function."""
    inside = {
        id(inner)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}:{node.lineno} is a relative import"
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            if module.split(".")[0] in ROOMS:
                yield node, module, id(node) in inside


def test_files_and_functions_are_short() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in files(".py", ".sql")}
    assert {path: n for path, n in lines.items() if n > FILE_MAX} == {path: lines.get(path) for path in LONG_FILES}
    assert [where for path in files(".py") for where, n in functions(path) if n > FUNCTION_MAX] == []


def test_most_functions_are_shorter_still() -> None:
    sizes = [n for path in product() for _, n in functions(path)]
    assert statistics.median(sizes) <= MEDIAN_MAX
    assert statistics.quantiles(sizes, n=20)[-1] <= P95_MAX


def test_every_module_says_what_it_is() -> None:
    assert [name(path) for path in files(".py") if not ast.get_docstring(tree(path))] == []


def test_nothing_is_named_for_being_left_over() -> None:
    places = [path.relative_to(ROOT).with_suffix("") for path in files(".py", ".sql")]
    assert [place for place in places if any(map(NAMELESS.match, place.parts))] == []


def test_imports_go_one_way() -> None:
    wrong = [
        f"{name(path)}:{node.lineno} imports {module}"
        for path in product()
        for node, module, _ in imports(path)
        if module.split(".")[0] not in MAY_IMPORT[name(path).split("/")[0]]
    ]
    assert wrong == []


def test_imports_stand_at_the_top_or_say_why_not() -> None:
    found = set()
    for path in product():
        for node, module, inside in imports(path):
            if inside and not COMMANDS.match(name(path)):
                line = path.read_text().splitlines()[node.lineno - 1]
                assert "  # " in line, f"{name(path)}:{node.lineno} does not say why"
                found.add(f"{name(path)} {module.split('.')[0]}")
    assert found == LAZY_IMPORTS.keys()


def test_no_import_comes_back_to_where_it_began() -> None:
    modules = {name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in product()}
    graph = {
        module: {found for _, found, inside in imports(path) if not inside and found in modules and found != module}
        for module, path in modules.items()
    }
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for found in sorted(graph[module]):
                walk(found, (*trail, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_longer_sql_lives_in_sql_files() -> None:
    long = [
        f"{name(path)}:{node.lineno}"
        for path in product()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
        if (node.end_lineno or 0) - node.lineno >= SQL_MAX
    ]
    assert long == []


def test_no_sql_is_made_of_values() -> None:
    """An f-string, `%`, `+` or str.format where a statement is run; psycopg.sql composes what has to be composed."""
    wrong = set()
    for path in product():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.JoinedStr) and SQL.match(ast.unparse(node)[2:]):
                wrong.add(name(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                if node.func.attr in ("execute", "executemany", "copy") and isinstance(
                    node.args[0], ast.JoinedStr | ast.BinOp
                ):
                    wrong.add(name(path))
                if node.func.attr == "format" and isinstance(node.func.value, ast.Constant):
                    assert not SQL.match(str(node.func.value.value)), f"{name(path)}:{node.lineno}"
    assert wrong == FORMATTED_SQL.keys()


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every text that the program itself uses: no docstrings."""
    docs = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def test_redis_keys_stay_in_the_files_that_document_them() -> None:
    documented: set[str] = set()
    for place in KEYS_LIVE_IN:
        doc = ast.get_docstring(tree(ROOT / place)) or ""
        keys = set(re.findall(r"^ {4}([a-z]+:?)[{*\w:}]*  +", doc, re.MULTILINE))
        used = {text for _, text in literals(ROOT / place) if re.fullmatch(r"[a-z]+:", text)}
        assert keys and used <= keys, f"{place} uses {used - keys}"
        documented |= {key for key in keys if key.endswith(":")}
    strays = [
        f"{name(path)}:{line} {text}"
        for path in product()
        for line, text in literals(path)
        if name(path) not in KEYS_LIVE_IN and text.startswith(tuple(documented))
    ]
    assert strays == []


def test_a_stream_is_never_trimmed() -> None:
    """MAXLEN destroyed pending and unread entries when measured."""
    calls = [node for path in product() for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute)]
    assert [ast.unparse(call) for call in named if call.func.attr in ("xtrim", "xadd")] == []
    assert "'XADD', ARGV[i], '*'" in stream.APPEND
    assert "MAXLEN" not in stream.APPEND
    assert "MINID" not in stream.APPEND


def test_whatever_is_silenced_says_why() -> None:
    """On its line, or in the list above. Never everything at once: the rule is named."""
    silenced = re.compile(r"# (type: ignore|noqa)(\[[\w, -]+\]|: [A-Z]+\d+(?:, ?[A-Z]+\d+)*)?(.*)")
    bare = set()
    for path in (path for path in files(".py") if path != Path(__file__)):
        for found in map(silenced.search, path.read_text().splitlines()):
            if found and not found[3].strip() and not (found[1] != "noqa" and name(path).startswith("tests/")):
                bare.add(f"{name(path)} {found[1]}{found[2] or ''}")  # mypy reads no tests: theirs are for editors
    assert bare <= SILENCED.keys(), bare - SILENCED.keys()


def generated(what: str) -> str:
    """What stands between the README's marks."""
    marked = rf"<!-- {what} -->\n(.*?)\n<!-- /{what} -->"
    shown = re.search(marked, (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown, f"README.md has no <!-- {what} --> … <!-- /{what} -->"
    return shown[1].strip()


def test_the_readme_shows_every_setting_and_the_points_of_the_rules() -> None:
    assert generated("settings") == settings.table()
    assert generated("policy") == policy.table()


def test_the_readme_and_the_changelog_are_there_and_pages_link_to_what_is() -> None:
    assert "## " in (ROOT / "CHANGELOG.md").read_text()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == [], page.name


def test_make_says_what_each_target_does() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 as people call it
    assert targets and [t for t in targets if not re.search(rf"\b{t} +\S.{{5,}}", shown)] == []


def test_requirements_are_pinned_by_hash_and_name_no_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert not re.search(r"--(extra-)?index-url|--find-links|://", text), path
        for requirement in re.split(r"\n(?! )", text.replace("\\\n", "\n").strip()):
            if not requirement.startswith("#"):
                assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", requirement), requirement[:60]
                assert "--hash=sha256:" in requirement, requirement[:60]


def test_no_path_of_anybodys_machine_is_in_a_file() -> None:
    machine = re.compile(r"(?<![\w.])/(" + "|".join(("work", "root", "home/[a-z]+")) + r")/")
    found = []
    for path in files(
        ".py", ".sql", ".md", ".toml", ".txt", ".cfg", ".yml", ".yaml", ".sh", ".html", ".js", ".svg", ""
    ):
        found += [f"{name(path)}: {hit[0]}" for hit in machine.finditer(path.read_text(errors="replace"))]
    assert found == []
