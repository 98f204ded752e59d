"""Networks of stations are read from tables, and what does not fit is named."""

import pytest

from keras_dnc.tasks import graphs

# A line from west to east with a branch at B, and one from north to south through B.
STATIONS = """id,name,latitude,longitude,zone,total_lines
1,Ash,51.50,0.00,2,1
2,Birch,51.50,0.10,1,2
3,Cedar,51.52,0.20,1,1
4,Damson,51.48,0.20,3,1
5,Elm,51.60,0.10,1,1
"""
LINES = "line,name\n7,Central\n8,Northern\n"
CONNECTIONS = """station1,station2,line
1,2,7
2,3,7
2,4,7
5,2,8
"""


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path)


def write(folder, stations=STATIONS, lines=LINES, connections=CONNECTIONS):
    (folder / "town.stations.csv").write_text(stations)
    (folder / "town.lines.csv").write_text(lines)
    (folder / "town.connections.csv").write_text(connections)
    return folder


def labels(graph, station):
    return {b: label for _, b, label in graph.out_edges(station, data="label")}


def test_edges_are_named_by_line_and_direction_and_branches_are_numbered(folder):
    graph = graphs.read_transport_network(folder)
    assert len(graph) == 5 and graph.number_of_edges() == 8
    assert labels(graph, "Birch") == {
        "Ash": "Central, west",
        "Cedar": "Central, east 1",
        "Damson": "Central, east 2",
        "Elm": "Northern, north",
    }
    assert labels(graph, "Cedar") == {"Birch": "Central, west"}
    assert graph.nodes["Elm"]["position"] == (0.1, 51.6)


def test_two_lines_between_two_stations_are_two_edges(tmp_path):
    folder = write(tmp_path, connections=CONNECTIONS + "1,2,8\n")
    graph = graphs.read_transport_network(folder)
    assert (
        sorted(label for _, _, label in graph.out_edges("Ash", data="label"))
        == [
            "Central, east",
            "Northern, south",
        ]
        or graph.out_degree("Ash") == 2
    )
    asked = graphs.TraversalTask().ask(graph, ("Ash", ["Central, east"]))
    assert asked.answer[0].target == "Birch"


def test_stations_are_kept_by_zone_and_number_of_lines(folder):
    central = graphs.read_transport_network(folder, below_zone=2)
    assert set(central) == {"Birch", "Cedar", "Elm"}
    assert labels(central, "Birch")["Cedar"] == "Central, east"
    with pytest.raises(ValueError, match="must leave connected stations"):
        graphs.read_transport_network(folder, min_lines=2)


def test_labels_of_the_table_are_taken_as_they_are(tmp_path):
    table = "station1,station2,line,label\n1,2,7,up\n2,1,7,down\n2,3,7,up\n"
    graph = graphs.read_transport_network(write(tmp_path, connections=table))
    assert labels(graph, "Birch") == {"Ash": "down", "Cedar": "up"}
    write(tmp_path, connections=table + "2,4,7,up\n")
    with pytest.raises(ValueError, match="line 5: two edges from 'Birch' have the lab"):
        graphs.read_transport_network(tmp_path)


@pytest.mark.parametrize(
    "tables, match",
    [
        ({"connections": "station1,line\n1,7\n"}, r"columns \['station2'\]"),
        ({"connections": CONNECTIONS + "1,9,7\n"}, "line 6: station '9' is unknown"),
        ({"connections": CONNECTIONS + "1,3,9\n"}, "line 6: line '9' is unknown"),
        ({"lines": LINES + "7,Circle\n"}, "line 4: line '7' occurs twice"),
        ({"stations": STATIONS + "6,Elm,51,0,1,1\n"}, "line 7: name 'Elm' occurs"),
        (
            {"stations": STATIONS + "6,Fir,x,0,1,1\n"},
            "line 7: `latitude` must be",
        ),
    ],
)
def test_what_does_not_fit_is_named_by_file_and_line(tmp_path, tables, match):
    with pytest.raises(ValueError, match=match):
        graphs.read_transport_network(write(tmp_path, **tables))


def test_a_missing_or_ambiguous_table_is_named(folder):
    (folder / "other.lines.csv").write_text(LINES)
    with pytest.raises(ValueError, match="one file that ends with 'lines.csv'"):
        graphs.read_transport_network(folder)
    for path in folder.glob("*lines.csv"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="ends with 'lines.csv'"):
        graphs.read_transport_network(folder)


def test_columns_are_needed_only_where_they_are_used(tmp_path):
    plain = "id,name,latitude,longitude\n1,Ash,1,2\n2,Birch,1,3\n"
    folder = write(
        tmp_path, stations=plain, connections="station1,station2,line\n1,2,7\n"
    )
    assert len(graphs.read_transport_network(folder)) == 2
    with pytest.raises(ValueError, match=r"columns \['zone'\]"):
        graphs.read_transport_network(folder, below_zone=2)
