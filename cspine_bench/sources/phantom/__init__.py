"""An analytic cervical spine, projected by Beer-Lambert's law: radiographs with exact labels, and no patient.

Read in this order: `recipe` (what varies), `subject` (who sample i is), `person` and `posture` (dimensions and angles),
`bone`, `body`, `arch`, `head`, `neck` (solids), `silhouette` (the mask), `solids` and `projection` (exact chords),
`detector`, `shutter`, `artefacts` (the film), `render` (all of it), `source` (into a dataset).
"""

from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

__all__ = ["PhantomRecipe", "PhantomSource"]
