"""What every verb owes: an example, errors of one sentence, exit codes, completion."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from typing import Literal, get_args, get_origin, get_type_hints

import h5py
import pytest
import typer
from typer.testing import CliRunner

from cubefit import cli
from cubefit.cli import root
from cubefit.errors import StoreError

VERBS = {c.name or c.callback.__name__: c.callback for c in cli.app.registered_commands}
WRONG_FILES = (
    "missing",
    "text",
    "empty",
    "foreign HDF5",
    "cut short",
    "folder",
    "pipe",
    "unreadable",
)
FILLERS = {"kind": "spectra"}
WITHOUT_FILE = {"demo", "dashboard", "init"}
"""The second waits for a file that is not there yet, the third writes one."""
PROGRAM = "import sys; sys.argv[0] = 'cubefit'; from cubefit.__main__ import main; main()"


def told(result):
    """All that was printed, in one line."""
    return " ".join((result.output + result.stderr).split())


def parameters_of(verb):
    """Yield name, kind (Annotated) and default of each parameter."""
    kinds = get_type_hints(VERBS[verb], include_extras=True)
    for name, parameter in inspect.signature(VERBS[verb]).parameters.items():
        yield name, kinds[name], parameter.default


def is_option(kind):
    return isinstance(kind.__metadata__[0], typer.models.OptionInfo)


def flag_of(name, kind):
    found = kind.__metadata__[0]
    # Typer takes the first name for a default until it sees Annotated.
    declared = [*(found.param_decls or ()), found.default]
    flags = [flag for flag in declared if isinstance(flag, str) and flag.startswith("--")]
    return flags[0] if flags else "--" + name.replace("_", "-")


def options_of(verb):
    return {flag_of(name, kind) for name, kind, _ in parameters_of(verb) if is_option(kind)}


def choices_of(kind):
    kinds = (kind.__origin__, *get_args(kind.__origin__))
    return next((get_args(k) for k in kinds if get_origin(k) is Literal), ())


def needed(verb, path, tmp_path):
    """The least arguments of a verb, with ``path`` as its file."""
    arguments = [verb]
    for name, kind, default in parameters_of(verb):
        if default is inspect.Parameter.empty:
            value = (
                path if name in ("file", "inputs", "settings") else FILLERS.get(name, "other.png")
            )
            value = tmp_path / value if name in ("out", "to") else value
            arguments += [flag_of(name, kind), str(value)] if is_option(kind) else [str(value)]
    if verb == "populate":
        arguments[-1] = str(tmp_path / "other.h5")
    return arguments


def wrong_file(kind, populated, tmp_path):
    path = tmp_path / "wrong.h5"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "foreign HDF5":
        with h5py.File(path, "w") as file:
            file["spectrum"] = [1.0, 2.0]
    elif kind == "cut short":
        path.write_bytes(populated.read_bytes()[:5000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unreadable":
        path.write_bytes(populated.read_bytes())
    return path


def test_the_verbs_of_the_help_are_in_the_order_of_their_use(cubefit):
    said = cubefit("--help").output
    known = [verb for verb in root.ORDER if verb in VERBS]
    assert {"populate", "build", "fit", "info", "export", "compress", "reconstruct"} <= set(known)
    places = [said.index(f"│ {verb} ") for verb in known]
    assert places == sorted(places)


def test_exit_codes_are_in_the_help(cubefit):
    said = told(cubefit("--help"))
    assert "0 done, 1 error, 2 wrong usage, 3 check found something, 75 stopped by" in said
    assert "130 stopped by Ctrl-C" in said


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_has_an_example_that_is_right(verb):
    (example,) = re.findall(r"Example: (cubefit .*)", VERBS[verb].__doc__)
    program, name, *arguments = shlex.split(example)
    assert (program, name) == ("cubefit", verb)
    assert {a for a in arguments if a.startswith("--")} <= options_of(verb)
    said = told(CliRunner().invoke(cli.app, [verb, "--help"]))
    assert f"Example: cubefit {verb}" in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(verb):
    assert [n for n, kind, _ in parameters_of(verb) if not kind.__metadata__[0].help] == []


def test_properties_keep_their_unit_in_the_help(cubefit):
    """Brackets are markup to the printer."""
    assert '"component_radius [kpc]"' in told(cubefit("populate", "--help"))


@pytest.mark.parametrize("kind", WRONG_FILES)
@pytest.mark.parametrize("verb", sorted(VERBS.keys() - WITHOUT_FILE))
def test_a_wrong_file_is_one_sentence(verb, kind, populated_once, tmp_path, monkeypatch):
    path = wrong_file(kind, populated_once, tmp_path)
    if kind == "unreadable":  # also for a user who may read anything
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(cli.app, needed(verb, path, tmp_path))
    assert result.exit_code == root.EXIT_ERROR
    assert result.stderr.startswith("Error: ")
    assert "wrong.h5" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (verb, name)
        for verb in VERBS
        for name, kind, _ in parameters_of(verb)
        if choices_of(kind) and is_option(kind)
    ],
)
def test_an_unknown_choice_is_wrong_usage_and_names_the_choices(verb, option, populated, tmp_path):
    kind = next(kind for name, kind, _ in parameters_of(verb) if name == option)
    command = [*needed(verb, populated, tmp_path), flag_of(option, kind), "nonsense"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 2
    assert all(str(choice) in told(result) for choice in choices_of(kind))


@pytest.mark.parametrize("arguments", [["nonsense"], ["status", "--nonsense"], ["fit"]])
def test_wrong_usage_has_its_own_exit_code(cubefit, arguments):
    assert cubefit(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stauts"], "No such command 'stauts' (did you mean 'status'?); see cubefit --help."),
        (["--nonsense"], "No such option: --nonsense; see cubefit --help."),
        (
            ["fit", "a.h5", "--qiet"],
            "No such option: --qiet (did you mean --quiet?); see cubefit fit --help.",
        ),
        (["export", "a.h5"], "Missing option '--to' / '-o'; see cubefit export --help."),
        (
            ["status", "a.h5", "--interval"],
            "Option '--interval' requires an argument; see cubefit status --help.",
        ),
        (
            ["demo", "--size", "huge"],
            (
                "Invalid value for '--size': 'huge' is not one of 'small', 'medium'; "
                "see cubefit demo --help."
            ),
        ),
        (
            ["check", "a.h5", "--quick", "--forget-damaged"],
            (
                "Invalid value: --forget-damaged needs every tile read: drop --quick; "
                "see cubefit check --help."
            ),
        ),
    ],
)
def test_wrong_usage_is_one_sentence_with_the_mend(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["cubefit", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert printed.err == f"Error: {sentence}\n"
    assert printed.out == ""


def test_without_arguments_there_is_the_help(cubefit):
    result = cubefit()
    assert result.exit_code == 2
    assert "Exit codes" in result.output
    assert "Error" not in result.stderr


def test_long_verbs_can_be_quiet_and_scripts_have_json():
    long = {
        "demo",
        "populate",
        "build",
        "fit",
        "check",
        "reconstruct",
        "compress",
        "gather",
        "export",
    }
    assert [v for v in long if "--quiet" not in options_of(v)] == []
    for verb in (
        *("status", "check", "info", "fit", "export", "run", "plot"),
        *("populate", "build", "reconstruct", "compress", "gather", "snapshot"),
    ):
        assert "--json" in options_of(verb)


@pytest.mark.parametrize(
    ("verb", "name"), [("demo", "out"), ("plot", "out"), ("snapshot", "out"), ("export", "to")]
)
def test_where_files_go_has_one_letter_everywhere(verb, name):
    kind = next(kind for n, kind, _ in parameters_of(verb) if n == name)
    assert "-o" in kind.__metadata__[0].param_decls


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "no.h5"],
        ["--debug", "status", "no.h5"],
        ["status", "--debug", "no.h5"],
        ["status", "no.h5", "--debug"],
    ],
)
def test_only_debug_shows_where_an_error_comes_from(tmp_path, arguments):
    command, debug = [sys.executable, "-m", "cubefit", *arguments], "--debug" in arguments
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == debug
    assert "no.h5 does not exist" in done.stderr
    assert done.stdout == ""


def test_debug_behind_two_dashes_is_a_name():
    assert root.debug_first(["status", "--", "--debug"]) == ["status", "--", "--debug"]
    assert root.debug_first(["status", "--debug", "--", "a"]) == ["--debug", "status", "--", "a"]


def test_errors_are_red_on_a_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    result = CliRunner().invoke(cli.app, ["status", str(tmp_path / "no.h5")], color=True)
    assert result.stderr.startswith("\x1b[1;31mError: \x1b[0m\x1b[31m")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileExistsError(17, "File exists", "out"), "out: File exists."),
        (OSError("no code"), "no code"),
        (StoreError("a.h5 is\n  damaged."), "a.h5 is damaged."),
        (MemoryError(), "Not enough memory: use"),
        (MemoryError("Unable to allocate 9 GiB"), "Not enough memory (Unable to allocate 9 GiB)"),
    ],
)
def test_errors_of_the_system_and_ours_are_one_line(error, sentence):
    said = root.sentence_of(error)
    assert said.startswith(sentence)
    assert "\n" not in said


def test_a_reader_that_goes_away_is_no_error(fitted):
    command = f"{shlex.quote(sys.executable)} -m cubefit info {shlex.quote(str(fitted))} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def completed(words, place):
    environment = os.environ | {
        "_CUBEFIT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(place),
    }
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_verbs_options_and_choices_are_completed():
    assert completed("cubefit com", 1) == ["compress"]
    assert "--keep-bits" in completed("cubefit compress --k", 2)
    assert completed("cubefit fit --method ", 3) == ["exact", "kaczmarz"]


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_completion_of_a_shell_can_be_shown_and_installed(tmp_path, option):
    environment = os.environ | {
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", PROGRAM, option, "bash"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = done.stdout
    if option == "--install-completion":
        script = (tmp_path / ".bash_completions" / "cubefit.sh").read_text()
    assert "_CUBEFIT_COMPLETE=complete_bash" in script
    assert "complete -o" in script


def test_help_and_completion_wait_for_nothing_heavy():
    """A third of a second: what a verb needs, it imports when it runs."""
    code = "import cubefit.cli, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "h5py", "scipy", "astropy", "xarray", "matplotlib", "bokeh", "panel"}
    assert heavy & set(done.stdout.split()) == set()
