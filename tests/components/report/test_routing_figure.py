"""The graph of a trunk's routes."""

from xml.etree import ElementTree

from taskroute.components.report.routing_figure import routing_figure
from taskroute.schemas.training_record import RoutingTable


def _matrix(upper, lower, values):
    return RoutingTable(name="m", upper=upper, lower=lower, values=values)


TASKS = ("click", "like", "buy <now>")
MATRICES = [
    _matrix(["2.1", "2.2"], ["1.1", "1.2", "1.3"], [[1, 0, 0], [0, 0.5, 0]]),
    _matrix(TASKS, ["2.1", "2.2"], [[1, 0], [0, 0.2], [0.7, 0.3]]),
]
parse = ElementTree.fromstring  # of what we wrote ourselves
SVG = "{http://www.w3.org/2000/svg}"


def test_every_route_is_drawn_open_or_closed():
    root = parse(routing_figure(MATRICES, TASKS))
    classes = [path.get("class") for path in root.iter(f"{SVG}path")]
    assert classes.count("open") == 6
    assert classes.count("closed") == 6


def test_a_wider_line_is_a_route_more_open():
    root = parse(routing_figure(MATRICES, TASKS))
    widths = {
        path.find(f"{SVG}title").text: float(path.get("stroke-width"))
        for path in root.iter(f"{SVG}path")
        if path.get("class") == "open"
    }
    assert widths["2.1 to click: 1.00"] > widths["2.1 to buy <now>: 0.70"] > 1
    assert widths["2.2 to like: 0.20"] == 1


def test_a_sub_network_that_no_task_uses_is_marked():
    root = parse(routing_figure(MATRICES, TASKS))
    unused = [g.find(f"{SVG}text").text for g in root.iter(f"{SVG}g") if g.get("class") == "unused"]
    assert unused == ["1.3"]


def test_the_figure_says_in_words_what_each_task_uses():
    title = parse(routing_figure(MATRICES, TASKS)).find(f"{SVG}title").text
    assert title == ("click uses 1.1, 2.1; like uses 1.2, 2.2; buy <now> uses 1.1, 1.2, 2.1, 2.2")


def test_layers_that_all_feed_the_tasks_are_drawn_too():
    matrices = [
        _matrix(["a", "b"], ["1.1", "1.2"], [[1, 0], [0.5, 0.5]]),
        _matrix(["a", "b"], ["2.1"], [[1], [1]]),
    ]
    title = parse(routing_figure(matrices, ["a", "b"])).find(f"{SVG}title").text
    assert title == "a uses 1.1, 2.1; b uses 1.1, 1.2, 2.1"


def test_parts_may_bear_the_names_of_tasks():
    own = _matrix(["a", "b"], ["a", "b"], [[1, 0], [0, 1]])
    root = parse(routing_figure([own, own], ["a", "b"]))
    assert root.find(f"{SVG}title").text == "a uses a, a; b uses b, b"
    assert len(list(root.iter(f"{SVG}rect"))) == 6


def test_boxes_are_as_wide_as_their_names_and_do_not_overlap():
    tasks = ["watched_for_thirty_seconds", "a_name_that_nobody_would_give_to_any_task"]
    matrix = _matrix(tasks, ["1.1", "1.2"], [[1, 0], [0, 1]])
    root = parse(routing_figure([matrix], tasks))
    widths = {}
    for group in root.iter(f"{SVG}g"):
        box, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        widths[text.text] = float(box.get("width"))
        assert float(box.get("x")) + float(box.get("width")) <= float(root.get("width"))
    assert widths["1.1"] == widths["1.2"] < widths["watched_for_thirty_seconds"]
    assert widths["watched_for_thirty_seconds"] >= 7.5 * len("watched_for_thirty_seconds")
    assert "a_name_that_nobody_would_gi…" in widths
