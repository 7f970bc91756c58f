"""Building blocks of a dashboard, and its Grafana form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos, VariableOption, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# Written short in queries: the pods chosen above, their namespace and autoscaler, and Envoy's view of them.
MATCHERS = {
    "@pods": 'namespace=~"$namespace",job=~"$job"',
    "@namespace": 'namespace=~"$namespace"',
    "@servers": 'namespace=~"$namespace",horizontalpodautoscaler!~".*-jobs-(gateway|worker)"',
    "@envoy": 'namespace=~"$namespace",envoy_cluster_name="triton"',
}
DEVICES = "count(lipserve_ready{@pods}) * $gpus"
"""The GPUs that pods hold, for a dashboard with the texts `PRICES`."""
PRICES = {"price": ("2.50", "Price of a GPU hour"), "gpus": ("1", "GPUs of a pod")}
_COLUMNS = 24
_SIZES = {"stat": (4, 4), "timeseries": (8, 8)}  # width, height


@dataclass(frozen=True)
class Panel:
    """One panel: queries by their legend.

    Attributes:
        unit: one of Grafana's ids (s, percentunit, bytes ...).
        at_most: top of the axis; None: the data's.
    """

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: Literal["timeseries", "stat"] = "timeseries"
    at_most: float | None = None

    def expressions(self) -> dict[str, str]:
        """Return the queries as Grafana gets them: with its variables, without our short forms."""
        return {legend: _written_out(query) for legend, query in self.queries.items()}


@dataclass(frozen=True)
class Dashboard:
    """Panels in the order of reading.

    Attributes:
        texts: variables that a viewer may type over, by name: default and label.
        series: what tells of the namespaces and releases to choose from.
    """

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    texts: dict[str, tuple[str, str]]
    series: str = "lipserve_ready"

    def to_json(self) -> str:
        """Return Grafana's JSON of the dashboard."""
        made = (
            grafana.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags(["lipserve"])
            .readonly()
            .refresh("30s")
            .time("now-3h", "now")
            .timezone("browser")
            .with_variable(grafana.DatasourceVariable("datasource").type("prometheus").label("Prometheus"))
            .with_variable(_values_of("namespace", self.series, "Namespace"))
            .with_variable(_values_of("job", f'{self.series}{{namespace=~"$namespace"}}', "Release"))
        )
        for name, (default, label) in self.texts.items():
            made = made.with_variable(grafana.TextBoxVariable(name).default_value(default).label(label))
        for panel, place in zip(self.panels, _places(self.panels), strict=True):
            made = made.with_panel(_built(panel, place))
        return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _written_out(query: str) -> str:
    for short, matcher in MATCHERS.items():
        query = query.replace(short, matcher)
    return query


def _values_of(label: str, series: str, title: str) -> grafana.QueryVariable:
    return (
        grafana.QueryVariable(label)
        .label(title)
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")  # also where the label is absent: a Prometheus outside a cluster
        .current(VariableOption(text="All", value="$__all"))
    )


def _places(panels: tuple[Panel, ...]) -> list[GridPos]:
    """Place panels from left to right, in rows of one kind."""
    places, x, y, kind = [], 0, 0, panels[0].kind
    for panel in panels:
        width, height = _SIZES[panel.kind]
        if panel.kind != kind or x + width > _COLUMNS:
            x, y = 0, y + _SIZES[kind][1]
        kind = panel.kind
        places.append(GridPos(h=height, w=width, x=x, y=y))
        x += width
    return places


def _built(panel: Panel, place: GridPos) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if panel.kind == "stat":
        made = stat.Panel()
    else:
        legend = (
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        made = timeseries.Panel().legend(legend).fill_opacity(8)
    made = made.title(panel.title).description(panel.description).unit(panel.unit)
    made = made.datasource(SOURCE).grid_pos(place).min(0)
    if panel.at_most is not None:
        made = made.max(panel.at_most)
    for index, (name, expression) in enumerate(panel.expressions().items()):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + index)).datasource(SOURCE)
        made = made.with_target(query.expr(expression).legend_format(name))
    return made
