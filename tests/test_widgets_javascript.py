"""Python and JavaScript agree on every name they share, and all that a page needs lies on this disk."""

import re

import pytest
import traitlets

from workbench.widgets import base
from workbench.widgets.candidates import Table
from workbench.widgets.periodic_table import PeriodicTable
from workbench.widgets.progress import ProgressView
from workbench.widgets.structures import Scenes
from workbench.widgets.targets import Targets

PAIRS = {
    "notice.js": base.Notice, "code.js": base.Code, "plot.js": base.Plot, "table.js": Table, "targets.js": Targets, "progress.js": ProgressView,
    "periodic_table.js": PeriodicTable, "structure.js": Scenes,
}


def source(name):
    return (base.STATIC / name).read_text(encoding="utf-8")


def shared_by_python(widget):
    own = {name for name in widget.class_traits(sync=True) if not name.startswith("_")}
    import ipywidgets

    return own - set(ipywidgets.DOMWidget.class_traits(sync=True))


def used_by_javascript(text):
    read = set(re.findall(r'model\.get\("(\w+)"\)', text))
    for listed in re.findall(r"listen\(model, \[([^\]]+)\]", text):
        read |= set(re.findall(r'"(\w+)"', listed))
    written = set()
    for pairs in re.findall(r"(?:write|tell)\(model, \{(.*?)\}\)", text):
        flat = re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]|\([^()]*\)", "", pairs)
        written |= set(re.findall(r"(?:^|,)\s*(\w+)(?=\s*[:,}]|\s*$)", flat))
    return read | written


@pytest.mark.parametrize("name", PAIRS)
def test_every_synchronised_name_is_known_on_both_sides(name):
    python, javascript = shared_by_python(PAIRS[name]), used_by_javascript(source(name))
    assert javascript - python == set(), "JavaScript asks for what Python does not have"
    assert python - javascript == set(), "Python sends what JavaScript never looks at"


def test_every_module_has_its_widget():
    files = {file.name for file in base.STATIC.glob("*.js")}
    assert files == {*PAIRS, "shared.js"}


def test_messages_are_spoken_and_understood():
    from workbench.widgets import candidates, panel  # noqa: F401

    sent = {kind for name in PAIRS for kind in re.findall(r'model\.send\(\{ kind: "(\w+)"', source(name) + source("shared.js"))}
    understood = set(re.findall(r'kind == "(\w+)"', (base.STATIC.parent / "candidates.py").read_text()))
    assert sent == understood | {"library", "set"}


def test_a_choice_told_by_message_counts_at_once_and_no_other_trait_can_be_told():
    table = PeriodicTable()
    table._serve(table, {"kind": "set", "values": {"choices": {"Li": "exactly"}, "brush": "forbid"}}, [])
    assert (table.choices, table.brush) == ({"Li": "exactly"}, "exactly")
    sent = []
    table.send_state = lambda key=None: sent.append(key)
    table._serve(table, {"kind": "set", "values": {"choices": {"O": "exactly"}}}, [])
    assert sent == [], "what the page told is not sent back over what was clicked since"
    for name, widget in PAIRS.items():
        told = {key for pairs in re.findall(r"tell\(model, \{ (\w+)", source(name)) for key in [pairs]}
        assert told == set(widget.told), name


def test_every_class_in_javascript_has_a_style_or_a_reader():
    css = base.stylesheet()
    for name in PAIRS:
        for classes in re.findall(r'class(?:Name)?: "([\w -]+)"', source(name)):
            for one in classes.split():
                if one.startswith("mgb-"):
                    assert f".{one}" in css, f"{name} uses {one}, which workbench.css does not know"


@pytest.mark.parametrize("name", [*PAIRS, "shared.js"])
def test_nothing_is_fetched(name):
    text = source(name)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"\bimport\s*[({\"']|\bfetch\(|XMLHttpRequest", text)
    assert "http" not in base.stylesheet()


@pytest.mark.parametrize(("name", "files"), [("plotly", 1), ("crystal-toolkit", 4)])
def test_browser_libraries_lie_in_installed_packages(name, files):
    found = base.library_files(name)
    assert len(found) == files
    assert all(file.stat().st_size > 500 for file in found)
    text = "".join(file.read_text(encoding="utf-8") for file in found)
    if name == "crystal-toolkit":
        assert "CrystalToolkitScene" in text
        assert "CameraContextProvider" in text
        assert "createRoot" in text


def test_an_unknown_library_is_refused():
    with pytest.raises(FileNotFoundError, match="plotly and crystal-toolkit"):
        base.library_files("../secrets")


def test_a_page_that_asks_gets_the_library(monkeypatch):
    sent = []
    plot = base.Plot()
    monkeypatch.setattr(plot, "send", lambda content, buffers=None: sent.append((content, buffers)))
    plot._serve(plot, {"kind": "library", "name": "plotly"}, [])
    plot._serve(plot, {"kind": "something else"}, [])
    assert len(sent) == 1
    assert sent[0][0] == {"kind": "library", "name": "plotly"}
    assert b"plotly.js" in sent[0][1][0][:400]


def test_widgets_weigh_little():
    for widget in PAIRS.values():
        text = str(widget._esm)
        assert len(text) + len(base.stylesheet()) < 60_000, "every copy goes over the wire"
        assert isinstance(widget.class_traits()["_css"], traitlets.Unicode)
