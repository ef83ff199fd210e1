"""Pictures by any knob × any knob × prompt: as columns (X), rows (Y) and separate grids (Z), and as one PNG."""

from bracket.report.xyz.axes import (
    NOTHING,
    Axis,
    Drawn,
    Stage,
    axes_of,
    axis_named,
    chosen,
    longest,
    prompts_of,
    stage_named,
    stage_of,
    stages_of,
)
from bracket.report.xyz.build import FIRST_PROMPTS, Cell, Grid, Plane, build
from bracket.report.xyz.png import SIDE, Written, write_png

__all__ = [
    "FIRST_PROMPTS",
    "NOTHING",
    "SIDE",
    "Axis",
    "Cell",
    "Drawn",
    "Grid",
    "Plane",
    "Stage",
    "Written",
    "axes_of",
    "axis_named",
    "build",
    "chosen",
    "longest",
    "prompts_of",
    "stage_named",
    "stage_of",
    "stages_of",
    "write_png",
]
