"""Transport networks from tables of stations, lines and connections."""

import csv
import math
import os
import pathlib
from collections.abc import Iterable
from typing import TypeAlias

import networkx

Row: TypeAlias = dict[str, str]

_STATIONS, _CONNECTIONS, _LINES = "stations.csv", "connections.csv", "lines.csv"
_DIRECTIONS = (("east", "west"), ("north", "south"))  # along either axis


def read_transport_network(
    folder: str | os.PathLike[str],
    below_zone: float | None = None,
    min_lines: int | None = None,
) -> networkx.MultiDiGraph:
    """Read a network of stations and lines, such as the London Underground.

    The folder has one file for each of these endings of its name:

    - `stations.csv`: columns `id`, `name`, `latitude` and `longitude`; `zone` for
      `below_zone`, `total_lines` for `min_lines`;
    - `lines.csv`: columns `line` and `name`;
    - `connections.csv`: columns `station1`, `station2` and `line`; optionally `label`.

    A connection is an edge in each direction, labelled with its line and a direction:
    east or west on a line whose stations spread farther in this direction, else north
    or south. If several edges leave a station with one line and direction, they are
    numbered. If there is a column `label`, a connection is one edge, from `station1` to
    `station2`, with this label.

    Args:
        folder: Folder of the tables.
        below_zone: Only stations of lower zones are kept. Defaults to `None`, for all.
        min_lines: Only stations of at least so many lines are kept. Defaults to `None`,
            for all.

    Returns:
        `networkx.MultiDiGraph` whose nodes are names of stations, with the attributes
        `position`, `(longitude, latitude)`, and whose edges have the attributes `label`
        and `line`.

    Raises:
        FileNotFoundError: A table is missing.
        ValueError: There are several tables of one kind, a column is missing, a value
            that must be a number is not one, a station or a line is unknown or occurs
            twice, two edges from a station have one label of the column `label`, or
            nothing is left.

    References:
        - Graves et al. 2016, Hybrid computing using a neural network with dynamic
          external memory, figure 3.
    """
    tables = {name: _Table(pathlib.Path(folder), name) for name in _COLUMNS}
    stations = _read_stations(tables[_STATIONS], below_zone, min_lines)
    graph = networkx.MultiDiGraph()
    for name, position in stations.kept.values():
        graph.add_node(name, position=position)
    _add_edges(graph, tables[_CONNECTIONS], tables[_LINES].by("line"), stations)
    if not graph.edges:
        raise ValueError(
            "Arguments `below_zone` and `min_lines` must leave connected stations. "
            f"Received: below_zone={below_zone}, min_lines={min_lines}"
        )
    return graph


_COLUMNS = {
    _STATIONS: ("id", "name", "latitude", "longitude"),
    _LINES: ("line", "name"),
    _CONNECTIONS: ("station1", "station2", "line"),
}


class _Table:
    """The rows of a CSV file, and errors that name their place in it."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        paths = sorted(folder.glob(f"*{name}"))
        if not paths:
            raise FileNotFoundError(f"No file of {folder} ends with {name!r}.")
        if len(paths) > 1:
            raise ValueError(
                f"Argument `folder` must have one file that ends with {name!r}. "
                f"Received: {[path.name for path in paths]}"
            )
        self.path = paths[0]
        with open(self.path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            self.columns = list(reader.fieldnames or [])
            self.rows = [(reader.line_num, row) for row in reader]
        self.need(*_COLUMNS[name])

    def need(self, *columns: str) -> None:
        """Raise a `ValueError` unless the table has these columns."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise ValueError(
                f"{self.path} must have the columns {missing}. Received: {self.columns}"
            )

    def by(self, key: str) -> dict[str, Row]:
        """Return a dict from the values of a column, all different, to rows."""
        found: dict[str, Row] = {}
        for line, row in self.rows:
            if row[key] in found:
                raise self.error(line, f"{key} {row[key]!r} occurs twice")
            found[row[key]] = row
        return found

    def number(self, line: int, row: Row, column: str) -> float:
        """Return a number of a row."""
        try:
            return float(row[column])
        except (TypeError, ValueError):
            text = f"`{column}` must be a number. Received: {row[column]!r}"
            raise self.error(line, text) from None

    def error(self, line: int, problem: str) -> ValueError:
        """Return an error that names the file and a line of it."""
        return ValueError(f"{self.path}, line {line}: {problem}")


class _Stations:
    """Names and positions of the stations that are kept, and all that are known."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, tuple[float, float]]] = {}
        self.known: set[str] = set()


def _read_stations(
    table: _Table, below_zone: float | None, min_lines: int | None
) -> _Stations:
    """Read the stations, and drop those that the arguments exclude."""
    bounds = (("zone", below_zone), ("total_lines", min_lines))
    table.need(*(column for column, bound in bounds if bound is not None))
    stations = _Stations()
    for column in ("id", "name"):
        table.by(column)  # all different
    for line, row in table.rows:
        number = {c: table.number(line, row, c) for c in ("longitude", "latitude")}
        stations.known.add(row["id"])
        is_far = below_zone is not None and (
            table.number(line, row, "zone") >= below_zone
        )
        is_small = min_lines is not None and (
            table.number(line, row, "total_lines") < min_lines
        )
        if not is_far and not is_small:
            position = (number["longitude"], number["latitude"])
            stations.kept[row["id"]] = row["name"], position
    return stations


def _add_edges(
    graph: networkx.MultiDiGraph,
    table: _Table,
    lines: dict[str, Row],
    stations: _Stations,
) -> None:
    """Add the connections between the stations that are kept."""
    connections = []
    for place, row in table.rows:
        ends = row["station1"], row["station2"]
        for station in ends:
            if station not in stations.known:
                raise table.error(place, f"station {station!r} is unknown")
        if row["line"] not in lines:
            raise table.error(place, f"line {row['line']!r} is unknown")
        if all(station in stations.kept for station in ends):
            a, b = (stations.kept[station][0] for station in ends)
            connections.append((place, a, b, lines[row["line"]]["name"], row))
    if "label" in table.columns:
        _add_labelled(graph, table, connections)
    else:
        _add_directed(graph, [(a, b, line) for _, a, b, line, _ in connections])


def _add_labelled(
    graph: networkx.MultiDiGraph,
    table: _Table,
    connections: Iterable[tuple[int, str, str, str, Row]],
) -> None:
    """Add edges with labels of their own."""
    seen = set()
    for place, a, b, line, row in connections:
        label = row["label"]
        if (a, label) in seen:
            raise table.error(place, f"two edges from {a!r} have the label {label!r}")
        seen.add((a, label))
        graph.add_edge(a, b, label=label, line=line)


def _add_directed(
    graph: networkx.MultiDiGraph, connections: list[tuple[str, str, str]]
) -> None:
    """Add edges in both directions, labelled with line, direction and branch."""
    axes = _axes(graph, connections)
    leaving: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one, other, line in dict.fromkeys(connections):
        for a, b in ((one, other), (other, one)):
            way = _direction(graph, a, b, axes[line])
            branches = leaving.setdefault((a, f"{line}, {way}"), [])
            if (b, line) not in branches:
                branches.append((b, line))
    for (a, label), branches in leaving.items():
        for number, (b, line) in enumerate(branches, start=1):
            numbered = label if len(branches) == 1 else f"{label} {number}"
            graph.add_edge(a, b, label=numbered, line=line)


def _axes(
    graph: networkx.MultiDiGraph, connections: Iterable[tuple[str, str, str]]
) -> dict[str, int]:
    """Return for each line 0 if it runs from east to west, 1 from north to south."""
    stations: dict[str, list[tuple[float, float]]] = {}
    for a, b, line in connections:
        places = (_on_plane(graph, station) for station in (a, b))
        stations.setdefault(line, []).extend(places)
    spreads = {
        line: [max(numbers) - min(numbers) for numbers in zip(*places, strict=True)]
        for line, places in stations.items()
    }
    return {line: int(north > east) for line, (east, north) in spreads.items()}


def _direction(graph: networkx.MultiDiGraph, a: str, b: str, axis: int) -> str:
    """Return the direction from one station to another along an axis."""
    is_behind = _on_plane(graph, b)[axis] < _on_plane(graph, a)[axis]
    return _DIRECTIONS[axis][is_behind]


def _on_plane(graph: networkx.MultiDiGraph, station: str) -> tuple[float, float]:
    """Return the position of a station, in equal units to the east and to the north."""
    longitude, latitude = graph.nodes[station]["position"]
    return longitude * math.cos(math.radians(latitude)), latitude
