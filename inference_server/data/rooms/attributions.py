"""Who made the furniture that the weights were trained on: the text of `weights/ATTRIBUTIONS.md`."""

from collections import defaultdict

from .catalogue import Model

HEADER = """# Attributions

The weights in this folder were trained on simulated scans. The furniture, people and vehicles in them are models of
Debian's package `sweethome3d-furniture` (train split only), which their authors released under the licences below;
the scans are changed: sampled, recoloured, placed in rooms and degraded as a depth camera would. Everything else in
the scans was made by this project's own generator.

CC-BY-3.0: <https://creativecommons.org/licenses/by/3.0/>,
CC-BY-3.0-US: <https://creativecommons.org/licenses/by/3.0/us/>,
CC0-1.0: <https://creativecommons.org/publicdomain/zero/1.0/>.
"""


def attribution_text(models: list[Model], split: str = "train") -> str:
    """Markdown that names every model of a split under its library, licence and author."""
    groups = defaultdict(list)
    for model in models:
        if model.split == split:
            groups[model.library, model.licence, model.author].append(model.name)
    lines, last = [HEADER], None
    for (library, licence, author), names in sorted(groups.items()):
        if (library, licence) != last:
            lines.append(f"\n## {library}: {licence}\n")
            last = library, licence
        counted = [f"{name} ({names.count(name)})" if names.count(name) > 1 else name for name in sorted(set(names))]
        lines.append(f"- **{author}**: {', '.join(counted)}")
    return "\n".join(lines) + "\n"
